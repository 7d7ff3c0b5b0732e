//! The sidecar's error forwarding: how many envelopes it makes durable, how soon it says so, and what waits in its spool costs.
//!
//! The bench's own clients and the sink share the processors with it.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    process::{Process, free_address},
    siblings::{SIDECAR, Siblings},
    table::{Table, number},
    targets::Target,
};

pub(crate) mod capture;

/// How many clients send at once.
const CLIENTS: usize = 8;
/// The rate at which the time to an acknowledgement is measured, of all clients together.
const RATE: u32 = 500;
/// How long an envelope is: an event with a short stack trace.
const ENVELOPE: usize = 2_000;
/// How much waits in the spool when its memory is looked at, in bytes.
const SPOOLED: usize = 100 * 1000 * 1000;
/// How long the sidecar may take to be ready, or to drain.
const LIMIT: Duration = Duration::from_secs(180);

const MIB: f64 = 1024.0 * 1024.0;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long is sent at [`RATE`], and for a third of that as fast as can be, which is less than is to wait in the spool.
    pub(crate) time: Duration,
    /// The share of [`SPOOLED`] that is filled.
    pub(crate) share: f64,
}

/// A sidecar, with the sink that is its upstream.
struct Running {
    process: Process,
    errors: SocketAddr,
}

/// A server that takes all once it is open.
struct Sink {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
    /// When the first was taken, in milliseconds after it was opened.
    first_ms: AtomicU64,
    _tasks: JoinSet<()>,
}

/// A table of what was measured, and the targets.
pub(crate) fn report(siblings: &Siblings, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let program = siblings.path(SIDECAR)?;
    let runtime = Runtime::new().context("cannot start a runtime")?;
    runtime.block_on(measure(program, plan))
}

async fn measure(program: &Path, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let sink = Sink::open().await?;
    let running = Running::start(program, folder.path(), sink.address).await?;
    let idle = running.process.resident_bytes()?;
    let sent = AtomicU64::new(0);
    let latencies = running.send_at(RATE, plan.time, &sent).await?;
    let fast = running.send_for(plan.time / 3, &sent).await?;
    let (wanted, start) = ((SPOOLED as f64 * plan.share) as u64 / ENVELOPE as u64, Instant::now());
    while sent.load(Relaxed) < wanted {
        running.send_for(Duration::from_millis(200), &sent).await?;
        ensure!(start.elapsed() < LIMIT, "the spool is not filled within {LIMIT:?}");
    }
    sleep(Duration::from_secs(2)).await;
    let waiting = running.process.resident_bytes()?;
    let (count, start) = (sent.load(Relaxed), Instant::now());
    sink.is_open.store(true, Relaxed);
    while sink.taken.load(Relaxed) < count {
        if sink.taken.load(Relaxed) == 0 {
            sink.first_ms.store(start.elapsed().as_millis() as u64, Relaxed);
        }
        sleep(Duration::from_millis(20)).await;
        ensure!(start.elapsed() < LIMIT, "the spool is not drained within {LIMIT:?}");
    }
    // It looks at an upstream that was down after a pause; what counts is how fast it drains from then on.
    let first = Duration::from_millis(sink.first_ms.load(Relaxed));
    let drained = count as f64 / (start.elapsed() - first).as_secs_f64();
    let drain_peak = running.process.peak_bytes()?;
    let p99 = quantile(latencies, 0.99).as_secs_f64() * 1e3;
    let mut table = Table::new(&["error forwarding", "value"]);
    for (work, value, unit) in [
        ("envelopes made durable a second, 8 clients", fast, ""),
        ("acknowledged at 500 a second, 99 of 100 within", p99, " ms"),
        ("resident memory, idle", idle / MIB, " MiB"),
        ("envelopes that wait", count as f64, ""),
        ("resident memory while they do", waiting / MIB, " MiB"),
        ("envelopes drained a second", drained, ""),
        ("resident memory at most while they are", drain_peak / MIB, " MiB"),
    ] {
        table.row(work, [format!("{}{unit}", number(value))]);
    }
    let targets = vec![
        Target::at_least("errors: envelopes made durable a second, 8 clients", 5_000.0, "", fast),
        Target::at_most("errors: acknowledgement at 500 a second, 99 of 100", 10.0, " ms", p99),
        Target::at_most("errors: resident memory with a spool of 100 MB", 15.0, " MiB", waiting / MIB),
        Target::at_least("errors: envelopes drained a second", 1_000.0, "", drained),
    ];
    Ok((table, targets))
}

fn quantile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    times.get((times.len() as f64 * share) as usize).or(times.last()).copied().unwrap_or_default()
}

// === impl Running ===

impl Running {
    async fn start(program: &Path, folder: &Path, upstream: SocketAddr) -> Result<Self> {
        let (page, errors, config) = (free_address()?, free_address()?, folder.join("sidecar.yaml"));
        let text = format!(
            "listen: {page}\nerrors: {{ listen: \"{errors}\", upstream: \"http://key@{upstream}/1\", spool: {:?}, spool_max_envelopes: 1000000, spool_max_bytes: 1000000000 }}\n",
            folder.join("spool")
        );
        fs::write(&config, text).context("cannot write the configuration")?;
        let mut process =
            Process::start(program, &["run".to_owned(), "--config".to_owned(), config.display().to_string()])?;
        let start = Instant::now();
        while TcpStream::connect(errors).await.is_err() {
            process.ensure_runs()?;
            ensure!(start.elapsed() < LIMIT, "it was not ready within {LIMIT:?}");
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_secs(2)).await;
        Ok(Self { process, errors })
    }

    /// Sends as fast as the clients can for a time; returns how many were acknowledged a second.
    async fn send_for(&self, time: Duration, sent: &AtomicU64) -> Result<f64> {
        let (end, before, start) = (Instant::now() + time, sent.load(Relaxed), Instant::now());
        let clients = (0..CLIENTS).map(async |_| {
            let mut client = Client::connect(self.errors).await?;
            while Instant::now() < end {
                client.send().await?;
                sent.fetch_add(1, Relaxed);
            }
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(clients).await?;
        Ok((sent.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64())
    }

    /// Sends at a rate for a time; returns how long each acknowledgement took.
    async fn send_at(&self, rate: u32, time: Duration, sent: &AtomicU64) -> Result<Vec<Duration>> {
        let (end, period) = (Instant::now() + time, Duration::from_secs(1) * CLIENTS as u32 / rate);
        let clients = (0..CLIENTS).map(async |_| {
            let (mut client, mut ticks, mut times) =
                (Client::connect(self.errors).await?, interval(period), Vec::new());
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while Instant::now() < end {
                ticks.tick().await;
                let start = Instant::now();
                client.send().await?;
                times.push(start.elapsed());
                sent.fetch_add(1, Relaxed);
            }
            anyhow::Ok(times)
        });
        Ok(futures_util::future::try_join_all(clients).await?.concat())
    }
}

/// A client that keeps its connection.
struct Client(TcpStream);

// === impl Client ===

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    async fn send(&mut self) -> Result<()> {
        let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let frames = "{\"function\":\"reserve\",\"module\":\"shop::orders\",\"in_app\":true},".repeat(25);
        let event = format!(
            "{{\"event_id\":\"{id}\",\"exception\":{{\"values\":[{{\"type\":\"Late\",\"value\":\"order failed\",\"stacktrace\":{{\"frames\":[{}]}}}}]}}}}",
            frames.trim_end_matches(',')
        );
        let body = format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\"}}\n{event}\n");
        let head = format!("POST /api/1/envelope/ HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.write_all((head + &body).as_bytes()).await?;
        let mut answer = [0; 1024];
        let count = self.0.read(&mut answer).await?;
        ensure!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..count]));
        Ok(())
    }
}

// === impl Sink ===

impl Sink {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on loopback")?;
        let (address, is_open, taken) =
            (listener.local_addr()?, Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        let (open, counted) = (Arc::clone(&is_open), Arc::clone(&taken));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (open, counted) = (Arc::clone(&open), Arc::clone(&counted));
                connections.spawn(async move { drop(take(stream, &open, &counted).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, is_open, taken, first_ms: AtomicU64::new(0), _tasks: tasks })
    }
}

/// Takes envelopes once the sink is open, and closes the connection before.
async fn take(mut stream: TcpStream, open: &AtomicBool, counted: &AtomicU64) -> Result<()> {
    let mut read = Vec::new();
    while open.load(Relaxed) {
        let end = loop {
            if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("a length")?;
        let whole = end + length.parse::<usize>()?;
        while read.len() < whole {
            ensure!(stream.read_buf(&mut read).await? > 0, "it broke off");
        }
        read.drain(..whole);
        counted.fetch_add(1, Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
    }
    Ok(())
}
