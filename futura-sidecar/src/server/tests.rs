use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::body::to_bytes;
use futura_metrics::{Metrics, admin::Readiness, specs::checks::Reason};
use http::{HeaderMap, Request, StatusCode, request::Builder};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use serde_json::{Value, from_str, json};
use tower::ServiceExt;

use super::{Status, routes};
use crate::{
    board::Board,
    checks::ChecksMetrics,
    config::Config,
    network::{Failure, Network},
    probe::{Probes, ProbesConfig},
    reload::Reloader,
};

struct NoResolver;

impl Resolve for NoResolver {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Err("no such name".into()) })
    }
}

/// Three checks: one up, one down for a hostile reason, one that has not run.
fn board(metrics: &Metrics) -> (Config, Arc<Board>) {
    let config = Config::parse(
        "checks:
- { name: up, kind: tcp, target: \"db:5432\" }
- { name: down, kind: http, url: \"http://h/<script>?token=secret\", interval: 1m, timeout: 500ms }
- { name: new, kind: tcp, target: \"[::1]:1\", interval: 1h }",
        |_| None,
    );
    let network = Network::new(Arc::new(NoResolver), RootCertStore::empty());
    let registered = ChecksMetrics::register(metrics).expect("free names");
    let config = config.expect("valid");
    let board = Board::new(&config, registered, network).expect("a client");
    let checks = board.checks();
    let time = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
    let failure = Failure::new(Reason::Tls, "<img src=x onerror=\"alert('1')\"> & more");
    for second in 0..100 {
        checks[0].record(time(second), Duration::from_millis(second), None);
        checks[1].record(time(second), Duration::from_millis(5), (second >= 98).then_some(&failure));
    }
    (config, board)
}

async fn get(path: &str) -> (StatusCode, HeaderMap, String) {
    ask(Request::get(path)).await
}

async fn ask(request: Builder) -> (StatusCode, HeaderMap, String) {
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let (config, board) = board(&metrics);
    let probes =
        Probes::new(ProbesConfig::default(), &config.modules, Network::system(), &metrics).expect("free names");
    let reloader = Reloader::new(config, Arc::clone(&board), probes, &metrics).expect("free names");
    let status = Status::new(board, None);
    let request = request.body(axum::body::Body::empty()).expect("a request");
    let response = routes(status, reloader, &metrics, &readiness).oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1_000_000).await.expect("a body");
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_page_tells_what_is_down_first_and_escapes_everything() {
    let (status, headers, html) = get("/").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().expect("a header"))
    );
    assert!(html.contains("<title>✕ 1 of 3 checks down · Futura sidecar</title>"), "{html}");
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is not in\n{html}"));
    assert!(at("<h3>down</h3>") < at("<h3>new</h3>") && at("<h3>new</h3>") < at("<h3>up</h3>"));
    at("98 % of the last 100 runs");
    at("<strong>tls</strong>, &lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt; &amp; more");
    at("not yet; the first is within 60 min");
    at("Latency of the last 60 runs, at most 99 ms; 0 failed");
    at("tcp [::1]:1, every 60 min, within 2 s");
    assert!(!html.contains("<img") && !html.contains("<script") && !html.contains("secret"), "{html}");
}

#[tokio::test]
async fn the_page_is_let_in_by_its_policy_and_brings_nothing_from_elsewhere() {
    let (_, headers, html) = get("/").await;
    let policy = headers["content-security-policy"].to_str().expect("text");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert!(html.contains(&format!("<style nonce=\"{nonce}\">")), "{policy}\n{html}");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!html.contains("style=\"") && !html.contains("src=\"") && !html.contains("href=\"http"), "{html}");
    let (_, other, _) = get("/").await;
    assert_ne!(headers["content-security-policy"], other["content-security-policy"]);
    for path in ["/", "/api/v1/checks", "/metrics", "/nowhere"] {
        let (_, headers, _) = get(path).await;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(headers["content-security-policy"].to_str().expect("text").starts_with("default-src 'none'"), "{path}");
    }
}

#[tokio::test]
async fn the_page_renews_itself_unless_told_not_to() {
    assert!(get("/").await.2.contains("http-equiv=\"refresh\" content=\"15\""));
    assert!(!get("/?refresh=off").await.2.contains("http-equiv=\"refresh\""));
}

#[tokio::test]
async fn the_api_tells_the_same() {
    let (status, headers, text) = get("/api/v1/checks").await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().expect("a header")));
    let mut body: Value = from_str(&text).expect("JSON");
    let mut checks: Vec<Value> = body["checks"].take().as_array().expect("a list").clone();
    assert_eq!(checks[1]["recent"].as_array().map(Vec::len), Some(60));
    checks[1]["recent"] = json!([]);
    assert_eq!(
        checks[1],
        json!({
            "name": "down",
            "kind": "http",
            "target": "http://h/%3Cscript%3E",
            "interval_seconds": 60.0,
            "timeout_seconds": 0.5,
            "state": "down",
            "suspended": null,
            "since": "2023-11-14T22:14:58Z",
            "uptime_ratio": 0.98,
            "results": 100,
            "last_run": { "ended_at": "2023-11-14T22:14:59Z", "duration_seconds": 0.005, "reason": "tls" },
            "last_failure": {
                "ended_at": "2023-11-14T22:14:59Z",
                "reason": "tls",
                "message": "<img src=x onerror=\"alert('1')\"> & more",
            },
            "recent": [],
        })
    );
    assert_eq!(
        (&checks[2]["state"], &checks[2]["last_run"], &checks[2]["uptime_ratio"]),
        (&json!("pending"), &Value::Null, &Value::Null)
    );
    assert_eq!(body["errors"], Value::Null);
}

#[tokio::test]
async fn what_changes_something_is_not_taken_from_pages_of_other_sites() {
    for path in ["/-/drain", "/-/reload", "/api/v1/checks/up/pause", "/api/v1/checks/up/resume"] {
        for (site, refused) in [("cross-site", true), ("same-site", true), ("same-origin", false), ("none", false)] {
            let (status, ..) = ask(Request::post(path).header("sec-fetch-site", site)).await;
            assert_eq!(status == StatusCode::FORBIDDEN, refused, "{path} {site} {status}");
        }
        assert_eq!(get(path).await.0, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    for (path, status, part) in [
        ("/api/v1/checks/up/pause?for=1h", StatusCode::OK, "`up` is paused"),
        ("/api/v1/checks/up/pause?for=1", StatusCode::BAD_REQUEST, "has no unit"),
        ("/api/v1/checks/gone/pause", StatusCode::NOT_FOUND, "no check `gone`"),
        ("/api/v1/checks/up/resume", StatusCode::OK, "runs again"),
        ("/-/drain", StatusCode::OK, "suspended"),
    ] {
        let (answered, _, text) = ask(Request::post(path)).await;
        assert_eq!(answered, status, "{path}: {text}");
        assert!(text.contains(part), "{path}: {text}");
    }
}
