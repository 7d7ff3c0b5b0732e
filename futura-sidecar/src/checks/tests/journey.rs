//! What `http` and `journey` send and judge, against a service with a log-in.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{delete, get, post},
};
use rustls::RootCertStore;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Format, Metrics, Reason, check_of, fails, run};

/// What came in, a line each.
type Log = Arc<Mutex<Vec<String>>>;

/// A shop: who logs in has a token and a cookie, and may order.
async fn serve_shop() -> (SocketAddr, Log) {
    let log = Log::default();
    let router = Router::new()
        .route("/health", get(|| async { ([("x-version", "1.2")], Json(json!({ "status": "ok", "pool": [1, 2.0] }))) }))
        .route("/login", post(log_in))
        .route("/orders", post(order))
        .route("/orders/{id}", delete(cancel))
        .route("/slow", get(std::future::pending::<StatusCode>))
        .route("/basic", get(basic))
        .with_state(Arc::clone(&log));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, log)
}

async fn log_in(State(log): State<Log>, body: String) -> impl IntoResponse {
    log.lock().expect("no panic").push(format!("login {body}"));
    ([("set-cookie", "session=s1; Path=/; HttpOnly")], Json(json!({ "token": "t0k", "user": { "id": 7 } })))
}

async fn order(State(log): State<Log>, headers: HeaderMap, body: String) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let line =
        format!("order {body} {} {} {}", header("authorization"), header("cookie"), header("idempotency-key").len());
    log.lock().expect("no panic").push(line);
    (StatusCode::CREATED, [("location", "/orders/42")], "order number 42 taken")
}

async fn cancel(State(log): State<Log>, Path(id): Path<String>) -> StatusCode {
    log.lock().expect("no panic").push(format!("cancel {id}"));
    StatusCode::NO_CONTENT
}

async fn basic(headers: HeaderMap) -> StatusCode {
    match headers.get("authorization").and_then(|value| value.to_str().ok()) {
        // `user:secret`, and a token.
        Some("Basic dXNlcjpzZWNyZXQ=" | "Bearer t0k") => StatusCode::OK,
        _ => StatusCode::UNAUTHORIZED,
    }
}

const STEPS: &str = "
variables: { password: hunter2 }
steps:
- name: login
  method: POST
  url: /login
  body: \"{\\\"password\\\": \\\"{{password}}\\\"}\"
  capture: { token: { json: $.token }, user: { json: $.user.id }, session: { cookie: session } }
- name: order
  method: POST
  url: /orders
  headers: { authorization: \"Bearer {{token}}\", idempotency-key: \"{{run_id}}\" }
  body: \"user {{user}} {{session}}\"
  status: 201
  body_matches: \"number [0-9]+\"
  headers_match: { location: ^/orders/ }
  capture: { order: { matches: \"number ([0-9]+)\" }, place: { header: location } }";

/// A check that is written over several lines, made one line as the others are.
fn journey(address: SocketAddr, keys: &str) -> String {
    let text = format!("kind: journey\nbase_url: http://{address}\n{keys}");
    let value: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let line = serde_json::to_string(&value).expect("JSON");
    line.trim_start_matches('{').trim_end_matches('}').to_owned()
        + &"}".repeat(line.len() - line.trim_end_matches('}').len() - 1)
}

#[tokio::test]
async fn each_step_goes_on_with_what_the_ones_before_captured() {
    let (address, log) = serve_shop().await;
    let cleanup = "\ncleanup: [{ name: cancel, method: DELETE, url: \"{{place}}\", status: 204 }]";
    assert_eq!(run(&journey(address, &format!("{STEPS}{cleanup}"))).await, Ok(()));
    assert_eq!(
        *log.lock().expect("no panic"),
        ["login {\"password\": \"hunter2\"}", "order user 7 s1 Bearer t0k session=s1 36", "cancel 42"]
    );
}

#[tokio::test]
async fn a_journey_cleans_up_what_it_came_to_make() {
    let (address, log) = serve_shop().await;
    let cleanup = "\ncleanup:\n- { name: cancel, method: DELETE, url: \"{{place}}\", status: 204 }\n\
                   - { name: close, method: DELETE, url: \"/orders/{{never}}\", status: 204 }";
    let then = |step: &str| format!("{STEPS}\n{step}{cleanup}");
    let fails_later =
        then("- { name: bad, url: /health, json: { $.status: broken }, capture: { never: { json: $.x } } }");
    fails(
        run(&journey(address, &fails_later)).await,
        Reason::Body,
        "step `bad`: $.status is \"ok\", expected \"broken\"",
    );
    let hangs = then("- { name: hang, url: /slow, capture: { never: { json: $.x } } }") + "\ntimeout: 400ms";
    fails(run(&journey(address, &hangs)).await, Reason::Timeout, "step `hang`: the time for the steps ran out");
    let cancelled = log.lock().expect("no panic").iter().filter(|line| *line == "cancel 42").count();
    assert_eq!(cancelled, 2, "the order is cancelled, and what was never captured is not asked for");
    let unclean =
        format!("{STEPS}\ncleanup: [{{ name: cancel, method: DELETE, url: \"{{{{place}}}}\", status: 200 }}]");
    fails(run(&journey(address, &unclean)).await, Reason::Status, "step `cancel`: status 204");
}

#[tokio::test]
async fn steps_have_series_that_tell_of_the_last_run() {
    let (address, _) = serve_shop().await;
    let metrics = Metrics::new();
    let bad = format!("{STEPS}\n- {{ name: bad, url: /nowhere }}\n- {{ name: after, url: /health }}");
    let check = check_of(&journey(address, &bad), RootCertStore::empty(), &metrics);
    check.run().await;
    let series = |text: &str| metrics.render(Format::Text).lines().any(|line| line.starts_with(text));
    assert!(series("check_step_success{check=\"c\",step=\"login\"} 1"));
    assert!(series("check_step_success{check=\"c\",step=\"bad\"} 0"));
    assert!(series("check_step_last_duration_seconds{check=\"c\",step=\"order\"} "));
    assert!(!series("check_step_success{check=\"c\",step=\"after\"}"), "it was not reached");
}

#[tokio::test]
async fn an_answer_is_judged_by_all_that_is_expected() {
    let (address, _) = serve_shop().await;
    let keys = |path: &str, more: &str| format!("kind: http, url: \"http://{address}{path}\", {more}");
    let right = "headers_match: { content-type: json, x-version: ^1 }, headers_absent: [server], \
                 json: { $.status: ok, \"$.pool[0]\": 1.0, \"$.pool[-1]\": 2 }, json_matches: { $.status: ^o }, \
                 latency_limit: 2s";
    assert_eq!(run(&keys("/health", right)).await, Ok(()));
    for (more, reason, part) in [
        ("headers_match: { x-version: ^2 }", Reason::Header, "`x-version` does not match `^2`"),
        ("headers_match: { x-other: . }", Reason::Header, "`x-other` is missing"),
        ("headers_absent: [X-Version]", Reason::Header, "`x-version` is there"),
        ("json: { $.status: 1 }", Reason::Body, "$.status is \"ok\", expected 1"),
        ("json: { $.gone: null }", Reason::Body, "$.gone is not there"),
        ("json_matches: { \"$.pool[0]\": ^2 }", Reason::Body, "which does not match `^2`"),
        ("latency_limit: 0ms", Reason::Latency, "more than 0ns"),
        ("body_limit_bytes: 5, body_contains: status", Reason::Body, "of 5 bytes"),
    ] {
        fails(run(&keys("/health", more)).await, reason, part);
    }
    fails(run(&keys("/slow", "json: { $.a: 1 }, timeout: 100ms")).await, Reason::Timeout, "first_byte");
    fails(run(&keys("/nowhere", "json: { $.a: 1 }, status: 404")).await, Reason::Body, "no JSON");
}

#[tokio::test]
async fn who_asks_is_told_from_the_configuration_or_a_file() {
    let (address, _) = serve_shop().await;
    let keys = |auth: &str| format!("kind: http, url: \"http://{address}/basic\", authorization: {{ {auth} }}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "secret\n").expect("a file");
    assert_eq!(run(&keys("user: user, password: secret")).await, Ok(()));
    assert_eq!(run(&keys(&format!("user: user, password_file: {}", file.display()))).await, Ok(()));
    assert_eq!(run(&keys("bearer: t0k")).await, Ok(()));
    fails(run(&keys(&format!("bearer_file: {}", file.display()))).await, Reason::Status, "401");
    // It is read anew for each request.
    let check = check_of(&keys(&format!("bearer_file: {}", file.display())), RootCertStore::empty(), &Metrics::new());
    std::fs::write(&file, "t0k\n").expect("a file");
    check.run().await;
    assert!(check.history.state().last_failure.is_none());
    std::fs::remove_file(&file).expect("its own file");
    check.run().await;
    let failure = check.history.state().last_failure.expect("a failure").failure;
    fails(Err(failure), Reason::Auth, "cannot be read");
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_asked_for() {
    let (address, _) = serve_shop().await;
    for (http2, expected) in [("only", Ok(())), ("offer", Ok(())), ("never", Ok(()))] {
        let keys = format!("kind: http, url: \"http://{address}/health\", http2: {http2}, json: {{ $.status: ok }}");
        assert_eq!(run(&keys).await, expected, "{http2}");
    }
}
