//! Each way in which a target can be well or fail, against servers on real sockets.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futura_metrics::{
    Metrics,
    exposition::Format,
    specs::checks::{Reason, Suspension},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{Check, ChecksMetrics};
use crate::{
    config::Config,
    network::{Failure, Network},
};

mod databases;
mod journey;
mod peers;
mod protocols;
mod tls;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A resolver that knows `hangs`, which never resolves, `two`, which has two addresses, and the names that end in `.local`, which are
/// this host.
struct TestResolver;

impl Resolve for TestResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match name.as_str() {
                "hangs" => pending().await,
                "two" => Ok(Box::new([2, 1].map(|last| SocketAddr::from(([127, 0, 0, last], 0))).into_iter()) as _),
                name if name.ends_with(".local") => {
                    Ok(Box::new([SocketAddr::from(([127, 0, 0, 1], 0))].into_iter()) as _)
                }
                _ => Err(io::Error::other("no such name").into()),
            }
        })
    }
}

/// Serves connections one after the other.
async fn serve<F: Future<Output = io::Result<()>> + Send>(
    handle: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A check that has seen enough goes away.
            let _ = handle(stream).await;
        }
    });
    address
}

/// Serves the same bytes to all and closes.
async fn serve_bytes(answer: &'static str) -> SocketAddr {
    serve(move |mut stream| async move {
        head(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    })
    .await
}

/// Reads a request's head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) -> io::Result<()> {
    head(stream).await?;
    stream.write_all(answer.as_bytes()).await
}

fn check_of(keys: &str, roots: RootCertStore, metrics: &Metrics) -> Check {
    let text = format!("checks: [{{ name: c, interval: 1m, {keys} }}]");
    let config = Config::parse(&text, |_| None).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let network = Network::new(Arc::new(TestResolver), roots);
    let check = config.checks.into_iter().next().expect("one check");
    Check::new(check, &ChecksMetrics::register(metrics).expect("free names"), &network).expect("a client")
}

/// Runs a check once.
async fn run_trusting(keys: &str, roots: RootCertStore) -> Result<(), Failure> {
    let check = check_of(keys, roots, &Metrics::new());
    check.run().await;
    let state = check.history.state();
    assert_eq!(state.samples.len(), 1);
    assert_eq!(state.samples[0].failure, state.last_failure.as_ref().map(|last| last.failure.reason));
    state.last_failure.map_or(Ok(()), |last| Err(last.failure))
}

async fn run(keys: &str) -> Result<(), Failure> {
    run_trusting(keys, RootCertStore::empty()).await
}

#[track_caller]
fn fails(result: Result<(), Failure>, reason: Reason, part: &str) {
    let failure = result.expect_err("a failure");
    assert_eq!(failure.reason, reason, "{failure:?}");
    assert!(failure.message.contains(part), "{failure:?}");
}

/// A port that nothing listens on.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

#[tokio::test]
async fn a_right_answer_succeeds() {
    let address = serve_bytes(OK).await;
    assert_eq!(run(&format!("kind: http, url: \"http://{address}/\"")).await, Ok(()));
    let body = "body_contains: \"ell\", body_matches: \"^h.*o$\", status: [200, 3xx]";
    assert_eq!(run(&format!("kind: http, url: \"http://{address}/\", {body}")).await, Ok(()));
    let by_name = format!("kind: http, url: \"http://a.local:{}/\"", address.port());
    assert_eq!(run(&by_name).await, Ok(()));
}

#[tokio::test]
async fn the_request_is_as_configured_and_its_connection_new() {
    let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(String::new())));
    let (counter, heads) = (Arc::clone(&connections), Arc::clone(&seen));
    let address = serve(move |mut stream| {
        counter.fetch_add(1, Relaxed);
        let heads = Arc::clone(&heads);
        async move {
            let head = head(&mut stream).await?;
            *heads.lock().expect("no panic") = head;
            // The connection could be kept alive: the answer has an end, and nobody closes.
            stream.write_all(OK.as_bytes()).await?;
            stream.read_u8().await.map(drop)
        }
    })
    .await;
    let metrics = Metrics::new();
    let keys = format!(
        "kind: http, url: \"http://{address}/a?b=c#d\", method: POST, headers: {{ X-Token: secret, host: example.org }}"
    );
    let check = check_of(&keys, RootCertStore::empty(), &metrics);
    for _ in 0..3 {
        check.run().await;
    }
    assert!(check.history.state().samples.iter().all(|sample| sample.failure.is_none()));
    assert_eq!(connections.load(Relaxed), 3);
    let head = seen.lock().expect("no panic").clone();
    assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-token: secret\r\n") && head.contains("host: example.org\r\n"), "{head}");
    assert_eq!(check.target(), format!("http://{address}/a"));
}

#[tokio::test]
async fn a_wrong_answer_fails_by_what_is_wrong() {
    let missing = serve_bytes("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("kind: http, url: \"http://{missing}/\"");
    fails(run(&url).await, Reason::Status, "status 404 Not Found, expected 2xx");
    assert_eq!(run(&format!("{url}, status: 404")).await, Ok(()));

    let ok = serve_bytes(OK).await;
    let url = format!("kind: http, url: \"http://{ok}/\"");
    fails(run(&format!("{url}, status: [204, 3xx]")).await, Reason::Status, "expected 204 or 3xx");
    fails(run(&format!("{url}, body_contains: \"h.llo\"")).await, Reason::Body, "does not contain");
    fails(run(&format!("{url}, body_matches: \"^ello\"")).await, Reason::Body, "does not match");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_allowed() {
    let address = serve(|mut stream| async move {
        let head = head(&mut stream).await?;
        let step: u32 = head.split_whitespace().nth(1).and_then(|path| path[1..].parse().ok()).unwrap_or_default();
        let answer = match step {
            3 => OK.to_owned(),
            step => format!("HTTP/1.1 302 Found\r\nlocation: /{}\r\ncontent-length: 0\r\n\r\n", step + 1),
        };
        stream.write_all(answer.as_bytes()).await
    })
    .await;
    let url = format!("kind: http, url: \"http://{address}/0\"");
    fails(run(&url).await, Reason::Status, "302");
    fails(run(&format!("{url}, redirects: 2")).await, Reason::Status, "302");
    assert_eq!(run(&format!("{url}, redirects: 3, body_contains: hello")).await, Ok(()));
    assert_eq!(run(&format!("{url}, status: 302")).await, Ok(()));
}

#[tokio::test]
async fn headers_follow_redirects_only_within_the_origin() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let other = serve(move |mut stream| {
        counter.fetch_add(1, Relaxed);
        async move { answer(&mut stream, OK).await }
    })
    .await;
    let address = serve(move |mut stream| async move {
        let target =
            if head(&mut stream).await?.starts_with("GET /0 ") { "/1".to_owned() } else { format!("http://{other}/") };
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    })
    .await;
    let url = format!("kind: http, url: \"http://{address}/0\", redirects: 5");
    let result = run(&format!("{url}, headers: {{ x-api-key: secret }}")).await;
    fails(result, Reason::Status, "status 302 Found, expected 2xx: the headers do not go to another origin");
    assert_eq!(requests.load(Relaxed), 0);
    assert_eq!(run(&url).await, Ok(()));
    assert_eq!(requests.load(Relaxed), 1);
}

#[tokio::test]
async fn no_connection_fails_by_why() {
    let closed = closed_port().await;
    fails(run(&format!("kind: tcp, target: \"{closed}\"")).await, Reason::Connect, "refused");
    fails(run(&format!("kind: http, url: \"http://{closed}/\"")).await, Reason::Connect, "refused");
    fails(run("kind: tcp, target: \"nowhere:1\"").await, Reason::Dns, "nowhere: no such name");
    fails(run("kind: http, url: \"http://nowhere/\"").await, Reason::Dns, "nowhere: no such name");

    let reset = serve(|mut stream| async move {
        head(&mut stream).await?;
        stream.set_zero_linger()
    })
    .await;
    fails(run(&format!("kind: http, url: \"http://{reset}/\"")).await, Reason::Connect, "reset");
}

#[tokio::test]
async fn an_address_that_hangs_leaves_the_next_one_its_share_of_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // A queue that is full lets nobody in and turns nobody away.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address = SocketAddr::from(([127, 0, 0, 2], port));
    full.bind(&address.into()).expect("the same port");
    full.listen(0).expect("a socket that is bound");
    let mut waiting = Vec::new();
    let patience = std::time::Duration::from_millis(200);
    while let Ok(Ok(stream)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    assert_eq!(run(&format!("kind: tcp, target: \"two:{port}\", timeout: 2s")).await, Ok(()));
    drop(listener);
    fails(run(&format!("kind: tcp, target: \"two:{port}\", timeout: 400ms")).await, Reason::Connect, "refused");
}

#[test]
fn only_checks_of_the_own_host_drain() {
    for (keys, own) in [
        ("kind: tcp, target: \"127.0.0.1:1\"", true),
        ("kind: redis, target: \"localhost:1\"", true),
        ("kind: http, url: \"http://[::1]:1/\"", true),
        ("kind: http, url: \"http://api.localhost/\"", true),
        ("kind: dns, target: \"192.0.2.1:53\", query: a", false),
        ("kind: tcp, target: \"example.org:1\"", false),
        ("kind: journey, steps: [{ name: a, url: \"http://127.0.0.1:1/{{run_id}}\" }]", true),
        ("kind: journey, base_url: \"http://192.0.2.1\", steps: [{ name: a, url: / }]", false),
    ] {
        let check = check_of(keys, RootCertStore::empty(), &Metrics::new());
        check.drain(true);
        assert_eq!(check.suspension(), own.then_some(Suspension::Draining), "{keys}");
    }
}

#[tokio::test]
async fn a_connection_is_all_that_tcp_asks_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    assert_eq!(run(&format!("kind: tcp, target: \"127.0.0.1:{port}\"")).await, Ok(()));
    assert_eq!(run(&format!("kind: tcp, target: \"b.local:{port}\"")).await, Ok(()));
}

#[tokio::test]
async fn what_is_not_http_fails_by_protocol() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    ] {
        let address = serve_bytes(answer).await;
        fails(run(&format!("kind: http, url: \"http://{address}/\"")).await, Reason::Protocol, "");
    }
}

#[tokio::test]
async fn the_timeout_holds_whatever_the_target_does() {
    let silent = serve(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    let dripping = serve(|mut stream| async move {
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
        loop {
            stream.write_all(b".").await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let heads = serve(|mut stream| async move {
        answer(&mut stream, "HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"a: b\r\n").await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    for url in [
        format!("http://{silent}/"),
        format!("https://{silent}/"),
        format!("http://{dripping}/"),
        format!("http://{heads}/"),
        "http://hangs/".to_owned(),
    ] {
        fails(
            run(&format!("kind: http, url: \"{url}\", timeout: 200ms")).await,
            Reason::Timeout,
            "no result within 200ms",
        );
    }
    fails(run("kind: tcp, target: \"hangs:1\", timeout: 50ms").await, Reason::Timeout, "");
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_limit() {
    let endless = serve(|mut stream| async move {
        answer(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await?;
        loop {
            stream.write_all(&[b'.'; 65536]).await?;
        }
    })
    .await;
    let url = format!("kind: http, url: \"http://{endless}/\", timeout: 30s");
    assert_eq!(run(&url).await, Ok(()));
    fails(run(&format!("{url}, body_contains: x")).await, Reason::Body, "the body of 1048576 bytes");
}

#[tokio::test]
async fn counters_are_there_before_the_first_run_and_gauges_after_it() {
    let metrics = Metrics::new();
    let check = check_of("kind: tcp, target: \"nowhere:1\"", RootCertStore::empty(), &metrics);
    let before = metrics.render(Format::Text);
    for reason in Reason::ALL {
        let series = format!("check_failures_total{{check=\"c\",kind=\"tcp\",reason=\"{}\"}} 0\n", reason.as_str());
        assert!(before.contains(&series), "{series} is not in\n{before}");
    }
    assert!(!before.contains("check_success{"), "{before}");
    check.run().await;
    let after = metrics.render(Format::Text);
    for series in [
        "check_runs_total{check=\"c\",kind=\"tcp\"} 1\n",
        "check_successes_total{check=\"c\",kind=\"tcp\"} 0\n",
        "check_failures_total{check=\"c\",kind=\"tcp\",reason=\"dns\"} 1\n",
        "check_duration_seconds_count{check=\"c\",kind=\"tcp\"} 1\n",
        "check_success{check=\"c\",kind=\"tcp\"} 0\n",
    ] {
        assert!(after.contains(series), "{series} is not in\n{after}");
    }
    assert!(after.contains("check_last_run_timestamp_seconds{"), "{after}");
}
