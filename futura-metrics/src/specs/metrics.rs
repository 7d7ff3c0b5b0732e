//! The metrics library's own metrics.

use crate::{
    label,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit},
};

label! {
    /// The metric that a self-metric speaks of.
    pub enum MetricName: "metric";
}

label! {
    /// The label that a self-metric speaks of.
    pub enum LabelName: "label";
}

/// Bounds of a scrape's duration in seconds, up to the limit that a scrape has.
pub const SCRAPE_BOUNDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

crate::declare! {
    /// Times that a value became `_other`, because its label had as many values as it may.
    pub METRICS_FOLDED_TOTAL: CounterSpec<(MetricName, LabelName)> = CounterSpec::new("futura_metrics_folded_total", Unit::Count);

    /// Time to gather, write and compress what one scrape asked for.
    pub METRICS_SCRAPE_DURATION_SECONDS: HistogramSpec =
        HistogramSpec::new("futura_metrics_scrape_duration_seconds", Unit::Seconds, SCRAPE_BOUNDS);

    /// Size of the last scrape before compression.
    pub METRICS_SCRAPE_SIZE_BYTES: GaugeSpec = GaugeSpec::new("futura_metrics_scrape_size_bytes", Unit::Bytes);

    /// Scrapes refused because too many were in flight, or given up because they took too long.
    pub METRICS_SCRAPES_REFUSED_TOTAL: CounterSpec = CounterSpec::new("futura_metrics_scrapes_refused_total", Unit::Count);

    /// Series in the registry, a histogram counting as one.
    pub METRICS_SERIES: GaugeSpec = GaugeSpec::new("futura_metrics_series", Unit::Count);
}
