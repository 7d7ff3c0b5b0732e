//! The end-to-end check: the real programs on free ports, real traffic, and what Prometheus and Bugsink make of it.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    cargo::{self, Profile},
    client::Client,
    e2e::{bugsink::Bugsink, prometheus::Prometheus, samples::Samples},
    process::Process,
    stack::{Ports, Stack},
    terminal,
};

mod alerts;
mod bad_input;
mod bugsink;
mod delivery;
mod drive;
mod errors;
mod generated;
mod metrics;
mod panels;
mod prometheus;
mod requests;
mod samples;
mod traces;

/// Everything that runs during the check; dropping it ends all of it.
#[derive(Debug)]
struct World {
    api: Process,
    sidecar: Process,
    bugsink: Bugsink,
    prometheus_process: Process,
    prometheus: Prometheus,
    samples: Samples,
    stack: Stack,
    _state: TempDir,
}

/// Runs the whole check.
pub(crate) async fn run() -> Result<()> {
    generated::accepted_by_prometheus().await?;
    let programs = cargo::build(&["ticket-api", "futura-sidecar"], Profile::Dev).await?;
    let logs = cargo::scratch("e2e/logs")?;
    terminal::line(format_args!("logs are in {}", logs.display()));
    let mut world = World::start(programs, &logs).await?;
    if let Err(error) = world.check().await {
        for process in [&world.api, &world.sidecar, &world.bugsink.process, &world.prometheus_process] {
            terminal::line(process.tail());
        }
        return Err(error);
    }
    world.stop().await?;
    traces::run(&logs).await
}

/// Errors through the sidecar while everything fails.
pub(crate) async fn errors() -> Result<()> {
    errors::run().await
}

/// An alert, from its rule to the messages that people get.
pub(crate) async fn alerts() -> Result<()> {
    alerts::run().await
}

/// The real programs with input that is wrong.
pub(crate) async fn bad_input() -> Result<()> {
    bad_input::run().await
}

// === impl World ===

impl World {
    async fn start(programs: cargo::Programs, logs: &Path) -> Result<Self> {
        let state = tempfile::Builder::new().prefix("futura-e2e-").tempdir()?;
        let client = Client::new()?;
        let bugsink = Bugsink::start(&client, &state.path().join("bugsink"), logs).await?;
        let stack = Stack::new(programs, Ports::free()?, Some(bugsink.dsn.clone()), state.path(), logs)?;
        let samples = Samples::start().await?;
        let api = stack.start_api().await?;
        let sidecar = stack.start_sidecar().await?;
        let prometheus_process = stack.start_prometheus(&samples.targets).await?;
        let prometheus = Prometheus::new(client, stack.prometheus_url());
        Ok(Self { api, sidecar, bugsink, prometheus_process, prometheus, samples, stack, _state: state })
    }

    async fn check(&mut self) -> Result<()> {
        check("every target is up", metrics::targets_up(self)).await?;
        let ledger = drive::run(&self.stack).await.context("the traffic")?;
        terminal::line(format_args!("  {} requests sent, {} orders placed", ledger.total(), ledger.orders));
        check("requests are counted as they were sent", metrics::requests_counted(self, &ledger)).await?;
        check("orders, payments and tickets are counted", metrics::business_counted(self, &ledger)).await?;
        check("a client that hung up counts as 499", metrics::hang_ups_counted(self, &ledger)).await?;
        check("unknown paths share one series", metrics::unknown_paths_folded(self)).await?;
        check("the sidecar's checks find the API up", metrics::checks_succeed(self)).await?;
        check("the panic arrives in Bugsink once, with its trace", delivery::errors_delivered(self)).await?;
        check("every rule is evaluated without an error", metrics::rules_evaluated(self)).await?;
        check("every panel has data", metrics::panels_have_data(self)).await?;
        check("promtool accepts the metrics pages", metrics::pages_accepted(self)).await
    }

    /// Ends the programs with SIGTERM, as Kubernetes does; ours must end with success.
    async fn stop(self) -> Result<()> {
        check("the API ends with success on SIGTERM", ends_with_success(self.api)).await?;
        check("the sidecar's checks find the API gone", metrics::checks_fail(&self.prometheus)).await?;
        check("the sidecar ends with success on SIGTERM", ends_with_success(self.sidecar)).await?;
        self.prometheus_process.terminate().await?;
        self.bugsink.process.terminate().await.map(drop)
    }
}

/// Runs one check and tells its name, whatever comes of it.
async fn check(name: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let start = Instant::now();
    work.await.with_context(|| format!("not so: {name}"))?;
    terminal::line(format_args!("  ok {name} ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(())
}

async fn ends_with_success(process: Process) -> Result<()> {
    let status = process.terminate().await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
