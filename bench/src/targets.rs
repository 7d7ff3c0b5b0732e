//! What the library promises, beside what a run has measured.

use anyhow::{Context, Result};

use crate::table::{Table, number};

/// Begins the lines by which a group tells its targets to the program that started it.
const MARK: &str = "target";

/// One promise and how it went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    work: String,
    bound: Bound,
    limit: f64,
    unit: String,
    /// NaN where it was not measured.
    measured: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    AtMost,
    AtLeast,
}

// === impl Target ===

impl Target {
    pub(crate) fn at_most(work: &str, limit: f64, unit: &str, measured: f64) -> Self {
        Self { work: work.to_owned(), bound: Bound::AtMost, limit, unit: unit.to_owned(), measured }
    }

    pub(crate) fn at_least(work: &str, limit: f64, unit: &str, measured: f64) -> Self {
        Self { bound: Bound::AtLeast, ..Self::at_most(work, limit, unit, measured) }
    }

    /// Whether it is met; nothing where it was not measured.
    fn is_met(&self) -> Option<bool> {
        (!self.measured.is_nan()).then_some(match self.bound {
            Bound::AtMost => self.measured <= self.limit,
            Bound::AtLeast => self.measured >= self.limit,
        })
    }

    /// The target as a line that [`parse`](Self::parse) reads.
    pub(crate) fn to_line(&self) -> String {
        let Self { work, bound, limit, unit, measured } = self;
        format!("{MARK}\t{work}\t{}\t{limit}\t{unit}\t{measured}", bound.sign())
    }

    /// Reads such a line; nothing where the line is another.
    pub(crate) fn parse(line: &str) -> Option<Result<Self>> {
        let fields = line.strip_prefix(MARK)?.strip_prefix('\t')?;
        Some(Self::from_fields(fields).with_context(|| format!("`{line}` is no target")))
    }

    fn from_fields(fields: &str) -> Option<Self> {
        let mut fields = fields.split('\t');
        let work = fields.next()?.to_owned();
        let sign = fields.next()?;
        let bound = [Bound::AtMost, Bound::AtLeast].into_iter().find(|bound| bound.sign() == sign)?;
        let (limit, unit) = (fields.next()?.parse().ok()?, fields.next()?.to_owned());
        Some(Self { work, bound, limit, unit, measured: fields.next()?.parse().ok()? })
    }
}

// === impl Bound ===

impl Bound {
    fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "≤",
            Self::AtLeast => "≥",
        }
    }
}

/// Every target with what was measured.
pub(crate) fn table(targets: &[Target]) -> Table {
    let mut table = Table::new(&["work", "target", "measured", "met"]);
    for target in targets {
        let Target { work, bound, limit, unit, measured } = target;
        let met = match target.is_met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        let limit = format!("{} {limit}{unit}", bound.sign());
        let measured = if measured.is_nan() { number(*measured) } else { format!("{}{unit}", number(*measured)) };
        table.row(work, [limit, measured, met.to_owned()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Target, table};

    #[test]
    fn a_target_is_met_up_to_its_limit_and_unknown_when_not_measured() {
        let targets = [
            Target::at_most("add", 2.0, "×", 2.0),
            Target::at_most("request", 110.0, " ns", 110.1),
            Target::at_least("scrape", 5.0, "×", 5.5),
            Target::at_least("copy", 5.0, "×", 4.9),
            Target::at_most("other", 0.0, "", f64::NAN),
        ];
        let expected = "\
| work    |   target | measured | met |
|:--------|---------:|---------:|----:|
| add     |     ≤ 2× |    2.00× | yes |
| request | ≤ 110 ns |   110 ns |  NO |
| scrape  |     ≥ 5× |    5.50× | yes |
| copy    |     ≥ 5× |    4.90× |  NO |
| other   |      ≤ 0 |        - |   - |
";
        assert_eq!(table(&targets).to_string(), expected);
    }

    #[test]
    fn a_target_passes_from_program_to_program() {
        for target in [Target::at_most("add", 2.5, "×", 1.25), Target::at_least("request", 5.0, " ns", -3.0)] {
            assert_eq!(Target::parse(&target.to_line()).unwrap().unwrap(), target);
        }
        assert!(Target::parse("| target | 1 |").is_none());
        assert!(Target::parse("target\tadd\t<\t1\t\t1").unwrap().is_err());
    }
}
