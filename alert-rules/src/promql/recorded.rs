//! Series that recording rules write, declared like metrics so that whatever reads them cannot misname them.

use std::{fmt, marker::PhantomData};

use futura_metrics::spec::{LabelSet, is_metric_name};

use super::{Contains, Labeled, Matcher, Quantity, Vector, Window};

/// Declares the series that a recording rule writes; they have the labels `L` and no others.
///
/// The name is `level:metric:operations`, as Prometheus's practices have it, and the level is those labels:
///
/// ```
/// use futura_alert_rules::promql::{Quantity, RecordedSpec, Service, recorded};
/// const REQUESTS: RecordedSpec<(Service,)> = RecordedSpec::new("service:http_requests:rate5m", Quantity::PerSecond);
/// assert_eq!(recorded(REQUESTS).value().above(10.0).to_string(), "service:http_requests:rate5m > 10");
/// ```
///
/// A level that is not the labels does not compile:
///
/// ```compile_fail,E0080
/// use futura_alert_rules::promql::{Quantity, RecordedSpec, Service};
/// const REQUESTS: RecordedSpec<(Service,)> = RecordedSpec::new("job:http_requests:rate5m", Quantity::PerSecond);
/// ```
#[derive(Debug)]
pub struct RecordedSpec<L> {
    name: &'static str,
    quantity: Quantity,
    labels: PhantomData<fn() -> L>,
}

/// The recorded series that its matchers let through.
#[derive(Debug)]
pub struct Recorded<L> {
    name: &'static str,
    matchers: Vec<String>,
    quantity: Quantity,
    labels: PhantomData<fn() -> L>,
}

/// Selects recorded series.
pub fn recorded<L: LabelSet>(spec: RecordedSpec<L>) -> Recorded<L> {
    Recorded { name: spec.name, matchers: Vec::new(), quantity: spec.quantity, labels: PhantomData }
}

// === impl RecordedSpec ===

impl<L: LabelSet> RecordedSpec<L> {
    /// Series of this name, whose value measures `quantity`.
    pub const fn new(name: &'static str, quantity: Quantity) -> Self {
        assert!(is_metric_name(name), "a recorded series is named [a-z_:][a-z0-9_:]*");
        assert!(
            is_level_metric_operations(name, L::NAMES),
            "the name is level:metric:operations, the level its labels"
        );
        Self { name, quantity, labels: PhantomData }
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The names of the labels that the series have.
    pub const fn label_names(self) -> &'static [&'static str] {
        L::NAMES
    }
}

impl<L> Clone for RecordedSpec<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for RecordedSpec<L> {}

// === impl Recorded ===

impl<L> Recorded<L> {
    /// Lets through only the series that `matcher` holds for.
    #[expect(clippy::needless_pass_by_value, reason = "a matcher is written in place and used once")]
    pub fn only<T, Index>(mut self, matcher: Matcher<T>) -> Self
    where
        L: Contains<T, Index>,
    {
        self.matchers.push(matcher.to_string());
        self
    }

    /// The value now.
    pub fn value(&self) -> Vector<L> {
        Vector::call(self.to_string(), self.quantity)
    }

    /// The average of what was recorded within `window`.
    pub fn avg_over_time(&self, window: Window) -> Vector<L> {
        Vector::call(format!("avg_over_time({self}[{window}])"), self.quantity)
    }
}

impl<L> fmt::Display for Recorded<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.matchers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", self.matchers.join(",")) }
    }
}

impl<L: Contains<T, Index>, T, Index> Labeled<T, Index> for Recorded<L> {}

/// Whether `name` is these labels joined by `_`, then two more parts, all parted by colons.
const fn is_level_metric_operations(name: &str, labels: &[&str]) -> bool {
    let name = name.as_bytes();
    let (mut at, mut label) = (0, 0);
    while label < labels.len() {
        if label > 0 {
            if at == name.len() || name[at] != b'_' {
                return false;
            }
            at += 1;
        }
        let (expected, mut byte) = (labels[label].as_bytes(), 0);
        while byte < expected.len() {
            if at == name.len() || name[at] != expected[byte] {
                return false;
            }
            (at, byte) = (at + 1, byte + 1);
        }
        label += 1;
    }
    let (mut colons, mut length) = (0, 1);
    while at < name.len() {
        let is_colon = name[at] == b':';
        if is_colon && length == 0 {
            return false;
        }
        (colons, length) = if is_colon { (colons + 1, 0) } else { (colons, length + 1) };
        // What follows the labels without a colon is part of no label.
        if colons == 0 {
            return false;
        }
        at += 1;
    }
    colons == 2 && length > 0 && !labels.is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_level_metric_operations;

    #[test]
    fn a_name_is_its_labels_a_metric_and_operations() {
        let labels = &["service", "slo"][..];
        assert!(is_level_metric_operations("service_slo:slo_errors:rate5m", labels));
        let others =
            ["service:a:b", "service_slos:a:b", "service_slo:a", "service_slo::b", "service_slo:a:", "slo:a:b"];
        for other in others {
            assert!(!is_level_metric_operations(other, labels), "{other}");
        }
        assert!(!is_level_metric_operations("service_slo:a:b:c", labels));
        assert!(!is_level_metric_operations(":a:b", &[]));
    }
}
