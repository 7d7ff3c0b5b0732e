//! What is probed: small servers on loopback that say the same to everyone, and end with the value.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// How long the large body is, in bytes.
pub(super) const LARGE_BODY: usize = 200 * 1024 * 1024;

/// How many connections one server has at once.
const CONNECTIONS_LIMIT: usize = 2000;
/// How long a connection may last.
const CONNECTION_LIMIT: Duration = Duration::from_secs(130);
/// How much of a request is read at most.
const REQUEST_LIMIT: usize = 4096;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 15\r\nConnection: close\r\n\r\nall is well now";

/// A line of the large body, which no pattern of the bench matches.
const LINE: &[u8; 64] = b"all is well, and a line more says that all is well as it was ok\n";

/// The servers, and where they listen.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    /// Takes connections and never says anything.
    pub(super) silent: SocketAddr,
    /// Answers HTTP with [`LARGE_BODY`].
    pub(super) large: SocketAddr,
    _tasks: JoinSet<()>,
}

/// What a server says.
#[derive(Clone)]
enum Manner {
    Answers,
    AnswersOverTls(TlsAcceptor),
    IsSilent,
    AnswersAtLength,
}

// === impl Servers ===

impl Servers {
    /// Listens; the certificate of the root that vouches for `https` is written to `authority`.
    pub(super) async fn start(authority: &Path) -> Result<Self> {
        let tls = acceptor(authority)?;
        let mut tasks = JoinSet::new();
        let manners = [Manner::Answers, Manner::AnswersOverTls(tls), Manner::IsSilent, Manner::AnswersAtLength];
        let mut addresses = Vec::new();
        for manner in manners {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on loopback")?;
            addresses.push(listener.local_addr()?);
            tasks.spawn(serve(listener, manner));
        }
        let [http, https, silent, large] = addresses[..] else { unreachable!("each server has an address") };
        Ok(Self { http, https, silent, large, _tasks: tasks })
    }
}

/// TLS with a certificate of 127.0.0.1 under a root of its own.
fn acceptor(authority: &Path) -> Result<TlsAcceptor> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    fs::write(authority, root.pem()).context("cannot write a certificate")?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &root)?;
    let chain: Vec<CertificateDer<'static>> = vec![leaf.into()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    Ok(Arc::new(config).into())
}

async fn serve(listener: TcpListener, manner: Manner) {
    let (permits, mut connections) = (Arc::new(Semaphore::new(CONNECTIONS_LIMIT)), JoinSet::new());
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        // A client that has gone again is its own affair.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let manner = manner.clone();
        connections.spawn(async move {
            // How a connection ends is seen by who probes.
            let _ = timeout(CONNECTION_LIMIT, manner.answer(stream)).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

// === impl Manner ===

impl Manner {
    async fn answer(self, mut stream: TcpStream) -> Result<()> {
        match self {
            Self::Answers => answer(&mut stream).await,
            Self::AnswersOverTls(acceptor) => answer(&mut acceptor.accept(stream).await?).await,
            Self::IsSilent => Ok(copy(&mut stream, &mut sink()).await.map(drop)?),
            Self::AnswersAtLength => answer_at_length(&mut stream).await,
        }
    }
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
    read_head(stream).await?;
    stream.write_all(ANSWER).await?;
    Ok(stream.shutdown().await?)
}

async fn answer_at_length(stream: &mut TcpStream) -> Result<()> {
    read_head(stream).await?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BODY}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let block = LINE.repeat(1024);
    for _ in 0..LARGE_BODY / block.len() {
        stream.write_all(&block).await?;
    }
    Ok(stream.shutdown().await?)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<()> {
    let (mut head, mut length) = ([0; REQUEST_LIMIT], 0);
    while !head[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut head[length..]).await? {
            0 => anyhow::bail!("no request"),
            count => length += count,
        }
    }
    Ok(())
}
