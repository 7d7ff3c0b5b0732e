//! A service as it stands in a pod: logs, traces and errors from the environment, a metrics port, readiness, graceful
//! shutdown. Copy this one.
//!
//! ```sh
//! cargo run -p futura-examples --bin pod
//! curl http://127.0.0.1:3000/events/42
//! curl http://127.0.0.1:9090/metrics
//! curl http://127.0.0.1:9090/readyz
//! ```

#![expect(clippy::print_stderr, reason = "a program says why it ends")]

use std::{env, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow};
use axum::{Router, extract::Path, routing::get};
use futura_metrics::{
    Metrics,
    admin::{self, Readiness},
    http::HttpLayer,
    process,
    serve::{Limits, Listener},
    shutdown::{self, Shutdown, ShutdownConfig},
    specs::http::Method,
    telemetry::{self, TelemetryConfig},
};
use tower::Layer;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// While load balancers learn that the pod is going, and until work in flight has ended: together less than the pod's
/// `terminationGracePeriodSeconds`.
const SHUTDOWN: ShutdownConfig = ShutdownConfig { drain_delay: Duration::from_secs(2), grace: Duration::from_secs(25) };

/// The exit code of wrong configuration, as `sysexits.h` has it.
const USAGE: u8 = 64;

/// What the environment says.
struct Config {
    telemetry: TelemetryConfig,
    port: u16,
    metrics_port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let (code, error) = match Config::load() {
        Err(error) => (USAGE, error),
        Ok(config) => match run(config).await {
            Err(error) => (1, error),
            Ok(()) => return ExitCode::SUCCESS,
        },
    };
    eprintln!("{error:#}");
    ExitCode::from(code)
}

async fn run(config: Config) -> Result<()> {
    let metrics = Metrics::new();
    let telemetry = telemetry::init(&config.telemetry, &metrics)?;
    process::register(&metrics, VERSION, None)?;

    let layer = HttpLayer::with_routes(&metrics, [(Method::Get, "/events/{id}")])?.traced(&telemetry);
    let app = layer.layer(Router::new().route("/events/{id}", get(event)).with_state(()));
    let (listener, admin_listener) = (bind(config.port).await?, bind(config.metrics_port).await?);

    let readiness = Readiness::default();
    let shutdown = Shutdown::new(SHUTDOWN, readiness.clone());
    let limits = Limits { connections: 4_096, linger: SHUTDOWN.grace, ..Limits::default() };
    shutdown.tracker().spawn(listener.serve(app, limits, shutdown.draining()));
    // Answers until the last request has ended, so that its numbers can still be scraped.
    let admin = admin::routes(&metrics, &readiness);
    let admin = tokio::spawn(admin_listener.serve(admin, Limits::default(), shutdown.drained()));

    readiness.set(true);
    shutdown.run(shutdown::signal()).await;
    admin.await?;
    telemetry.shutdown().await;
    Ok(())
}

async fn event(Path(id): Path<u64>) -> String {
    tracing::info!(id, "an event was looked at");
    format!("event {id}\n")
}

async fn bind(port: u16) -> Result<Listener> {
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    Listener::bind(&address.into()).await.with_context(|| format!("cannot listen on port {port}"))
}

// === impl Config ===

impl Config {
    /// Reads all of it before a port opens.
    fn load() -> Result<Self> {
        let telemetry = TelemetryConfig::from_env("pod", VERSION)?;
        Ok(Self { telemetry, port: port("PORT", 3000)?, metrics_port: port("METRICS_PORT", 9090)? })
    }
}

fn port(variable: &str, default: u16) -> Result<u16> {
    let Ok(text) = env::var(variable) else { return Ok(default) };
    text.parse().map_err(|_| anyhow!("{variable}=`{text}`: expected a port such as {default}"))
}
