//! The observability sidecar: synthetic checks, a status page and error forwarding, in one small process beside a service.
//!
//! [`Config::load`] reads and checks the whole configuration, [`Sidecar::bind`] opens sockets and the spool, and
//! [`Sidecar::run`] works until it is asked to stop. Readiness means configured and listening, never that targets are well:
//! in Kubernetes a sidecar that is not ready takes its pod out of service.
//!
//! - `network`: how targets are reached, each phase timed.
//! - `checks`: what is checked, one file a kind; `scheduler`: when; `history`: what came of it; `board`: which run now.
//! - [`Reloader`]: another configuration in the place of the one that runs.
//! - `errors`: Sentry envelopes, kept on disk until the upstream has them.
//! - `monitoring`: what a person or CI asks of Prometheus and Alertmanager.
//! - `server`: the status page, its JSON and `/metrics`.

use std::{error::Error, fmt, future::Future, iter, sync::Arc, time::Duration};

use axum::Router;
use futura_metrics::{
    Metrics, RegisterError,
    admin::Readiness,
    http::HttpLayer,
    serve::Limits,
    shutdown::{Drained, Shutdown},
};
use tokio::{join, task::spawn_blocking};

use self::{
    board::Board,
    checks::ChecksMetrics,
    errors::{Errors, ErrorsMetrics},
    history::Store,
    listener::Listener,
    network::Network,
    probe::{Probes, ProbesConfig},
    server::Status,
};

pub use self::{
    board::Changes,
    checks::{
        CheckConfig, Credentials, DnsConfig, Expectations, GrpcConfig, HostPort, Http2, HttpConfig, HttpTransport,
        IcmpConfig, JourneyConfig, KindConfig, MongodbConfig, PostgresConfig, RedisConfig, RedisRole, ScheduleConfig,
        StepConfig, TcpConfig, TlsCheckConfig, Variables,
    },
    config::{Config, ConfigError, Place, Problem, SCHEMA, Shard, parse_duration},
    errors::{
        AllowedOrigins, ErrorsConfig, Explanation, Hit, LogConfig, RemovedItem, ScrubError, Scrubbed, Scrubber,
        Selection, SpoolError, SpoolFolder, SpooledEnvelope, StormConfig, Upstream, UpstreamConfig,
    },
    history::StoreError,
    listener::{Address, BindError},
    monitoring::{
        Access, Answer, ApiConfig, ApiError, Drill, DrillConfig, DrillError, Drilled, DrilledAlert, Message,
        MessageStatus, Question, Receiver, Summary, Verified, VerifyConfig, Witness, Word, catalogue_at, questions,
        verify,
    },
    network::{TlsConfig, TlsError},
    probe::{ModulesError, ModulesReloader, ProbeServer, ProbeServerConfig, ProbesError, network as parse_network},
    reload::{ReloadError, Reloaded, Reloader},
};

mod board;
mod checks;
mod config;
mod errors;
mod history;
mod listener;
mod monitoring;
mod network;
mod probe;
mod reload;
mod scheduler;
mod server;

/// What clients may take of each port: Kubernetes restarts a pod whose probes find no place beside those that send half a head.
const LIMITS: Limits =
    Limits { connections: 1024, head_timeout: Duration::from_secs(10), linger: Duration::from_secs(10) };

/// A sidecar that is bound and not running yet.
///
/// ```no_run
/// use futura_metrics::{Metrics, admin::Readiness, shutdown::{self, Shutdown, ShutdownConfig}};
/// use futura_sidecar::{Config, Sidecar};
/// use std::time::Duration;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::load("sidecar.yaml")?;
/// let (metrics, readiness) = (Metrics::new(), Readiness::default());
/// let sidecar = Sidecar::bind(config, &metrics, &readiness).await?;
/// let limits = ShutdownConfig { drain_delay: Duration::from_secs(1), grace: Duration::from_secs(20) };
/// sidecar.run(&Shutdown::new(limits, readiness), shutdown::signal()).await;
/// # Ok(())
/// # }
/// ```
pub struct Sidecar {
    listener: Listener,
    router: Router,
    errors: Option<(Listener, Router, Errors)>,
    board: Arc<Board>,
    reloader: Reloader,
    readiness: Readiness,
}

/// Why a sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The folder of the history cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that TLS needs went away after the configuration was read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The modules of `/probe` cannot be made ready.
    #[error(transparent)]
    Probes(#[from] ProbesError),
    /// The configuration of the modules is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// The metrics of the sidecar are registered already.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

// === impl Sidecar ===

impl Sidecar {
    /// Opens the sockets and the spool; nothing is checked or forwarded yet.
    ///
    /// # Errors
    /// When a socket or the spool cannot be had, or `metrics` has metrics of these names.
    pub async fn bind(config: Config, metrics: &Metrics, readiness: &Readiness) -> Result<Self, StartError> {
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let network = Network::system();
        let checks_metrics = ChecksMetrics::register(metrics)?;
        let store = match config.history.clone() {
            Some(folder) => Some(spawn_blocking(move || Store::open(&folder)).await.expect("opening does not panic")?),
            None => None,
        };
        let board = Board::new(&config, checks_metrics, network.clone(), store)?;
        metrics.on_scrape({
            let board = Arc::clone(&board);
            move || board.refresh()
        });
        let probes = Probes::new(ProbesConfig::default(), &config.modules, network.clone(), metrics)?;
        let layer = HttpLayer::new(metrics)?;
        let listener = listener::bind(&Address::Tcp(config.listen), "listen").await?;
        let errors_metrics = ErrorsMetrics::register(metrics)?;
        let errors = match &config.errors {
            Some(config) => {
                let listener = listener::bind(&config.listen, "errors.listen").await?;
                let errors = Errors::open(config, &errors_metrics, &network)?;
                Some((listener, errors.routes().layer(layer.clone()), errors))
            }
            None => None,
        };
        let reloader = Reloader::new(config, Arc::clone(&board), probes.clone(), metrics)?;
        let status = Status::new(Arc::clone(&board), errors.as_ref().map(|(_, _, errors)| errors.status()));
        let router = server::routes(status, reloader.clone(), metrics, readiness).merge(probes.routes()).layer(layer);
        Ok(Self { listener, router, errors, board, reloader, readiness: readiness.clone() })
    }

    /// Where the status page and `/metrics` are served.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Where envelopes are taken, if they are.
    pub fn errors_address(&self) -> Option<&Address> {
        self.errors.as_ref().map(|(listener, _, _)| listener.address())
    }

    /// What takes the configuration anew while this runs.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Works until `signal`, then lets runs, requests and deliveries in flight end.
    pub async fn run(self, shutdown: &Shutdown, signal: impl Future<Output = ()>) -> Drained {
        let tracker = shutdown.tracker();
        // A sidecar without checks and errors still serves its page: it ends when it is told to, not for lack of work.
        tracker.spawn(shutdown.requested());
        self.board.start(shutdown);
        let (board, requested) = (Arc::clone(&self.board), shutdown.requested());
        tracker.spawn(async move {
            requested.await;
            board.drain(true);
        });
        tracker.spawn(self.reloader.watch(shutdown.requested()));
        if let Some((listener, router, errors)) = self.errors {
            let serving = tracker.spawn(listener.serve(router, LIMITS, shutdown.draining()));
            // Requests in flight still bring envelopes: forwarding ends after them.
            errors.start(shutdown, &self.board, async { drop(serving.await) });
        }
        self.readiness.set(true);
        // The page and the metrics are there to the end, so they are not tracked.
        let (drained, ()) = join!(shutdown.run(signal), self.listener.serve(self.router, LIMITS, shutdown.drained()));
        self.board.close().await;
        drained
    }
}

impl fmt::Debug for Sidecar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sidecar").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An error, what caused it, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (**error).source())
}
