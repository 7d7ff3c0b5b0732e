//! Metrics of the `prometheus_client` crate, which writes OpenMetrics: as they come, or turned into text 0.0.4.

use prometheus_client::{
    encoding::text::encode_registry,
    metrics::MetricType,
    registry::{Metric, Registry},
};

use super::{Format, Selection};
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

/// One metric of the other crate: what its registry does not tell.
#[derive(Debug)]
pub(crate) struct ClientMetric {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: ClientKind,
}

// === impl ClientMetric ===

impl ClientMetric {
    pub(crate) fn is_in(&self, selection: &Selection) -> bool {
        selection.takes(self.kind.sample_names(&self.name).iter().map(String::as_str))
    }
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

/// Appends what `registry` holds of `selection`.
pub(crate) fn encode_client(
    registry: &Registry,
    families: &[ClientMetric],
    format: Format,
    selection: &Selection,
    out: &mut String,
) {
    let mut open = String::new();
    encode_registry(&mut open, registry).expect("writing to a String does not fail");
    let mut taken = true;
    for line in open.lines() {
        // Lines of one family follow its HELP, in which the family is named.
        let family = line.strip_prefix("# ").and_then(|rest| {
            let name = rest.split(' ').nth(1)?;
            families.iter().find(|family| family.name == name)
        });
        if let Some(family) = family {
            taken = family.is_in(selection);
        }
        match (taken, format) {
            (false, _) => {}
            (true, Format::OpenMetrics) => out.extend([line, "\n"]),
            (true, Format::Text) => write_text_line(line, family, out),
        }
    }
}

/// Writes a line of OpenMetrics as one of text 0.0.4; `family` is that of a comment line.
fn write_text_line(line: &str, family: Option<&ClientMetric>, out: &mut String) {
    let Some(family) = family else {
        return out.extend([without_exemplar(line), "\n"]);
    };
    let (name, kind) = family.kind.in_text(&family.name);
    let mut words = line.splitn(4, ' ').skip(1);
    match (words.next(), words.nth(1)) {
        (Some("HELP"), Some(help)) => out.extend(["# HELP ", &name, " ", help, "\n"]),
        (Some("TYPE"), _) => out.extend(["# TYPE ", &name, " ", kind, "\n"]),
        // Text 0.0.4 has no UNIT line.
        _ => {}
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
