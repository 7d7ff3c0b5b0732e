//! A whole sidecar's own port: readiness, the page and metrics while checks run.

use std::{
    fs,
    future::pending,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use futura_metrics::{
    Metrics,
    admin::Readiness,
    exposition::Format,
    shutdown::{Drained, Shutdown, ShutdownConfig},
};
use futura_sidecar::{Changes, Config, Reloader, Sidecar};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::oneshot,
    time::timeout,
};

use crate::{
    exporter::closed_port,
    sentry::{PATIENCE, wait_until},
};

pub(crate) async fn get(address: &str, path: &str) -> String {
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
    assert!(metrics.render(Format::Text).contains("error_envelopes_received_total{upstream=\"default\"} 1\n"));
    stop.send(()).expect("it runs");
    assert_eq!(running.await.expect("no panic"), Drained::InTime);
    assert!(!socket.exists());
}

/// A sidecar that runs from a file, until it is dropped with its runtime.
struct Running {
    file: PathBuf,
    address: String,
    reloader: Reloader,
    metrics: Metrics,
}

impl Running {
    async fn start(folder: &TempDir, text: &str) -> Self {
        let file = folder.path().join("sidecar.yaml");
        fs::write(&file, text).expect("a folder");
        let (metrics, readiness) = (Metrics::new(), Readiness::default());
        let sidecar = Sidecar::bind(Config::load(&file).expect("valid"), &metrics, &readiness).await.expect("a port");
        let (address, reloader) = (sidecar.address().to_string(), sidecar.reloader().clone());
        let limits = ShutdownConfig { drain_delay: Duration::ZERO, grace: Duration::from_secs(20) };
        tokio::spawn(async move { sidecar.run(&Shutdown::new(limits, readiness), pending()).await });
        Self { file, address, reloader, metrics }
    }

    fn has(&self, series: &str) -> bool {
        self.metrics.render(Format::Text).lines().any(|line| line.starts_with(series))
    }

    async fn names(&self) -> Vec<String> {
        let answer = get(&self.address, "/api/v1/checks").await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        body["checks"].as_array().expect("checks").iter().map(|check| check["name"].to_string()).collect()
    }
}

const THREE: &str = "listen: 127.0.0.1:0
checks:
- { name: same, kind: tcp, target: \"127.0.0.1:1\", interval: 100ms, timeout: 100ms }
- { name: other, kind: tcp, target: \"127.0.0.1:1\", interval: 100ms, timeout: 100ms }
- { name: gone, kind: tcp, target: \"127.0.0.1:1\", interval: 100ms, timeout: 100ms }
";

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_takes_the_place_of_the_one_that_runs() {
    let folder = TempDir::new().expect("a folder");
    let sidecar = Running::start(&folder, THREE).await;
    for name in ["same", "other", "gone"] {
        wait_until("a first result", || sidecar.has(&format!("check_success{{check=\"{name}\""))).await;
    }
    let text = THREE
        .replace("gone", "new")
        .replace("name: other, kind: tcp, target: \"127.0.0.1:1\"", "name: other, kind: tcp, target: \"127.0.0.1:2\"");
    fs::write(&sidecar.file, text).expect("a folder");
    let reloaded = sidecar.reloader.reload().await.expect("valid");
    assert_eq!(reloaded.changes, Changes { added: 1, changed: 1, removed: 1, kept: 1 });
    assert_eq!(sidecar.names().await, ["\"same\"", "\"other\"", "\"new\""]);
    wait_until("the end of the check that is gone", || {
        !sidecar.metrics.render(Format::Text).contains("check=\"gone\"")
    })
    .await;
    wait_until("the new check", || sidecar.has("check_success{check=\"new\"")).await;
    assert!(!sidecar.has("check_runs_total{check=\"same\",kind=\"tcp\"} 0"), "what goes on keeps its counts");
    assert!(sidecar.has("sidecar_config_last_reload_successful 1"));

    // Back again: its series are there again, and count on.
    fs::write(&sidecar.file, THREE).expect("a folder");
    let answer = exchange(
        &mut TcpStream::connect(&sidecar.address).await.expect("it listens"),
        "POST /-/reload HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("checks: 1 added, 1 changed, 1 removed"), "{answer}");
    wait_until("the check that is back", || sidecar.has("check_success{check=\"gone\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_changes_nothing_and_is_told() {
    let folder = TempDir::new().expect("a folder");
    let sidecar = Running::start(&folder, THREE).await;
    fs::write(&sidecar.file, THREE.replace("kind: tcp", "kind: udp")).expect("a folder");
    let told = sidecar.reloader.reload().await.expect_err("no kind").to_string();
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains("sidecar.yaml:3:") && told.contains("`udp` is no kind of check"), "{told}");
    assert!(sidecar.has("sidecar_config_last_reload_successful 0"));
    assert_eq!(sidecar.names().await.len(), 3);
    let runs = || {
        sidecar
            .metrics
            .render(Format::Text)
            .lines()
            .filter(|line| line.starts_with("check_runs_total"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = runs();
    wait_until("further runs", || runs().iter().zip(&before).all(|(now, before)| now != before)).await;

    // As a file looks that is being written.
    fs::write(&sidecar.file, "").expect("a folder");
    let told = sidecar.reloader.reload().await.expect_err("nothing").to_string();
    assert!(told.contains("says nothing to do"), "{told}");
    assert_eq!(sidecar.names().await.len(), 3);

    fs::remove_file(&sidecar.file).expect("a file");
    let told = sidecar.reloader.reload().await.expect_err("no file").to_string();
    assert!(told.contains("cannot read"), "{told}");
    fs::write(&sidecar.file, THREE.replace("127.0.0.1:0", "127.0.0.1:1").replace("gone", "new")).expect("a folder");
    let reloaded = sidecar.reloader.reload().await.expect("valid");
    assert!(reloaded.to_string().ends_with("; restart the sidecar to apply what changed in `listen`"), "{reloaded}");
    let changes = reloaded.changes;
    assert_eq!(
        (changes.added, changes.removed, changes.kept),
        (1, 1, 2),
        "what waits for a restart holds up nothing else"
    );
    assert!(get(&sidecar.address, "/readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_read_without_being_asked() {
    let folder = TempDir::new().expect("a folder");
    let sidecar = Running::start(&folder, THREE).await;
    wait_until("a first result", || sidecar.has("check_success{check=\"same\"")).await;
    // As Kubernetes replaces a ConfigMap: another file takes the name.
    let next = folder.path().join("next.yaml");
    fs::write(&next, THREE.replace("gone", "new")).expect("a folder");
    fs::rename(&next, &sidecar.file).expect("a folder");
    wait_until("the new check", || sidecar.has("check_success{check=\"new\"")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_of_a_check_outlives_a_kill() {
    let folder = TempDir::new().expect("a folder");
    let (address, log) = (closed_port().to_string(), folder.path().join("history/history.log"));
    let text = format!(
        "listen: {address}\nhistory: {}\nchecks:
- {{ name: closed, kind: tcp, target: \"127.0.0.1:1\", interval: 100ms, timeout: 100ms }}",
        folder.path().join("history").display()
    );
    let file = folder.path().join("sidecar.yaml");
    fs::write(&file, text).expect("a folder");
    let mut kept = 0;
    for _ in 0..3 {
        let mut sidecar = Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
        sidecar.arg("run").arg("--config").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let mut sidecar = sidecar.spawn().expect("a program");
        wait_until("the sidecar listens", || std::net::TcpStream::connect(&address).is_ok()).await;
        assert!(runs(&address).await >= kept);
        let before = kept;
        let further = async {
            while kept < before + 5 {
                kept = runs(&address).await;
            }
        };
        timeout(PATIENCE, further).await.expect("further runs");
        // What is written second was begun after these runs: all of them are in it or before it.
        for _ in 0..2 {
            let length = fs::metadata(&log).expect("a file").len();
            wait_until("a write", || fs::metadata(&log).expect("a file").len() != length).await;
        }
        sidecar.kill().expect("it runs");
        sidecar.wait().expect("it has ended");
    }
}

/// How many results of the check are known.
async fn runs(address: &str) -> u64 {
    let answer = get(address, "/api/v1/checks/closed").await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["days"].as_array().expect("days").iter().filter_map(|day| day["runs"].as_u64()).sum()
}
