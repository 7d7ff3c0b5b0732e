//! Serving within bounds: how many connections at once, how long a request's head may take, how long the end may take.
//!
//! A client that sends half a head, or does not read its answer, holds one of the connections for a while and nothing else:
//! neither memory without bound, nor the end of the process.

use std::{
    convert::Infallible,
    error::Error,
    fmt, fs,
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
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
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt};

/// A TCP address, or `unix:` and the absolute path of a socket.
///
/// ```
/// use futura_metrics::serve::Address;
/// assert!(matches!(Address::try_from("127.0.0.1:9470".to_owned()), Ok(Address::Tcp(_))));
/// assert!(matches!(Address::try_from("unix:/run/futura.sock".to_owned()), Ok(Address::Unix(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What the clients of one listener may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; further ones wait to be accepted.
    pub connections: usize,
    /// How long a connection may take to send a request's head, idle time included.
    pub head_timeout: Duration,
    /// How long requests in flight may take to end after the listener has stopped; then they are cut off.
    pub linger: Duration,
}

/// A listener that is bound.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use futura_metrics::serve::{Address, Limits, Listener};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let router = Router::new().route("/", get(|| async { "hello" }));
/// let listener = Listener::bind(&Address::try_from("127.0.0.1:3000".to_owned())?).await?;
/// listener.serve(router, Limits::default(), futura_metrics::shutdown::signal()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    /// What was bound, which names the port where 0 was asked for.
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

/// The two stages of the end, as a connection sees them.
#[derive(Clone, Default)]
struct End {
    closing: CancellationToken,
    cut: CancellationToken,
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

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
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

// === impl Limits ===

impl Default for Limits {
    /// 256 connections, 30 seconds for a head, 10 to end.
    fn default() -> Self {
        Self { connections: 256, head_timeout: Duration::from_secs(30), linger: Duration::from_secs(10) }
    }
}

// === impl Listener ===

impl Listener {
    /// Binds a TCP port, or a Unix socket in the place of one that a process left behind when it was killed.
    ///
    /// # Errors
    /// When the address is taken or cannot be had.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => bind_tcp(*address).await,
            Address::Unix(path) => bind_unix(path).await,
        }
    }

    /// What was bound.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Serves HTTP/1.1 until `stop`, and then lets requests in flight end.
    pub async fn serve<S, B>(self, service: S, limits: Limits, stop: impl Future<Output = ()>)
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let (connections, end) = (TaskTracker::new(), End::default());
        let permits = Arc::new(Semaphore::new(limits.connections));
        let service = service.map_request(|request: Request<Incoming>| request.map(Body::new));
        pin!(stop);
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
                (self.accept().await, permit)
            };
            let (stream, permit) = select! { biased; () = &mut stop => break, accepted = accepted => accepted };
            let (service, end) = (service.clone(), end.clone());
            match stream {
                Stream::Tcp(stream) => connections.spawn(connection(stream, service, limits.head_timeout, end, permit)),
                Stream::Unix(stream) => {
                    connections.spawn(connection(stream, service, limits.head_timeout, end, permit))
                }
            };
        }
        drop(self);
        end.closing.cancel();
        connections.close();
        if timeout(limits.linger, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections did not end in time and are cut off");
            end.cut.cancel();
            connections.wait().await;
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

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && UnixStream::connect(path).await.is_err() {
        fs::remove_file(path)?;
    }
    let socket = Socket::Unix(UnixListener::bind(path)?, SocketFile(path.to_owned()));
    Ok(Listener { address: Address::Unix(path.to_owned()), socket })
}

async fn connection<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    head_timeout: Duration,
    end: End,
    _permit: OwnedSemaphorePermit,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    pin!(connection);
    // How a connection ends is told by the request's metrics; one without a request is no news.
    select! {
        _ = connection.as_mut() => {}
        () = end.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            select! { _ = connection => {}, () = end.cut.cancelled() => {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
    };

    use super::{Address, Limits, Listener};

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

    async fn connect(listener: &Listener) -> TcpStream {
        let Address::Tcp(address) = listener.address() else { panic!("not TCP") };
        TcpStream::connect(address).await.unwrap()
    }

    async fn bind() -> Listener {
        Listener::bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).await.unwrap()
    }

    #[tokio::test]
    async fn half_a_head_and_an_answer_that_never_comes_do_not_hold_up_the_end() {
        let listener = bind().await;
        let (mut half, mut waiting) = (connect(&listener).await, connect(&listener).await);
        half.write_all(b"GET / HT").await.unwrap();
        waiting.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let (begun, has_begun) = oneshot::channel();
        let begun = std::sync::Arc::new(std::sync::Mutex::new(Some(begun)));
        let never = get(move || async move {
            begun.lock().unwrap().take().unwrap().send(()).unwrap();
            std::future::pending::<()>().await;
        });
        let limits = Limits { linger: Duration::from_millis(1), ..Limits::default() };
        let stop = async { has_begun.await.unwrap() };
        listener.serve(Router::new().route("/never", never), limits, stop).await;
        assert_eq!(waiting.read(&mut [0; 1]).await.unwrap(), 0, "the connection was cut off");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_one_to_end() {
        let listener = bind().await;
        let (first, mut second) = (connect(&listener).await, connect(&listener).await);
        let limits = Limits { connections: 1, ..Limits::default() };
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (stop, stopped) = oneshot::channel::<()>();
        let client = async move {
            second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            drop(first);
            let mut answer = String::new();
            second.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("hello"), "{answer}");
            stop.send(()).unwrap();
        };
        tokio::join!(listener.serve(router, limits, async { stopped.await.unwrap() }), client);
    }
}
