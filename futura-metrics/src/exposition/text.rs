//! Writes our own families as text; both formats share everything but a counter's family name and the end mark.
//!
//! What does not change from scrape to scrape is rendered once, when a family or a series is born: a line is then two to
//! four copies and a number.

use std::fmt::Write;

use super::Format;
use crate::{
    spec::{Descriptor, Kind, bound_text},
    storage::{Bucket, Exemplar, FamilyInner, Metric, Reading, Scratch},
};

/// The parts of a family's lines that all its series share.
///
/// A line is `head`, the series' own text, `tail` and the value.
pub(crate) struct Layout {
    text_head: String,
    open_metrics_head: String,
    steps_per_unit: u64,
    /// For each bucket of a histogram, `+Inf` included, the end of its line's name.
    bucket_tails: Vec<String>,
    bucket_head: String,
    sum_head: String,
    count_head: String,
    total_tail: &'static str,
}

/// Writes a family; one without series leaves no trace.
pub(crate) fn encode_family<M: Metric>(family: &FamilyInner<M>, format: Format, out: &mut String) {
    if family.series().next().is_none() {
        return;
    }
    let layout = family.layout();
    out.push_str(match format {
        Format::Text => &layout.text_head,
        Format::OpenMetrics => &layout.open_metrics_head,
    });
    let mut scratch = Scratch::default();
    for series in family.series() {
        match series.metric.read(&mut scratch) {
            Reading::Steps(steps) => {
                out.push_str(&series.text);
                write_steps(steps, layout.steps_per_unit, out);
            }
            Reading::Value(value) => {
                out.push_str(&series.text);
                write_float(value, out);
            }
            Reading::Histogram { sum, .. } => layout.write_histogram(&series.text, &scratch.buckets, sum, format, out),
        }
    }
}

// === impl Layout ===

impl Layout {
    pub(crate) fn new(descriptor: &Descriptor) -> Self {
        let name = descriptor.name;
        // A histogram's series text opens the braces that its lines close; without labels its bucket lines open their own.
        let (open, separator, total_tail) =
            if descriptor.label_names.is_empty() { ("{", "", " ") } else { ("", ",", "} ") };
        let bounds = bound_texts(descriptor);
        Self {
            text_head: render_head(descriptor, Format::Text),
            open_metrics_head: render_head(descriptor, Format::OpenMetrics),
            steps_per_unit: descriptor.unit.steps(),
            bucket_tails: bounds.iter().map(|bound| format!("{separator}le=\"{bound}\"}} ")).collect(),
            bucket_head: format!("{name}_bucket{open}"),
            sum_head: format!("{name}_sum"),
            count_head: format!("{name}_count"),
            total_tail,
        }
    }

    fn write_histogram(&self, text: &str, buckets: &[Bucket], sum: u64, format: Format, out: &mut String) {
        let mut count = 0;
        let start = out.len();
        out.extend([&self.bucket_head, text]);
        let head = start..out.len();
        for (index, (tail, bucket)) in self.bucket_tails.iter().zip(buckets).enumerate() {
            if index > 0 {
                out.extend_from_within(head.clone());
            }
            out.push_str(tail);
            count += bucket.count;
            push_number(count, out);
            // Text 0.0.4 has no exemplars.
            if let Some(exemplar) = bucket.exemplar.filter(|_| format == Format::OpenMetrics) {
                self.push_exemplar(exemplar, out);
            }
            out.push('\n');
        }
        out.extend([&self.sum_head, text, self.total_tail]);
        write_steps(sum, self.steps_per_unit, out);
        out.extend([&self.count_head, text, self.total_tail]);
        write_steps(count, 1, out);
    }

    fn push_exemplar(&self, exemplar: Exemplar, out: &mut String) {
        let (trace_id, span_id) = exemplar.span.hex_ids();
        let _ = write!(out, " # {{trace_id=\"{trace_id}\",span_id=\"{span_id}\"}} ");
        push_steps(exemplar.steps, self.steps_per_unit, out);
        let _ = write!(out, " {}.{:03}", exemplar.time_ms / 1_000, exemplar.time_ms % 1_000);
    }
}

/// Ends an exposition.
pub(crate) fn finish(format: Format, out: &mut String) {
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
}

/// Escapes a HELP text, in which OpenMetrics takes no bare quote and text 0.0.4 no escaped one.
pub(super) fn escape_help(help: &str, format: Format) -> String {
    let escaped = help.replace('\\', "\\\\").replace('\n', "\\n");
    match format {
        Format::Text => escaped,
        Format::OpenMetrics => escaped.replace('"', "\\\""),
    }
}

/// Writes the lines before a family's samples, but for the unit.
pub(super) fn push_head(name: &str, help: &str, kind: &str, format: Format, out: &mut String) {
    let help = escape_help(help, format);
    out.extend(["# HELP ", name, " ", &help, "\n# TYPE ", name, " ", kind, "\n"]);
}

/// The part of a series' lines that is its own: the whole name for a single value, the open label set for a histogram.
pub(crate) fn render_series(descriptor: &Descriptor, values: &[&str]) -> Box<str> {
    let histogram = descriptor.kind == Kind::Histogram;
    let mut text = if histogram { String::new() } else { descriptor.name.to_owned() };
    for (index, (name, value)) in descriptor.label_names.iter().zip(values).enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        push_escaped(value, &mut text);
        text.push('"');
    }
    if !histogram {
        text.push_str(if values.is_empty() { " " } else { "} " });
    }
    text.into_boxed_str()
}

fn push_escaped(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

fn render_head(descriptor: &Descriptor, format: Format) -> String {
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
    let mut head = String::new();
    push_head(name, descriptor.help, kind, format, &mut head);
    // Text 0.0.4 has no UNIT line.
    if let Some(unit) = descriptor.unit_on_the_wire().filter(|_| format == Format::OpenMetrics) {
        head.extend(["# UNIT ", name, " ", unit, "\n"]);
    }
    head
}

/// The values of `le`, the same in every format, so that a query which names a bound works whatever Prometheus asked for.
fn bound_texts(descriptor: &Descriptor) -> Vec<String> {
    match descriptor.kind {
        Kind::Histogram => descriptor.bounds.iter().copied().chain([f64::INFINITY]).map(bound_text).collect(),
        Kind::Counter | Kind::Gauge => Vec::new(),
    }
}

fn write_steps(steps: u64, steps_per_unit: u64, out: &mut String) {
    push_steps(steps, steps_per_unit, out);
    out.push('\n');
}

/// Writes integer steps as a decimal of units, exactly: no float comes between the atomic and the wire.
fn push_steps(steps: u64, steps_per_unit: u64, out: &mut String) {
    if steps_per_unit == 1 {
        return push_number(steps, out);
    }
    push_number(steps / steps_per_unit, out);
    let fraction = steps % steps_per_unit;
    if fraction > 0 {
        out.push('.');
        // A one before the digits keeps their leading zeros.
        let mut digits = itoa::Buffer::new();
        out.push_str(digits.format(steps_per_unit + fraction)[1..].trim_end_matches('0'));
    }
}

fn push_number(number: u64, out: &mut String) {
    match number {
        // Most buckets; to push one digit is cheaper than to copy one.
        0..10 => out.push(char::from(b'0' + number as u8)),
        _ => out.push_str(itoa::Buffer::new().format(number)),
    }
}

fn write_float(value: f64, out: &mut String) {
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
