//! What there is to ask: metrics with their kinds, units and labels, and the alerts that link to panels.

use std::collections::BTreeMap;

use futura_alert_rules::{
    Alert,
    foreign::{self, MetricKind},
    promql::{Instance, Job, Service},
};
use futura_metrics::{
    spec::{Descriptor, Kind, Label, Unit},
    specs,
};

/// The series that Prometheus makes itself; their labels are the targets' and rules'.
const OF_PROMETHEUS: [&str; 8] = [
    "ALERTS",
    "ALERTS_FOR_STATE",
    "up",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "scrape_timeout_seconds",
];

/// What there is to ask.
///
/// A default one knows nothing, and lets every name pass.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The metrics by name; a histogram or summary by its name without `_bucket`, `_sum` and `_count`.
    pub metrics: BTreeMap<String, Metric>,
    /// The labels that a scrape adds to every series.
    pub target_labels: Vec<String>,
    /// The alerts that link to panels.
    pub alerts: Vec<AlertPanel>,
}

/// A metric as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    /// Counter, gauge or histogram.
    pub kind: Option<Kind>,
    /// What its value measures.
    pub unit: Option<Unit>,
    /// Its own labels.
    pub labels: Option<Vec<LabelValues>>,
}

/// A label, and all of its values where they are known.
#[derive(Clone, Debug)]
pub struct LabelValues {
    /// Its name.
    pub name: String,
    /// Every value that it can have; empty where it may have any.
    pub values: Vec<String>,
}

/// An alert that links to a panel.
#[derive(Clone, Debug)]
pub struct AlertPanel {
    /// The alert's name.
    pub alert: String,
    /// The uid of the panel's dashboard.
    pub dashboard: String,
    /// The panel's id.
    pub panel: u64,
    /// What the alert's value is compared with, where there is a good and a bad side of it.
    pub threshold: Option<f64>,
}

/// What a name in a query stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Series<'a> {
    /// A metric, or one part of a histogram.
    Of(&'a Metric, Part),
    /// It is there, but nothing more is known of it.
    Unknown,
    /// Nothing is called so.
    Missing,
}

/// Which series of a metric a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Bucket,
    Sum,
    Count,
}

// === impl Catalogue ===

impl Catalogue {
    /// What this workspace declares, and the alerts that are given.
    pub fn declared<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Self {
        let metrics = specs::catalogue().map(|metric| (metric.name.to_owned(), metric.into()));
        let target_labels = [Service::NAME, Job::NAME, Instance::NAME].map(str::to_owned).to_vec();
        let alerts = alerts.into_iter().filter_map(AlertPanel::new).collect();
        Self { metrics: metrics.collect(), target_labels, alerts }
    }

    /// What rules that others wrote are judged by; no alert of theirs names a panel.
    pub fn foreign(catalogue: &foreign::Catalogue) -> Self {
        let metrics = catalogue.metrics().map(|(name, metric)| (name.to_owned(), metric.into()));
        let target_labels = catalogue.target_labels().map(str::to_owned);
        Self { metrics: metrics.collect(), target_labels: target_labels.collect(), alerts: Vec::new() }
    }

    /// With these metrics besides.
    #[must_use]
    pub fn with(mut self, metrics: &[Descriptor]) -> Self {
        self.metrics.extend(metrics.iter().map(|metric| (metric.name.to_owned(), metric.into())));
        self
    }

    pub(super) fn series(&self, name: &str) -> Series<'_> {
        if let Some(metric) = self.metrics.get(name) {
            return Series::Of(metric, Part::Whole);
        }
        for (suffix, part) in [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)] {
            let metric = name.strip_suffix(suffix).and_then(|name| self.metrics.get(name));
            if let Some(metric) = metric.filter(|metric| metric.kind.is_none_or(|kind| kind == Kind::Histogram)) {
                return Series::Of(metric, part);
            }
        }
        // What a rule records has a colon in its name, and is declared by the rule.
        if self.metrics.is_empty() || OF_PROMETHEUS.contains(&name) || name.contains(':') {
            Series::Unknown
        } else {
            Series::Missing
        }
    }

    /// The declared name that is most like this one, if one is.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        let distance = |known: &str| {
            let common = known.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
            known.len().max(name.len()) - common
        };
        let nearest = self.metrics.keys().min_by_key(|known| distance(known))?;
        (distance(nearest) * 2 < name.len()).then_some(nearest)
    }
}

// === impl Metric ===

impl From<&Descriptor> for Metric {
    fn from(descriptor: &Descriptor) -> Self {
        let labels = descriptor.label_names.iter().zip(descriptor.label_values).map(|(name, values)| LabelValues {
            name: (*name).to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        });
        Self { kind: Some(descriptor.kind), unit: Some(descriptor.unit), labels: Some(labels.collect()) }
    }
}

impl From<&foreign::Metric> for Metric {
    fn from(metric: &foreign::Metric) -> Self {
        let kind = match metric.kind {
            MetricKind::Counter => Some(Kind::Counter),
            MetricKind::Gauge => Some(Kind::Gauge),
            MetricKind::Histogram => Some(Kind::Histogram),
            MetricKind::Summary | MetricKind::Unknown => None,
        };
        let labels = metric.labels.as_ref().map(|labels| {
            labels.iter().map(|(name, values)| LabelValues { name: name.clone(), values: values.clone() }).collect()
        });
        Self { kind, unit: None, labels }
    }
}

// === impl AlertPanel ===

impl AlertPanel {
    fn new(alert: &Alert) -> Option<Self> {
        let (panel, threshold) = (alert.panel?, alert.threshold);
        // A state is told by its color, and one value has no side.
        let has_side = threshold.is_limit();
        Some(Self {
            alert: alert.name.to_owned(),
            dashboard: panel.dashboard.to_owned(),
            panel: panel.id.into(),
            threshold: has_side.then_some(threshold.value),
        })
    }
}
