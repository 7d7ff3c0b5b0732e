//! An exporter that answers `/probe`, and who asks it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::process::{Process, free_address};

/// How long an exporter may take to answer its first probe.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How often it is tried until then.
const START_PERIOD: Duration = Duration::from_micros(200);
/// How long one answer may take: that of the large body takes seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// How much of an answer is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// A program that answers `/probe`.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// What comes before the flags, which both have alike.
    pub(super) command: Option<&'static str>,
}

/// A program that runs.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) process: Process,
    address: SocketAddr,
}

/// A connection to an exporter, kept as Prometheus keeps its own.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

// === impl Program ===

impl Program {
    /// Starts it and waits until a probe has succeeded; tells how long that took.
    pub(super) async fn start(&self, modules: &Path, query: &str) -> Result<(Exporter, Duration)> {
        let address = free_address()?;
        let flags = [format!("--config.file={}", modules.display()), format!("--web.listen-address={address}")];
        let arguments: Vec<_> = self.command.map(str::to_owned).into_iter().chain(flags).collect();
        let start = Instant::now();
        let mut exporter = Exporter { process: Process::start(&self.path, &arguments)?, address };
        while let Err(error) = exporter.probe(query).await {
            exporter.process.ensure_runs()?;
            if start.elapsed() > START_LIMIT {
                return Err(error.context(format!("no probe succeeded within {} s", START_LIMIT.as_secs())));
            }
            sleep(START_PERIOD).await;
        }
        let took = start.elapsed();
        Ok((exporter, took))
    }
}

// === impl Exporter ===

impl Exporter {
    /// Has it probe once, over a connection of its own.
    pub(super) async fn probe(&self, query: &str) -> Result<()> {
        Connection::open(self.address).await?.probe(query).await
    }

    /// Has it probe over so many connections at once for a time; tells how many probes succeeded, and fails with one that did not.
    pub(super) async fn load(&self, query: &str, connections: usize, time: Duration) -> Result<u64> {
        let (mut asking, end) = (JoinSet::new(), Instant::now() + time);
        for _ in 0..connections {
            let (mut connection, query) = (Connection::open(self.address).await?, query.to_owned());
            asking.spawn(async move {
                let mut probes = 0;
                while Instant::now() < end {
                    connection.probe(&query).await?;
                    probes += 1;
                }
                Ok::<u64, anyhow::Error>(probes)
            });
        }
        let mut probes = 0;
        while let Some(asked) = asking.join_next().await {
            probes += asked.context("a connection's task panicked")??;
        }
        Ok(probes)
    }

    /// Asks for so many probes, each over a connection of its own, and does not wait for the answers: they go with the value.
    pub(super) async fn ask(&self, query: &str, probes: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..probes {
            let mut connection = Connection::open(self.address).await?;
            connection.send(query).await?;
            connections.push(connection);
        }
        Ok(connections)
    }
}

// === impl Connection ===

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("it cannot be reached")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(ANSWER_BYTES) })
    }

    async fn send(&mut self, query: &str) -> Result<()> {
        let request = format!("GET /probe?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    async fn probe(&mut self, query: &str) -> Result<()> {
        self.send(query).await?;
        self.answer.clear();
        let reading = async {
            loop {
                if let Some(body) = body(&self.answer) {
                    return Ok(body);
                }
                ensure!(self.answer.len() < ANSWER_BYTES, "an answer without end");
                ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "an answer broke off");
            }
        };
        let body = timeout(ANSWER_LIMIT, reading).await.context("no answer in time")??;
        let answer = String::from_utf8_lossy(&body);
        ensure!(answer.contains("\nprobe_success 1\n"), "the probe `{query}` failed:\n{answer}");
        Ok(())
    }
}

/// The body of an answer that has come to its end, be it told by a length or by an empty chunk.
fn body(answer: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = split(answer, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    if let Some(length) = length {
        return rest.get(..length).map(<[u8]>::to_vec);
    }
    let mut body = Vec::new();
    loop {
        let (size, chunk) = split(rest, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk.get(..size)?);
        rest = chunk.get(size + 2..)?;
    }
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::body;

    #[test]
    fn an_answer_ends_with_its_length_or_an_empty_chunk() {
        for (answer, expected) in [
            ("", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some("ok")),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", Some("ok")),
        ] {
            assert_eq!(body(answer.as_bytes()).as_deref(), expected.map(str::as_bytes), "{answer:?}");
        }
    }
}
