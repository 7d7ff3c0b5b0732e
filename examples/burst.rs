//! Reports many errors at once, as a service does whose database is gone: none is lost, whatever becomes of the sidecar.
//!
//! `burst COUNT` with `SENTRY_DSN` naming the sidecar, and `FUTURA_SENTRY_SPOOL` its spool for what it does not take.

use std::{env, process::ExitCode};

use anyhow::{Context, Result, ensure};
use futura_metrics::{
    Metrics,
    exposition::Format,
    telemetry::{self, TelemetryConfig},
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::warn!("{error:#}");
            ExitCode::from(64)
        }
    }
}

async fn run() -> Result<()> {
    let count: usize = env::args().nth(1).context("usage: burst COUNT")?.parse().context("COUNT is a number")?;
    let metrics = Metrics::new();
    let telemetry = telemetry::init(&TelemetryConfig::from_env("burst", env!("CARGO_PKG_VERSION"))?, &metrics)?;
    for number in 0..count {
        tracing::error!("rust order {number} failed");
    }
    telemetry.shutdown().await;
    let text = metrics.render(Format::Text);
    let lost: Vec<_> = text.lines().filter(|line| line.starts_with("sentry_envelopes_lost_total")).collect();
    ensure!(lost.iter().all(|line| line.ends_with(" 0")), "{}", lost.join(", "));
    Ok(())
}
