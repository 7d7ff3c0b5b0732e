//! A whole sidecar's own port: readiness, the page and metrics while checks run.

use std::time::Duration;

use futura_metrics::{
    Metrics,
    admin::Readiness,
    exposition::Format,
    shutdown::{Drained, Shutdown, ShutdownConfig},
};
use futura_sidecar::{Config, Sidecar};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::oneshot,
};

use crate::sentry::wait_until;

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await
}

async fn exchange(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("a socket");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_whatever_its_targets_do_and_tells_of_them_to_the_end() {
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let text = format!(
        "listen: 127.0.0.1:0
checks:
- {{ name: open, kind: tcp, target: \"{}\", interval: 100ms, timeout: 100ms }}
- {{ name: closed, kind: tcp, target: \"127.0.0.1:1\", interval: 100ms, timeout: 100ms }}",
        target.local_addr().expect("an address")
    );
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let config = Config::parse(&text, |_| None).expect("valid");
    let sidecar = Sidecar::bind(config, &metrics, &readiness).await.expect("a free port");
    let address = sidecar.address().to_string();
    let limits = ShutdownConfig { drain_delay: Duration::ZERO, grace: Duration::from_secs(20) };
    let shutdown = Shutdown::new(limits, readiness);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { sidecar.run(&shutdown, async { drop(stopped.await) }).await });
    let has = |series: &str| metrics.render(Format::Text).lines().any(|line| line == series);
    wait_until("both results", || {
        has("check_success{check=\"open\",kind=\"tcp\"} 1") && has("check_success{check=\"closed\",kind=\"tcp\"} 0")
    })
    .await;
    assert!(get(&address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/").await.contains("1 of 2 checks down"));
    assert!(get(&address, "/api/v1/checks").await.contains("\"state\":\"up\""));
    let scrape = get(&address, "/metrics").await;
    assert!(scrape.contains("http_requests_total{method=\"GET\",path=\"/readyz\",status=\"200\"} 1\n"), "{scrape}");
    assert!(scrape.contains("check_failures_total{check=\"closed\",kind=\"tcp\",reason=\"connect\"}"), "{scrape}");
    stop.send(()).expect("it runs");
    assert_eq!(running.await.expect("no panic"), Drained::InTime);
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_are_taken_on_a_unix_socket_even_after_a_crash_left_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("errors.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let text = format!(
        "listen: 127.0.0.1:0\nerrors: {{ listen: \"unix:{}\", spool: \"{}\" }}",
        socket.display(),
        folder.path().join("spool").display()
    );
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let config = Config::parse(&text, |_| None).expect("valid");
    let sidecar = Sidecar::bind(config, &metrics, &readiness).await.expect("free addresses");
    let shutdown =
        Shutdown::new(ShutdownConfig { drain_delay: Duration::ZERO, grace: Duration::from_secs(20) }, readiness);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { sidecar.run(&shutdown, async { drop(stopped.await) }).await });
    let mut stream = UnixStream::connect(&socket).await.expect("it listens");
    let request = "POST /api/1/envelope/ HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    assert!(exchange(&mut stream, request).await.starts_with("HTTP/1.1 200"));
    assert!(metrics.render(Format::Text).contains("error_envelopes_received_total 1\n"));
    stop.send(()).expect("it runs");
    assert_eq!(running.await.expect("no panic"), Drained::InTime);
    assert!(!socket.exists());
}
