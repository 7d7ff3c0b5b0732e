//! Targets that do one thing wrong, by a script.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Error, Result},
    net::{TcpListener, TcpStream, UdpSocket},
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::conformance::targets::server_config;

/// The time between the bytes of a target that drips: short, so that it says something within each timeout.
const DRIP: Duration = Duration::from_millis(50);

/// What a target does with each connection, in order. At the end it says nothing more and hears all.
pub(super) type Script = &'static [Act];

#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Waits until something was said to it.
    Hear,
    Say(&'static [u8]),
    /// Says one byte again and again, slowly.
    Drip(u8),
    /// Says the same again and again, as fast as it is heard.
    Flood(&'static [u8]),
    /// Speaks TLS from here on, with one of the certificates of the test.
    Tls(&'static str),
    Reset,
    Close,
}

/// A target.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Tcp(Script),
    /// Answers each datagram with these.
    Udp(fn(&[u8]) -> Vec<Vec<u8>>),
    /// Answers each datagram from another port than it came to.
    Spoofing(fn(&[u8]) -> Vec<Vec<u8>>),
    /// A port that nothing listens on.
    Closed,
    /// A port whose queue is full, so that nobody is let in and nobody is turned away.
    Full,
}

/// A connection as far as it has come.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

// === impl Target ===

impl Target {
    /// Starts it; `folder` has the certificates.
    pub(super) async fn start(self, folder: &Path) -> SocketAddr {
        match self {
            Self::Tcp(script) => serve(script, folder).await,
            Self::Udp(answers) => serve_datagrams(answers, false).await,
            Self::Spoofing(answers) => serve_datagrams(answers, true).await,
            Self::Closed => closed(),
            Self::Full => full().await,
        }
    }
}

async fn serve(script: Script, folder: &Path) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, folder) = (listener.local_addr().expect("an address"), folder.to_owned());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let folder = folder.clone();
            // Who has heard enough goes away.
            tokio::spawn(async move { drop(follow(stream, script, &folder).await) });
        }
    });
    address
}

async fn follow(stream: TcpStream, script: Script, folder: &Path) -> Result<()> {
    let mut stream = Stream::Plain(stream);
    for act in script {
        match act {
            Act::Hear => drop(stream.both().read(&mut [0; 4096]).await?),
            Act::Say(bytes) => stream.say(bytes).await?,
            Act::Drip(byte) => loop {
                stream.say(&[*byte]).await?;
                sleep(DRIP).await;
            },
            Act::Flood(bytes) => loop {
                stream.say(bytes).await?;
            },
            Act::Tls(name) => stream = stream.encrypt(TlsAcceptor::from(Arc::new(server_config(folder, name)))).await?,
            Act::Reset => return stream.tcp().set_zero_linger(),
            Act::Close => stream.both().shutdown().await?,
        }
    }
    stream.both().read_to_end(&mut Vec::new()).await.map(drop)
}

async fn serve_datagrams(answers: fn(&[u8]) -> Vec<Vec<u8>>, spoofing: bool) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let other = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            for answer in answers(&query[..length]) {
                let sender = if spoofing { &other } else { &socket };
                drop(sender.send_to(&answer, from).await);
            }
        }
    });
    address
}

/// Keeps a port of TCP and UDP to itself without taking anything there.
fn closed() -> SocketAddr {
    let bound = |kind, address: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, kind, None).expect("a socket");
        socket.bind(&address.into()).ok().map(|()| socket)
    };
    loop {
        let tcp = bound(Type::STREAM, SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = tcp.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let Some(udp) = bound(Type::DGRAM, address) else { continue };
        // It takes datagrams from its peer alone, and there is none.
        udp.connect(&SocketAddr::from(([127, 0, 0, 1], 9)).into()).expect("any address will do");
        keep((tcp, udp));
        return address;
    }
}

/// Keeps a value until the test ends.
fn keep<T: Send + 'static>(value: T) {
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(value);
    });
}

/// Has the kernel drop what it has no room for: who connects after that waits.
async fn full() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(0).expect("a socket that is bound");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let mut waiting = Vec::new();
    // It takes one more than it has room for.
    while let Ok(Ok(stream)) = tokio::time::timeout(DRIP * 4, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    keep((socket, waiting));
    address
}

// === impl Stream ===

impl Stream {
    fn both(&mut self) -> &mut dyn Both {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        self.both().write_all(bytes).await?;
        self.both().flush().await
    }

    async fn encrypt(self, acceptor: TlsAcceptor) -> Result<Self> {
        match self {
            Self::Plain(stream) => Ok(Self::Tls(Box::new(acceptor.accept(stream).await?))),
            Self::Tls(_) => Err(Error::other("it speaks TLS already")),
        }
    }
}
