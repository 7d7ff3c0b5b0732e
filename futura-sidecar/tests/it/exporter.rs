//! A process that answers `/probe`.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::sentry::wait_until;

/// Either of the two; it ends with the value.
pub(crate) struct Exporter {
    child: Child,
    address: String,
}

/// An answer of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// A port that nothing listens on.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

impl Exporter {
    /// The sidecar as an exporter.
    pub(crate) async fn ours(arguments: &[&str], config: &Path) -> Self {
        let program = env!("CARGO_BIN_EXE_futura-sidecar");
        Self::start(program.as_ref(), &[&["probe"], arguments].concat(), config).await
    }

    /// The sidecar with its own configuration, which has it listen there.
    pub(crate) async fn run(config: &Path, listen: SocketAddr) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
        command.args(["run", "--drain-delay-secs", "0", "--config"]).arg(config);
        Self::spawn(command, listen.to_string()).await
    }

    pub(crate) async fn start(program: &Path, arguments: &[&str], config: &Path) -> Self {
        let address = closed_port().to_string();
        let mut command = Command::new(program);
        command.args(arguments).arg(format!("--config.file={}", config.display()));
        command.arg(format!("--web.listen-address={address}"));
        Self::spawn(command, address).await
    }

    async fn spawn(mut command: Command, address: String) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
        wait_until("the exporter listens", || std::net::TcpStream::connect(&address).is_ok()).await;
        Self { child, address }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.exchange("GET", path).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.exchange("POST", path).await
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().try_into().ok().and_then(Pid::from_raw).expect("a process");
        kill_process(id, signal).expect("its own process");
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("its own process")
    }

    async fn exchange(&self, method: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let request =
            format!("{method} {path} HTTP/1.0\r\nx-prometheus-scrape-timeout-seconds: 5\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let content_type = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
        });
        Answer {
            status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"),
            content_type: content_type.unwrap_or_default(),
            body: body.to_owned(),
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
