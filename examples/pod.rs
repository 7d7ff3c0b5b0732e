//! A service as it stands in a pod: logs, traces and errors from the environment, a metrics port, readiness, graceful
//! shutdown. Copy this one.
//!
//! ```sh
//! cargo run -p futura-examples --bin pod
//! curl http://127.0.0.1:3000/events/42
//! curl http://127.0.0.1:9090/metrics
//! curl http://127.0.0.1:9090/readyz
//! ```

use std::{env, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
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

/// While load balancers learn that the pod is going, and until work in flight has ended: together less than the pod's
/// `terminationGracePeriodSeconds`.
const SHUTDOWN: ShutdownConfig = ShutdownConfig { drain_delay: Duration::from_secs(2), grace: Duration::from_secs(25) };

#[tokio::main]
async fn main() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let metrics = Metrics::new();
    let telemetry = telemetry::init(&TelemetryConfig::from_env("pod", version)?, &metrics)?;
    process::register(&metrics, version, None)?;

    let layer = HttpLayer::with_routes(&metrics, [(Method::Get, "/events/{id}")])?.traced(&telemetry);
    let app = layer.layer(Router::new().route("/events/{id}", get(event)).with_state(()));
    let (listener, admin_listener) = (bind("PORT", 3000).await?, bind("METRICS_PORT", 9090).await?);

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

async fn bind(variable: &str, default: u16) -> Result<Listener> {
    let port = env::var(variable)
        .map_or(Ok(default), |port| port.parse())
        .with_context(|| format!("{variable} is no port"))?;
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    Listener::bind(&address.into()).await.with_context(|| format!("cannot listen on port {port}"))
}
