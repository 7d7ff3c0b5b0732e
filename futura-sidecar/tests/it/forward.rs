//! Envelopes through a whole sidecar to a server, and what becomes of them when the server does not behave.

use std::{net::SocketAddr, path::Path, time::Duration};

use futura_metrics::{
    Metrics,
    admin::Readiness,
    exposition::Format,
    shutdown::{Drained, Shutdown, ShutdownConfig},
};
use futura_sidecar::{Address, Config, Sidecar};
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use crate::sentry::{Answer, Sentry, wait_until};

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// One envelope that is being received.
const IN_FLIGHT: &str = "http_requests_in_flight{method=\"POST\",path=\"/api/{project}/envelope/\"} 1";

/// A sidecar that runs.
pub(crate) struct Running {
    pub(crate) page: String,
    pub(crate) errors: SocketAddr,
    pub(crate) metrics: Metrics,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(spool: &Path, upstream: Option<SocketAddr>, more: &str) -> Self {
        let upstream = upstream.map_or(String::new(), |address| format!("http://public@{address}/42"));
        let text = format!(
            "listen: 127.0.0.1:0\nerrors: {{ listen: \"127.0.0.1:0\", upstream: \"{upstream}\", spool: \"{}\", {more} }}",
            spool.display()
        );
        Self::of(&text).await
    }

    /// One with this configuration, whose addresses are free ones.
    pub(crate) async fn of(text: &str) -> Self {
        let config = Config::parse(text, |_| None).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        let (metrics, readiness) = (Metrics::new(), Readiness::default());
        let sidecar = Sidecar::bind(config, &metrics, &readiness).await.expect("free ports");
        let page = sidecar.address().to_string();
        let Some(Address::Tcp(errors)) = sidecar.errors_address().cloned() else { panic!("no address") };
        let (stop, stopped) = oneshot::channel();
        let limits = ShutdownConfig { drain_delay: Duration::ZERO, grace: Duration::from_secs(20) };
        let shutdown = Shutdown::new(limits, readiness);
        let done = tokio::spawn(async move { sidecar.run(&shutdown, async { drop(stopped.await) }).await });
        Self { page, errors, metrics, stop, done }
    }

    pub(crate) async fn send(&self, number: usize, kind: &str) -> u16 {
        self.send_to("1", number, kind).await
    }

    /// Sends as an application of this project does.
    pub(crate) async fn send_to(&self, project: &str, number: usize, kind: &str) -> u16 {
        let envelope = format!(
            "{{\"event_id\":\"{number:032x}\",\"dsn\":\"http://app@127.0.0.1/1\",\"trace\":{{\"public_key\":\"app\"}}}}\n{}",
            items(number, kind)
        );
        let url = format!("http://{}/api/{project}/envelope/", self.errors);
        reqwest::Client::new().post(url).body(envelope).send().await.expect("an answer").status().as_u16()
    }

    #[track_caller]
    pub(crate) fn has(&self, series: &str) -> bool {
        self.metrics.render(Format::Text).lines().any(|line| line == series)
    }

    pub(crate) async fn stop(self) -> Drained {
        self.stop.send(()).expect("it runs");
        let drained = self.done.await.expect("no panic");
        balances(&self.metrics);
        drained
    }
}

/// Whether the sidecar has written down a limit of errors.
pub(crate) fn is_written(spool: &Path) -> bool {
    std::fs::read_to_string(spool.join("limits")).is_ok_and(|text| text.contains("\"error\""))
}

/// What was received or recovered is forwarded, dropped or in the spool.
fn balances(metrics: &Metrics) {
    let text = metrics.render(Format::Text);
    let sum = |name: &str| -> u64 {
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a number");
        text.lines().filter(of_name).map(value).sum()
    };
    let [received, recovered, forwarded, dropped, held] = [
        "error_envelopes_received_total",
        "error_envelopes_recovered_total",
        "error_envelopes_forwarded_total",
        "error_envelopes_dropped_total",
        "error_spool_envelopes",
    ]
    .map(sum);
    assert_eq!(received + recovered, forwarded + dropped + held, "{text}");
}

fn items(number: usize, kind: &str) -> String {
    format!("{{\"type\":\"{kind}\"}}\n{{\"message\":\"{number}\"}}\n")
}

/// What was taken: several are on their way at once, and so may overtake each other.
fn sorted(sentry: &Sentry) -> Vec<String> {
    let mut taken = sentry.taken();
    taken.sort_by_key(|items| {
        items.trim_end().chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().ok()
    });
    taken
}

fn events(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| items(number, "event")).collect()
}

/// Sends envelopes 0 to `count` through a sidecar to a server that answers so, and waits until it took `taken`.
async fn through(answers: Vec<Answer>, count: usize, taken: usize) -> (Sentry, Running, TempDir) {
    provider();
    let (sentry, spool) = (Sentry::new(answers), tempdir().expect("a folder"));
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    for number in 0..count {
        assert_eq!(running.send(number, "event").await, 200);
    }
    sentry.wait_for(taken).await;
    wait_until("an empty spool", || running.has("error_spool_envelopes{upstream=\"default\"} 0")).await;
    (sentry, running, spool)
}

/// The client of the tests finds its TLS provider as a program does.
pub(crate) fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_arrive_in_order_under_the_upstreams_name() {
    let (sentry, running, _spool) = through(vec![], 5, 5).await;
    assert_eq!(sorted(&sentry), events(0..5));
    let seen = &sentry.seen()[0];
    assert_eq!(seen.path, "/api/42/envelope/");
    assert!(seen.auth.starts_with("Sentry ") && seen.auth.contains("sentry_key=public"), "{}", seen.auth);
    assert!(
        seen.header["dsn"].as_str().is_some_and(|dsn| dsn.starts_with("http://public@127.0.0.1:")),
        "{}",
        seen.header
    );
    assert_eq!(seen.header["trace"]["public_key"], "public");
    assert!(seen.header["sent_at"].is_string());
    assert!(
        running.has("error_envelopes_received_total{upstream=\"default\"} 5")
            && running.has("error_envelopes_forwarded_total{upstream=\"default\"} 5")
    );
    assert_eq!(running.stop().await, Drained::InTime);
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_wait_for_an_upstream_that_is_down_and_survive_restarts() {
    provider();
    let (sentry, spool) = (Sentry::default(), tempdir().expect("a folder"));
    // Nobody listens once this one is dropped.
    let closed = std::net::TcpListener::bind(ANY).and_then(|listener| listener.local_addr()).expect("a port");
    let running = Running::start(spool.path(), Some(closed), "").await;
    assert_eq!(running.send(0, "event").await, 200);
    wait_until("a retry", || !running.has("error_forward_retries_total{upstream=\"default\"} 0")).await;
    // Nobody waits long for an upstream that does not answer.
    assert_eq!(running.stop().await, Drained::InTime);
    let running = Running::start(spool.path(), None, "").await;
    assert_eq!(running.send(1, "event").await, 200);
    assert!(running.has("error_spool_envelopes{upstream=\"default\"} 2"));
    running.stop().await;
    let running = Running::start(spool.path(), Some(closed), "").await;
    assert_eq!(running.send(2, "event").await, 200);
    wait_until("a retry", || !running.has("error_forward_retries_total{upstream=\"default\"} 0")).await;
    sentry.listen(closed).await;
    sentry.wait_for(3).await;
    assert_eq!(sorted(&sentry), events(0..3));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_cannot_take_now_is_sent_again() {
    let answers = vec![
        (429, vec![("retry-after", "0.2")]),
        (503, vec![("retry-after", "0.1")]),
        (500, vec![]),
        (302, vec![("location", "/")]),
    ];
    let (sentry, running, spool) = through(answers, 3, 3).await;
    assert_eq!(sorted(&sentry), events(0..3));
    let statuses: Vec<_> = sentry.seen().iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [429, 503, 500, 302, 200, 200, 200]);
    assert!(
        running.has("error_forward_retries_total{upstream=\"default\"} 4")
            && running.has("error_envelopes_dropped_total{upstream=\"default\",reason=\"refused\"} 0")
    );
    assert_eq!(std::fs::read_dir(spool.path().join("dead")).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_envelope_goes_to_the_dead_letters_and_holds_nobody_up() {
    let (sentry, running, spool) =
        through(vec![(413, vec![]), (400, vec![("x-sentry-error", "bad")]), (422, vec![])], 4, 1).await;
    assert_eq!(sorted(&sentry), events([3]));
    assert!(
        running.has("error_envelopes_dropped_total{upstream=\"default\",reason=\"refused\"} 3")
            && running.has("error_dead_envelopes{upstream=\"default\"} 3")
    );
    let name = "dead/00000000000000000000-refused.envelope";
    let dead = std::fs::read_to_string(spool.path().join(name)).expect("the first");
    assert!(dead.ends_with(&items(0, "event")), "{dead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_costs_no_envelope() {
    let wrong = || vec![(401, vec![]), (403, vec![]), (404, vec![])];
    let (sentry, running, spool) = through(wrong(), 2, 2).await;
    assert_eq!(sentry.seen().len(), 5);
    assert!(running.has("error_forward_retries_total{upstream=\"default\"} 3"));
    assert_eq!(std::fs::read_dir(spool.path().join("dead")).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_fails_lets_the_others_by() {
    provider();
    let (sentry, spool) = (Sentry::failing("\"0\""), tempdir().expect("a folder"));
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    for number in 0..4 {
        assert_eq!(running.send(number, "event").await, 200);
    }
    sentry.wait_for(3).await;
    assert_eq!(sorted(&sentry), events(1..4));
    wait_until("one that is left", || running.has("error_spool_envelopes{upstream=\"default\"} 1")).await;
    assert!(running.has("error_dead_envelopes{upstream=\"default\"} 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_arriving_at_the_end_is_still_delivered() {
    provider();
    let (sentry, spool) = (Sentry::default(), tempdir().expect("a folder"));
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    let errors = running.errors;
    let body = format!("{{}}\n{}", items(0, "event"));
    let head = format!("POST /api/1/envelope/ HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut client = TcpStream::connect(errors).await.expect("it listens");
    let (first, last) = body.split_at(body.len() / 2);
    client.write_all(format!("{head}{first}").as_bytes()).await.expect("a socket");
    wait_until("the request", || running.has(IN_FLIGHT)).await;
    let stopping = tokio::spawn(running.stop());
    wait_until("a closed port", || std::net::TcpStream::connect(errors).is_err()).await;
    client.write_all(last.as_bytes()).await.expect("a socket");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(stopping.await.expect("no panic"), Drained::InTime);
    assert_eq!(sorted(&sentry), events([0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_pause_at_the_end_is_waited_out() {
    provider();
    let spool = tempdir().expect("a folder");
    let holding = Running::start(spool.path(), None, "").await;
    assert_eq!(holding.send(0, "event").await, 200);
    holding.stop().await;
    let sentry = Sentry::new([(503, vec![])]);
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    assert_eq!(running.stop().await, Drained::InTime);
    assert_eq!(sorted(&sentry), events([0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_pass_transactions_that_are_limited() {
    provider();
    let limited = (429, vec![("x-sentry-rate-limits", "3600:transaction:organization"), ("retry-after", "3600")]);
    let (sentry, spool) = (Sentry::new([limited]), tempdir().expect("a folder"));
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    for number in 0..2 {
        assert_eq!(running.send(number, "transaction").await, 200);
    }
    wait_until("the limit", || !sentry.seen().is_empty()).await;
    assert_eq!(running.send(2, "event").await, 200);
    sentry.wait_for(1).await;
    assert_eq!(sorted(&sentry), events([2]));
    assert_eq!(sentry.seen().len(), 2);
    wait_until("the event to leave", || running.has("error_spool_envelopes{upstream=\"default\"} 2")).await;
    assert_eq!(running.stop().await, Drained::InTime);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_end_is_still_delivered() {
    provider();
    let spool = tempdir().expect("a folder");
    let holding = Running::start(spool.path(), None, "").await;
    for number in 0..20 {
        assert_eq!(holding.send(number, "event").await, 200);
    }
    holding.stop().await;
    let sentry = Sentry::default();
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    assert_eq!(running.stop().await, Drained::InTime);
    assert_eq!(sorted(&sentry), events(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_turns_away_and_the_application_is_told() {
    provider();
    let spool = tempdir().expect("a folder");
    let running = Running::start(spool.path(), None, "spool_max_envelopes: 2").await;
    let mut statuses = Vec::new();
    for number in 0..4 {
        statuses.push(running.send(number, "event").await);
    }
    assert_eq!(statuses, [200, 200, 503, 503]);
    assert!(
        running.has("error_envelopes_rejected_total{reason=\"spool_full\"} 2")
            && running.has("error_spool_limit_envelopes{upstream=\"default\"} 2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_damaged_in_the_spool_costs_nothing_else() {
    provider();
    let spool = tempdir().expect("a folder");
    let holding = Running::start(spool.path(), None, "").await;
    for number in 0..3 {
        assert_eq!(holding.send(number, "event").await, 200);
    }
    holding.stop().await;
    let segment = spool.path().join("0000000000.segment");
    let mut bytes = std::fs::read(&segment).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("a file");
    let sentry = Sentry::default();
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), "").await;
    sentry.wait_for(2).await;
    assert_eq!(sorted(&sentry), events([0, 2]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_send_from_the_pages_that_may() {
    provider();
    let spool = tempdir().expect("a folder");
    let running = Running::start(spool.path(), None, "allowed_origins: [\"https://shop.example.org\"]").await;
    let url = format!("http://{}/api/1/envelope/?sentry_key=k", running.errors);
    let client = reqwest::Client::new();
    for (origin, allowed) in [("https://shop.example.org", true), ("https://other.example.org", false)] {
        let asked = client.request(reqwest::Method::OPTIONS, &url).header("origin", origin);
        let asked = asked.header("access-control-request-method", "POST").send().await.expect("an answer");
        assert_eq!(asked.headers().contains_key("access-control-allow-origin"), allowed, "{origin}");
    }
    let envelope = "{}\n{\"type\":\"event\"}\n{}\n";
    let other = client.post(&url).header("origin", "https://other.example.org").body(envelope).send().await;
    assert_eq!(other.expect("an answer").status(), 403);
    assert!(running.has("error_envelopes_received_total{upstream=\"default\"} 0"));
    // As an SDK's tunnel does it: a plain text, and the DSN in the envelope.
    let envelope = "{\"dsn\":\"https://k@sentry.example.org/1\"}\n{\"type\":\"event\"}\n{}\n";
    let sent = client.post(&url).header("origin", "https://shop.example.org").header("content-type", "text/plain");
    let sent = sent.body(envelope).send().await.expect("an answer");
    assert_eq!(sent.status(), 200);
    assert_eq!(sent.headers()["access-control-allow-origin"], "https://shop.example.org");
    assert!(
        sent.headers()["access-control-expose-headers"]
            .to_str()
            .is_ok_and(|list| list.contains("x-sentry-rate-limits"))
    );
    for wrong in ["https://shop.example.org/", "shop.example.org", "7"] {
        let text = format!("errors: {{ allowed_origins: [\"{wrong}\"] }}");
        let problems = Config::parse(&text, |_| None).expect_err("no origin");
        assert!(problems[0].message.contains("is no origin"), "{problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_its_first_events_and_one_that_counts_the_others() {
    provider();
    let (sentry, spool) = (Sentry::default(), tempdir().expect("a folder"));
    let more = "storm: { first: 3, window: 1h }";
    let running = Running::start(spool.path(), Some(sentry.listen(ANY).await), more).await;
    for number in 0..20 {
        assert_eq!(running.send(number, "event").await, 200);
    }
    // What is no error has no part in it.
    assert_eq!(running.send(20, "transaction").await, 200);
    sentry.wait_for(4).await;
    assert!(running.has("error_events_suppressed_total 17"));
    // The end of the process is the end of every window.
    running.stop().await;
    let counted: Vec<_> = sentry.taken().into_iter().filter(|items| items.contains("suppressed_events")).collect();
    assert_eq!((sentry.taken().len(), counted.len()), (5, 1));
    assert!(counted[0].contains("\"message\":\"3\"") && counted[0].contains("\"suppressed_events\":17"), "{counted:?}");
}
