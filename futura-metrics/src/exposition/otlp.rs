//! OTLP's messages: every family as a collector takes it, with cumulative sums since one start.
//!
//! Names stay as they are on the wire and units are UCUM's, so that who turns them into Prometheus' names gets ours again.
//! <https://opentelemetry.io/docs/specs/otel/metrics/data-model/>

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality::Cumulative, Exemplar as OtlpExemplar, ExponentialHistogram,
        ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric as OtlpMetric, NumberDataPoint,
        Sum, exemplar, exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
    },
};

use super::client::{ClientKind, ClientMetric};
use crate::{
    spec::{Descriptor, Kind, Unit},
    storage::{Bucket, FamilyInner, Metric, NativeBounds, Reading, SCHEMA, Scratch},
    testing::Sample,
};

/// What the messages of one push share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Since when sums are counted, in nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// When they are read.
    pub(crate) now: u64,
    /// Whether a histogram with native buckets leaves with those, in the place of the classic ones.
    pub(crate) exponential: bool,
}

/// The labels of a series of the `prometheus_client` crate, and its values.
type Series<'a, T> = BTreeMap<Vec<(&'a str, &'a str)>, T>;

/// What is known of a histogram of that crate: sum, and the count up to each bound.
#[derive(Default)]
struct ClientHistogram {
    sum: f64,
    cumulative: Vec<(f64, u64)>,
}

/// A family; one without series is none.
pub(super) fn family<M: Metric>(family: &FamilyInner<M>, view: View) -> Option<OtlpMetric> {
    let descriptor = family.descriptor();
    let exponential = view.exponential && descriptor.native;
    let mut scratch = Scratch { cells: exponential.then(Vec::new), ..Scratch::default() };
    let (mut numbers, mut histograms, mut exponentials) = (Vec::new(), Vec::new(), Vec::new());
    for series in family.series() {
        let labels = descriptor.label_names.iter().zip(&series.values);
        let attributes = attributes(labels.map(|(name, value)| (*name, &**value)));
        match series.metric.read(&mut scratch) {
            Reading::Steps(steps) => numbers.push(view.number(attributes, counted(steps, descriptor.unit))),
            Reading::Value(value) => numbers.push(view.number(attributes, Value::AsDouble(value))),
            Reading::Histogram { sum, native } => match native.filter(|_| exponential) {
                Some(native) => exponentials.push(view.exponential(descriptor, attributes, &scratch, sum, native)),
                None => histograms.push(view.classic(descriptor, attributes, &scratch.buckets, sum)),
            },
        }
    }
    let data = match descriptor.kind {
        Kind::Counter => sum(numbers),
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers }),
        Kind::Histogram if exponential => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: exponentials,
            aggregation_temporality: Cumulative.into(),
        }),
        Kind::Histogram => histogram(histograms),
    };
    let series = family.series().next().is_some();
    series.then(|| metric(descriptor.name, descriptor.help, unit(descriptor.unit), data))
}

/// A metric of the `prometheus_client` crate, read back from its text; its exemplars are left out.
pub(crate) fn client(client: &ClientMetric, view: View) -> Option<OtlpMetric> {
    let text = client.open_metrics();
    let samples: Vec<Sample<'_>> = text.lines().filter_map(Sample::parse).collect();
    if samples.is_empty() {
        return None;
    }
    let name = match client.kind {
        ClientKind::Counter => format!("{}_total", client.name),
        ClientKind::Info => format!("{}_info", client.name),
        ClientKind::Gauge | ClientKind::Histogram | ClientKind::Unknown => client.name.clone(),
    };
    let data = match client.kind {
        ClientKind::Counter => sum(view.client_numbers(&samples)),
        ClientKind::Histogram => histogram(view.client_histograms(&client.name, &samples)),
        ClientKind::Gauge | ClientKind::Info | ClientKind::Unknown => {
            Data::Gauge(Gauge { data_points: view.client_numbers(&samples) })
        }
    };
    Some(metric(&name, &client.help, "", data))
}

// === impl View ===

impl View {
    fn number(self, attributes: Vec<KeyValue>, value: Value) -> NumberDataPoint {
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    fn classic(
        self,
        descriptor: &Descriptor,
        attributes: Vec<KeyValue>,
        buckets: &[Bucket],
        sum: u64,
    ) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: buckets.iter().map(|bucket| bucket.count).sum(),
            sum: Some(units(sum, descriptor.unit)),
            bucket_counts: buckets.iter().map(|bucket| bucket.count).collect(),
            explicit_bounds: descriptor.bounds.to_vec(),
            exemplars: exemplars(buckets, descriptor.unit),
            ..HistogramDataPoint::default()
        }
    }

    fn exponential(
        self,
        descriptor: &Descriptor,
        attributes: Vec<KeyValue>,
        scratch: &Scratch,
        sum: u64,
        native: &NativeBounds,
    ) -> ExponentialHistogramDataPoint {
        let (zero_count, buckets) = native.counts(scratch.cells.as_deref().unwrap_or_default());
        let mut positive = Buckets::default();
        for (index, count) in buckets {
            // Prometheus numbers a bucket by its upper bound, OTLP by its lower one.
            let index = index - 1;
            if positive.bucket_counts.is_empty() {
                positive.offset = index;
            }
            positive.bucket_counts.resize((index - positive.offset) as usize, 0);
            positive.bucket_counts.push(count);
        }
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: zero_count + positive.bucket_counts.iter().sum::<u64>(),
            sum: Some(units(sum, descriptor.unit)),
            scale: SCHEMA,
            zero_count,
            zero_threshold: native.zero_threshold,
            positive: Some(positive),
            exemplars: exemplars(&scratch.buckets, descriptor.unit),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    fn client_numbers(self, samples: &[Sample<'_>]) -> Vec<NumberDataPoint> {
        let point = |sample: &Sample<'_>| {
            let labels = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
            self.number(attributes(labels), Value::AsDouble(sample.value))
        };
        samples.iter().map(point).collect()
    }

    fn client_histograms(self, name: &str, samples: &[Sample<'_>]) -> Vec<HistogramDataPoint> {
        let mut series: Series<'_, ClientHistogram> = BTreeMap::new();
        for sample in samples {
            let suffix = sample.name.strip_prefix(name).unwrap_or_default();
            let labels = sample.labels.iter().filter(|(label, _)| **label != "le" || suffix != "_bucket");
            let histogram = series.entry(labels.map(|(name, value)| (*name, value.as_str())).collect()).or_default();
            match suffix {
                "_sum" => histogram.sum = sample.value,
                "_bucket" => {
                    let bound = sample.labels.get("le").and_then(|bound| bound.parse().ok()).unwrap_or(f64::INFINITY);
                    histogram.cumulative.push((bound, sample.value as u64));
                }
                _ => {}
            }
        }
        let point = |(labels, histogram): (Vec<(&str, &str)>, ClientHistogram)| {
            let below = [0].into_iter().chain(histogram.cumulative.iter().map(|(_, count)| *count));
            let counts = histogram.cumulative.iter().zip(below).map(|((_, count), below)| count.saturating_sub(below));
            let bounds = histogram.cumulative.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
            HistogramDataPoint {
                attributes: attributes(labels.into_iter()),
                start_time_unix_nano: self.start,
                time_unix_nano: self.now,
                count: histogram.cumulative.last().map_or(0, |(_, count)| *count),
                sum: Some(histogram.sum),
                bucket_counts: counts.collect(),
                explicit_bounds: bounds.collect(),
                ..HistogramDataPoint::default()
            }
        };
        series.into_iter().map(point).collect()
    }
}

fn metric(name: &str, description: &str, unit: &str, data: Data) -> OtlpMetric {
    OtlpMetric {
        name: name.to_owned(),
        description: description.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..OtlpMetric::default()
    }
}

fn sum(data_points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum { data_points, aggregation_temporality: Cumulative.into(), is_monotonic: true })
}

fn histogram(data_points: Vec<HistogramDataPoint>) -> Data {
    Data::Histogram(Histogram { data_points, aggregation_temporality: Cumulative.into() })
}

fn attributes<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<KeyValue> {
    let attribute = |(key, value): (&str, &str)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    labels.map(attribute).collect()
}

fn exemplars(buckets: &[Bucket], unit: Unit) -> Vec<OtlpExemplar> {
    let exemplars = buckets.iter().filter_map(|bucket| bucket.exemplar);
    let message = exemplars.map(|exemplar| OtlpExemplar {
        time_unix_nano: exemplar.time_ms * 1_000_000,
        span_id: exemplar.span.span_id.to_vec(),
        trace_id: exemplar.span.trace_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(units(exemplar.steps, unit))),
        ..OtlpExemplar::default()
    });
    message.collect()
}

/// A count as it is: a whole number where its steps are whole units.
fn counted(steps: u64, unit: Unit) -> Value {
    match unit.steps() {
        1 => Value::AsInt(i64::try_from(steps).unwrap_or(i64::MAX)),
        _ => Value::AsDouble(units(steps, unit)),
    }
}

fn units(steps: u64, unit: Unit) -> f64 {
    steps as f64 / unit.steps() as f64
}

/// As UCUM has it. What is counted has none: with `1` a gauge is taken for a ratio, and named so.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds | Unit::Timestamp => "s",
        Unit::Bytes => "By",
        Unit::Ratio => "1",
        Unit::Count | Unit::State => "",
    }
}
