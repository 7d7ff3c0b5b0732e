use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    body::{Bytes, to_bytes},
    response::{IntoResponse, Sse},
};
use futura_metrics::{Metrics, admin::Readiness, specs::checks::Reason};
use futures_util::StreamExt;
use http::{HeaderMap, Request, StatusCode, request::Builder};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use serde_json::{Value, from_str, json};
use tower::ServiceExt;

use super::{
    Status,
    live::{self, Topic},
    routes,
};
use crate::{
    board::Board,
    checks::ChecksMetrics,
    config::Config,
    network::{Failure, Network, Trace},
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
    let board = Board::new(&config, registered, network, None).expect("a client");
    let checks = board.checks();
    let begin = SystemTime::now() - Duration::from_secs(100);
    let time = |second| begin + Duration::from_secs(second);
    let failure = Failure::new(Reason::Tls, "<img src=x onerror=\"alert('1')\"> & more");
    for second in 0..100 {
        checks[0].record(time(second), Duration::from_millis(second), None, &Trace::default());
        checks[1].record(time(second), Duration::from_millis(5), (second >= 98).then_some(&failure), &Trace::default());
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
    let card = |name| at(&format!("<h3><a href=\"/checks/{name}\">{name}</a></h3>"));
    assert!(card("down") < card("new") && card("new") < card("up"));
    at("<span class=\"whole\">98 % in 24 h</span>, <span class=\"whole\">98 % in 7 d</span>");
    at("<strong>tls</strong>, &lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt; &amp; more");
    at("not yet; the first is within 60 min");
    at("Latency of the last 60 runs, at most 99 ms; 0 failed");
    at("tcp [::1]:1, every 60 min, within 2 s");
    assert!(!html.contains("<img") && !html.contains("secret"), "{html}");
    let content = get("/?fragment=true").await.2;
    assert!(content.starts_with("<p class=\"verdict down\"") && !content.contains("<script"), "{content}");
}

#[tokio::test]
async fn a_check_has_a_page_of_its_own() {
    let (status, _, html) = get("/checks/down").await;
    assert_eq!(status, StatusCode::OK);
    for text in [
        "<title>down: down · Futura sidecar</title>",
        "<main id=\"content\" data-events=\"/events?check=down\">",
        "2 of 100 runs failed in 30 days",
        "✕ tls</td>",
        "action=\"/api/v1/checks/down/pause?for=1h\"",
    ] {
        assert!(html.contains(text), "{text} is not in\n{html}");
    }
    assert!(!html.contains("<img") && !html.contains("secret"), "{html}");
    assert!(get("/checks/down?fragment=true").await.2.starts_with("<p><a href=\"/\">"));
    assert!(get("/checks/new").await.2.contains("0 of 0 runs failed"));
    assert_eq!(get("/checks/gone").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn badges_tell_of_state_and_uptime() {
    let (status, headers, svg) = get("/checks/down/badge.svg").await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"image/svg+xml".parse().expect("a header")));
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("aria-label=\"down: down\""), "{svg}");
    assert!(get("/checks/down/badge.svg?uptime=7d").await.2.contains("aria-label=\"down 7d: 98 %\""));
    assert!(get("/checks/new/badge.svg?uptime=30d").await.2.contains("no runs"));
    assert_eq!(get("/checks/down/badge.svg?uptime=1y").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get("/checks/gone/badge.svg").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_is_let_in_by_its_policy_and_brings_nothing_from_elsewhere() {
    let (_, headers, html) = get("/").await;
    let policy = headers["content-security-policy"].to_str().expect("text");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    for element in ["style", "script"] {
        assert!(html.contains(&format!("<{element} nonce=\"{nonce}\">")), "{policy}\n{html}");
    }
    assert_eq!(html.matches("<script").count(), 1, "{html}");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!html.contains("style=\"") && !html.contains("src=\"") && !html.contains("href=\"http"), "{html}");
    let (_, other, _) = get("/").await;
    assert_ne!(headers["content-security-policy"], other["content-security-policy"]);
    for path in ["/", "/api/v1/checks", "/metrics", "/nowhere"] {
        let (_, headers, _) = get(path).await;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "same-origin", "own forms are to say where they are from");
        assert!(headers["content-security-policy"].to_str().expect("text").starts_with("default-src 'none'"), "{path}");
    }
}

#[tokio::test]
async fn a_page_without_scripts_renews_itself() {
    assert!(get("/").await.2.contains("<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>"));
}

#[tokio::test]
async fn the_api_tells_the_same() {
    let (status, headers, text) = get("/api/v1/checks").await;
    assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"application/json".parse().expect("a header")));
    let mut body: Value = from_str(&text).expect("JSON");
    let mut checks: Vec<Value> = body["checks"].take().as_array().expect("a list").clone();
    assert_eq!(checks[1]["recent"].as_array().map(Vec::len), Some(60));
    let down = checks.remove(1);
    let failed = &down["recent"][59];
    assert_eq!((&failed["duration_seconds"], &failed["reason"]), (&json!(0.005), &json!("tls")));
    let (since, ended) = (&down["recent"][58]["ended_at"], &failed["ended_at"]);
    let mut told = down.clone();
    told.as_object_mut().expect("an object").remove("recent");
    assert_eq!(
        told,
        json!({
            "name": "down",
            "kind": "http",
            "target": "http://h/%3Cscript%3E",
            "interval_seconds": 60.0,
            "timeout_seconds": 0.5,
            "state": "down",
            "suspended": null,
            "since": since,
            "uptime_ratio": { "24h": 0.98, "7d": 0.98, "30d": 0.98 },
            "certificate_expires_at": null,
            "last_run": failed,
            "phases": [],
            "steps": [],
            "last_failure": {
                "ended_at": ended,
                "reason": "tls",
                "message": "<img src=x onerror=\"alert('1')\"> & more",
                "phases": [],
            },
        })
    );
    let new = &checks[1];
    assert_eq!((&new["state"], &new["last_run"], &new["uptime_ratio"]), (&json!("pending"), &Value::Null, &json!({})));
    assert_eq!(body["errors"], Value::Null);
    let detail: Value = from_str(&get("/api/v1/checks/down").await.2).expect("JSON");
    let lengths = ["recent", "results", "days"].map(|key| detail[key].as_array().map(Vec::len));
    assert_eq!(lengths, [Some(60), Some(100), Some(30)]);
    assert_eq!(get("/api/v1/checks/gone").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn open_pages_are_told_what_changes() {
    let metrics = Metrics::new();
    let (_, board) = board(&metrics);
    let status = Arc::new(Status::new(Arc::clone(&board), None));
    let feed = |topic: Topic| {
        let permit = Arc::clone(&status.feeds).try_acquire_owned().expect("a place");
        let events = live::stream(Arc::clone(&status), topic, permit);
        Sse::new(events).into_response().into_body().into_data_stream()
    };
    let (mut all, mut one) = (feed(Topic::Checks), feed(Topic::Check("up".to_owned())));
    let now = SystemTime::now() + Duration::from_secs(1);
    board.checks()[0].record(now, Duration::from_millis(7), None, &Trace::default());
    let text = |bytes: Option<Result<Bytes, _>>| String::from_utf8(bytes.expect("an event").expect("bytes").to_vec());
    let card = text(all.next().await).expect("text");
    assert!(card.starts_with("event: card\ndata: {\"name\":\"up\",\"html\":\"<article"), "{card}");
    assert_eq!(text(one.next().await).expect("text"), "event: page\ndata: anew\n\n");
    board.checks()[0].pause(None);
    assert_eq!(text(all.next().await).expect("text"), "event: page\ndata: anew\n\n");
}

#[tokio::test]
async fn what_changes_something_is_not_taken_from_pages_of_other_sites() {
    for path in ["/-/drain", "/-/undrain", "/-/reload", "/api/v1/checks/up/pause", "/api/v1/checks/up/resume"] {
        for (site, refused) in [("cross-site", true), ("same-site", true), ("same-origin", false), ("none", false)] {
            let (status, ..) = ask(Request::post(path).header("sec-fetch-site", site)).await;
            assert_eq!(status == StatusCode::FORBIDDEN, refused, "{path} {site} {status}");
        }
        for (origin, refused) in [
            ("http://10.0.0.5:9469", false),
            ("https://10.0.0.5:9469", false),
            ("http://10.0.0.5", true),
            ("http://10.0.0.5:80", true),
            ("http://evil.example:9469", true),
            ("http://10.0.0.5:9469.evil.example", true),
            ("null", true),
            ("", true),
        ] {
            let request = Request::post(path).header("host", "10.0.0.5:9469").header("origin", origin);
            let (status, ..) = ask(request).await;
            assert_eq!(status == StatusCode::FORBIDDEN, refused, "{path} {origin} {status}");
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
    let browser = Request::post("/api/v1/checks/up/pause").header("accept", "text/html,*/*;q=0.8");
    let (status, headers, _) = ask(browser).await;
    assert_eq!((status, &headers["location"]), (StatusCode::SEE_OTHER, &"/checks/up".parse().expect("a header")));
}
