//! What a peer makes up: a million requests and label values leave memory flat, and what is declared is counted exactly.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::Response,
    routing::any,
};
use fastrand::Rng;
use futura_metrics::{
    Metrics,
    exposition::Format,
    http::HttpLayer,
    label, process,
    spec::{CounterSpec, Unit},
    specs::http::{Method, UNMATCHED},
    storage::{FAMILY_LIMIT, OPEN_LABEL_LIMIT},
    testing::sample,
};
use http::StatusCode;
use http_body_util::BodyExt;
use tower::{Layer, Service};

label! {
    /// Who asks, as it says itself.
    pub enum Guest: "guest";
}

label! {
    /// Where from, as it says itself.
    pub enum Origin: "origin";
}

const FORGERIES: usize = 1_000_000;
/// Enough for every series that there may be to exist.
const WARM_UP: usize = 100_000;
/// The most that memory may grow: far below the hundred bytes that keeping a trace of each would take.
const GROWTH_BYTES: f64 = 8.0 * 1_048_576.0;
const ROUTES: [&str; 2] = ["/events/{id}", "/status/{code}"];

/// Requests by method, route and status.
type Ledger = BTreeMap<(String, String, String), u64>;

/// Plays `forge` to warm up and then a million times, and checks how much memory grew meanwhile.
#[expect(clippy::print_stderr, reason = "the figures are what one runs it for")]
fn assert_flat(what: &str, mut forge: impl FnMut()) {
    let metrics = Metrics::new();
    process::register(&metrics, "forged", None).unwrap();
    let resident = || sample(&metrics, "process_resident_memory_bytes", []);
    (0..WARM_UP).for_each(|_| forge());
    let before = resident();
    (0..FORGERIES).for_each(|_| forge());
    let after = resident();
    let mebibytes = |bytes: f64| bytes / 1_048_576.0;
    eprintln!(
        "{what}: {FORGERIES} forged, resident memory {:.1} MiB before, {:.1} MiB after",
        mebibytes(before),
        mebibytes(after)
    );
    assert!(after - before < GROWTH_BYTES, "{what}: memory grew from {before} to {after} bytes");
}

fn router() -> Router {
    let status = |Path(code): Path<u16>| async move { StatusCode::from_u16(code).unwrap() };
    Router::new().route(ROUTES[0], any(|| async { "an event" })).route(ROUTES[1], any(status))
}

/// A request that a scanner might send, and how it has to be counted.
fn forge(random: &mut Rng) -> (Request, (String, String, String)) {
    let known = Method::ALL[random.usize(..Method::ALL.len())];
    let method = match known {
        Method::Other => format!("FORGED{}", random.u32(..)),
        known => known.as_str().to_owned(),
    };
    let number = random.u64(..);
    let (path, route, status) = match random.u8(..8) {
        0 | 1 => (format!("/events/{number}"), ROUTES[0], 200),
        2 | 3 => {
            let code = random.u16(100..1_000);
            (format!("/status/{code}"), ROUTES[1], code)
        }
        4 => (format!("/wp-login.php?id={number}"), UNMATCHED, 404),
        5 => (format!("/events/{number}/%00/..%2f{}", "a/".repeat(random.usize(..200))), UNMATCHED, 404),
        6 => (format!("//{number}"), UNMATCHED, 404),
        _ => (format!("/{number:x}/%C3%A9"), UNMATCHED, 404),
    };
    let request = Request::builder().method(&*method).uri(path).header("host", format!("host-{number}.example.com"));
    // HTTP knows the statuses up to 599.
    let status = if status < 600 { status.to_string() } else { "_other".to_owned() };
    (request.body(Body::empty()).unwrap(), (known.as_str().to_owned(), route.to_owned(), status))
}

/// Sends forged requests to one form of the layer, and compares the account.
fn check<S>(what: &str, metrics: &Metrics, mut service: S)
where
    S: Service<Request, Response = Response, Error: std::fmt::Debug>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut random, mut sent) = (Rng::with_seed(7), Ledger::new());
    assert_flat(what, || {
        let (request, counted_as) = forge(&mut random);
        runtime.block_on(async {
            let response = service.call(request).await.unwrap();
            response.into_body().collect().await.unwrap();
        });
        *sent.entry(counted_as).or_default() += 1;
    });
    assert_eq!(sent.values().sum::<u64>(), (WARM_UP + FORGERIES) as u64);
    assert_eq!(counted(metrics), sent);
}

/// What was counted, without the series at zero.
fn counted(metrics: &Metrics) -> Ledger {
    let text = metrics.render(Format::Text);
    let lines = text.lines().filter_map(|line| line.strip_prefix("http_requests_total{")?.split_once("\"} "));
    let lines = lines.filter(|(_, count)| *count != "0");
    let series = lines.map(|(labels, count)| {
        let values: Vec<&str> = labels.split("\",").map(|label| label.split_once("=\"").unwrap().1).collect();
        let [method, path, status] = values[..] else { panic!("not three labels: {labels}") };
        ((method.to_owned(), path.to_owned(), status.to_owned()), count.parse().unwrap())
    });
    series.collect()
}

#[test]
#[ignore = "a million requests take a while: `cargo xtask test forged` runs it"]
fn forged_requests_leave_memory_flat_inside_a_router() {
    let metrics = Metrics::new();
    let service = router().layer(HttpLayer::new(&metrics).unwrap());
    check("inside a router", &metrics, service);
}

#[test]
#[ignore = "a million requests take a while: `cargo xtask test forged` runs it"]
fn forged_requests_leave_memory_flat_around_a_router() {
    let metrics = Metrics::new();
    let layer = HttpLayer::with_routes(&metrics, ROUTES.map(|route| (Method::Get, route))).unwrap();
    let service =
        tower::ServiceExt::map_response(layer.layer(router()), |response: Response<_>| response.map(Body::new));
    check("around a router", &metrics, service);
}

#[test]
#[ignore = "a million label values take a while: `cargo xtask test forged` runs it"]
fn forged_label_values_leave_memory_flat_and_lose_no_count() {
    const CALLS_TOTAL: CounterSpec<(Guest,)> = CounterSpec::new("calls_total", Unit::Count).help("Calls.");
    const VISITS_TOTAL: CounterSpec<(Guest, Origin)> = CounterSpec::new("visits_total", Unit::Count).help("Visits.");
    let metrics = Metrics::new();
    let (calls, visits) = (metrics.counters(CALLS_TOTAL).unwrap(), metrics.counters(VISITS_TOTAL).unwrap());
    let known = calls.declare(("known",)).clone();
    let mut random = Rng::with_seed(7);
    assert_flat("label values", || {
        let (guest, origin) = (random.u64(..).to_string(), format!("\"{}\"\n", random.u32(..500)));
        calls.with((&guest,)).inc();
        visits.with((&guest, &origin)).inc();
        calls.with(("known",)).inc();
    });
    let text = metrics.render(Format::Text);
    let counts = |name: &str| -> Vec<u64> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        lines.map(|(_, count)| count.parse().unwrap()).collect()
    };
    let (calls, visits, played) = (counts("calls_total{"), counts("visits_total{"), (WARM_UP + FORGERIES) as u64);
    assert_eq!((calls.len(), calls.iter().sum()), (OPEN_LABEL_LIMIT + 1, 2 * played));
    assert_eq!(visits.iter().sum::<u64>(), played);
    assert!(visits.len() <= FAMILY_LIMIT + 1, "{}", visits.len());
    assert_eq!(known.get(), played);
}
