//! Metrics of the `prometheus_client` crate, which writes OpenMetrics: as they come, or turned into text 0.0.4.

use std::{borrow::Cow, fmt};

use prometheus_client::{
    encoding::text::encode_registry,
    metrics::MetricType,
    registry::{Metric, Registry},
};

use super::{Format, Selection, text};
use crate::registry::histogram_names;

/// The type that one registered metric has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Counter,
    Gauge,
    Histogram,
    Info,
    Unknown,
}

/// One metric of the other crate, in a registry of its own: where it cannot be written, every other still is.
#[derive(Debug)]
pub(crate) struct ClientMetric {
    pub(super) name: String,
    /// As it is written: that crate ends every help text with a period.
    pub(super) help: String,
    pub(super) kind: ClientKind,
    registry: Registry,
}

// === impl ClientKind ===

impl ClientKind {
    fn of(metric: &impl Metric) -> Self {
        match metric.metric_type() {
            MetricType::Counter => Self::Counter,
            MetricType::Gauge => Self::Gauge,
            MetricType::Histogram => Self::Histogram,
            MetricType::Info => Self::Info,
            _ => Self::Unknown,
        }
    }

    /// The family name and type in text 0.0.4, which knows no info metrics and names a family like its samples.
    fn in_text(self, name: &str) -> (Cow<'_, str>, &'static str) {
        match self {
            Self::Counter => (format!("{name}_total").into(), "counter"),
            Self::Gauge => (name.into(), "gauge"),
            Self::Histogram => (name.into(), "histogram"),
            Self::Info => (format!("{name}_info").into(), "gauge"),
            Self::Unknown => (name.into(), "untyped"),
        }
    }
}

// === impl ClientMetric ===

impl ClientMetric {
    /// Fails where the metric cannot be written as text, which is known of a histogram that has native buckets alone.
    pub(crate) fn new(name: &str, help: &str, metric: impl Metric) -> Result<Self, fmt::Error> {
        let (kind, mut registry) = (ClientKind::of(&metric), Registry::default());
        let help = help.strip_suffix('.').unwrap_or(help);
        // That crate writes HELP as it comes: a line break would end the line.
        let escaped = text::escape_help(help, Format::OpenMetrics);
        #[expect(clippy::disallowed_methods, reason = "this is the one place that registers")]
        registry.register(name, escaped, metric);
        let metric = Self { name: name.to_owned(), help: format!("{help}."), kind, registry };
        encode_registry(&mut String::new(), &metric.registry)?;
        Ok(metric)
    }

    pub(crate) fn is_in(&self, selection: &Selection) -> bool {
        selection.takes(self.sample_names().iter().map(String::as_str))
    }

    pub(crate) fn sample_names(&self) -> Vec<String> {
        let name = &self.name;
        match self.kind {
            ClientKind::Counter => ["", "_total", "_created"].iter().map(|suffix| format!("{name}{suffix}")).collect(),
            ClientKind::Histogram => histogram_names(name),
            ClientKind::Info => vec![name.clone(), format!("{name}_info")],
            ClientKind::Gauge | ClientKind::Unknown => vec![name.clone()],
        }
    }

    pub(crate) fn encode_text(&self, format: Format, out: &mut String) {
        let open_metrics = self.open_metrics();
        if format == Format::OpenMetrics {
            return out.push_str(&open_metrics);
        }
        let mut samples = open_metrics.lines().filter(|line| !line.starts_with('#')).peekable();
        if samples.peek().is_some() {
            let (name, kind) = self.kind.in_text(&self.name);
            text::push_head(&name, &self.help, kind, format, out);
        }
        samples.for_each(|line| out.extend([without_exemplar(line), "\n"]));
    }

    /// The metric as that crate writes it; one that cannot be written is left out.
    pub(super) fn open_metrics(&self) -> String {
        let mut text = String::new();
        match encode_registry(&mut text, &self.registry) {
            Ok(()) => text,
            Err(fmt::Error) => {
                tracing::warn!(metric = self.name, "a metric cannot be written and is left out");
                String::new()
            }
        }
    }
}

/// Cuts ` # {…} value`, which only OpenMetrics has, from a sample; the same characters within a label value stay.
fn without_exemplar(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (position, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..position].trim_end(),
            _ => {}
        }
    }
    line
}
