//! What metrics there are: ours, or what a metrics page or Prometheus tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futura_metrics::{
    spec::{Descriptor, Kind, Source},
    specs::catalogue,
};

use super::{RuleFile, exposition, flow::Labels};
use crate::promql::parse;

/// Labels that targets usually have, whatever the metric.
const TARGET_LABELS: [&str; 16] = [
    "app",
    "cluster",
    "component",
    "container",
    "endpoint",
    "env",
    "environment",
    "instance",
    "job",
    "namespace",
    "node",
    "pod",
    "region",
    "service",
    "version",
    "zone",
];

/// What Prometheus itself adds.
const SYNTHETIC: [&str; 7] = [
    "ALERTS",
    "ALERTS_FOR_STATE",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "up",
];

/// The metrics that rules may read.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    metrics: HashMap<String, Metric>,
    target_labels: BTreeSet<String>,
}

/// What is known of a metric.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    /// What it is.
    pub kind: MetricKind,
    /// Its own labels, each with its closed set of values, empty where any may come; none where they are not known.
    pub labels: Option<BTreeMap<String, Vec<String>>>,
    /// The bounds of a histogram, where they are known.
    pub bounds: Vec<f64>,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// Quantiles that the program computed.
    Summary,
    /// Not told.
    #[default]
    Unknown,
}

/// A series' metric: the metric itself, or the part of a histogram or summary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) metric: &'a Metric,
    /// What the series themselves are.
    pub(super) kind: MetricKind,
    /// The label that the part adds, `le`.
    extra: Option<&'static str>,
}

// === impl Catalogue ===

impl Catalogue {
    /// The metrics that this project declares.
    pub fn ours() -> Self {
        let mut ours = Self::default();
        for descriptor in catalogue() {
            ours.insert(descriptor.name.to_owned(), Metric::from(descriptor));
        }
        ours
    }

    /// The metrics of a page in the text format of Prometheus or OpenMetrics; none if it has no sample.
    pub fn from_page(page: &str) -> Option<Self> {
        let metrics = exposition::metrics(page);
        (!metrics.is_empty()).then(|| Self { metrics, target_labels: BTreeSet::new() })
    }

    /// Adds a metric.
    pub fn insert(&mut self, name: String, metric: Metric) {
        self.metrics.insert(name, metric);
    }

    /// The metrics by name.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, &Metric)> {
        self.metrics.iter().map(|(name, metric)| (name.as_str(), metric))
    }

    /// The labels that targets have, whatever the metric.
    pub fn target_labels(&self) -> impl Iterator<Item = &str> {
        TARGET_LABELS.into_iter().chain(self.target_labels.iter().map(String::as_str))
    }

    /// Adds a label that targets have.
    pub fn add_target_label(&mut self, name: String) {
        self.target_labels.insert(name);
    }

    /// Adds what the rules of a file record, which others may read.
    pub fn add_records(&mut self, file: &RuleFile) {
        for rule in file.rules.iter().filter(|rule| !rule.is_alert) {
            let labels = parse(&rule.expression).ok().map(|expression| Labels::of(&expression, self));
            let labels = labels.and_then(Labels::exactly).map(|mut labels| {
                labels.extend(rule.labels.keys().cloned());
                labels.into_iter().map(|label| (label, Vec::new())).collect()
            });
            self.insert(rule.name.clone(), Metric { labels, ..Metric::default() });
        }
    }

    /// The metric of the series with this name.
    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(metric) = self.metrics.get(name) {
            return Some(Found { metric, kind: metric.kind, extra: None });
        }
        let parts = [("_bucket", Some("le")), ("_count", None), ("_sum", None), ("_created", None)];
        parts.into_iter().find_map(|(suffix, extra)| {
            let metric = self.metrics.get(name.strip_suffix(suffix)?)?;
            let kind = if suffix == "_created" { MetricKind::Gauge } else { MetricKind::Counter };
            let has_parts = match metric.kind {
                MetricKind::Histogram => true,
                MetricKind::Summary => suffix != "_bucket",
                _ => false,
            };
            has_parts.then_some(Found { metric, kind, extra })
        })
    }

    /// Whether the name is one of Prometheus's own series.
    pub(super) fn is_synthetic(name: &str) -> bool {
        SYNTHETIC.contains(&name)
    }

    /// The labels that the series of this name may have.
    pub(super) fn labels_of(&self, name: &str) -> Labels {
        let Some(found) = self.find(name) else { return Labels::all() };
        match &found.metric.labels {
            None => Labels::all(),
            Some(own) => {
                let targets = TARGET_LABELS.into_iter().chain(found.extra).map(str::to_owned);
                Labels::Only(own.keys().cloned().chain(targets).chain(self.target_labels.iter().cloned()).collect())
            }
        }
    }
}

// === impl Metric ===

impl From<&Descriptor> for Metric {
    fn from(descriptor: &Descriptor) -> Self {
        let kind = match descriptor.kind {
            Kind::Counter => MetricKind::Counter,
            Kind::Gauge => MetricKind::Gauge,
            Kind::Histogram => MetricKind::Histogram,
        };
        let labels = descriptor.label_names.iter().zip(descriptor.label_values);
        let labels =
            labels.map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
        // Of another's metric only those labels are declared that are read.
        let labels = (descriptor.source == Source::Own).then(|| labels.collect());
        Self { kind, labels, bounds: descriptor.bounds.to_vec() }
    }
}

// === impl MetricKind ===

impl MetricKind {
    /// The kind by its name in a metrics page or in Prometheus's metadata.
    pub fn named(name: &str) -> Self {
        match name {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            _ => Self::Unknown,
        }
    }
}
