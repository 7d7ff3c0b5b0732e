//! A server on loopback that stands for everyone who is told of alerts, and for the exporter of the Redis they are about.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// The largest request that is read.
const REQUEST_LIMIT_BYTES: usize = 1024 * 1024;
/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// What somebody was told.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The address's path, without its slash.
    pub(super) to: String,
    pub(super) body: Value,
}

/// Takes messages until it is dropped.
pub(super) struct Receiver {
    port: u16,
    state: Arc<State>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct State {
    messages: Mutex<Vec<Message>>,
    redis_answers: AtomicBool,
}

// === impl Receiver ===

impl Receiver {
    /// Starts on a free port; Redis does not answer yet.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::<State>::default();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, state.clone()));
        Ok(Self { port, state, _server: server })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The address of somebody.
    pub(super) fn url(&self, to: &str) -> String {
        format!("http://127.0.0.1:{}/{to}", self.port)
    }

    /// Says from now on whether Redis answers.
    pub(super) fn redis_answers(&self, answers: bool) {
        self.state.redis_answers.store(answers, Ordering::Relaxed);
    }

    /// Everything that was told so far, in order.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.state.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = state.clone();
                // Alertmanager tells again what breaks off.
                requests.spawn(async move { timeout(REQUEST_LIMIT, answer(stream, &state)).await.ok() });
            }
            Some(_) = requests.join_next() => {}
        }
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> Result<()> {
    let (head, body) = request(&mut stream).await?;
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let page = if path == "metrics" {
        format!("redis_up {}\n", u8::from(state.redis_answers.load(Ordering::Relaxed)))
    } else {
        let body = serde_json::from_slice(&body).with_context(|| format!("{path} is told no JSON"))?;
        state.messages.lock().unwrap_or_else(PoisonError::into_inner).push(Message { to: path, body });
        "ok".to_owned()
    };
    let length = page.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// The head of a request, and its body.
async fn request(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0);
    ensure!(length <= REQUEST_LIMIT_BYTES, "the request announces {length} bytes");
    while bytes.len() < end + length {
        more(stream, &mut bytes).await?;
    }
    Ok((head, bytes[end..end + length].to_vec()))
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
    ensure!(bytes.len() <= REQUEST_LIMIT_BYTES, "the request is too large");
    ensure!(stream.read_buf(bytes).await? > 0, "the request breaks off");
    Ok(())
}
