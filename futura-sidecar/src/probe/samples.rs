//! What a probe answers: gauges in Prometheus' text format, sorted, with numbers as Go writes them.

use std::fmt::{self, Write as _};

/// A gauge of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

/// The gauges of one answer. They are few, and a probe that hangs has them while it does.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Series>);

#[derive(Debug)]
struct Series {
    gauge: Gauge,
    /// As they stand on the wire.
    labels: Box<str>,
    value: f64,
}

/// From which exponent on Go writes one, in its shortest form.
const EXPONENT: i32 = 6;

/// A number as Go writes it: the shortest digits that read back the same.
struct Number(f64);

// === impl Gauge ===

impl Gauge {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help }
    }
}

// === impl Samples ===

impl Samples {
    pub(super) fn set(&mut self, gauge: Gauge, value: f64) {
        self.set_with(gauge, &[], value);
    }

    /// Sets a series with labels, which are given in the order of their names.
    pub(super) fn set_with(&mut self, gauge: Gauge, labels: &[(&str, &str)], value: f64) {
        let mut written = String::new();
        for (name, value) in labels {
            let separator = if written.is_empty() { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            write!(written, "{separator}{name}=\"{value}\"").expect("a string takes all that is written");
        }
        if !labels.is_empty() {
            written.push('}');
        }
        let same = |series: &&mut Series| series.gauge.name == gauge.name && *series.labels == *written;
        match self.0.iter_mut().find(same) {
            Some(series) => series.value = value,
            None => self.0.push(Series { gauge, labels: written.into(), value }),
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_unstable_by_key(|series| (series.gauge.name, &series.labels));
        let mut last = None;
        for Series { gauge: Gauge { name, help }, labels, value } in sorted {
            if last.replace(name) != Some(name) {
                write!(formatter, "# HELP {name} {help}\n# TYPE {name} gauge\n")?;
            }
            writeln!(formatter, "{name}{labels} {}", Number(*value))?;
        }
        Ok(())
    }
}

// === impl Number ===

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        let scientific = format!("{value:e}");
        let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
        match exponent {
            Some(exponent) if value != 0.0 && (!(-4..EXPONENT).contains(&exponent)) => {
                let digits = scientific.split('e').next().unwrap_or_default();
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(formatter, "{digits}e{sign}{:02}", exponent.abs())
            }
            _ => write!(formatter, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gauge, Number, Samples};

    #[test]
    fn numbers_are_written_as_go_does() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.000_776_856, "0.000776856"),
            (0.000_006_189, "6.189e-06"),
            (436.0, "436"),
            (100_000.0, "100000"),
            (3_668_918_509.0, "3.668918509e+09"),
            (-62_135_596_800.0, "-6.21355968e+10"),
            (1.1, "1.1"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Number(value).to_string(), text);
        }
    }

    #[test]
    fn families_are_sorted_and_labels_escaped() {
        let mut samples = Samples::default();
        samples.set_with(Gauge::new("b", "Second"), &[("x", "a\"\\\n")], 1.0);
        samples.set(Gauge::new("a", "First"), 2.0);
        let text = "# HELP a First\n# TYPE a gauge\na 2\n# HELP b Second\n# TYPE b gauge\nb{x=\"a\\\"\\\\\\n\"} 1\n";
        assert_eq!(samples.to_string(), text);
    }
}
