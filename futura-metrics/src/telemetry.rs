//! Logs, traces, errors and pushed metrics, each switched on by its standard environment variable.
//!
//! Call [`init`] as the first thing within the tokio runtime and keep what it returns: [`Telemetry::shutdown`] or dropping
//! it sends what is still queued, within five seconds.

use std::{error::Error, fmt, sync::Arc, thread, time::Duration};

use opentelemetry_sdk::trace::SdkTracerProvider;
use sentry::Client;
use tracing_subscriber::{Registry, layer::SubscriberExt, util::SubscriberInitExt};

use self::push::Push;
use crate::{Metrics, RegisterError};

pub use self::{
    calls::{CallLayer, Calls},
    config::{LogFormat, TelemetryConfig, VARIABLES},
    push::{PushConfig, PushProtocol},
    scrub::Scrubber,
};

mod calls;
mod config;
mod errors;
mod logs;
mod push;
mod scrub;
mod stack;
mod traces;
mod transport;

/// How long a shutdown waits for what is queued, for all of it together.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// An environment variable has a value that means nothing.
    #[error("{variable}=`{value}`: {expected}")]
    BadVariable {
        /// The variable's name.
        variable: &'static str,
        /// Its value, hidden where it may hold a secret.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// The OTLP exporter could not be built.
    #[error("the OTLP exporter could not be built")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The push of metrics could not be set up.
    #[error("metrics cannot be pushed over OTLP")]
    Push(#[source] Box<dyn Error + Send + Sync>),
    /// A metric of telemetry's own is registered already.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The process has a tracing subscriber already.
    #[error("tracing was set up before; telemetry is set up once a process")]
    AlreadySetUp(#[from] tracing_subscriber::util::TryInitError),
}

/// Telemetry that is running. Dropping it flushes.
#[must_use = "dropping it stops traces and errors"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    sentry: Option<Arc<Client>>,
    push: Option<Push>,
}

/// Sets up logs, traces, errors and the push of metrics for the process, and the TLS provider that their clients share.
///
/// # Errors
/// When a part of the configuration cannot be used, or the process has a tracing subscriber already.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use futura_metrics::{Metrics, http::HttpLayer, telemetry::{self, TelemetryConfig}};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = Metrics::new();
/// let telemetry = telemetry::init(&TelemetryConfig::from_env("shop", env!("CARGO_PKG_VERSION"))?, &metrics)?;
/// let router: Router = Router::new()
///     .route("/events/{id}", get(|| async { "an event" }))
///     .layer(HttpLayer::new(&metrics)?.traced(&telemetry));
/// // Serve it; at the end, send what is queued:
/// telemetry.shutdown().await;
/// # let _ = router;
/// # Ok(())
/// # }
/// ```
pub fn init(config: &TelemetryConfig, metrics: &Metrics) -> Result<Telemetry, TelemetryError> {
    // An error says that the program has installed a provider itself, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sentry = errors::connect(config, metrics)?;
    // Without an exporter there are still trace ids, which join a request's errors.
    let traces = (config.export_traces || sentry.is_some()).then(|| traces::provider(config)).transpose()?;
    Registry::default()
        .with(logs::layer(config, metrics)?)
        .with(traces.as_ref().map(|provider| traces::layer(provider, config)))
        .with(sentry.is_some().then(errors::layer))
        .try_init()?;
    errors::report_panics();
    let push = config.push.clone().map(|push| Push::start(push, &traces::resource(config), metrics)).transpose()?;
    Ok(Telemetry { traces, sentry, push })
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends what is queued, for five seconds at most.
    pub async fn shutdown(self) {
        // The exporters block while they send, and the one for HTTP must not be dropped on a thread of the runtime.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    pub(crate) fn sentry_client(&self) -> Option<Arc<Client>> {
        self.sentry.clone()
    }

    fn flush(&mut self) {
        let (traces, sentry) = (self.traces.take(), self.sentry.take());
        // Its last request is on its way while the others are.
        let push = self.push.take().map(|push| push.end(FLUSH_LIMIT));
        let flushing = thread::spawn(move || {
            if let Some(traces) = traces {
                // What cannot be sent now never will be, and the SDK has logged why.
                let _ = traces.shutdown_with_timeout(FLUSH_LIMIT / 2);
            }
            if let Some(sentry) = sentry {
                sentry.close(Some(FLUSH_LIMIT / 2));
            }
        });
        let _ = flushing.join();
        if let Some(push) = push {
            push.wait();
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Telemetry")
            .field("traces", &self.traces.is_some())
            .field("sentry", &self.sentry.is_some())
            .field("push", &self.push.is_some())
            .finish()
    }
}
