//! Writes our own families as text; both formats share everything but a counter's family name and the end mark.

use super::Format;
use crate::{
    spec::{Descriptor, Kind},
    storage::{Metric, Reading, Series, Snapshot},
};

/// A family that can write itself.
pub(crate) trait Encode: Send + Sync {
    fn encode(&self, format: Format, out: &mut String);
}

// === impl Encode ===

impl<M: Metric> Encode for crate::storage::FamilyInner<M> {
    fn encode(&self, format: Format, out: &mut String) {
        write_head(&self.descriptor, format, out);
        let bounds = bound_labels(&self.descriptor);
        self.for_each(|series| write_series(&self.descriptor, &bounds, series, out));
    }
}

/// Ends an exposition.
pub(crate) fn finish(format: Format, out: &mut String) {
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

/// Escapes a HELP text as both formats ask: backslash and line feed, and the quote that OpenMetrics adds.
pub(crate) fn escape_help(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n")
}

fn write_head(descriptor: &Descriptor, format: Format, out: &mut String) {
    let kind = match (descriptor.kind, descriptor.untyped, format) {
        (_, true, Format::Text) => "untyped",
        (_, true, Format::OpenMetrics) => "unknown",
        (Kind::Counter, ..) => "counter",
        (Kind::Gauge, ..) => "gauge",
        (Kind::Histogram, ..) => "histogram",
    };
    // OpenMetrics names a counter's family without the suffix of its sample.
    let name = match (descriptor.kind, format) {
        (Kind::Counter, Format::OpenMetrics) => descriptor.name.strip_suffix("_total").unwrap_or(descriptor.name),
        _ => descriptor.name,
    };
    for part in ["# HELP ", name, " ", &escape_help(descriptor.help), "\n# TYPE ", name, " ", kind, "\n"] {
        out.push_str(part);
    }
}

fn write_series<M: Metric>(descriptor: &Descriptor, bounds: &[String], series: &Series<M>, out: &mut String) {
    match series.metric.read() {
        Reading::Steps(steps) => {
            write_name(descriptor.name, "", &series.labels, out);
            write_steps(steps, descriptor.unit.steps(), out);
        }
        Reading::Value(value) => {
            write_name(descriptor.name, "", &series.labels, out);
            write_float(value, out);
        }
        Reading::Histogram(snapshot) => write_histogram(descriptor, bounds, &series.labels, &snapshot, out),
    }
}

fn write_histogram(descriptor: &Descriptor, bounds: &[String], labels: &str, snapshot: &Snapshot, out: &mut String) {
    let mut count = 0;
    for (bound, bucket) in bounds.iter().zip(&snapshot.buckets) {
        count += bucket;
        for part in
            [descriptor.name, "_bucket{", labels, if labels.is_empty() { "" } else { "," }, "le=\"", bound, "\"}"]
        {
            out.push_str(part);
        }
        write_steps(count, 1, out);
    }
    write_name(descriptor.name, "_sum", labels, out);
    write_steps(snapshot.sum, descriptor.unit.steps(), out);
    write_name(descriptor.name, "_count", labels, out);
    write_steps(count, 1, out);
}

fn write_name(name: &str, suffix: &str, labels: &str, out: &mut String) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() {
        for part in ["{", labels, "}"] {
            out.push_str(part);
        }
    }
}

/// Writes integer steps as a decimal of units, exactly: no float comes between the atomic and the wire.
fn write_steps(steps: u64, steps_per_unit: u64, out: &mut String) {
    out.push(' ');
    out.push_str(itoa::Buffer::new().format(steps / steps_per_unit));
    let mut fraction = steps % steps_per_unit;
    if fraction > 0 {
        out.push('.');
        let mut weight = steps_per_unit / 10;
        while fraction > 0 {
            out.push(char::from(b'0' + (fraction / weight) as u8));
            fraction %= weight;
            weight /= 10;
        }
    }
    out.push('\n');
}

fn write_float(value: f64, out: &mut String) {
    out.push(' ');
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        out.push_str(itoa::Buffer::new().format(value as i64));
    } else {
        out.push_str(zmij::Buffer::new().format_finite(value));
    }
    out.push('\n');
}

/// The values of `le`. OpenMetrics and Prometheus 3 write a whole bound as `1.0`; text 0.0.4 takes it as well, so a query
/// that names a bound works whatever the format.
fn bound_labels(descriptor: &Descriptor) -> Vec<String> {
    match descriptor.kind {
        Kind::Histogram => {
            descriptor.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]).collect()
        }
        Kind::Counter | Kind::Gauge => Vec::new(),
    }
}
