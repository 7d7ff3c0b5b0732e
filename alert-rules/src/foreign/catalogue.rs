//! What metrics there are: those declared here, or what a metrics page, Prometheus and recording rules tell.

use std::collections::{BTreeMap, BTreeSet};

use futura_metrics::{
    spec::{Descriptor, Kind, Label, Source, Unit},
    specs::catalogue,
};
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::Expr,
};

use super::{Labels, RuleFile, exposition, expression::alias, quantity};
use crate::promql::{
    Instance, Job, Quantity, Service,
    expression::{metric_name, walk},
};

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

/// Labels that Prometheus gives every series that it scrapes.
const OF_EVERY_TARGET: [&str; 2] = [Instance::NAME, Job::NAME];

/// What Prometheus itself adds; their labels are the targets' and rules'.
const SYNTHETIC: [&str; 8] = [
    "ALERTS",
    "ALERTS_FOR_STATE",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "up",
];

/// Functions that are for counters.
pub(super) const RATES: [&str; 3] = ["rate", "irate", "increase"];

/// Characters that make a regular expression more than a text.
const SPECIAL: &str = r"\.+*?()|[]{}^$";

/// The metrics that rules and dashboards may read.
///
/// A default one knows nothing, and lets every name pass.
#[derive(Clone, Debug)]
pub struct Catalogue {
    metrics: BTreeMap<String, Metric>,
    records: BTreeMap<String, Record>,
    target_labels: BTreeSet<String>,
}

/// What is known of a metric.
#[derive(Clone, Debug, Default)]
pub struct Metric {
    /// What it is.
    pub kind: MetricKind,
    /// What its value measures.
    pub unit: Option<Unit>,
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

/// What a rule records under a name.
#[derive(Clone, Debug)]
struct Record {
    labels: Labels,
    kind: MetricKind,
    quantity: Option<Quantity>,
    /// Whether it sums up series whose rates were not taken.
    is_aggregate: bool,
}

/// Which series of a metric a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Bucket,
    Count,
    Sum,
    Created,
}

/// Whether a regular expression is a text and nothing more.
pub(super) fn is_text(regex: &str) -> bool {
    !regex.contains(|character| SPECIAL.contains(character))
}

// === impl Catalogue ===

impl Catalogue {
    /// The metrics that this project declares, for what is written here: with the labels that are declared, and no others.
    pub fn declared() -> Self {
        let target_labels = [Service::NAME, Job::NAME, Instance::NAME].map(str::to_owned);
        let metrics = catalogue().map(|metric| (metric.name.to_owned(), metric.into()));
        Self { metrics: metrics.collect(), target_labels: target_labels.into(), ..Self::default() }
    }

    /// The metrics that this project declares, for what others write: their targets have the usual labels.
    pub fn ours() -> Self {
        let mut ours = Self { target_labels: Self::default().target_labels, ..Self::declared() };
        // Of another's metric only those labels are declared that are read.
        for foreign in catalogue().filter(|metric| metric.source != Source::Own) {
            ours.metrics.entry(foreign.name.to_owned()).and_modify(|metric| metric.labels = None);
        }
        ours
    }

    /// The metrics of a page in the text format of Prometheus or OpenMetrics; none if it has no sample.
    pub fn from_page(page: &str) -> Option<Self> {
        let metrics = exposition::metrics(page);
        (!metrics.is_empty()).then(|| Self { metrics, ..Self::default() })
    }

    /// With these metrics besides.
    #[must_use]
    pub fn with(mut self, metrics: &[Descriptor]) -> Self {
        self.metrics.extend(metrics.iter().map(|metric| (metric.name.to_owned(), metric.into())));
        self
    }

    /// Adds a metric.
    pub fn insert(&mut self, name: String, metric: Metric) {
        self.metrics.insert(name, metric);
    }

    /// Adds a label that targets have.
    pub fn add_target_label(&mut self, name: String) {
        self.target_labels.insert(name);
    }

    /// Adds what the rules of a file record, which others may read.
    pub fn add_records(&mut self, file: &RuleFile) {
        for rule in file.rules.iter().filter(|rule| !rule.is_alert) {
            let record = match &rule.parsed {
                Ok(expr) => Record::of(expr, self).with(rule.labels.keys().cloned()),
                Err(_) => Record::unknown(),
            };
            self.records.entry(rule.name.clone()).and_modify(|known| known.join(&record)).or_insert(record);
        }
    }

    /// Whether there are series of this name.
    pub fn is_known(&self, name: &str) -> bool {
        self.metrics.is_empty()
            || self.records.contains_key(name)
            || self.find(name).is_some()
            || SYNTHETIC.contains(&name)
    }

    /// The name of the metric that is most like this one, if one is.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let distance = |known: &str| {
            let common = known.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
            known.len().max(name.len()) - common
        };
        let nearest = self.metrics.keys().min_by_key(|known| distance(known))?;
        (distance(nearest) * 2 < name.len()).then_some(nearest)
    }

    /// What the series of this name are: those of a histogram count.
    pub fn kind(&self, name: &str) -> MetricKind {
        if let Some(record) = self.records.get(name) {
            return record.kind;
        }
        match self.find(name) {
            Some((metric, Part::Whole)) => metric.kind,
            Some((_, Part::Bucket | Part::Count | Part::Sum)) => MetricKind::Counter,
            Some((_, Part::Created)) => MetricKind::Gauge,
            None => MetricKind::Unknown,
        }
    }

    /// The labels that the series of this name have.
    pub fn labels(&self, name: &str) -> Labels {
        if let Some(record) = self.records.get(name) {
            return record.labels.clone();
        }
        let found = self.find(name).and_then(|(metric, part)| Some((metric.labels.as_ref()?, part)));
        let Some((own, part)) = found else { return Labels::all() };
        let bound = (part == Part::Bucket).then_some("le");
        let sure = own.keys().map(String::as_str).chain(bound).chain(OF_EVERY_TARGET);
        Labels::of_series(sure.map(str::to_owned), self.target_labels.iter().cloned())
    }

    /// What the value of the series of this name measures, as it is declared or as the name says.
    pub fn quantity(&self, name: &str) -> Option<Quantity> {
        match (self.records.get(name), self.find(name)) {
            (Some(record), _) => record.quantity,
            (None, Some((_, Part::Bucket | Part::Count))) => Some(Quantity::Count),
            (None, Some((_, Part::Created))) => Some(Quantity::Seconds),
            (None, Some((_, Part::Whole | Part::Sum))) => self.observed(name),
            (None, None) if name.ends_with("_bucket") => Some(Quantity::Count),
            (None, None) if name.ends_with("_count") => self.observed(name).map(|_| Quantity::Count),
            (None, None) => self.observed(name),
        }
    }

    /// What the metric measures that the series of this name belong to: of buckets, what is put into them.
    pub(super) fn observed(&self, name: &str) -> Option<Quantity> {
        let declared = self.find(name).and_then(|(metric, _)| metric.unit);
        declared.map(Quantity::from).or_else(|| quantity::of_name(name))
    }

    /// The bounds of the histogram that the series of this name belong to.
    pub(super) fn bounds(&self, name: &str) -> &[f64] {
        self.find(name).map_or(&[], |(metric, _)| &metric.bounds)
    }

    /// Whether a rule records under this name a sum of series whose rates were not taken.
    pub(super) fn is_aggregate(&self, name: &str) -> bool {
        self.records.get(name).is_some_and(|record| record.is_aggregate)
    }

    /// Every value that a label of the series of this name can have; empty where any may come.
    pub fn values(&self, name: &str, label: &str) -> &[String] {
        let metric = self.find(name).map(|(metric, _)| metric);
        metric.and_then(|metric| metric.labels.as_ref()?.get(label)).map_or(&[], Vec::as_slice)
    }

    /// What a matcher asks for though the label never has it: the value, or one of several.
    pub fn never<'m>(&self, name: &str, matcher: &'m Matcher) -> Option<&'m str> {
        let values = self.values(name, &matcher.name);
        if values.is_empty() || matcher.value.is_empty() {
            return None;
        }
        let is_known = |text: &&str| values.iter().any(|value| value == text);
        match &matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Some(&*matcher.value).filter(|text| !is_known(text)),
            MatchOp::Re(regex) | MatchOp::NotRe(regex) => {
                if !values.iter().any(|value| regex.is_match(value)) {
                    return Some(&matcher.value);
                }
                matcher.value.split('|').find(|text| !text.is_empty() && is_text(text) && !is_known(text))
            }
        }
    }

    /// The metric that the series of this name belong to, and which of its series they are.
    fn find(&self, name: &str) -> Option<(&Metric, Part)> {
        if let Some(metric) = self.metrics.get(name) {
            return Some((metric, Part::Whole));
        }
        let parts =
            [("_bucket", Part::Bucket), ("_count", Part::Count), ("_sum", Part::Sum), ("_created", Part::Created)];
        parts.into_iter().find_map(|(suffix, part)| {
            let metric = self.metrics.get(name.strip_suffix(suffix)?)?;
            let has_part = match metric.kind {
                MetricKind::Histogram | MetricKind::Unknown => true,
                MetricKind::Summary => part != Part::Bucket,
                MetricKind::Counter | MetricKind::Gauge => false,
            };
            has_part.then_some((metric, part))
        })
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        let target_labels = TARGET_LABELS.map(str::to_owned).into();
        Self { metrics: BTreeMap::new(), records: BTreeMap::new(), target_labels }
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
        let (unit, bounds) = (Some(descriptor.unit), descriptor.bounds.to_vec());
        Self { kind, unit, labels: Some(labels.collect()), bounds }
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

// === impl Record ===

impl Record {
    fn of(expr: &Expr, catalogue: &Catalogue) -> Self {
        let (mut has_rate, mut aggregates) = (false, false);
        walk(expr, &mut |expr| match expr {
            Expr::Call(call) => has_rate |= RATES.contains(&call.func.name),
            Expr::Aggregate(_) => aggregates = true,
            _ => {}
        });
        Self {
            labels: Labels::of(expr, catalogue),
            kind: match alias(expr).and_then(metric_name) {
                Some(name) => catalogue.kind(name),
                None if has_rate => MetricKind::Gauge,
                None => MetricKind::Unknown,
            },
            quantity: quantity::of(expr, catalogue),
            is_aggregate: aggregates && !has_rate,
        }
    }

    fn unknown() -> Self {
        Self { labels: Labels::all(), kind: MetricKind::Unknown, quantity: None, is_aggregate: false }
    }

    fn with(self, labels: impl IntoIterator<Item = String>) -> Self {
        Self { labels: self.labels.with(labels), ..self }
    }

    /// Takes in what another rule records under the same name.
    fn join(&mut self, other: &Self) {
        self.labels = self.labels.clone().union(other.labels.clone());
        self.kind = if self.kind == other.kind { self.kind } else { MetricKind::Unknown };
        self.quantity = self.quantity.filter(|quantity| Some(*quantity) == other.quantity);
        self.is_aggregate &= other.is_aggregate;
    }
}
