use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use futura_metrics::{
    Metrics,
    exposition::{Format, Selection},
    label,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit},
    specs::{
        business::ORDERS_CREATED_TOTAL, http::HTTP_REQUEST_DURATION_SECONDS, resilience::CIRCUIT_BREAKER_FAILURES_TOTAL,
    },
    storage::{FAMILY_LIMIT, OPEN_LABEL_LIMIT, OPEN_VALUE_LIMIT},
    testing::sample,
};
use insta::assert_snapshot;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{
        MetricType,
        counter::Counter,
        histogram::{Histogram, NativeHistogramConfig},
    },
};

label! {
    /// Who calls.
    pub enum Guest: "guest";
}

label! {
    /// Who is called.
    pub enum Host: "host";
}

label! {
    /// What for.
    pub enum Size: "size" { Small => "small", Large => "large" }
}

const CALLS_TOTAL: CounterSpec<(Guest, Size)> = CounterSpec::new("calls_total", Unit::Count).help("Calls.");

#[test]
fn a_name_registers_once() {
    let metrics = Metrics::new();
    metrics.counter(ORDERS_CREATED_TOTAL).unwrap();
    let error = metrics.counter(ORDERS_CREATED_TOTAL).unwrap_err();
    assert_snapshot!(error, @"metric `orders_created_total`: the name is already registered as `orders_created_total`");
}

#[test]
fn a_name_that_another_metric_exposes_as_a_sample_is_taken() {
    let metrics = Metrics::new();
    metrics.histograms(HTTP_REQUEST_DURATION_SECONDS).unwrap();
    let count = GaugeSpec::<()>::new("http_request_duration_seconds_count", Unit::Count).help("Clashes.");
    let error = metrics.gauge(count).unwrap_err();
    assert_snapshot!(error, @"metric `http_request_duration_seconds_count`: the name is already registered as `http_request_duration_seconds`");
}

#[test]
fn metrics_of_the_other_crate_share_one_name_space() {
    let metrics = Metrics::new();
    metrics.counter(ORDERS_CREATED_TOTAL).unwrap();
    let clash = metrics.register_client("orders_created", "Clashes.", Counter::<u64>::default()).unwrap_err();
    assert_snapshot!(clash, @"metric `orders_created`: the name is already registered as `orders_created_total`");
    metrics.register_client("coffees", "Coffees served.", Counter::<u64>::default()).unwrap();
    let again = metrics.register_client("coffees", "Coffees served.", Counter::<u64>::default()).unwrap_err();
    assert_snapshot!(again, @"metric `coffees`: the name is already registered as `coffees`");
    const COFFEES_TOTAL: CounterSpec = CounterSpec::new("coffees_total", Unit::Count).help("Clashes.");
    metrics.counter(COFFEES_TOTAL).unwrap_err();
}

#[test]
fn a_bad_name_is_refused_and_leaves_nothing_behind() {
    let metrics = Metrics::new();
    let error = metrics.register_client("coffees-served", "Coffees.", Counter::<u64>::default()).unwrap_err();
    assert_snapshot!(error, @"metric `coffees-served`: a name is letters, digits, `_` and `:`, and does not start with a digit");
    assert_eq!(metrics.render(Format::Text), "");
}

#[test]
fn a_metric_of_the_other_crate_that_cannot_be_written_is_refused_and_takes_no_other_with_it() {
    let metrics = Metrics::new();
    let native = Histogram::new_native(NativeHistogramConfig::default());
    let error = metrics.register_client("queue_seconds", "Queueing.", native).unwrap_err();
    assert_snapshot!(error, @"metric `queue_seconds`: it cannot be written as text; a native histogram needs classic buckets as well");
    let broken = Arc::new(AtomicBool::new(false));
    metrics.register_client("broken", "Breaks later.", Breakable(Arc::clone(&broken))).unwrap();
    metrics.register_client("coffees", "Coffees served.", Counter::<u64>::default()).unwrap();
    broken.store(true, Relaxed);
    assert_snapshot!(metrics.render(Format::OpenMetrics), @r"
    # HELP coffees Coffees served.
    # TYPE coffees counter
    coffees_total 0
    # EOF
    ");
}

/// A gauge of the other crate's kind, which cannot be written once it is broken.
#[derive(Debug)]
struct Breakable(Arc<AtomicBool>);

impl EncodeMetric for Breakable {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        if self.0.load(Relaxed) { Err(fmt::Error) } else { encoder.encode_gauge(&1_u32) }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[test]
fn every_series_of_a_closed_label_set_starts_at_zero() {
    let metrics = Metrics::new();
    metrics.counters(CIRCUIT_BREAKER_FAILURES_TOTAL).unwrap();
    assert_snapshot!(metrics.render(Format::Text), @r#"
    # HELP circuit_breaker_failures_total Calls through a circuit breaker that failed.
    # TYPE circuit_breaker_failures_total counter
    circuit_breaker_failures_total{breaker="database"} 0
    circuit_breaker_failures_total{breaker="payment"} 0
    circuit_breaker_failures_total{breaker="redis"} 0
    "#);
}

#[test]
fn newcomers_beyond_the_limit_fold_in_their_label_alone_and_declared_values_never_do() {
    let metrics = Metrics::new();
    let calls = metrics.counters(CALLS_TOTAL).unwrap();
    for number in 0..2 * OPEN_LABEL_LIMIT {
        calls.with((&number.to_string(), Size::Small)).inc();
    }
    calls.declare(("declared late", Size::Small)).inc();
    calls.with(("0", Size::Large)).inc();
    calls.with(("a newcomer", Size::Large)).add(5);
    let text = metrics.render(Format::Text);
    assert_eq!(text.lines().filter(|line| line.starts_with("calls_total{")).count(), OPEN_LABEL_LIMIT + 4);
    for line in [
        "calls_total{guest=\"_other\",size=\"small\"} 1000",
        "calls_total{guest=\"_other\",size=\"large\"} 5",
        "calls_total{guest=\"declared late\",size=\"small\"} 1",
        "calls_total{guest=\"0\",size=\"large\"} 1",
        "futura_metrics_folded_total{metric=\"calls_total\",label=\"guest\"} 1001",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}");
    }
}

#[test]
fn a_value_that_is_too_long_folds() {
    let metrics = Metrics::new();
    let calls = metrics.counters(CALLS_TOTAL).unwrap();
    let longest = "x".repeat(OPEN_VALUE_LIMIT);
    calls.with((&longest, Size::Small)).inc();
    calls.with((&format!("{longest}x"), Size::Small)).inc();
    assert_eq!(sample(&metrics, "calls_total", [("guest", longest.as_str()), ("size", "small")]), 1.0);
    assert_eq!(sample(&metrics, "calls_total", [("guest", "_other"), ("size", "small")]), 1.0);
}

#[test]
fn what_no_histogram_can_hold_leaves_its_sum_right() {
    let metrics = Metrics::new();
    let spec: HistogramSpec = HistogramSpec::new("weight_bytes", Unit::Bytes, &[1.0, 10.0]).help("Weights.");
    let weight = metrics.histogram(spec).unwrap();
    for value in [2.7, f64::INFINITY, f64::NAN, -1.0, f64::NEG_INFINITY] {
        weight.observe(value);
    }
    assert_eq!(sample(&metrics, "weight_bytes_sum", []), 3.0);
    assert_eq!(sample(&metrics, "weight_bytes_count", []), 1.0);
    weight.observe(f64::MAX);
    assert_eq!(sample(&metrics, "weight_bytes_sum", []), (1_u64 << 60) as f64 + 3.0);
    assert_eq!(sample(&metrics, "weight_bytes_bucket", [("le", "10.0")]), 1.0);
}

#[test]
fn a_removed_series_is_left_out_until_it_is_asked_for_again() {
    let metrics = Metrics::new();
    let calls = metrics.counters(CALLS_TOTAL).unwrap();
    let lines = || {
        let text = metrics.render(Format::Text);
        text.lines().filter(|line| line.starts_with("calls_total") || line.contains("calls_total ")).count()
    };
    calls.with(("Ada", Size::Small)).add(2);
    calls.remove(("Ada", Size::Large));
    assert_eq!(lines(), 3, "help, type and a sample");
    calls.remove(("Ada", Size::Small));
    assert_eq!(lines(), 0, "a family without series leaves no trace");
    assert!(!String::from_utf8_lossy(&metrics.render_protobuf(&Selection::all())).contains("Ada"));
    calls.declare(("Ada", Size::Small)).inc();
    assert!(metrics.render(Format::Text).contains("\ncalls_total{guest=\"Ada\",size=\"small\"} 3\n"));
}

#[test]
fn several_open_labels_cannot_multiply_beyond_the_limit_of_the_family() {
    const PAIRS_TOTAL: CounterSpec<(Guest, Host)> = CounterSpec::new("pairs_total", Unit::Count).help("Pairs.");
    let metrics = Metrics::new();
    let pairs = metrics.counters(PAIRS_TOTAL).unwrap();
    for number in 0..3 * FAMILY_LIMIT {
        pairs.with((&(number % 500).to_string(), &(number / 500).to_string())).inc();
    }
    let text = metrics.render(Format::Text);
    assert_eq!(text.lines().filter(|line| line.starts_with("pairs_total{")).count(), FAMILY_LIMIT + 1);
    assert!(text.contains("\npairs_total{guest=\"_other\",host=\"_other\"} 20000\n"));
}

#[test]
fn collectors_run_before_each_scrape() {
    const SCRAPES: GaugeSpec = GaugeSpec::new("scrapes", Unit::Count).help("Scrapes so far.");
    let metrics = Metrics::new();
    let scrapes = metrics.gauge(SCRAPES).unwrap();
    metrics.on_scrape(move || scrapes.inc());
    metrics.render(Format::Text);
    assert!(metrics.render(Format::Text).ends_with("\nscrapes 2\n"));
}
