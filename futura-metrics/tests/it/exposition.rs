use std::time::Duration;

use futura_metrics::{
    Metrics,
    exposition::Format,
    label,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit},
    specs::business::{ORDERS_CREATED_TOTAL, TICKETS_ACTIVE_TOTAL},
    storage::SpanRef,
};
use insta::assert_snapshot;
use prometheus_client::metrics::{
    counter, exemplar::CounterWithExemplar, family::Family, gauge, histogram, info::Info,
};

label! {
    /// Who asks.
    pub enum Guest: "guest";
}

const CALLS_TOTAL: CounterSpec<(Guest,)> = CounterSpec::new("calls_total", Unit::Count).help("Calls \\ by\nguest.");
const WAIT_SECONDS: HistogramSpec<(Guest,)> =
    HistogramSpec::new("wait_seconds", Unit::Seconds, &[0.25, 1.0, 2.5]).help("Waiting time.");
const LOAD_RATIO: GaugeSpec = GaugeSpec::new("load_ratio", Unit::Ratio).help("Load.");
const BUSY_SECONDS_TOTAL: CounterSpec = CounterSpec::new("busy_seconds_total", Unit::Seconds).help("Busy time.");

fn filled() -> Metrics {
    let metrics = Metrics::new();
    metrics.counter(ORDERS_CREATED_TOTAL).unwrap().add(3);
    metrics.gauge(TICKETS_ACTIVE_TOTAL).unwrap().set(7.0);
    metrics.gauge(LOAD_RATIO).unwrap().set(0.1);
    metrics.counter(BUSY_SECONDS_TOTAL).unwrap().add_duration(Duration::from_millis(1_500));
    metrics.counters(CALLS_TOTAL).unwrap().with(("a \"quoted\"\nback\\slash",)).inc();
    let wait = metrics.histograms(WAIT_SECONDS).unwrap().with(("Ada",)).clone();
    for seconds in [0.1, 0.25, 1.5, 100.0, -1.0, f64::NAN] {
        wait.observe(seconds);
    }
    metrics
}

#[test]
fn text_names_a_counter_with_its_suffix_and_escapes_help_and_values() {
    assert_snapshot!(filled().render(Format::Text), @r#"
    # HELP busy_seconds_total Busy time.
    # TYPE busy_seconds_total counter
    busy_seconds_total 1.5
    # HELP calls_total Calls \\ by\nguest.
    # TYPE calls_total counter
    calls_total{guest="a \"quoted\"\nback\\slash"} 1
    # HELP futura_metrics_folded_total Times that a value became `_other`, because its label had as many values as it may.
    # TYPE futura_metrics_folded_total counter
    futura_metrics_folded_total{metric="calls_total",label="guest"} 0
    futura_metrics_folded_total{metric="wait_seconds",label="guest"} 0
    # HELP load_ratio Load.
    # TYPE load_ratio gauge
    load_ratio 0.1
    # HELP orders_created_total Orders created.
    # TYPE orders_created_total counter
    orders_created_total 3
    # HELP tickets_active_total Tickets that are issued and valid now.
    # TYPE tickets_active_total untyped
    tickets_active_total 7
    # HELP wait_seconds Waiting time.
    # TYPE wait_seconds histogram
    wait_seconds_bucket{guest="Ada",le="0.25"} 2
    wait_seconds_bucket{guest="Ada",le="1.0"} 2
    wait_seconds_bucket{guest="Ada",le="2.5"} 3
    wait_seconds_bucket{guest="Ada",le="+Inf"} 4
    wait_seconds_sum{guest="Ada"} 101.85
    wait_seconds_count{guest="Ada"} 4
    "#);
}

#[test]
fn openmetrics_names_the_family_without_the_suffix_and_ends_with_eof() {
    let text = filled().render(Format::OpenMetrics);
    assert!(text.contains("# TYPE orders_created counter\norders_created_total 3\n"), "{text}");
    assert!(text.contains("# TYPE tickets_active_total unknown\n"), "{text}");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn openmetrics_tells_units_and_escapes_quotes_in_help_where_text_does_neither() {
    const SHARE_RATIO: GaugeSpec = GaugeSpec::new("share_ratio", Unit::Ratio).help("The \"share\".");
    let metrics = Metrics::new();
    metrics.gauge(SHARE_RATIO).unwrap();
    metrics.register_client("seats", "The \"seats\".", gauge::Gauge::<i64>::default()).unwrap();
    let (text, open) = (metrics.render(Format::Text), metrics.render(Format::OpenMetrics));
    assert!(text.contains("# HELP share_ratio The \"share\".\n# TYPE share_ratio gauge\nshare_ratio 0\n"), "{text}");
    assert!(text.contains("# HELP seats The \"seats\".\n"), "{text}");
    let head = "# HELP share_ratio The \\\"share\\\".\n# TYPE share_ratio gauge\n# UNIT share_ratio ratio\n";
    assert!(open.contains(head) && open.contains("# HELP seats The \\\"seats\\\".\n"), "{open}");
}

#[test]
fn an_exemplar_stands_in_its_bucket_in_openmetrics_alone() {
    let metrics = Metrics::new();
    let wait = metrics.histograms(WAIT_SECONDS).unwrap().with(("Ada",)).clone();
    let (trace_id, span_id) = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128, 0xb7ad_6b71_6920_3331_u64);
    let span = SpanRef { trace_id: trace_id.to_be_bytes(), span_id: span_id.to_be_bytes() };
    wait.observe_duration_in(Duration::from_millis(600), Some(span));
    wait.observe_duration_in(Duration::from_millis(700), None);
    let line = "wait_seconds_bucket{guest=\"Ada\",le=\"1.0\"} 2";
    let exemplar = " # {trace_id=\"0af7651916cd43dd8448eb211c80319c\",span_id=\"b7ad6b7169203331\"} 0.6 ";
    // The time follows.
    assert!(metrics.render(Format::OpenMetrics).contains(&format!("\n{line}{exemplar}")));
    assert!(metrics.render(Format::Text).contains(&format!("\n{line}\n")));
}

#[test]
fn metrics_of_the_other_crate_leave_in_both_formats() {
    let metrics = Metrics::new();
    let coffees = Family::<Vec<(String, String)>, counter::Counter>::default();
    coffees.get_or_create(&vec![("size".to_owned(), "# {large}".to_owned())]).inc();
    let traced = CounterWithExemplar::<Vec<(String, String)>>::default();
    traced.inc_by(2, Some(vec![("trace_id".to_owned(), "abc".to_owned())]), None);
    let seats = gauge::Gauge::<i64>::default();
    seats.set(-4);
    let queue = histogram::Histogram::new([1.0]);
    queue.observe(0.5);
    metrics.register_client("coffees", "Coffees\nserved.", coffees).unwrap();
    metrics.register_client("traced", "Calls with a trace", traced).unwrap();
    metrics.register_client("seats", "Seats", seats).unwrap();
    metrics.register_client("queue_seconds", "Queueing", queue).unwrap();
    metrics.register_client("bean", "The bean", Info::new(vec![("kind", "arabica")])).unwrap();
    assert_snapshot!(metrics.render(Format::Text), @r##"
    # HELP coffees_total Coffees\nserved.
    # TYPE coffees_total counter
    coffees_total{size="# {large}"} 1
    # HELP traced_total Calls with a trace.
    # TYPE traced_total counter
    traced_total 2
    # HELP seats Seats.
    # TYPE seats gauge
    seats -4
    # HELP queue_seconds Queueing.
    # TYPE queue_seconds histogram
    queue_seconds_sum 0.5
    queue_seconds_count 1
    queue_seconds_bucket{le="1.0"} 1
    queue_seconds_bucket{le="+Inf"} 1
    # HELP bean_info The bean.
    # TYPE bean_info gauge
    bean_info{kind="arabica"} 1
    "##);
    assert_snapshot!(metrics.render(Format::OpenMetrics), @r##"
    # HELP coffees Coffees\nserved.
    # TYPE coffees counter
    coffees_total{size="# {large}"} 1
    # HELP traced Calls with a trace.
    # TYPE traced counter
    traced_total 2 # {trace_id="abc"} 2.0
    # HELP seats Seats.
    # TYPE seats gauge
    seats -4
    # HELP queue_seconds Queueing.
    # TYPE queue_seconds histogram
    queue_seconds_sum 0.5
    queue_seconds_count 1
    queue_seconds_bucket{le="1.0"} 1
    queue_seconds_bucket{le="+Inf"} 1
    # HELP bean The bean.
    # TYPE bean info
    bean_info{kind="arabica"} 1
    # EOF
    "##);
}
