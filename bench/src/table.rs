//! Tables that read well in a terminal and are Markdown.

use std::fmt;

/// A table: what a row is about on the left, numbers on the right.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn row(&mut self, name: &str, numbers: impl IntoIterator<Item = String>) {
        let row: Vec<_> = [name.to_owned()].into_iter().chain(numbers).collect();
        assert_eq!(row.len(), self.rows[0].len(), "a row has as many cells as the header");
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.rows[0].len()).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(formatter, "| {cell:<width$} |")?,
                    _ => write!(formatter, " {cell:>width$} |")?,
                }
            }
            writeln!(formatter)?;
            if number == 0 {
                write!(formatter, "|:{:-<1$}|", "", widths[0] + 1)?;
                widths[1..].iter().try_for_each(|width| write!(formatter, "{:-<1$}:|", "", width + 1))?;
                writeln!(formatter)?;
            }
        }
        Ok(())
    }
}

/// A number with about three digits that mean something; NaN stands for none.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, number};

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["case", "ns"]);
        table.row("a floor", [number(1.234)]);
        table.row("other", [number(1234.5)]);
        table.row("third", [number(f64::NAN)]);
        let expected = "\
| case    |   ns |
|:--------|-----:|
| a floor | 1.23 |
| other   | 1234 |
| third   |    - |
";
        assert_eq!(table.to_string(), expected);
    }
}
