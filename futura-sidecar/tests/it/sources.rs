//! Errors from other places than SDKs, and what the page shows of all of them.

use futura_metrics::exposition::Format;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    forward::{ANY, Running, is_written, provider},
    sentry::{Sentry, wait_until},
    status,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_spool_limits_and_the_last_errors() {
    provider();
    let limited = (429, vec![("x-sentry-rate-limits", "3600:error:organization"), ("retry-after", "3600")]);
    let (sentry, spool) = (Sentry::new([limited]), tempdir().expect("a folder"));
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    assert!(status::get(&running.page, "/errors").await.contains("None was accepted"));
    let event =
        "{\"level\":\"fatal\",\"exception\":{\"values\":[{\"type\":\"<script>\",\"value\":\"password=hunter2\"}]}}";
    let url = format!("http://{}/api/shop/store/", running.errors);
    let sent = reqwest::Client::new().post(url).body(event).send().await.expect("an answer");
    assert_eq!(sent.status(), 200);
    wait_until("the limit", || is_written(spool.path())).await;
    let page = status::get(&running.page, "/errors").await;
    for part in
        ["! limited", "<dt>Limited</dt><dd>error, for ", "1 of 10000 envelopes", "&lt;script&gt;: ", "shop", "fatal"]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("hunter2") && !page.contains("<script>:"), "{page}");
    assert!(status::get(&running.page, "/").await.contains("<a href=\"/errors\">"));
    let json = status::get(&running.page, "/api/v1/errors").await;
    let json: Value = serde_json::from_str(json.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
    assert_eq!(json["upstreams"][0]["limits"][0]["category"], "error");
    assert_eq!((&json["last_errors"][0]["level"], &json["scrubbed"]), (&json!("fatal"), &json!(1)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_goes_down_is_an_event_and_its_end_a_note_in_the_same_issue() {
    provider();
    let (sentry, spool) = (Sentry::default(), tempdir().expect("a folder"));
    let target = std::net::TcpListener::bind(ANY).expect("a port");
    let address = target.local_addr().expect("an address");
    let text = format!(
        "listen: 127.0.0.1:0\nhistory: {0}/history\nchecks: [{{ name: shop, kind: tcp, target: \"{address}\", interval: 100ms, timeout: 100ms }}]\n\
         errors: {{ listen: \"127.0.0.1:0\", spool: {0}, checks: true, upstream: \"http://public@{1}/42\" }}",
        spool.path().display(),
        sentry.listen(ANY).await
    );
    let running = Running::of(&text).await;
    wait_until("a success", || {
        running.metrics.render(Format::Text).contains("check_success{check=\"shop\",kind=\"tcp\"} 1")
    })
    .await;
    drop(target);
    sentry.wait_for(1).await;
    // A restart tells of no check twice.
    running.stop().await;
    let running = Running::of(&text).await;
    wait_until("a known one", || running.has("error_envelopes_rejected_total{reason=\"duplicate\"} 1")).await;
    let _target = std::net::TcpListener::bind(address).expect("the port");
    sentry.wait_for(2).await;
    running.stop().await;
    let events: Vec<Value> = sentry
        .taken()
        .iter()
        .map(|items| serde_json::from_str(items.lines().nth(1).expect("an event")).expect("JSON"))
        .collect();
    let told: Vec<_> = events
        .iter()
        .map(|event| format!("{} {} {}", event["level"], event["logentry"]["formatted"], event["tags"]["check.reason"]))
        .collect();
    assert!(told[0].starts_with("\"error\" \"the check `shop` is down: connect: "), "{told:?}");
    assert_eq!(told[1], "\"info\" \"resolved: the check `shop` is up again\" \"connect\"");
    assert_eq!((told.len(), &events[0]["fingerprint"]), (2, &events[1]["fingerprint"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn error_lines_of_a_log_are_events_once_over_restarts_and_rotations() {
    provider();
    let (sentry, folder) = (Sentry::default(), tempdir().expect("a folder"));
    let log = folder.path().join("shop.log");
    let write = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&log).expect("a file");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("a disk");
    };
    write("ERROR before the sidecar was there\n");
    let spool = folder.path().join("spool");
    let more = format!("logs: [{{ path: \"{}\" }}]", folder.path().join("*.log").display());
    let upstream = sentry.listen(ANY).await;
    let running = Running::start(&spool, Some(upstream), &more).await;
    wait_until("a look", || running.has("error_log_files 1")).await;
    write(
        "INFO fine\nERROR one\nTraceback (most recent call last):\n  File \"a.py\"\nValueError: no seat\nINFO fine\n",
    );
    sentry.wait_for(1).await;
    write("ERROR two\n");
    sentry.wait_for(2).await;
    running.stop().await;
    write("ERROR three, while nobody looked\n");
    let running = Running::start(&spool, Some(upstream), &more).await;
    sentry.wait_for(3).await;
    write("ERROR four, and renamed\n");
    std::fs::rename(&log, folder.path().join("shop.log.1")).expect("a file");
    write("ERROR five, in a new file\n");
    sentry.wait_for(5).await;
    std::fs::write(&log, "ERROR six\n").expect("a file");
    sentry.wait_for(6).await;
    running.stop().await;
    let told: Vec<_> = sentry
        .taken()
        .iter()
        .map(|items| serde_json::from_str::<Value>(items.lines().nth(1).expect("an event")).expect("JSON"))
        .map(|event| event["logentry"]["formatted"].as_str().expect("text").to_owned())
        .collect();
    let mut told: Vec<_> = told.iter().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "ERROR five, in a new file",
            "ERROR four, and renamed",
            "ERROR one",
            "ERROR six",
            "ERROR three, while nobody looked",
            "ERROR two"
        ]
    );
}
