//! The metrics library's own metrics.

use crate::{
    label,
    spec::{CounterSpec, Unit},
};

label! {
    /// The metric that a self-metric speaks of.
    pub enum MetricName: "metric";
}

label! {
    /// The label that a self-metric speaks of.
    pub enum LabelName: "label";
}

crate::declare! {
    /// Times that a value became `_other`, because its label had as many values as it may.
    pub METRICS_FOLDED_TOTAL: CounterSpec<(MetricName, LabelName)> = CounterSpec::new("futura_metrics_folded_total", Unit::Count);
}
