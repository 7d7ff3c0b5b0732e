use std::{
    io::Read,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use flate2::read::GzDecoder;
use futura_metrics::{
    Metrics,
    admin::{self, Readiness},
    specs::business::{ORDERS_CREATED_TOTAL, PAYMENT_TOTAL},
};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use tower::ServiceExt;

fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
    let request =
        headers.iter().fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

async fn get(router: &Router, uri: &str, headers: &[(&str, &str)]) -> Response {
    router.clone().oneshot(request(uri, headers)).await.unwrap()
}

async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn text(response: Response) -> String {
    String::from_utf8(body(response).await.into()).unwrap()
}

fn admin() -> (Metrics, Router) {
    let metrics = Metrics::new();
    metrics.counter(ORDERS_CREATED_TOTAL).unwrap().add(3);
    metrics.counter(PAYMENT_TOTAL).unwrap();
    metrics.register_client("coffees", "Coffees.", Counter::<u64>::default()).unwrap();
    metrics.register_client("cakes", "Cakes.", Counter::<u64>::default()).unwrap();
    let router = admin::routes(&metrics, &Readiness::default());
    (metrics, router)
}

#[tokio::test]
async fn the_format_follows_accept() {
    let (_, router) = admin();
    let plain = get(&router, "/metrics", &[]).await;
    assert_eq!(plain.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let open = get(&router, "/metrics", &[("accept", "application/openmetrics-text;version=1.0.0")]).await;
    assert_eq!(open.headers()[header::CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text(open).await.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_compressed_answer_unpacks_to_the_plain_one() {
    let (_, router) = admin();
    let uri = "/metrics?name[]=orders_created_total";
    let plain = text(get(&router, uri, &[]).await).await;
    let gzip = get(&router, uri, &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzip.headers()[header::CONTENT_ENCODING], "gzip");
    let mut unpacked = String::new();
    GzDecoder::new(&*body(gzip).await).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);
    let zstd = get(&router, uri, &[("accept-encoding", "gzip, zstd")]).await;
    assert_eq!(zstd.headers()[header::CONTENT_ENCODING], "zstd");
    assert_eq!(zstd::decode_all(&*body(zstd).await).unwrap(), plain.as_bytes());
}

#[tokio::test]
async fn name_leaves_out_every_other_family() {
    let (_, router) = admin();
    let uri = "/metrics?name[]=orders_created_total&name%5B%5D=coffees_total";
    insta::assert_snapshot!(text(get(&router, uri, &[]).await).await, @r"
    # HELP orders_created_total Orders created.
    # TYPE orders_created_total counter
    orders_created_total 3
    # HELP coffees_total Coffees.
    # TYPE coffees_total counter
    coffees_total 0
    ");
}

#[tokio::test]
async fn scrapes_tell_of_themselves() {
    let (_, router) = admin();
    get(&router, "/metrics", &[]).await;
    let second = text(get(&router, "/metrics", &[]).await).await;
    assert!(second.contains("\nfutura_metrics_scrape_duration_seconds_count 1\n"), "{second}");
    assert!(second.contains("\nfutura_metrics_series 6\n"), "{second}");
}

#[tokio::test]
async fn readiness_follows_the_program() {
    let readiness = Readiness::default();
    let router = admin::routes(&Metrics::new(), &readiness);
    assert_eq!(get(&router, "/readyz", &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    readiness.set(true);
    assert_eq!(get(&router, "/readyz", &[]).await.status(), StatusCode::OK);
    assert_eq!(get(&router, "/livez", &[]).await.status(), StatusCode::OK);
}

/// Holds every gathering until it is dropped, and counts them.
struct Held<'a> {
    gatherings: Arc<AtomicUsize>,
    _gate: std::sync::MutexGuard<'a, ()>,
}

fn hold<'a>(metrics: &Metrics, gate: &'a Arc<Mutex<()>>) -> Held<'a> {
    let gatherings = Arc::new(AtomicUsize::new(0));
    let (counted, passed) = (Arc::clone(&gatherings), Arc::clone(gate));
    metrics.on_scrape(move || {
        counted.fetch_add(1, SeqCst);
        drop(passed.lock());
    });
    Held { gatherings, _gate: gate.lock().unwrap() }
}

#[tokio::test]
async fn scrapes_at_the_same_time_share_one_gathering() {
    let (metrics, router) = admin();
    let gate = Arc::default();
    let held = hold(&metrics, &gate);
    let gatherings = Arc::clone(&held.gatherings);
    let mut scrapes: Vec<_> = (0..20).map(|_| Box::pin(get(&router, "/metrics", &[]))).collect();
    for scrape in &mut scrapes {
        assert!(futures_util::poll!(scrape).is_pending());
    }
    drop(held);
    let answers = futures_util::future::join_all(scrapes).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK));
    assert_eq!(gatherings.load(SeqCst), 1);
}

#[tokio::test]
async fn too_many_different_scrapes_are_refused_until_one_has_ended() {
    let (metrics, router) = admin();
    let gate = Arc::default();
    let held = hold(&metrics, &gate);
    let uris: Vec<String> = (0..8).map(|number| format!("/metrics?name[]=metric_{number}")).collect();
    let mut scrapes: Vec<_> = uris.iter().map(|uri| Box::pin(get(&router, uri, &[]))).collect();
    for scrape in &mut scrapes {
        assert!(futures_util::poll!(scrape).is_pending());
    }
    let refused = get(&router, "/metrics", &[]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    drop(held);
    futures_util::future::join_all(scrapes).await;
    let accepted = text(get(&router, "/metrics", &[]).await).await;
    assert!(accepted.contains("\nfutura_metrics_scrapes_refused_total 1\n"), "{accepted}");
}

#[tokio::test]
async fn scrapes_whose_clients_go_away_make_room_again() {
    let (metrics, router) = admin();
    let gate = Arc::default();
    let held = hold(&metrics, &gate);
    for number in 0..8 {
        let uri = format!("/metrics?name[]=metric_{number}");
        let mut gone = Box::pin(get(&router, &uri, &[]));
        assert!(futures_util::poll!(&mut gone).is_pending());
    }
    assert_eq!(get(&router, "/metrics", &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(held);
    let answered = async {
        while get(&router, "/metrics", &[]).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered).await.expect("what nobody waits for ends all the same");
}

#[tokio::test]
async fn a_collector_that_panics_fails_its_scrape_alone() {
    let (metrics, router) = admin();
    let first = Arc::new(AtomicUsize::new(0));
    metrics.on_scrape(move || assert!(first.fetch_add(1, SeqCst) > 0, "the first scrape finds a bug"));
    assert_eq!(get(&router, "/metrics", &[]).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(get(&router, "/metrics", &[]).await.status(), StatusCode::OK);
}
