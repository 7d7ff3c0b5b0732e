//! Where the sidecar listens: a TCP address or a Unix socket, with bounds on connections and on idle ones.

use std::{
    fmt, fs,
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    pin, select,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

/// How many connections one listener serves at once; further ones wait to be accepted.
const CONNECTIONS: usize = 256;

/// How long a connection may take to send a request's head, idle time included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connections may take to end after the listener has stopped.
const LINGER: Duration = Duration::from_secs(10);

/// A TCP address, or `unix:` and the path of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why a listener was not bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}` (key `{key}`)")]
pub struct BindError {
    key: &'static str,
    address: String,
    #[source]
    source: io::Error,
}

/// A listener that is bound.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What was bound, which names the port where the configuration said 0.
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "it is kept to be dropped")] SocketFile),
}

/// A socket's file, which goes with the listener.
#[derive(Debug)]
struct SocketFile(PathBuf);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

// === impl Address ===

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(path) => Err(format!("`{path}` is not an absolute path: write `unix:/path/to/socket`")),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("`{text}` is neither an address such as `127.0.0.1:9470` nor `unix:/path`")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Binds; `key` is where the configuration names the address.
    pub(crate) async fn bind(address: &Address, key: &'static str) -> Result<Self, BindError> {
        let bound = match address {
            Address::Tcp(address) => bind_tcp(*address).await,
            Address::Unix(path) => bind_unix(path).await,
        };
        bound.map_err(|source| BindError { key, address: address.to_string(), source })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until `stop`, and then lets requests in flight end.
    pub(crate) async fn serve(self, router: Router, stop: impl Future<Output = ()>) {
        let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        pin!(stop);
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
                (self.accept().await, permit)
            };
            let (stream, permit) = select! { biased; () = &mut stop => break, accepted = accepted => accepted };
            let (router, closing) = (router.clone(), closing.clone().cancelled_owned());
            match stream {
                Stream::Tcp(stream) => connections.spawn(connection(stream, router, closing, permit)),
                Stream::Unix(stream) => connections.spawn(connection(stream, router, closing, permit)),
            };
        }
        drop(self);
        closing.cancel();
        connections.close();
        if timeout(LINGER, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections did not end in time and are cut off");
        }
    }

    async fn accept(&self) -> Stream {
        loop {
            let accepted = match &self.socket {
                Socket::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
                Socket::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            };
            match accepted {
                Ok(stream) => return stream,
                // A client that has gone again is its own affair; out of descriptors, trying at once would spin.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already, and nobody could do anything about it.
        let _ = fs::remove_file(&self.0);
    }
}

async fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let listener = TcpListener::bind(address).await?;
    Ok(Listener { address: Address::Tcp(listener.local_addr()?), socket: Socket::Tcp(listener) })
}

/// Binds a socket, in the place of one that a process left behind when it was killed.
async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err() {
        fs::remove_file(path)?;
    }
    let socket = Socket::Unix(UnixListener::bind(path)?, SocketFile(path.to_owned()));
    Ok(Listener { address: Address::Unix(path.to_owned()), socket })
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    closing: WaitForCancellationFutureOwned,
    _permit: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    pin!(connection);
    // How a connection ends is told by the request's metrics; one without a request is no news.
    select! {
        _ = connection.as_mut() => {}
        () = closing => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use std::net::SocketAddr;

    #[test]
    fn addresses_are_tcp_or_an_absolute_path() {
        let address = |text: &str| Address::try_from(text.to_owned());
        assert_eq!(address("127.0.0.1:9470"), Ok(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 9470)))));
        assert_eq!(address("[::1]:1").map(|address| address.to_string()), Ok("[::1]:1".to_owned()));
        assert_eq!(address("unix:/run/a.sock").map(|address| address.to_string()), Ok("unix:/run/a.sock".to_owned()));
        for text in ["", "9470", "localhost:9470", "unix:", "unix:relative", "127.0.0.1:99999"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
