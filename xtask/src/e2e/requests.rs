//! Small servers of the checks: they read requests off a socket, as what they stand for would be too much to run.

use std::{
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// How long a request may be, in bytes.
const REQUEST_LIMIT: usize = 16 * 1024 * 1024;

/// A server that takes whatever it is sent, and keeps it. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Keeper {
    port: u16,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    listening: AbortHandle,
}

// === impl Keeper ===

impl Keeper {
    pub(super) async fn listen() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on loopback")?;
        let (port, kept) = (listener.local_addr()?.port(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let keeping = Arc::clone(&kept);
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&keeping);
                // What breaks off is sent once more by who cares.
                connections.spawn(async move { drop(keep(stream, &kept).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, kept, listening: listening.abort_handle() })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The bodies that were sent since the last call, uncompressed.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn keep(mut stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) -> Result<()> {
    let mut read = Vec::new();
    while let Some((head, mut body)) = next_request(&mut stream, &mut read).await? {
        if head.to_ascii_lowercase().contains("content-encoding: gzip") {
            let mut plain = Vec::new();
            GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
            body = plain;
        }
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
            .await?;
    }
    Ok(())
}

/// The next request: its head and its body; none at the end.
pub(super) async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(read.drain(..end).collect())?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = length.context("a request that does not say how long it is")?.parse()?;
    ensure!(length <= REQUEST_LIMIT, "a request of {length} bytes");
    while read.len() < length {
        ensure!(stream.read_buf(read).await? > 0, "a request that broke off");
    }
    Ok(Some((head, read.drain(..length).collect())))
}
