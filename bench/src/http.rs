//! What a layer adds to a request: a router with one route and a path parameter, bare and behind each layer.

use std::{convert::Infallible, fmt::Debug, hint::black_box, sync::LazyLock};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::Uri,
    response::Response,
    routing::get,
};
use axum_prometheus::{PrometheusMetricLayer, metrics_exporter_prometheus::PrometheusHandle};
use futura_metrics::{
    Metrics,
    http::HttpLayer,
    specs::http::Method,
    telemetry::{self, TelemetryConfig},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::runtime::Builder;
use tower::{Layer, Service, ServiceExt};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};

use crate::{
    allocations::Allocations,
    harness::{Case, Measurement, Plan, measure, named},
    table::{Table, number},
};

mod peers;

pub(crate) const GROUP: &str = "http";
pub(crate) const TRACED_GROUP: &str = "traced";

const BARE: &str = "bare router";
const AXUM_PROMETHEUS: &str = "axum-prometheus";
const TRACE_LAYER: &str = "TraceLayer and axum-prometheus";

const ROUTE: &str = "/events/{id}";
const TARGET: &str = "/events/42";

/// axum-prometheus records into the one recorder of the process.
static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    // It wants a runtime for the task that takes observations out of the recorder; `drained` does that here.
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing");
    let _entered = runtime.enter();
    PrometheusMetricLayer::pair().1
});

/// Metrics alone.
pub(crate) fn cases() -> Result<Vec<Case>> {
    Ok(vec![
        case(BARE, served(router())),
        case("no-op layer, in Router::layer", served(router().layer(peers::NoopLayer))),
        case("no-op from_fn, in Router::layer", served(peers::passed(router()))),
        case("futura, in Router::layer", served(router().layer(HttpLayer::new(&Metrics::new())?))),
        case("futura, outermost", outermost(&Metrics::new())?.layer(served(router()))),
        case("futura, outermost by wrap", wrapped(&outermost(&Metrics::new())?)),
        case("prometheus-client, from_fn by hand", served(peers::measured_by_hand(router()))),
        drained(case(AXUM_PROMETHEUS, served(router().layer(axum_prometheus())))),
    ])
}

/// Metrics and a request span, with a subscriber that writes records of `info` and above.
///
/// The subscriber is the process's, so this group runs last.
pub(crate) fn traced_cases() -> Result<Vec<Case>> {
    let json = |name: &str| (name == "LOG_FORMAT").then(|| "json".to_owned());
    let metrics = Metrics::new();
    let telemetry = telemetry::init(&TelemetryConfig::from_lookup("bench", "0.0.0", json)?, &metrics)?;
    let spans = TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().level(tracing::Level::INFO));
    Ok(vec![
        case(BARE, served(router())),
        case("futura, in Router::layer", served(router().layer(HttpLayer::new(&metrics)?.traced(&telemetry)))),
        case("futura, outermost", outermost(&Metrics::new())?.traced(&telemetry).layer(served(router()))),
        drained(case(TRACE_LAYER, served(router().layer(axum_prometheus()).layer(spans)))),
    ])
}

pub(crate) fn report(allocations: &Allocations, plan: Plan) -> Result<Table> {
    Ok(table(GROUP, &measure(&cases()?, plan), AXUM_PROMETHEUS, allocations))
}

pub(crate) fn report_traced(allocations: &Allocations, plan: Plan) -> Result<Table> {
    Ok(table(TRACED_GROUP, &measure(&traced_cases()?, plan), TRACE_LAYER, allocations))
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
    let peer = named(measurements, peer).alone.over(&bare.alone).median();
    for case in measurements {
        let over = case.alone.over(&bare.alone).median();
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
