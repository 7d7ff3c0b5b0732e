//! A tiny server of the sample scrapes that stand in for the exporters of others.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::{cargo, stack::Target};

/// The largest request head that is read.
const HEAD_LIMIT_BYTES: usize = 8 * 1024;
/// How long one scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_secs(10);

/// Serves the samples until it is dropped.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) targets: Vec<Target>,
    _server: JoinSet<()>,
}

type Pages = BTreeMap<String, String>;

// === impl Samples ===

impl Samples {
    /// Reads the samples and starts to serve them on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let pages = read_pages()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let target = |name: &String| Target { service: name.clone(), port, path: format!("/{name}") };
        let targets = pages.keys().map(target).collect();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::new(pages)));
        Ok(Self { targets, _server: server })
    }
}

/// The samples by exporter, which is the name of the file.
fn read_pages() -> Result<Pages> {
    let folder = cargo::root().join("alert-rules/testdata/scrapes");
    let mut pages = Pages::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "prom") {
            let name = path.file_stem().and_then(|stem| stem.to_str()).context("a sample's name is not UTF-8")?;
            pages.insert(
                name.to_owned(),
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
            );
        }
    }
    ensure!(!pages.is_empty(), "{} holds no samples", folder.display());
    Ok(pages)
}

async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    // Prometheus opens a connection for each target and scrape; a set of tasks ends them all with the server.
    let mut scrapes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let pages = pages.clone();
                // A scrape that breaks off shows in Prometheus, as a target that is down.
                scrapes.spawn(async move { timeout(SCRAPE_LIMIT, answer(stream, &pages)).await.ok() });
            }
            Some(_) = scrapes.join_next() => {}
        }
    }
}

async fn answer(mut stream: TcpStream, pages: &Pages) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_LIMIT_BYTES, "the request's head is too large");
        ensure!(stream.read_buf(&mut head).await? > 0, "the request breaks off");
    }
    let head = String::from_utf8_lossy(&head);
    let name = head.split(' ').nth(1).map(|path| path.trim_start_matches('/')).unwrap_or_default();
    let (status, page) = pages.get(name).map_or(("404 Not Found", ""), |page| ("200 OK", page.as_str()));
    let length = page.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}
