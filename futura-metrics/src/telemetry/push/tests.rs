use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::TcpListener as StdListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State as AxumState,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response as AxumResponse},
    routing::post,
};
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    common::v1::any_value::Value,
    metrics::v1::{Metric, metric::Data, number_data_point},
};
use opentelemetry_sdk::Resource;
use prometheus_client::metrics::{counter, family, gauge, histogram, info::Info};
use prost::Message;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use super::{Outcome, PROTOCOLS, Push, PushConfig, PushProtocol, SendError, State, Worker, now};
use crate::{
    Metrics,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit},
    specs::{metrics::LabelName, push::METRICS_PUSHES_TOTAL},
    storage::SpanRef,
    testing::sample,
};

#[cfg(feature = "grpc")]
mod grpc;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any test takes: what is pushed then is pushed at the end.
const NEVER: Duration = Duration::from_secs(3600);

const CALLS_TOTAL: CounterSpec<(LabelName,)> = CounterSpec::new("calls_total", Unit::Count).help("Calls.");
const BUSY_SECONDS_TOTAL: CounterSpec = CounterSpec::new("busy_seconds_total", Unit::Seconds).help("Busy time.");
const ROOM_BYTES: GaugeSpec = GaugeSpec::new("room_bytes", Unit::Bytes).help("Room.");
const WAIT_SECONDS: HistogramSpec =
    HistogramSpec::new("wait_seconds", Unit::Seconds, &[0.25, 1.0]).native().help("Waiting time.");

/// A collector: takes requests and hands them on to the test.
#[derive(Clone)]
struct Collector {
    requests: UnboundedSender<(HeaderMap, ExportMetricsServiceRequest)>,
    /// What it answers before it takes all.
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    left_out: i64,
}

/// What a collector has taken.
struct Taken(UnboundedReceiver<(HeaderMap, ExportMetricsServiceRequest)>);

fn collector(answers: &[StatusCode]) -> (Collector, Taken) {
    let (requests, taken) = unbounded_channel();
    let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
    (Collector { requests, answers, left_out: 0 }, Taken(taken))
}

// === impl Taken ===

impl Taken {
    async fn next(&mut self) -> (HeaderMap, ExportMetricsServiceRequest) {
        timeout(PATIENCE, self.0.recv()).await.expect("a request in time").expect("the collector runs")
    }

    /// The metrics of the next request.
    async fn metrics(&mut self) -> Vec<Metric> {
        let (_, mut request) = self.next().await;
        request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
    }
}

// === impl Collector ===

impl Collector {
    async fn serve(self, protocol: PushProtocol, address: &str) -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = match protocol {
            PushProtocol::Http => {
                let router = Router::new().route("/v1/metrics", post(take)).with_state(self);
                tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") })
            }
            #[cfg(feature = "grpc")]
            PushProtocol::Grpc => grpc::serve(self, listener),
        };
        (address.to_string(), served)
    }

    fn answer(
        &self,
        headers: HeaderMap,
        request: ExportMetricsServiceRequest,
    ) -> Result<ExportMetricsServiceResponse, StatusCode> {
        if let Some(status) = self.answers.lock().expect("no panic").pop_front() {
            return Err(status);
        }
        let partial_success = (self.left_out > 0).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: self.left_out,
            error_message: "too many".to_owned(),
        });
        // A test that has seen enough is gone.
        let _ = self.requests.send((headers, request));
        Ok(ExportMetricsServiceResponse { partial_success })
    }
}

async fn take(AxumState(collector): AxumState<Collector>, headers: HeaderMap, body: Bytes) -> AxumResponse {
    assert_eq!(headers[CONTENT_TYPE], "application/x-protobuf");
    let mut plain = Vec::new();
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) => {
            assert_eq!(encoding, "gzip");
            GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip");
        }
        None => plain.extend(body),
    }
    let request = ExportMetricsServiceRequest::decode(&plain[..]).expect("a request");
    match collector.answer(headers, request) {
        Ok(answer) => answer.encode_to_vec().into_response(),
        Err(status) => status.into_response(),
    }
}

fn config(protocol: PushProtocol, address: &str) -> PushConfig {
    let path = if protocol == PushProtocol::Http { "/v1/metrics" } else { "" };
    PushConfig {
        endpoint: format!("http://{address}{path}"),
        protocol,
        headers: [("x-tenant".parse().expect("a name"), "futura".parse().expect("a value"))].into_iter().collect(),
        gzip: false,
        timeout: PATIENCE,
        interval: NEVER,
        push_timeout: PATIENCE,
        exponential: false,
    }
}

fn start(config: PushConfig, metrics: &Metrics) -> Push {
    // As telemetry does it; a second time does no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "shop")).build();
    Push::start(config, &resource, metrics).expect("a push")
}

/// Pushes for the last time, off the runtime.
async fn end(push: Push) {
    tokio::task::spawn_blocking(move || push.end(PATIENCE).wait()).await.expect("no panic");
}

fn closed_port() -> String {
    let address = StdListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.expect("a port").to_string()
}

/// One of each kind, ours and those of the `prometheus_client` crate.
fn filled() -> Metrics {
    let metrics = Metrics::new();
    let calls = metrics.counters(CALLS_TOTAL).expect("a free name");
    calls.with(("Ada",)).add(3);
    calls.with(("Grace",)).inc();
    metrics.counter(BUSY_SECONDS_TOTAL).expect("a free name").add_duration(Duration::from_millis(1_500));
    metrics.gauge(ROOM_BYTES).expect("a free name").set(2.5);
    let wait = metrics.histogram(WAIT_SECONDS).expect("a free name");
    let span = SpanRef { trace_id: [7; 16], span_id: [9; 8] };
    wait.observe_duration_in(Duration::from_millis(200), Some(span));
    [0.0, 0.25, 0.5, 3.0].into_iter().for_each(|value| wait.observe(value));
    let orders = family::Family::<Vec<(String, String)>, counter::Counter>::default();
    metrics.register_client("orders", "Orders", orders.clone()).expect("a free name");
    orders.get_or_create(&vec![("city".to_owned(), "Rome, \"Via\"".to_owned())]).inc_by(4);
    let queue = gauge::Gauge::<i64>::default();
    metrics.register_client("queue", "Queue", queue.clone()).expect("a free name");
    queue.set(-2);
    let size = histogram::Histogram::new([1.0, 10.0]);
    metrics.register_client("size", "Size", size.clone()).expect("a free name");
    [0.5, 5.0, 5.0, 50.0].into_iter().for_each(|value| size.observe(value));
    metrics.register_client("build", "Build", Info::new(vec![("version", "1")])).expect("a free name");
    metrics
}

/// A metric in a few words.
fn tell(metric: &Metric) -> String {
    let attributes = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
        let text =
            attributes.iter().map(|attribute| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(value)) => format!("{}={value} ", attribute.key),
                other => panic!("{other:?}"),
            });
        text.collect::<String>()
    };
    let numbers = |points: &[opentelemetry_proto::tonic::metrics::v1::NumberDataPoint]| {
        let point = |point: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
            assert!(0 < point.start_time_unix_nano && point.start_time_unix_nano <= point.time_unix_nano);
            let value = match point.value {
                Some(number_data_point::Value::AsInt(value)) => value.to_string(),
                Some(number_data_point::Value::AsDouble(value)) => format!("{value:?}"),
                None => panic!("a point without a value"),
            };
            format!("{}{value}", attributes(&point.attributes))
        };
        points.iter().map(point).collect::<Vec<_>>().join("; ")
    };
    let data = match metric.data.as_ref().expect("data") {
        Data::Gauge(gauge) => format!("gauge {}", numbers(&gauge.data_points)),
        Data::Sum(sum) => {
            assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true), "cumulative, and only grows");
            format!("sum {}", numbers(&sum.data_points))
        }
        Data::Histogram(histogram) => {
            assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
            let [point] = &histogram.data_points[..] else { panic!("{histogram:?}") };
            let exemplars: Vec<_> =
                point.exemplars.iter().map(|exemplar| (exemplar.trace_id[0], exemplar.value)).collect();
            format!(
                "histogram {} {:?} {:?} {:?} {exemplars:?}",
                point.count, point.sum, point.explicit_bounds, point.bucket_counts
            )
        }
        Data::ExponentialHistogram(histogram) => {
            assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
            let [point] = &histogram.data_points[..] else { panic!("{histogram:?}") };
            let positive = point.positive.as_ref().expect("buckets");
            let buckets: Vec<_> =
                (positive.offset..).zip(&positive.bucket_counts).filter(|(_, count)| **count > 0).collect();
            format!(
                "exponential {} {:?} scale {} zero {} {buckets:?}",
                point.count, point.sum, point.scale, point.zero_count
            )
        }
        Data::Summary(summary) => panic!("{summary:?}"),
    };
    format!("{} [{}] {}: {data}", metric.name, metric.unit, metric.description)
}

async fn every_kind(protocol: PushProtocol, exponential: bool) -> Vec<String> {
    let (collector, mut taken) = collector(&[]);
    let (address, _served) = collector.serve(protocol, "127.0.0.1:0").await;
    let metrics = filled();
    let push = start(PushConfig { gzip: true, exponential, ..config(protocol, &address) }, &metrics);
    end(push).await;
    let (headers, request) = taken.next().await;
    assert_eq!(headers["x-tenant"], "futura");
    let [of_resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    let resource = of_resource.resource.as_ref().expect("a resource");
    assert_eq!(resource.attributes[0].key, "service.name");
    let [of_scope] = &of_resource.scope_metrics[..] else { panic!("{request:?}") };
    assert_eq!(of_scope.scope.as_ref().expect("a scope").name, "futura-metrics");
    of_scope.metrics.iter().map(tell).collect()
}

#[tokio::test]
async fn every_kind_arrives_with_its_values_over_http() {
    let told = every_kind(PushProtocol::Http, false).await;
    insta::assert_snapshot!(told.join("\n"), @r#"
    busy_seconds_total [s] Busy time.: sum 1.5
    calls_total [] Calls.: sum label=Ada 3; label=Grace 1
    futura_metrics_folded_total [] Times that a value became `_other`, because its label had as many values as it may.: sum metric=calls_total label=label 0
    futura_metrics_pushes_total [] Pushes of all metrics to a collector over OTLP, by outcome.: sum outcome=taken 0; outcome=failed 0
    room_bytes [By] Room.: gauge 2.5
    wait_seconds [s] Waiting time.: histogram 5 Some(3.95) [0.25, 1.0] [3, 1, 1] [(7, Some(AsDouble(0.2)))]
    orders_total [] Orders.: sum city=Rome, "Via" 4.0
    queue [] Queue.: gauge -2.0
    size [] Size.: histogram 4 Some(60.5) [1.0, 10.0] [1, 2, 1] []
    build_info [] Build.: gauge version=1 1.0
    "#);
}

#[tokio::test]
async fn every_kind_arrives_the_same_over_every_protocol_and_with_native_buckets() {
    let classic = every_kind(PushProtocol::Http, false).await;
    for (_, protocol) in PROTOCOLS {
        let native = every_kind(*protocol, true).await;
        assert_eq!(native.len(), classic.len());
        let differ: Vec<_> = native.iter().filter(|told| !classic.contains(told)).map(String::as_str).collect();
        // There are eight buckets to each doubling: number -17 ends at 2^(-16/8), which is 0.25.
        assert_eq!(
            differ,
            [
                "wait_seconds [s] Waiting time.: exponential 5 Some(3.95) scale 3 zero 1 [(-19, 1), (-17, 1), (-9, 1), (12, 1)]"
            ]
        );
    }
}

#[tokio::test]
async fn it_pushes_once_an_interval() {
    let (collector, mut taken) = collector(&[]);
    let (address, _served) = collector.serve(PushProtocol::Http, "127.0.0.1:0").await;
    let metrics = Metrics::new();
    let calls = metrics.counters(CALLS_TOTAL).expect("a free name");
    let interval = Duration::from_millis(20);
    let push = start(PushConfig { interval, ..config(PushProtocol::Http, &address) }, &metrics);
    let mut last = 0;
    for _ in 0..3 {
        calls.with(("Ada",)).inc();
        let metrics = taken.metrics().await;
        // A push may have been made before it was counted.
        let Some(metric) = metrics.iter().find(|metric| metric.name == "calls_total") else { continue };
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
        let time = sum.data_points[0].time_unix_nano;
        assert!(time > last, "each tells of its own time");
        last = time;
    }
    end(push).await;
}

#[tokio::test]
async fn a_collector_that_is_back_gets_all() {
    for (_, protocol) in PROTOCOLS.iter().copied() {
        let (address, metrics) = (closed_port(), Metrics::new());
        let calls = metrics.counters(CALLS_TOTAL).expect("a free name");
        let push = start(PushConfig { interval: Duration::from_millis(10), ..config(protocol, &address) }, &metrics);
        let failed = async {
            while sample(&metrics, "futura_metrics_pushes_total", [("outcome", "failed")]) < 2.0 {
                calls.with(("Ada",)).inc();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, failed).await.expect("it fails, and again");
        let (collector, mut taken) = collector(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]);
        let (_, _served) = collector.serve(protocol, &address).await;
        // One that was read before the last call was counted may arrive first.
        let all = format!("calls_total [] Calls.: sum label=Ada {}", calls.with(("Ada",)).get());
        let arrived = async { while !taken.metrics().await.iter().any(|metric| tell(metric) == all) {} };
        timeout(PATIENCE, arrived).await.expect("all that was counted while it was away");
        end(push).await;
        assert!(sample(&metrics, "futura_metrics_pushes_total", [("outcome", "taken")]) >= 1.0);
    }
}

#[tokio::test]
async fn a_refusal_is_counted_and_what_is_left_out_is_no_failure() {
    let (mut collector, mut taken) = collector(&[StatusCode::BAD_REQUEST]);
    collector.left_out = 3;
    let (address, _served) = collector.serve(PushProtocol::Http, "127.0.0.1:0").await;
    let metrics = Metrics::new();
    let interval = Duration::from_millis(10);
    let push = start(PushConfig { interval, ..config(PushProtocol::Http, &address) }, &metrics);
    taken.next().await;
    end(push).await;
    assert_eq!(sample(&metrics, "futura_metrics_pushes_total", [("outcome", "failed")]), 1.0);
    assert!(sample(&metrics, "futura_metrics_pushes_total", [("outcome", "taken")]) >= 1.0);
}

#[tokio::test]
async fn the_end_waits_for_no_collector_that_hangs() {
    // It takes connections, as the kernel does, and never reads.
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    for (_, protocol) in PROTOCOLS.iter().copied() {
        let metrics = Metrics::new();
        let hangs = PushConfig { timeout: NEVER, push_timeout: NEVER, ..config(protocol, &address) };
        let push = start(PushConfig { interval: Duration::from_millis(1), ..hangs }, &metrics);
        let ended = tokio::task::spawn_blocking(move || push.end(Duration::from_millis(50)).wait());
        timeout(PATIENCE, ended).await.expect("it ends").expect("no panic");
    }
}

#[tokio::test]
async fn many_series_go_in_several_requests() {
    let (collector, mut taken) = collector(&[]);
    let (address, _served) = collector.serve(PushProtocol::Http, "127.0.0.1:0").await;
    let metrics = Metrics::new();
    let calls = metrics.counters(CALLS_TOTAL).expect("a free name");
    for number in 0..2_500 {
        calls.declare((&number.to_string(),)).add(number);
    }
    end(start(config(PushProtocol::Http, &address), &metrics)).await;
    let (mut requests, mut counted) = (0, Vec::new());
    while let Ok((_, request)) = taken.0.try_recv() {
        requests += 1;
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        for sum in metrics.iter().filter(|metric| metric.name == "calls_total") {
            let Some(Data::Sum(sum)) = &sum.data else { panic!("{sum:?}") };
            assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
            counted.extend(sum.data_points.iter().filter_map(|point| match point.value {
                Some(number_data_point::Value::AsInt(value)) => Some(value),
                _ => None,
            }));
        }
    }
    assert_eq!(counted, (0..2_500).collect::<Vec<_>>(), "each once");
    assert_eq!(requests, 3);
}

#[test]
fn a_change_is_told_once_and_a_failure_followed_up_soon() {
    let metrics = Metrics::new();
    let mut worker = Worker {
        config: PushConfig { interval: Duration::from_secs(5), ..config(PushProtocol::Http, "127.0.0.1:4318") },
        resource: (&Resource::builder_empty().build()).into(),
        start: now(),
        pushes: metrics.counters(METRICS_PUSHES_TOTAL).expect("a free name"),
        metrics,
        state: State::Fine,
        failures: 0,
    };
    let failed = |after: Option<u64>| -> Outcome {
        Err(SendError::NotNow { reason: "away".to_owned(), retry_after: after.map(Duration::from_secs) })
    };
    let outcomes = [
        (Ok(None), 5),
        (failed(None), 1),
        (failed(None), 2),
        (failed(None), 4),
        (failed(None), 5),
        (failed(Some(1)), 5),
        (failed(Some(90)), 90),
        (failed(Some(1_000_000)), 3_600),
        (Err(SendError::Refused("wrong".to_owned())), 5),
        (Ok(None), 5),
        (Ok(None), 5),
        (Ok(Some("3 points".to_owned())), 5),
        (Ok(Some("4 points".to_owned())), 5),
        (Ok(None), 5),
        (failed(None), 1),
    ];
    let log = Arc::<Mutex<Vec<u8>>>::default();
    let writer = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
    let subscriber = subscriber.with_writer(move || Written(Arc::clone(&writer))).finish();
    tracing::subscriber::with_default(subscriber, || {
        for (number, (outcome, secs)) in outcomes.iter().enumerate() {
            assert_eq!(worker.settle(outcome), Duration::from_secs(*secs), "outcome {number}");
        }
    });
    let log = String::from_utf8(log.lock().expect("no panic").clone()).expect("text");
    insta::assert_snapshot!(log, @r#"
     WARN metrics cannot be pushed; what they count is kept, and told later error=away
     INFO metrics are pushed again
     WARN the collector leaves metrics out that were pushed left_out="3 points"
     INFO metrics are pushed again
     WARN metrics cannot be pushed; what they count is kept, and told later error=away
    "#);
}

/// A log in memory.
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
