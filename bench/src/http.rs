//! What a layer adds to a request: a router with one route and a path parameter, bare and behind each layer.

use std::{
    convert::Infallible,
    fmt::Debug,
    hint::black_box,
    sync::{LazyLock, OnceLock},
};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::Uri,
    response::Response,
    routing::get,
};
use axum_otel_metrics::{HttpMetricsLayer, HttpMetricsLayerBuilder};
use axum_prometheus::{PrometheusMetricLayer, metrics_exporter_prometheus::PrometheusHandle};
use futura_metrics::{
    Metrics,
    http::HttpLayer,
    specs::http::{DURATION_BOUNDS, Method},
    telemetry::{self, Telemetry, TelemetryConfig},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use sentry_tower::{NewSentryLayer, SentryHttpLayer};
use tokio::runtime::Builder;
use tower::{Layer, Service, ServiceExt};
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::{DefaultMakeSpan, TraceLayer},
};

use crate::{
    allocations::Allocations,
    harness::{Case, Measurement, Plan, measure, named},
    libraries::opentelemetry,
    table::{Table, number},
    targets::Target,
    work::ROUTE,
};

mod peers;

pub(crate) const GROUP: &str = "http";
pub(crate) const TRACED_GROUP: &str = "traced";
pub(crate) const SENTRY_GROUP: &str = "sentry";

const BARE: &str = "bare router";
const NOOP: &str = "no-op layer, in Router::layer";
const TIMED: &str = "floor: two clock readings and a body, in Router::layer";
const IN_ROUTER: &str = "futura, in Router::layer";
const OUTERMOST: &str = "futura, outermost";
const AXUM_PROMETHEUS: &str = "axum-prometheus";
const TRACE_LAYER: &str = "TraceLayer and axum-prometheus";
const SENTRY_TOWER: &str = "TraceLayer, axum-prometheus and sentry-tower";

/// Nothing listens there; no request of the bench is an error, so nothing is sent.
const DSN: &str = "http://bench@127.0.0.1:9/1";

const TARGET: &str = "/events/42";

/// axum-prometheus records into the one recorder of the process.
static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    // It wants a runtime for the task that takes observations out of the recorder; `drained` does that here.
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing");
    let _entered = runtime.enter();
    PrometheusMetricLayer::pair().1
});

/// What a process has one of; dropping it would end the spans.
static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// Metrics alone.
pub(crate) fn cases() -> Result<Vec<Case>> {
    Ok(vec![
        case(BARE, served(router())),
        case(NOOP, served(router().layer(peers::NoopLayer))),
        case(TIMED, served(peers::timed(router()))),
        case("no-op from_fn, in Router::layer", served(peers::passed(router()))),
        case(IN_ROUTER, served(router().layer(HttpLayer::new(&Metrics::new())?))),
        case(OUTERMOST, outermost(&Metrics::new())?.layer(served(router()))),
        case("futura, outermost by wrap", wrapped(&outermost(&Metrics::new())?)),
        case("prometheus, from_fn by hand", served(peers::with_prometheus(router())?)),
        case("prometheus-client, from_fn by hand", served(peers::with_client(router()))),
        drained(case("metrics, from_fn as axum's example", served(peers::with_metrics(router())))),
        case("axum-otel-metrics", served(router().layer(axum_otel_metrics()))),
        drained(case(AXUM_PROMETHEUS, served(router().layer(axum_prometheus())))),
    ])
}

/// Metrics and a request span, with a subscriber that writes records of `info` and above.
pub(crate) fn traced_cases() -> Result<Vec<Case>> {
    let (telemetry, metrics) = telemetry(None)?;
    Ok(vec![
        case(BARE, served(router())),
        case(IN_ROUTER, served(router().layer(HttpLayer::new(&metrics)?.traced(telemetry)))),
        case(OUTERMOST, outermost(&Metrics::new())?.traced(telemetry).layer(served(router()))),
        drained(case(TRACE_LAYER, served(router().layer(axum_prometheus()).layer(trace_layer())))),
    ])
}

/// The same with a Sentry scope for each request. The subscriber, which also makes each span one of OpenTelemetry's, and
/// Sentry's client are the same for all.
pub(crate) fn sentry_cases() -> Result<Vec<Case>> {
    let (telemetry, metrics) = telemetry(Some(DSN))?;
    let without = router().layer(axum_prometheus()).layer(trace_layer());
    // As the documentation of sentry-tower has it: the layer added last is the outermost.
    let with = without.clone().layer(SentryHttpLayer::new()).layer(NewSentryLayer::<Request>::new_from_top());
    Ok(vec![
        case(BARE, served(router())),
        case(IN_ROUTER, served(router().layer(HttpLayer::new(&metrics)?.traced(telemetry)))),
        case(OUTERMOST, outermost(&Metrics::new())?.traced(telemetry).layer(served(router()))),
        drained(case(TRACE_LAYER, served(without))),
        drained(case(SENTRY_TOWER, served(with))),
    ])
}

pub(crate) fn report(allocations: &Allocations, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let measurements = measure(&cases()?, plan);
    let over = |case: &str| over_bare(&measurements, case);
    let allocated = allocations.of(GROUP, OUTERMOST) - allocations.of(GROUP, BARE);
    let (own, in_router, peer) = (over(OUTERMOST), over(IN_ROUTER), over(AXUM_PROMETHEUS));
    let targets = vec![
        Target::at_most("HTTP layer, outermost: over the bare router", 110.0, " ns", own),
        Target::at_most("the same: allocations", 0.0, "", allocated),
        Target::at_most("the same: of axum-prometheus", 0.1, "×", own / peer),
        Target::at_most("HTTP layer, in Router::layer: of a no-op layer there", 1.5, "×", in_router / over(NOOP)),
        Target::at_most("the same: of axum-prometheus", 0.2, "×", in_router / peer),
    ];
    Ok((table(GROUP, &measurements, AXUM_PROMETHEUS, allocations), targets))
}

pub(crate) fn report_traced(allocations: &Allocations, plan: Plan) -> Result<Table> {
    Ok(table(TRACED_GROUP, &measure(&traced_cases()?, plan), TRACE_LAYER, allocations))
}

pub(crate) fn report_sentry(allocations: &Allocations, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let measurements = measure(&sentry_cases()?, plan);
    let of_peer = |case: &str| over_bare(&measurements, case) / over_bare(&measurements, SENTRY_TOWER);
    let peers = "of TraceLayer, axum-prometheus and sentry-tower";
    let targets = [("outermost", OUTERMOST), ("in Router::layer", IN_ROUTER)].map(|(place, case)| {
        Target::at_most(&format!("metrics, span and Sentry scope, {place}: {peers}"), 0.5, "×", of_peer(case))
    });
    Ok((table(SENTRY_GROUP, &measurements, SENTRY_TOWER, allocations), targets.into()))
}

/// What a case takes longer than the bare router.
fn over_bare(measurements: &[Measurement], case: &str) -> f64 {
    named(measurements, case).alone.over(&named(measurements, BARE).alone).median()
}

fn table(group: &str, measurements: &[Measurement], peer: &str, allocations: &Allocations) -> Table {
    let share = format!("of {peer}");
    let mut table = Table::new(&[
        "case",
        "ns/request",
        "min",
        "over bare",
        "min",
        &share,
        "allocations over bare",
        "2 threads: over bare",
    ]);
    let bare = named(measurements, BARE);
    let peer = over_bare(measurements, peer);
    for case in measurements {
        let over = over_bare(measurements, case.name);
        table.row(
            case.name,
            [
                number(case.alone.median()),
                number(case.alone.min()),
                number(over),
                number(case.alone.min() - bare.alone.min()),
                number(over / peer),
                number(allocations.of(group, case.name) - allocations.of(group, BARE)),
                number(case.contended.median() - bare.contended.median()),
            ],
        );
    }
    table
}

fn router() -> Router {
    Router::new().route(ROUTE, get(|Path(id): Path<String>| async move { id }))
}

/// The router as `axum::serve` prepares it: a router not told that its state is complete makes its layers anew each request.
fn served(router: Router) -> Router {
    router.with_state(())
}

fn outermost(metrics: &Metrics) -> Result<HttpLayer> {
    Ok(HttpLayer::with_routes(metrics, [(Method::Get, ROUTE)])?)
}

/// The service that each connection gets of what `axum::serve` takes.
fn wrapped(
    layer: &HttpLayer,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + use<> {
    let connection = layer.wrap(router()).oneshot(()).now_or_never();
    connection.expect("it waits for nothing").unwrap_or_else(|never: Infallible| match never {})
}

/// Sets up what a process sets up once, and so one group of a process can.
fn telemetry(sentry_dsn: Option<&str>) -> Result<(&'static Telemetry, Metrics)> {
    let lookup = |name: &str| match name {
        "LOG_FORMAT" => Some("json".to_owned()),
        "SENTRY_DSN" => sentry_dsn.map(str::to_owned),
        _ => None,
    };
    let metrics = Metrics::new();
    let telemetry = telemetry::init(&TelemetryConfig::from_lookup("bench", "0.0.0", lookup)?, &metrics)?;
    Ok((TELEMETRY.get_or_init(|| telemetry), metrics))
}

/// A span of the level that is written.
fn trace_layer() -> TraceLayer<SharedClassifier<ServerErrorsAsFailures>> {
    TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().level(tracing::Level::INFO))
}

fn axum_otel_metrics() -> HttpMetricsLayer {
    let builder = HttpMetricsLayerBuilder::new().with_provider(opentelemetry::PROVIDER.clone());
    builder.with_duration_buckets(DURATION_BOUNDS.to_vec()).build()
}

fn axum_prometheus() -> PrometheusMetricLayer<'static> {
    LazyLock::force(&RECORDER);
    PrometheusMetricLayer::new()
}

/// Its recorder keeps every observation until a scrape takes them; here they are taken outside the time.
fn drained(case: Case) -> Case {
    case.settled_by(|| RECORDER.run_upkeep())
}

fn case<S, B>(name: &'static str, service: S) -> Case
where
    S: Service<Request, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    B: http_body::Body<Error: Debug>,
{
    Case::new(name, move |_| {
        black_box(answer(service.clone()));
    })
}

/// One request, its response read to the end.
fn answer<S, B>(service: S) -> bytes::Bytes
where
    S: Service<Request, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error: Debug>,
{
    let exchange = async {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from_static(TARGET);
        let response = service.oneshot(request).await.unwrap_or_else(|never| match never {});
        let body = response.into_body().collect().await;
        body.expect("the body is in memory").to_bytes()
    };
    exchange.now_or_never().expect("neither the router nor a layer waits for anything")
}
