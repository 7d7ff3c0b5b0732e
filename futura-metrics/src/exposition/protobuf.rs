//! Prometheus' protobuf format: delimited `io.prometheus.client.MetricFamily` messages, the one that carries native histograms.
//!
//! Field numbers are those of <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>.

use std::collections::BTreeMap;

use super::client::{ClientKind, ClientMetric};
use crate::{
    spec::{Descriptor, Kind},
    storage::{Bucket, Exemplar, FamilyInner, Metric, Reading, SCHEMA, Scratch},
    testing::Sample,
};

/// The values of `MetricType`.
#[derive(Clone, Copy)]
enum Type {
    Counter = 0,
    Gauge = 1,
    Untyped = 3,
    Histogram = 4,
}

/// The length of a double field whose number is below 16.
const DOUBLE_LEN: usize = 9;

/// The labels of a metric, but for `le`.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Writes a family; one without series leaves no trace.
pub(super) fn encode_family<M: Metric>(family: &FamilyInner<M>, out: &mut Vec<u8>) {
    if family.series().next().is_none() {
        return;
    }
    let descriptor = family.descriptor();
    let kind = match descriptor.kind {
        _ if descriptor.untyped => Type::Untyped,
        Kind::Counter => Type::Counter,
        Kind::Gauge => Type::Gauge,
        Kind::Histogram => Type::Histogram,
    };
    let mut message = head(descriptor.name, descriptor.help, kind);
    let mut scratch = Scratch { cells: Some(Vec::new()), ..Scratch::default() };
    // The length of a message comes before it: each is written here first, and the room is used again.
    let (mut metric, mut histogram) = (Vec::new(), Vec::new());
    for series in family.series() {
        metric.clear();
        for (name, value) in descriptor.label_names.iter().zip(&series.values) {
            put_label(name, value, &mut metric);
        }
        let steps = |steps: u64| steps as f64 / descriptor.unit.steps() as f64;
        match series.metric.read(&mut scratch) {
            Reading::Steps(count) => put_scalar(kind, steps(count), &mut metric),
            Reading::Value(value) => put_scalar(kind, value, &mut metric),
            Reading::Histogram { sum, native } => {
                histogram.clear();
                put_classic(descriptor, &scratch.buckets, steps(sum), &mut histogram);
                if let Some(native) = native {
                    let (zero, buckets) = native.counts(scratch.cells.as_deref().unwrap_or_default());
                    put_native(native.zero_threshold, zero, buckets, &mut histogram);
                }
                put_bytes(7, &histogram, &mut metric);
            }
        }
        put_bytes(4, &metric, &mut message);
    }
    if let Some(unit) = descriptor.unit_on_the_wire() {
        put_bytes(5, unit.as_bytes(), &mut message);
    }
    put_delimited(&message, out);
}

/// Writes a metric of the `prometheus_client` crate, read back from its text; its exemplars are left out.
pub(crate) fn encode_client(metric: &ClientMetric, out: &mut Vec<u8>) {
    let (name, kind) = match metric.kind {
        ClientKind::Counter => (format!("{}_total", metric.name), Type::Counter),
        ClientKind::Gauge => (metric.name.clone(), Type::Gauge),
        ClientKind::Info => (format!("{}_info", metric.name), Type::Gauge),
        ClientKind::Histogram => (metric.name.clone(), Type::Histogram),
        ClientKind::Unknown => (metric.name.clone(), Type::Untyped),
    };
    let text = metric.open_metrics();
    let mut values: BTreeMap<Labels<'_>, Vec<u8>> = BTreeMap::new();
    let samples: Vec<Sample<'_>> = text.lines().filter_map(Sample::parse).collect();
    for sample in &samples {
        let suffix = sample.name.strip_prefix(&*metric.name).unwrap_or_default();
        let labels = sample.labels.iter().filter(|(label, _)| **label != "le" || suffix != "_bucket");
        let value = values.entry(labels.map(|(label, value)| (*label, &**value)).collect()).or_default();
        match (kind, suffix) {
            (Type::Histogram, "_count") => put_integer(1, sample.value as u64, value),
            (Type::Histogram, "_sum") => put_double(2, sample.value, value),
            (Type::Histogram, _) => {
                let bound = sample.labels.get("le").and_then(|bound| bound.parse().ok()).unwrap_or(f64::INFINITY);
                put_bucket(sample.value as u64, bound, None, value);
            }
            _ => put_scalar(kind, sample.value, value),
        }
    }
    if values.is_empty() {
        return;
    }
    let mut message = head(&name, &metric.help, kind);
    for (labels, value) in values {
        let mut metric = Vec::new();
        labels.iter().for_each(|(name, value)| put_label(name, value, &mut metric));
        match kind {
            Type::Histogram => put_bytes(7, &value, &mut metric),
            _ => metric.extend(value),
        }
        put_bytes(4, &metric, &mut message);
    }
    put_delimited(&message, out);
}

fn head(name: &str, help: &str, kind: Type) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(1, name.as_bytes(), &mut message);
    put_bytes(2, help.as_bytes(), &mut message);
    put_integer(3, kind as u64, &mut message);
    message
}

/// A metric's one value, in the message of its type.
fn put_scalar(kind: Type, value: f64, metric: &mut Vec<u8>) {
    let field = match kind {
        Type::Gauge => 2,
        Type::Counter => 3,
        Type::Untyped | Type::Histogram => 5,
    };
    put_head(field, DOUBLE_LEN, metric);
    put_double(1, value, metric);
}

fn put_classic(descriptor: &Descriptor, buckets: &[Bucket], sum: f64, histogram: &mut Vec<u8>) {
    put_integer(1, buckets.iter().map(|bucket| bucket.count).sum(), histogram);
    put_double(2, sum, histogram);
    let mut count = 0;
    for (bound, bucket) in descriptor.bounds.iter().copied().chain([f64::INFINITY]).zip(buckets) {
        count += bucket.count;
        let exemplar = bucket.exemplar.map(|exemplar| exemplar_message(exemplar, descriptor.unit.steps()));
        put_bucket(count, bound, exemplar.as_deref(), histogram);
    }
}

fn put_bucket(count: u64, bound: f64, exemplar: Option<&[u8]>, histogram: &mut Vec<u8>) {
    put_head(3, integer_len(count) + DOUBLE_LEN + exemplar.map_or(0, bytes_len), histogram);
    put_integer(1, count, histogram);
    put_double(2, bound, histogram);
    if let Some(exemplar) = exemplar {
        put_bytes(3, exemplar, histogram);
    }
}

fn exemplar_message(exemplar: Exemplar, steps_per_unit: u64) -> Vec<u8> {
    let (trace_id, span_id) = exemplar.span.hex_ids();
    let mut message = Vec::new();
    put_label("trace_id", &trace_id, &mut message);
    put_label("span_id", &span_id, &mut message);
    put_double(2, exemplar.steps as f64 / steps_per_unit as f64, &mut message);
    let mut time = Vec::new();
    put_integer(1, exemplar.time_ms / 1_000, &mut time);
    put_integer(2, exemplar.time_ms % 1_000 * 1_000_000, &mut time);
    put_bytes(3, &time, &mut message);
    message
}

/// Adds the native buckets: spans of consecutive indexes, and each count as the difference from the one before.
fn put_native(zero_threshold: f64, zero: u64, buckets: impl Iterator<Item = (i32, u64)>, histogram: &mut Vec<u8>) {
    put_integer(5, zigzag(SCHEMA.into()), histogram);
    put_double(6, zero_threshold, histogram);
    put_integer(7, zero, histogram);
    let mut spans: Vec<(i32, u64)> = Vec::new();
    let (mut deltas, mut next, mut last) = (Vec::new(), 0, 0);
    for (index, count) in buckets {
        match spans.last_mut() {
            Some((_, length)) if index == next => *length += 1,
            _ => spans.push((index - next, 1)),
        }
        deltas.push(count as i64 - last);
        (next, last) = (index + 1, count as i64);
    }
    // A span of no buckets tells a histogram without observations from a classic one.
    if spans.is_empty() {
        spans.push((0, 0));
    }
    for (offset, length) in spans {
        let offset = zigzag(offset.into());
        put_head(12, integer_len(offset) + integer_len(length), histogram);
        put_integer(1, offset, histogram);
        put_integer(2, length, histogram);
    }
    for delta in deltas {
        put_integer(13, zigzag(delta), histogram);
    }
}

fn put_label(name: &str, value: &str, message: &mut Vec<u8>) {
    put_head(1, bytes_len(name.as_bytes()) + bytes_len(value.as_bytes()), message);
    put_bytes(1, name.as_bytes(), message);
    put_bytes(2, value.as_bytes(), message);
}

fn put_integer(field: u32, value: u64, message: &mut Vec<u8>) {
    put_varint(u64::from(field << 3), message);
    put_varint(value, message);
}

fn put_double(field: u32, value: f64, message: &mut Vec<u8>) {
    put_varint(u64::from(field << 3 | 1), message);
    message.extend(value.to_le_bytes());
}

fn put_bytes(field: u32, bytes: &[u8], message: &mut Vec<u8>) {
    put_head(field, bytes.len(), message);
    message.extend(bytes);
}

/// Begins a field that holds `len` bytes.
fn put_head(field: u32, len: usize, message: &mut Vec<u8>) {
    put_varint(u64::from(field << 3 | 2), message);
    put_varint(len as u64, message);
}

fn put_delimited(bytes: &[u8], message: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, message);
    message.extend(bytes);
}

fn put_varint(mut value: u64, message: &mut Vec<u8>) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// The length of an integer field whose number is below 16, as all here are that stand in a nested message.
fn integer_len(value: u64) -> usize {
    1 + varint_len(value)
}

/// The same for a field of bytes.
fn bytes_len(bytes: &[u8]) -> usize {
    1 + varint_len(bytes.len() as u64) + bytes.len()
}

fn varint_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Maps small numbers of either sign to small ones without.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}
