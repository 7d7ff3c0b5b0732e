//! Metrics of the `prometheus_client` crate, which writes OpenMetrics: as they come, or turned into text 0.0.4.

use super::Format;
use crate::registry::histogram_names;
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::MetricType,
    registry::{Metric, Registry},
};

/// The type that one registered metric has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Counter,
    Gauge,
    Histogram,
    Info,
    Unknown,
}

/// One metric of the other crate: what its registry does not tell.
#[derive(Debug)]
pub(crate) struct ClientMetric {
    pub(crate) name: String,
    pub(crate) kind: ClientKind,
}

// === impl ClientKind ===

impl ClientKind {
    pub(crate) fn of(metric: &impl Metric) -> Self {
        match metric.metric_type() {
            MetricType::Counter => Self::Counter,
            MetricType::Gauge => Self::Gauge,
            MetricType::Histogram => Self::Histogram,
            MetricType::Info => Self::Info,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn sample_names(self, name: &str) -> Vec<String> {
        match self {
            Self::Counter => ["", "_total", "_created"].iter().map(|suffix| format!("{name}{suffix}")).collect(),
            Self::Histogram => histogram_names(name),
            Self::Info => vec![name.to_owned(), format!("{name}_info")],
            Self::Gauge | Self::Unknown => vec![name.to_owned()],
        }
    }

    /// The family name and type in text 0.0.4, which knows no info metrics and names a family like its samples.
    fn in_text(self, name: &str) -> (String, &'static str) {
        match self {
            Self::Counter => (format!("{name}_total"), "counter"),
            Self::Gauge => (name.to_owned(), "gauge"),
            Self::Histogram => (name.to_owned(), "histogram"),
            Self::Info => (format!("{name}_info"), "gauge"),
            Self::Unknown => (name.to_owned(), "untyped"),
        }
    }
}

/// Appends what `registry` holds.
pub(crate) fn encode_client(registry: &Registry, families: &[ClientMetric], format: Format, out: &mut String) {
    match format {
        Format::OpenMetrics => encode_registry(out, registry).expect("writing to a String does not fail"),
        Format::Text => {
            let mut open = String::new();
            encode_registry(&mut open, registry).expect("writing to a String does not fail");
            open.lines().for_each(|line| write_text_line(line, families, out));
        }
    }
}

fn write_text_line(line: &str, families: &[ClientMetric], out: &mut String) {
    if let Some(rest) = line.strip_prefix("# ") {
        let mut words = rest.splitn(3, ' ');
        let (keyword, name, text) =
            (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
        let Some(family) = families.iter().find(|family| family.name == name) else {
            return;
        };
        let (name, kind) = family.kind.in_text(name);
        match keyword {
            "HELP" => out.extend(["# HELP ", &name, " ", text, "\n"]),
            "TYPE" => out.extend(["# TYPE ", &name, " ", kind, "\n"]),
            // Text 0.0.4 has no UNIT line.
            _ => {}
        }
    } else {
        out.push_str(without_exemplar(line));
        out.push('\n');
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
