//! A tiny server of the sample scrapes that stand in for the exporters of others.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

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
/// How much of itself a counter grows by each second, so that rates have values and shares of them are as in the sample.
const GROWTH_PER_SECOND: f64 = 1e-6;

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
    let (mut scrapes, start) = (JoinSet::new(), Instant::now());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let pages = pages.clone();
                // A scrape that breaks off shows in Prometheus, as a target that is down.
                scrapes.spawn(async move { timeout(SCRAPE_LIMIT, answer(stream, &pages, start.elapsed())).await.ok() });
            }
            Some(_) = scrapes.join_next() => {}
        }
    }
}

/// The page after so long, its counters grown.
fn grown(page: &str, elapsed: Duration) -> String {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: HashSet<_> = types.collect();
    let factor = 1.0 + elapsed.as_secs_f64() * GROWTH_PER_SECOND;
    let mut text = String::with_capacity(page.len());
    for line in page.lines() {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let sample = line.rsplit_once(' ').filter(|_| counters.contains(name));
        let value = sample.and_then(|(series, value)| Some((series, value.parse::<f64>().ok()?)));
        let written = match value {
            Some((series, value)) => writeln!(text, "{series} {}", value * factor),
            None => writeln!(text, "{line}"),
        };
        written.expect("a string takes any text");
    }
    text
}

async fn answer(mut stream: TcpStream, pages: &Pages, elapsed: Duration) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_LIMIT_BYTES, "the request's head is too large");
        ensure!(stream.read_buf(&mut head).await? > 0, "the request breaks off");
    }
    let head = String::from_utf8_lossy(&head);
    let name = head.split(' ').nth(1).map(|path| path.trim_start_matches('/')).unwrap_or_default();
    let page = pages.get(name).map(|page| grown(page, elapsed));
    let status = if page.is_some() { "200 OK" } else { "404 Not Found" };
    let page = page.unwrap_or_default();
    let length = page.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}
