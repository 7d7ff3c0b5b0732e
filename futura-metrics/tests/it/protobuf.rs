use std::{collections::BTreeMap, time::Duration};

use futura_metrics::{
    Metrics,
    exposition::Selection,
    label,
    spec::{CounterSpec, HistogramSpec, Unit},
    specs::business::TICKETS_ACTIVE_TOTAL,
    storage::SpanRef,
};
use prometheus_client::metrics::{counter, family, histogram, info::Info};
use prost::Message;

label! {
    /// Who asks.
    pub enum Guest: "guest";
}

const CALLS_TOTAL: CounterSpec<(Guest,)> = CounterSpec::new("calls_total", Unit::Count).help("Calls.");
const WAIT_SECONDS: HistogramSpec<(Guest,)> =
    HistogramSpec::new("wait_seconds", Unit::Seconds, &[0.25, 1.0]).native().help("Waiting time.");

/// The messages of `io.prometheus.client` as an independent decoder reads them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricFamily {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) help: String,
    #[prost(int32, tag = "3")]
    pub(crate) kind: i32,
    #[prost(message, repeated, tag = "4")]
    pub(crate) metrics: Vec<Metric>,
    #[prost(string, tag = "5")]
    pub(crate) unit: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub(crate) gauge: Option<Scalar>,
    #[prost(message, optional, tag = "3")]
    pub(crate) counter: Option<Scalar>,
    #[prost(message, optional, tag = "5")]
    pub(crate) untyped: Option<Scalar>,
    #[prost(message, optional, tag = "7")]
    pub(crate) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LabelPair {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scalar {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(crate) count: u64,
    #[prost(double, tag = "2")]
    pub(crate) sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) buckets: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    pub(crate) schema: i32,
    #[prost(double, tag = "6")]
    pub(crate) zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    pub(crate) zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    pub(crate) spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    pub(crate) deltas: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bucket {
    #[prost(uint64, tag = "1")]
    pub(crate) cumulative_count: u64,
    #[prost(double, tag = "2")]
    pub(crate) upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    pub(crate) exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BucketSpan {
    #[prost(sint32, tag = "1")]
    pub(crate) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) length: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    pub(crate) value: f64,
    #[prost(message, optional, tag = "3")]
    pub(crate) timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// Every family of an exposition, in order.
pub(crate) fn decode(metrics: &Metrics) -> Vec<MetricFamily> {
    let bytes = metrics.render_protobuf(&Selection::all());
    let mut rest = &bytes[..];
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

fn families(metrics: &Metrics) -> BTreeMap<String, MetricFamily> {
    decode(metrics).into_iter().map(|family| (family.name.clone(), family)).collect()
}

/// Index and count of each native bucket that is not empty.
pub(crate) fn native(histogram: &Histogram) -> Vec<(i32, i64)> {
    let (mut index, mut count, mut deltas, mut buckets) = (0, 0, histogram.deltas.iter(), Vec::new());
    for span in &histogram.spans {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            buckets.push((index, count));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

#[test]
fn an_independent_decoder_reads_the_same_values() {
    let metrics = Metrics::new();
    metrics.counters(CALLS_TOTAL).unwrap().with(("a \"quoted\"\nguest",)).add(3);
    metrics.gauge(TICKETS_ACTIVE_TOTAL).unwrap().set(-1.5);
    let families = families(&metrics);
    let calls = &families["calls_total"];
    assert_eq!((calls.kind, &*calls.help), (0, "Calls."));
    assert_eq!(calls.metrics[0].labels, [LabelPair { name: "guest".into(), value: "a \"quoted\"\nguest".into() }]);
    assert_eq!(calls.metrics[0].counter, Some(Scalar { value: 3.0 }));
    let tickets = &families["tickets_active_total"];
    assert_eq!((tickets.kind, tickets.metrics[0].untyped.clone()), (3, Some(Scalar { value: -1.5 })));
}

#[test]
fn a_histogram_has_classic_and_native_buckets_of_the_same_observations() {
    let metrics = Metrics::new();
    let wait = metrics.histograms(WAIT_SECONDS).unwrap().with(("Ada",)).clone();
    for seconds in [0.0, 0.25, 0.26, 1.0, 1.0, 3.0] {
        wait.observe(seconds);
    }
    let span = SpanRef { trace_id: 1_u128.to_be_bytes(), span_id: 2_u64.to_be_bytes() };
    wait.observe_duration_in(Duration::from_millis(500), Some(span));
    let histogram = families(&metrics)["wait_seconds"].metrics[0].histogram.clone().unwrap();
    assert_eq!((histogram.count, histogram.sum), (7, 6.01));
    let classic: Vec<_> =
        histogram.buckets.iter().map(|bucket| (bucket.upper_bound, bucket.cumulative_count)).collect();
    assert_eq!(classic, [(0.25, 2), (1.0, 6), (f64::INFINITY, 7)]);
    assert_eq!((histogram.schema, histogram.zero_count), (3, 1));
    // Bucket i reaches up to 2^(i/8): 0.25 is the end of -16, 0.26 in -15, 0.5 of -8, 1 of 0, and 3 in 13.
    assert_eq!(native(&histogram), [(-16, 1), (-15, 1), (-8, 1), (0, 2), (13, 1)]);
    let exemplar = histogram.buckets[1].exemplar.clone().unwrap();
    assert_eq!((exemplar.value, &*exemplar.labels[0].value), (0.5, "00000000000000000000000000000001"));
    assert!(exemplar.timestamp.is_some_and(|time| time.seconds > 1_700_000_000 && time.nanos < 1_000_000_000));
}

#[test]
fn metrics_of_the_other_crate_are_read_back_from_its_text() {
    let metrics = Metrics::new();
    let coffees = family::Family::<Vec<(String, String)>, counter::Counter>::default();
    coffees.get_or_create(&vec![("size".to_owned(), "large\n\"cup\"".to_owned())]).inc_by(2);
    let queue = histogram::Histogram::new([1.0]);
    queue.observe(0.5);
    metrics.register_client("coffees", "Coffees.", coffees).unwrap();
    metrics.register_client("queue_seconds", "Queueing.", queue).unwrap();
    metrics.register_client("bean", "The bean.", Info::new(vec![("kind", "arabica")])).unwrap();
    let families = families(&metrics);
    let coffee = &families["coffees_total"].metrics[0];
    assert_eq!(coffee.labels, [LabelPair { name: "size".into(), value: "large\n\"cup\"".into() }]);
    assert_eq!(coffee.counter, Some(Scalar { value: 2.0 }));
    let queue = families["queue_seconds"].metrics[0].histogram.clone().unwrap();
    assert_eq!((queue.count, queue.sum, queue.buckets.len()), (1, 0.5, 2));
    assert_eq!(families["bean_info"].metrics[0].gauge, Some(Scalar { value: 1.0 }));
}
