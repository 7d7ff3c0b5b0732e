//! The server in blackbox_exporter's place: its configuration file, its paths, its metrics, and nothing else.

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::http::{StatusCode, header::CONTENT_TYPE};
use axum::{
    Router,
    extract::State,
    middleware::from_fn,
    response::{Html, IntoResponse, Response},
    routing::{get, put},
};
use futura_metrics::{
    Gauge, Metrics,
    admin::{self, Readiness},
    serve::Limits,
    shutdown::{Drained, Shutdown},
    specs::probe::{
        BLACKBOX_EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS, BLACKBOX_EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL,
    },
};
use ipnet::IpNet;
use tokio::{sync::Mutex, task::spawn_blocking};

use super::{Probes, ProbesConfig};
use crate::{
    StartError,
    config::{ConfigError, load_modules},
    listener::{self, Address, Listener},
    network::{Network, TlsError},
    probe::Modules,
    server::refuse_other_sites,
};

/// What the server is told on its command line.
#[derive(Clone, Debug)]
pub struct ProbeServerConfig {
    /// blackbox_exporter's configuration file.
    pub file: PathBuf,
    /// Where it listens.
    pub listen: Address,
    /// What is taken off the time that Prometheus gives a probe, for the way back.
    pub timeout_offset: Duration,
    /// Networks that every module may reach, whatever its guard says.
    pub allow: Vec<IpNet>,
}

/// A server of `/probe` that is bound and not running yet.
pub struct ProbeServer {
    listener: Listener,
    router: Router,
    state: Arc<Served>,
    readiness: Readiness,
}

struct Served {
    file: PathBuf,
    probes: Probes,
    /// Reloads come one after the other.
    reloading: Mutex<()>,
    successful: Gauge,
    succeeded_at: Gauge,
}

/// Takes the modules anew. Clones are of the same server.
#[derive(Clone)]
pub struct ModulesReloader(Arc<Served>);

/// Why the modules were not read anew; those before stay in force.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// The file cannot be read, or says what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that TLS needs cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

// === impl ProbeServerConfig ===

impl ProbeServerConfig {
    /// Reads a configuration file, and tells how many modules it has.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong in it.
    pub fn check(file: &Path) -> Result<usize, ConfigError> {
        load_modules(file).map(|modules| modules.len())
    }
}

// === impl ProbeServer ===

impl ProbeServer {
    /// Reads the modules and opens the socket.
    ///
    /// # Errors
    /// When the file is wrong, the socket cannot be had, or `metrics` has metrics of these names.
    pub async fn bind(config: ProbeServerConfig, metrics: &Metrics, readiness: &Readiness) -> Result<Self, StartError> {
        let modules = load_modules(&config.file)?;
        let probing = ProbesConfig { timeout_offset: config.timeout_offset, allow: config.allow };
        let probes = Probes::new(probing, &modules, Network::system(), metrics)?;
        let served = Served {
            file: config.file,
            probes: probes.clone(),
            reloading: Mutex::new(()),
            successful: metrics.gauge(BLACKBOX_EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL)?,
            succeeded_at: metrics.gauge(BLACKBOX_EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS)?,
        };
        served.succeed();
        let state = Arc::new(served);
        let router = Router::new()
            .route("/", get(index))
            .route("/config", get(shown))
            .route("/-/healthy", get(|| async { "Healthy" }))
            .route("/-/reload", put(reload).post(reload).layer(from_fn(refuse_other_sites)).get(no_reload))
            .with_state(Arc::clone(&state))
            .merge(probes.routes())
            .merge(admin::routes(metrics, readiness));
        let listener = listener::bind(&config.listen, "--web.listen-address").await?;
        Ok(Self { listener, router, state, readiness: readiness.clone() })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// What reads the modules anew while this runs.
    pub fn reloader(&self) -> ModulesReloader {
        ModulesReloader(Arc::clone(&self.state))
    }

    /// Answers until `signal`, then lets the probes in flight end.
    pub async fn run(self, shutdown: &Shutdown, signal: impl Future<Output = ()>) -> Drained {
        let tracker = shutdown.tracker();
        tracker.spawn(shutdown.requested());
        tracker.spawn(self.listener.serve(self.router, Limits::default(), shutdown.draining()));
        self.readiness.set(true);
        shutdown.run(signal).await
    }
}

impl fmt::Debug for ProbeServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProbeServer").field("listener", &self.listener).finish_non_exhaustive()
    }
}

// === impl ModulesReloader ===

impl ModulesReloader {
    /// Reads the file and puts its modules in the place of those that answer. Metrics and log tell how it went.
    ///
    /// # Errors
    /// When the modules are not taken, with everything that is wrong in the file.
    pub async fn reload(&self) -> Result<(), ModulesError> {
        self.0.reload().await
    }
}

impl fmt::Debug for ModulesReloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ModulesReloader").field("file", &self.0.file).finish_non_exhaustive()
    }
}

// === impl Served ===

impl Served {
    async fn reload(&self) -> Result<(), ModulesError> {
        let _one = self.reloading.lock().await;
        let result = self.try_reload().await;
        match &result {
            Ok(()) => {
                self.succeed();
                tracing::info!(file = %self.file.display(), "the modules were read anew");
            }
            Err(error) => {
                self.successful.set(0.0);
                tracing::error!(%error, "the modules were not read anew, those before stay in force");
            }
        }
        result
    }

    async fn try_reload(&self) -> Result<(), ModulesError> {
        let file = self.file.clone();
        let loading = spawn_blocking(move || load_modules(&file));
        let modules: Modules = loading.await.expect("reading a configuration does not panic")?;
        Ok(self.probes.replace(&modules)?)
    }

    fn succeed(&self) {
        self.successful.set(1.0);
        self.succeeded_at.set_duration(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    }
}

async fn index(State(state): State<Arc<Served>>) -> Html<String> {
    let mut names: Vec<_> = state.probes.modules().keys().cloned().collect();
    names.sort_unstable();
    let escape = |name: &str| name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let modules: String = names.iter().map(|name| format!("<li><code>{}</code></li>\n", escape(name))).collect();
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Futura sidecar, probing</title></head>\n<body>\n\
         <h1>Futura sidecar</h1>\n<p>Probes as blackbox_exporter does: <code>/probe?target=example.org&amp;module=http_2xx</code>, \
         with <code>&amp;debug=true</code> for how it went.</p>\n<p><a href=\"metrics\">Metrics</a> · <a href=\"config\">Configuration</a></p>\n\
         <h2>Modules</h2>\n<ul>\n{modules}</ul>\n</body>\n</html>\n"
    ))
}

async fn shown(State(state): State<Arc<Served>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], state.probes.shown()).into_response()
}

async fn reload(State(state): State<Arc<Served>>) -> Response {
    match state.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {error}\n")).into_response()
        }
    }
}

async fn no_reload() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "This endpoint requires a POST request.\n")
}
