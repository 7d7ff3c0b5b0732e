//! What stands between the sidecar and Bugsink: it hands on, or does what networks and servers do to those that rely on them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use reqwest::Method;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use crate::{
    client::{Client, send},
    e2e::requests::next_request,
};

/// What the gate does with the requests to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Pass,
    /// Closes each connection at once.
    Down,
    /// Answers with a status of a server that fails.
    Fails(u16),
    /// Answers that errors are limited, for a second.
    Limited,
    /// Hands on after this many milliseconds.
    Slow(u64),
    /// Closes the connection in the place of handing on, every second time.
    CutBefore,
    /// Hands on, and closes the connection in the place of answering, every second time.
    CutAfter,
    /// Takes all, for what Bugsink would take minutes for.
    Sink,
}

/// A gate that is open. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Gate {
    shared: Arc<Shared>,
    port: u16,
    listening: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    /// Where Bugsink listens: scheme, host and port.
    upstream: String,
    mode: Mutex<Mode>,
    requests: AtomicUsize,
    /// How often each event was taken, by its id.
    taken: Mutex<HashMap<String, usize>>,
}

// === impl Gate ===

impl Gate {
    pub(super) async fn open(client: Client, upstream: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot open the gate")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            client,
            upstream,
            mode: Mutex::default(),
            requests: AtomicUsize::new(0),
            taken: Mutex::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, port, listening })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn set(&self, mode: Mode) {
        *lock(&self.shared.mode) = mode;
    }

    /// How many requests there were, whatever became of them.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Relaxed)
    }

    /// How many events were handed on or taken, and how often in all.
    pub(super) fn total(&self) -> (usize, usize) {
        let taken = lock(&self.shared.taken);
        (taken.len(), taken.values().sum())
    }

    /// How often an event was handed on, or taken.
    pub(super) fn taken(&self, id: &str) -> usize {
        lock(&self.shared.taken).get(id).copied().unwrap_or_default()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A connection that breaks is what this is for.
        connections.spawn(async move { drop(shared.serve(stream).await) });
        while connections.try_join_next().is_some() {}
    }
}

// === impl Shared ===

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut read = Vec::new();
        loop {
            let mode = *lock(&self.mode);
            if mode == Mode::Down {
                return Ok(());
            }
            let Some((head, body)) = next_request(&mut stream, &mut read).await? else { return Ok(()) };
            let odd = self.requests.fetch_add(1, Relaxed).is_multiple_of(2);
            let answer = match mode {
                Mode::Fails(status) => format!("HTTP/1.1 {status} Fails\r\ncontent-length: 0\r\n\r\n"),
                Mode::Limited => "HTTP/1.1 429 Limited\r\nretry-after: 1\r\nx-sentry-rate-limits: 1:error:organization\r\ncontent-length: 0\r\n\r\n".to_owned(),
                Mode::CutBefore if odd => return Ok(()),
                Mode::Slow(pause) => {
                    sleep(Duration::from_millis(pause)).await;
                    self.hand_on(&head, body).await?
                }
                Mode::Sink => {
                    self.count(&body)?;
                    answer(200)
                }
                Mode::Pass | Mode::Down | Mode::CutBefore | Mode::CutAfter => self.hand_on(&head, body).await?,
            };
            if mode == Mode::CutAfter && odd {
                return Ok(());
            }
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    /// Hands a request on to Bugsink; returns what to answer.
    async fn hand_on(&self, head: &str, body: Vec<u8>) -> Result<String> {
        let mut lines = head.lines();
        let path = lines.next().and_then(|line| line.split(' ').nth(1)).context("a request without a path")?;
        let mut request = self.client.request(Method::POST, &format!("{}{path}", self.upstream));
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if ["content-encoding", "content-type", "x-sentry-auth"].contains(&name) {
                request = request.header(name, value);
            }
        }
        let handed_on = send(request.body(body.clone())).await?;
        if handed_on.status == 200 {
            self.count(&body)?;
        }
        Ok(answer(handed_on.status))
    }

    /// Counts the event of an envelope.
    fn count(&self, body: &[u8]) -> Result<()> {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(flate2::read::GzDecoder::new(body)), &mut line)?;
        let header: serde_json::Value = serde_json::from_str(&line)?;
        let id = header["event_id"].as_str().unwrap_or_default().replace('-', "");
        *lock(&self.taken).entry(id).or_default() += 1;
        Ok(())
    }
}

fn answer(status: u16) -> String {
    format!("HTTP/1.1 {status} Answer\r\ncontent-length: 2\r\n\r\n{{}}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
