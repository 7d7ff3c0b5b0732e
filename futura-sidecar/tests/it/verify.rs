//! `verify`: what it says of a Prometheus that answers this and that, and of the real one.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output, Stdio},
    time::Duration,
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futura_alert_rules::Site;
use insta::assert_snapshot;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::{
    net::TcpListener,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use url::form_urlencoded;

use crate::{exporter::closed_port, sentry::PATIENCE};

/// Says of every query that it has three series.
async fn well(form: String) -> Response {
    let result = match parameter(&form, "start") {
        Some(_) => json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "0"], [2, "3"]]}]}),
        None => json!({"resultType": "vector", "result": [{"metric": {}, "value": [1, "3"]}]}),
    };
    Json(json!({"status": "success", "data": result})).into_response()
}

/// Says of some queries otherwise.
async fn answer(form: String) -> Response {
    let query = parameter(&form, "query").expect("a query");
    // Nothing of `redis_up` was ever scraped; of MongoDB's connections others than those that are asked for.
    if query.contains("redis_up") || query.contains("mongodb_ss_connections{") {
        let result = json!({"resultType": "vector", "result": []});
        return Json(json!({"status": "success", "data": result})).into_response();
    }
    if query.contains("tickets_active_total") {
        let error = json!({"status": "error", "errorType": "execution", "error": "too many samples"});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(error)).into_response();
    }
    if query.contains("stripe_webhook_failures_total") {
        sleep(PATIENCE).await;
    }
    well(form).await
}

fn parameter(form: &str, name: &str) -> Option<String> {
    let found = form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn prometheus() -> SocketAddr {
    serve(Router::new().route("/prefix/api/v1/query", post(answer)).route("/prefix/api/v1/query_range", post(answer)))
        .await
}

/// A client for what tests ask themselves.
pub(crate) fn client() -> Client {
    // A test before this one may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().expect("a client")
}

async fn verify(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
    command.env_clear().args(["verify", "--prometheus", url]).args(arguments);
    spawn_blocking(move || command.output().expect("the binary")).await.expect("no panic")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn what_has_no_data_fails_or_is_slow_is_told_with_its_reason() {
    let url = format!("http://{}/prefix/", prometheus().await);
    // What never answers is slow whatever the limit; all else is not.
    let patient = ["--slow", "20s", "--timeout", "3s"];
    let output = verify(&url, &patient).await;
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let told = |name: &str| {
        let mut lines = text.lines().skip_while(|line| !line.contains(name));
        let first = lines.next().unwrap_or_default().split(" within ").next().unwrap_or_default();
        format!("{first}\n{}", lines.next().unwrap_or_default())
    };
    assert_snapshot!(told("rule RedisDown"), @"
    no data  rule RedisDown: no series of `redis_up`
             min(redis_up)
    ");
    assert_snapshot!(told("rule MongoDBConnectionIssues"), @r#"
    no data  rule MongoDBConnectionIssues: none of the 3 series of `mongodb_ss_connections` is `mongodb_ss_connections{conn_type="available"}`
             min by (instance) (mongodb_ss_connections{conn_type="available"})
    "#);
    assert_snapshot!(told("rule WebhookDeliveryFailures"), @"
    slow     rule WebhookDeliveryFailures: no answer
             sum(rate(stripe_webhook_failures_total[5m]))
    ");
    assert_snapshot!(told("panel Active Tickets"), @"
    error    panel Active Tickets of futuratickets-overview: too many samples
             max(tickets_active_total)
    ");
    assert!(!text.contains("HighErrorRate"), "{text}");
    let summary = stderr(&output);
    assert!(summary.contains(" queries: ") && !summary.contains(" 0 "), "{summary}");
}

#[tokio::test]
async fn what_is_skipped_is_not_asked_and_without_findings_all_is_well() {
    let url = format!("http://{}", serve(Router::new().fallback(well)).await);
    let count = async |arguments: &[&str]| {
        let output = verify(&url, &[&["--slow", "30s"], arguments].concat()).await;
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output) + &stderr(&output));
        let text = stdout(&output);
        let queries = text.strip_suffix(" queries: 0 without data, 0 failed, 0 slow\n");
        queries.and_then(|queries| queries.parse::<usize>().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let all = count(&[]).await;
    assert_eq!(count(&["--skip", "HighErrorRate"]).await, all - 1);
    assert!(count(&["--skip", "futuratickets-overview", "--skip", "RedisDown"]).await < all - 2);

    let unknown = verify(&url, &["--skip", "Nothing"]).await;
    assert_eq!(unknown.status.code(), Some(64));
    assert_snapshot!(stderr(&unknown), @"--skip Nothing: no alert, dashboard or panel is called so");
}

#[tokio::test]
async fn every_query_is_a_line_of_json_on_demand() {
    let url = format!("http://{}/prefix", prometheus().await);
    let output = verify(&url, &["--json", "--timeout", "3s", "--skip", "WebhookDeliveryFailures"]).await;
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let of = |name: &str| lines.iter().find(|line| line["name"] == name).expect("a line");
    let without = |name: &str| {
        let mut line = of(name).clone();
        let took = line.as_object_mut().expect("an object").remove("seconds");
        assert!(took.is_some_and(|took| took.is_f64()));
        line.to_string()
    };
    assert_snapshot!(without("RedisDown"), @r#"{"answer":"no_data","detail":"no series of `redis_up`","kind":"rule","name":"RedisDown","query":"min(redis_up)","slow":false}"#);
    assert_snapshot!(without("Active Tickets"), @r#"{"answer":"error","dashboard":"futuratickets-overview","detail":"too many samples","kind":"panel","name":"Active Tickets","query":"max(tickets_active_total)","slow":false}"#);
    assert_snapshot!(without("HighErrorRate"), @r#"{"answer":"data","detail":3,"kind":"rule","name":"HighErrorRate","query":"sum by (service) (rate(http_requests_total{status=~\"5..\"}[5m]))","slow":false}"#);
}

#[tokio::test]
async fn what_is_no_prometheus_cannot_be_asked() {
    let code_and_text = async |url: &str, arguments: &[&str]| {
        let output = verify(url, arguments).await;
        (output.status.code(), stderr(&output).replace(url, "URL"))
    };
    let nobody = format!("http://{}", closed_port());
    let (code, text) = code_and_text(&nobody, &[]).await;
    assert_eq!(code, Some(69));
    assert!(text.starts_with("`URL/api/v1/query` cannot be asked: ") && text.contains("Connection refused"), "{text}");

    let page =
        serve(Router::new().fallback(get(async || "<html>hello</html>").post(async || "<html>hello</html>"))).await;
    let (code, text) = code_and_text(&format!("http://{page}"), &[]).await;
    assert_eq!(code, Some(69));
    assert_snapshot!(text, @"`URL/api/v1/query` answered what this API does not: <html>hello</html>");

    let closed = serve(Router::new().fallback(async || (StatusCode::UNAUTHORIZED, ""))).await;
    let (code, text) = code_and_text(&format!("http://{closed}"), &[]).await;
    assert_eq!(code, Some(69));
    assert_snapshot!(text, @"`URL/api/v1/query` answered 401 Unauthorized: give --bearer-token-file, or --user and --password-file");

    let secret = ["--bearer-token-file", "/no/such/file"];
    assert_eq!(code_and_text(&format!("http://{page}"), &secret).await.0, Some(64));
    for wrong in ["ftp://localhost", "http://user:password@localhost", "localhost"] {
        assert_eq!(code_and_text(wrong, &[]).await.0, Some(64), "{wrong}");
    }
}

#[tokio::test]
async fn secrets_are_read_from_files() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("secret");
    fs::write(&file, "hunter2\n").expect("a file");
    let guarded = |expected: &'static str| {
        let check = async move |headers: HeaderMap, form: String| {
            let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            if given == expected { answer(form).await } else { StatusCode::FORBIDDEN.into_response() }
        };
        Router::new().fallback(check)
    };
    let file = file.display().to_string();
    let skip = ["--skip", "futuratickets-overview", "--timeout", "3s"];
    for (expected, access) in [
        ("Bearer hunter2", vec!["--bearer-token-file", &file]),
        ("Basic YWRhOmh1bnRlcjI=", vec!["--user", "ada", "--password-file", &file]),
    ] {
        let url = format!("http://{}", serve(guarded(expected)).await);
        let output = verify(&url, &[&access[..], &skip].concat()).await;
        // Some queries have no data, and yet all could be asked.
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let output = verify(&url, &skip).await;
        assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    }
}

/// The real Prometheus takes every query, and finds the data of what it scrapes.
#[tokio::test]
async fn prometheus_takes_every_query() {
    let folder = tempdir().expect("a folder");
    let page = "# TYPE redis_up gauge\nredis_up 1\n# TYPE http_requests_total counter\n\
                http_requests_total{method=\"GET\",path=\"/\",status=\"500\"} 3\n";
    let target = serve(Router::new().route("/metrics", get(async move || page))).await;
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: test\n  static_configs:\n  \
         - {{ targets: [\"{target}\"], labels: {{ service: test }} }}\n"
    );
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, config).expect("a file");
    let listen = closed_port();
    let mut command = tokio::process::Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg(format!("--web.listen-address={listen}")).kill_on_drop(true);
    let Ok(_prometheus) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        eprintln!("prometheus is not installed");
        return;
    };
    let url = format!("http://{listen}");
    let scraped = async {
        let client = client();
        let ask = format!("{url}/api/v1/query?query=count_over_time(redis_up%5B1m%5D)%20%3E%202");
        loop {
            let answer = client.get(&ask).send().await;
            if let Ok(answer) = answer
                && answer.text().await.is_ok_and(|text| text.contains("\"value\""))
            {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, scraped).await.expect("Prometheus scrapes");
    let output = verify(&url, &["--json", "--slow", "30s"]).await;
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), futura_sidecar::questions(&Site::default()).len(), "{}", stderr(&output));
    let failed: Vec<_> = lines.iter().filter(|line| line["answer"] == "error").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let of = |name: &str| lines.iter().find(|line| line["name"] == name).expect("a line");
    assert_eq!(of("RedisDown")["answer"], "data");
    assert_eq!(of("HighErrorRate")["answer"], "data");
    assert_eq!(of("PodDown")["detail"], "no series of `kube_pod_status_phase`");
}
