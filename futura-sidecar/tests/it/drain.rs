//! The end of a pod: what runs finishes, what is due does not begin, and the application's end is no alarm.

use std::{fs, process::Command, time::Duration};

use rustix::process::Signal;
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    exporter::{Exporter, closed_port},
    sentry::PATIENCE,
};

/// A sidecar with a check of this host at each of two targets, and one of another host.
async fn start(folder: &TempDir, targets: [&TcpListener; 2]) -> Exporter {
    let [first, second] = targets.map(|target| target.local_addr().expect("an address"));
    let (file, listen) = (folder.path().join("sidecar.yaml"), closed_port());
    let often = "interval: 30s, timeout: 30s, offset: 0s";
    let text = format!(
        "listen: {listen}\nhistory: \"{}\"\nchecks:\n\
         - {{ name: first, kind: http, url: \"http://{first}/\", {often} }}\n\
         - {{ name: second, kind: http, url: \"http://localhost:{}/\", {often} }}\n\
         - {{ name: far, kind: tcp, target: \"192.0.2.1:9\", interval: 1h, offset: 1h }}\n",
        folder.path().join("history").display(),
        second.port()
    );
    fs::write(&file, text).expect("a file");
    Exporter::run(&file, listen).await
}

async fn accept(target: &TcpListener) -> TcpStream {
    target.accept().await.expect("a run").0
}

/// The lines about checks, but for those of no use here.
async fn told(sidecar: &Exporter) -> String {
    let metrics = sidecar.get("/metrics").await.body;
    let wanted = ["check_suspended{", "check_up{", "check_runs_total{"];
    let lines: Vec<_> = metrics.lines().filter(|line| wanted.iter().any(|start| line.starts_with(start))).collect();
    lines.join("\n")
}

async fn until(sidecar: &Exporter, part: &str) -> String {
    let waiting = async {
        loop {
            let told = told(sidecar).await;
            if told.contains(part) {
                return told;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("`{part}` did not come"))
}

const DRAINING: &str = "check_suspended{check=\"first\",kind=\"http\",cause=\"draining\"} 1";

#[tokio::test(flavor = "multi_thread")]
async fn a_term_signal_lets_runs_end_and_takes_failures_of_the_own_pod_for_none() {
    let folder = tempdir().expect("a folder");
    let targets = [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
    let [first, second] = targets.map(|target| target.expect("a port"));
    let sidecar = start(&folder, [&first, &second]).await;
    let (mut gone, mut answering) = (accept(&first).await, accept(&second).await);
    sidecar.signal(Signal::TERM);
    until(&sidecar, DRAINING).await;
    // The application ends while it is asked, and the run with it.
    gone.shutdown().await.expect("the run goes on");
    gone.read_to_end(&mut Vec::new()).await.expect("the run has ended");
    drop(first);
    let told = until(&sidecar, "check_suspended{check=\"second\",kind=\"http\",cause=\"draining\"} 1").await;
    assert!(!told.contains("check_up{"), "{told}");
    assert!(!told.contains("suspended{check=\"far\""), "{told}");
    answering.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("the run goes on");
    assert!(sidecar.wait().success());
    // Both runs have ended by now, and of one of them a result was taken down.
    let history = fs::read(folder.path().join("history/history.log")).expect("a history");
    let history = String::from_utf8_lossy(&history);
    assert!(history.contains("second") && !history.contains("first"), "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_drain_suspends_the_checks_of_the_own_pod_and_ends_nothing() {
    let folder = tempdir().expect("a folder");
    let targets = [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
    let [first, second] = targets.map(|target| target.expect("a port"));
    let sidecar = start(&folder, [&first, &second]).await;
    let drain = |address: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_futura-sidecar")).args(["drain", "--sidecar", address]).output();
        let output = output.expect("the binary");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(drain(sidecar.address()), (Some(0), "the checks of this pod are suspended\n".to_owned()));
    let told = until(&sidecar, DRAINING).await;
    assert!(!told.contains("suspended{check=\"far\"") && !told.contains("check_up{"), "{told}");
    assert_eq!(sidecar.get("/readyz").await.status, 200);
    let undo = ["drain", "--undo", "--sidecar", sidecar.address()];
    let output = Command::new(env!("CARGO_BIN_EXE_futura-sidecar")).args(undo).output().expect("the binary");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the checks of this pod go on\n");
    assert!(!self::told(&sidecar).await.contains(DRAINING));
    let closed = closed_port().to_string();
    let (code, said) = drain(&closed);
    assert!(code == Some(1) && said.contains(&closed) && said.contains("refused"), "{said}");
}
