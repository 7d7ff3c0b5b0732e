//! What an application waits for when it reports an error while nobody takes it: ours beside Sentry's SDK as it is.
//!
//! Each is a service on a socket that is asked a hundred times a second, and times its call of `error!` alone.

use std::{
    fs,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{Router, http::StatusCode, routing::get};
use futura_metrics::{
    Metrics,
    http::HttpLayer,
    telemetry::{self, TelemetryConfig},
};
use rustix::time::{ClockId, clock_gettime};
use sentry::{ClientOptions, Hub, HubSwitchGuard};
use sentry_tower::NewSentryLayer;
use sentry_tracing::ErrorLayer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    time::{MissedTickBehavior, interval},
};
use tracing_subscriber::{Layer, Registry, filter::LevelFilter, layer::SubscriberExt};

use super::quantile;
use crate::{
    table::{Table, number},
    targets::Target,
};

/// The time between two errors.
const PERIOD: Duration = Duration::from_millis(10);
/// Calls that are not counted, as the first of a process find out what the later ones know.
const WARM_UP: usize = 50;

/// How long each call took.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Took>>>);

/// What one call took.
#[derive(Clone, Copy)]
struct Took {
    clock: Duration,
    /// The processor's time of the thread, without what interrupted it.
    processor: Duration,
}

/// A table of what a call took, and the target.
pub(crate) fn report(time: Duration) -> Result<(Table, Vec<Target>)> {
    let rows = [("sentry, sentry-tower and sentry-tracing", plain(time)?), ("futura", own(time)?)];
    let mut table = Table::new(&[
        "a call of `error!`",
        "calls",
        "median: µs",
        "99 of 100: µs",
        "processor, median: µs",
        "99 of 100: µs",
    ]);
    let micros = |times: &[Took], share, of: fn(&Took) -> Duration| {
        quantile(times.iter().map(of).collect(), share).as_secs_f64() * 1e6
    };
    for (name, times) in &rows {
        let cells = [(|took: &Took| took.clock) as fn(&Took) -> Duration, |took| took.processor]
            .map(|of| [0.5, 0.99].map(|share| number(micros(times, share, of))));
        table.row(name, [times.len().to_string()].into_iter().chain(cells.concat()));
    }
    let p99 = micros(&rows[1].1, 0.99, |took| took.clock);
    let work = "errors: capture call p99 while the upstream is away";
    Ok((table, vec![Target::at_most(work, 50.0, " µs", p99)]))
}

/// The library, with a spool and no sidecar.
fn own(time: Duration) -> Result<Vec<Took>> {
    let spool = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (dsn, metrics) = (format!("http://key@{}/1", nobody()?), Metrics::new());
    let lookup = |name: &str| match name {
        "SENTRY_DSN" => Some(dsn.clone()),
        "FUTURA_SENTRY_SPOOL" => Some(spool.path().display().to_string()),
        // What is written to the log is not what is measured.
        "RUST_LOG" => Some("off".to_owned()),
        _ => None,
    };
    let telemetry = telemetry::init(&TelemetryConfig::from_lookup("bench", "0.0.0", lookup)?, &metrics)?;
    let times = Times::default();
    times.measure(times.router().layer(HttpLayer::new(&metrics)?.traced(&telemetry)), time)?;
    drop(telemetry);
    let kept = fs::read_dir(spool.path().join("incoming")).context("the spool has nothing")?.count();
    ensure!(kept >= times.taken().len(), "of {} errors {kept} are kept", times.taken().len());
    Ok(times.taken().split_off(WARM_UP))
}

/// The SDK with what its documentation has one set up, towards a server that is not there.
fn plain(time: Duration) -> Result<Vec<Took>> {
    // An error says that a provider is installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dsn = format!("http://key@{}/1", nobody()?);
    let options = ClientOptions::new().dsn(&dsn).attach_stacktrace(true);
    let client = Arc::new(sentry::Client::from(sentry::apply_defaults(options)));
    let _hub = HubSwitchGuard::new(Arc::new(Hub::new(Some(client), Arc::default())));
    let subscriber = Registry::default().with(ErrorLayer::new().with_filter(LevelFilter::ERROR));
    let _subscriber = tracing::subscriber::set_default(subscriber);
    let times = Times::default();
    times.measure(times.router().layer(NewSentryLayer::new_from_top()), time)?;
    Ok(times.taken().split_off(WARM_UP))
}

/// An address that nobody listens on.
fn nobody() -> Result<SocketAddr> {
    Ok(StdListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

// === impl Times ===

impl Times {
    fn router(&self) -> Router {
        let times = self.clone();
        let handler = async move || {
            let (processor, start) = (processor_time(), Instant::now());
            tracing::error!(order = 7, "the seat is gone");
            let took = Took { clock: start.elapsed(), processor: processor_time().saturating_sub(processor) };
            times.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
            StatusCode::CONFLICT
        };
        Router::new().route("/", get(handler))
    }

    fn taken(&self) -> Vec<Took> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves the router on this thread, whose subscriber and hub it takes, and asks it once a period.
    fn measure(&self, router: Router, time: Duration) -> Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on loopback")?;
            let mut client = TcpStream::connect(listener.local_addr()?).await?;
            let served = tokio::spawn(async move { axum::serve(listener, router).await });
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let calls = WARM_UP + time.div_duration_f64(PERIOD) as usize;
            for _ in 0..calls {
                ticks.tick().await;
                client.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
                let mut answer = [0; 1024];
                let count = client.read(&mut answer).await?;
                ensure!(answer[..count].starts_with(b"HTTP/1.1 409"), "{}", String::from_utf8_lossy(&answer[..count]));
            }
            served.abort();
            Ok(())
        })
    }
}
