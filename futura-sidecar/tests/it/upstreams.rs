//! Envelopes to more than one server: by project, as copies, and while the first one is down.

use std::net::SocketAddr;

use tempfile::tempdir;

use crate::{
    forward::{ANY, Running, is_written, provider},
    sentry::{Sentry, wait_until},
};

fn dsn(address: SocketAddr) -> String {
    format!("http://public@{address}/7")
}

/// A port that nobody listens on.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind(ANY).and_then(|listener| listener.local_addr()).expect("a port")
}

fn taken(sentry: &Sentry) -> Vec<String> {
    let mut ids: Vec<_> = sentry
        .seen()
        .iter()
        .filter(|seen| seen.status == 200)
        .map(|seen| seen.header["event_id"].to_string())
        .collect();
    ids.sort();
    ids
}

fn ids(numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|number| format!("\"{number:032x}\"")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_go_to_their_upstream_and_copies_to_another() {
    provider();
    let (first, web, copies, spool) =
        (Sentry::default(), Sentry::default(), Sentry::default(), tempdir().expect("a folder"));
    let (web_address, copies_address) = (web.listen(ANY).await, copies.listen(ANY).await);
    let more = format!(
        "upstreams: [{{ name: web, dsn: \"{}\", projects: [2, shop] }}, {{ name: own, dsn: \"{}\", copy: true }}]",
        dsn(web_address),
        dsn(copies_address)
    );
    let running = Running::start(spool.path(), Some(first.listen(ANY).await), &more).await;
    for (number, project) in ["1", "2", "shop", "3"].into_iter().enumerate() {
        assert_eq!(running.send_to(project, number, "event").await, 200);
    }
    first.wait_for(2).await;
    web.wait_for(2).await;
    copies.wait_for(4).await;
    assert_eq!((taken(&first), taken(&web), taken(&copies)), (ids(&[0, 3]), ids(&[1, 2]), ids(&[0, 1, 2, 3])));
    // Each gets them under its own name.
    assert!(web.seen().iter().all(|seen| seen.path == "/api/7/envelope/"));
    wait_until("empty spools", || {
        ["default", "web", "own"]
            .iter()
            .all(|name| running.has(&format!("error_spool_envelopes{{upstream=\"{name}\"}} 0")))
    })
    .await;
    assert!(running.has("error_envelopes_forwarded_total{upstream=\"own\"} 4"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_holds_no_other_up_and_gets_its_own_later() {
    provider();
    let (first, copies, spool) = (Sentry::default(), Sentry::default(), tempdir().expect("a folder"));
    let address = closed();
    let more = format!("spool_max_envelopes: 4, upstreams: [{{ name: own, dsn: \"{}\", copy: true }}]", dsn(address));
    let start = async |upstream| Running::start(spool.path(), Some(upstream), &more).await;
    let upstream = first.listen(ANY).await;
    let running = start(upstream).await;
    for number in 0..6 {
        assert_eq!(running.send(number, "event").await, 200);
        first.wait_for(number + 1).await;
        wait_until("it to leave", || running.has("error_spool_envelopes{upstream=\"default\"} 0")).await;
    }
    assert!(running.has("error_spool_envelopes{upstream=\"own\"} 4"));
    assert!(running.has("error_envelopes_rejected_total{reason=\"copy_lost\"} 2"));
    running.stop().await;
    copies.listen(address).await;
    let running = start(upstream).await;
    copies.wait_for(4).await;
    assert_eq!(taken(&copies), ids(&[0, 1, 2, 3]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_the_place_of_an_upstream_that_is_down_until_it_answers() {
    provider();
    let (first, second, spool) = (Sentry::default(), Sentry::default(), tempdir().expect("a folder"));
    let address = closed();
    let more = format!("failover: \"{}\"", dsn(second.listen(ANY).await));
    let running = Running::start(spool.path(), Some(address), &more).await;
    for number in 0..3 {
        assert_eq!(running.send(number, "event").await, 200);
    }
    // The first one is given up after some failures, with pauses between them.
    second.wait_for(3).await;
    assert_eq!(taken(&second), ids(&[0, 1, 2]));
    first.listen(address).await;
    let mut number = 3;
    while first.taken().is_empty() {
        assert_eq!(running.send(number, "event").await, 200);
        number += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    wait_until("an empty spool", || running.has("error_spool_envelopes{upstream=\"default\"} 0")).await;
    let mut all = [taken(&first), taken(&second)].concat();
    all.sort();
    assert_eq!(all, ids(&(0..number).collect::<Vec<_>>()));
    // From then on it is the first one's again.
    let before = second.taken().len();
    assert_eq!(running.send(number, "event").await, 200);
    wait_until("the last", || taken(&first).contains(&ids(&[number])[0])).await;
    assert_eq!(second.taken().len(), before);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_limited_stays_so_over_a_restart() {
    provider();
    let limited = (429, vec![("x-sentry-rate-limits", "3600:error:organization"), ("retry-after", "3600")]);
    let (sentry, spool) = (Sentry::new([limited]), tempdir().expect("a folder"));
    let upstream = sentry.listen(ANY).await;
    let running = Running::start(spool.path(), Some(upstream), "").await;
    assert_eq!(running.send(0, "event").await, 200);
    wait_until("the limit", || is_written(spool.path())).await;
    running.stop().await;
    let running = Running::start(spool.path(), Some(upstream), "").await;
    assert_eq!(running.send(1, "event").await, 200);
    // What is not limited shows that something is sent at all.
    assert_eq!(running.send(2, "transaction").await, 200);
    sentry.wait_for(1).await;
    assert_eq!(taken(&sentry), ids(&[2]));
    running.stop().await;
    assert_eq!(sentry.seen().len(), 2);
    // Another server has not limited anything.
    let other = Sentry::default();
    let running = Running::start(spool.path(), Some(other.listen(ANY).await), "").await;
    other.wait_for(2).await;
    assert_eq!(taken(&other), ids(&[0, 1]));
    running.stop().await;
}

#[test]
fn upstreams_that_cannot_be_are_told() {
    let first = |upstreams: &str| {
        let text = format!("errors: {{ spool: /tmp, upstreams: [{upstreams}] }}");
        let problems = futura_sidecar::Config::parse(&text, |_| None).expect_err(upstreams);
        format!("{}: {}", problems[0].key, problems[0].message)
    };
    for (upstreams, expected) in [
        (
            "{ name: web, dsn: \"http://k@h/1\" }",
            "errors.upstreams[0].projects: upstream `web`: nothing would go there",
        ),
        ("{ name: ../up, dsn: \"http://k@h/1\", copy: true }", "errors.upstreams[0].name: `../up` is no name"),
        ("{ name: default, dsn: \"http://k@h/1\", copy: true }", "errors.upstreams[0].name: `default` is what"),
        ("{ name: a, dsn: \"\", copy: true }", "errors.upstreams[0].dsn: upstream `a`: it is empty"),
        ("{ name: a, dsn: \"http://secret\", copy: true }", "errors.upstreams[0].dsn: upstream `a`: not a DSN"),
        (
            "{ name: a, dsn: \"http://k@h/1\", copy: true }, { name: a, dsn: \"http://k@h/1\", copy: true }",
            "errors.upstreams: two are called `a`",
        ),
        (
            "{ name: a, dsn: \"http://k@h/1\", projects: [2] }, { name: b, dsn: \"http://k@h/1\", projects: [\"2\"] }",
            "errors.upstreams: two take project `2`",
        ),
        ("{ name: a, dsn: \"http://k@127.0.0.1:9470/1\", copy: true }", "errors.upstreams: one of them: it points at"),
    ] {
        let told = first(upstreams);
        assert!(told.starts_with(expected), "{told}");
    }
}
