//! Who reports errors: Sentry's SDKs for Python and Node, ours for Rust, and clients that send until they are answered.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use tokio::time::{Instant, sleep};

use crate::{
    cargo::{self, Profile},
    client::{Answer, Client, send},
    install,
    process::{self, command},
};

/// How long an SDK may take to report its events.
const SDK_LIMIT: Duration = Duration::from_secs(120);

/// How long an event is sent again and again.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a client waits that got no answer.
const PAUSE: Duration = Duration::from_millis(20);

/// The SDKs, ready to run.
pub(super) struct Sdks {
    python: PathBuf,
    node: PathBuf,
    rust: PathBuf,
}

// === impl Sdks ===

impl Sdks {
    pub(super) async fn install() -> Result<Self> {
        let (python, node) = (install::sentry_python().await?, install::sentry_node().await?);
        std::fs::write(node.join("sdk.mjs"), include_str!("sdk.mjs"))?;
        let programs = cargo::build(&["futura-examples"], Profile::Dev).await?;
        Ok(Self { python, node, rust: programs.path("burst")?.to_owned() })
    }

    /// Reports by the SDK for Python; returns the ids of the events.
    pub(super) async fn python(&self, dsn: &str, count: usize) -> Result<Vec<String>> {
        let mut command = command(&self.python);
        command.args(["-c", include_str!("sdk.py"), dsn, &count.to_string()]);
        ids(command, count).await.context("the SDK for Python")
    }

    /// Reports by the SDK for Node; returns the ids of the events.
    pub(super) async fn node(&self, dsn: &str, count: usize) -> Result<Vec<String>> {
        let mut command = command("node");
        command.current_dir(&self.node).args(["sdk.mjs", dsn, &count.to_string()]);
        ids(command, count).await.context("the SDK for Node")
    }

    /// Reports a burst by ours, which keeps what the sidecar does not take in its spool.
    pub(super) async fn rust(&self, dsn: &str, spool: &std::path::Path, count: usize) -> Result<()> {
        let mut command = command(&self.rust);
        command.arg(count.to_string()).env("SENTRY_DSN", dsn).env("FUTURA_SENTRY_SPOOL", spool).env("RUST_LOG", "warn");
        let output = process::output(command, Stdio::piped(), SDK_LIMIT).await?;
        let log = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it ended with {}: {:?}", output.status, log.lines().last());
        Ok(())
    }
}

async fn ids(command: tokio::process::Command, count: usize) -> Result<Vec<String>> {
    let output = process::output(command, Stdio::piped(), SDK_LIMIT).await?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "it ended with {}: {log}", output.status);
    let ids: Vec<_> = String::from_utf8(output.stdout)?.lines().map(|id| id.replace('-', "")).collect();
    ensure!(ids.len() == count, "it tells {} ids", ids.len());
    Ok(ids)
}

/// The id of the event with this number.
pub(super) fn id(number: usize) -> String {
    // Of its own form, so that it is not one that another has made.
    format!("f0f0{number:028x}")
}

/// Sends one event, once.
pub(super) async fn send_once(client: &Client, port: u16, id: &str) -> Result<Answer> {
    let event = format!(
        "{{\"event_id\":\"{id}\",\"level\":\"error\",\"platform\":\"other\",\"message\":\"order {id} failed\"}}"
    );
    let envelope = format!("{{\"event_id\":\"{id}\"}}\n{{\"type\":\"event\",\"length\":{}}}\n{event}\n", event.len());
    send_bytes(client, port, envelope).await
}

/// Sends what may be no envelope.
pub(super) async fn send_bytes(client: &Client, port: u16, bytes: impl Into<reqwest::Body>) -> Result<Answer> {
    let url = format!("http://127.0.0.1:{port}/api/1/envelope/");
    send(client.request(Method::POST, &url).header("x-sentry-auth", "Sentry sentry_key=application").body(bytes)).await
}

/// Sends one event until it is acknowledged, as a client does that must not lose it.
pub(super) async fn send_until_taken(client: &Client, port: u16, id: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        match send_once(client, port, id).await {
            Ok(Answer { status: 200, .. }) => return Ok(()),
            _ if start.elapsed() > PATIENCE => anyhow::bail!("event {id} was not taken within {PATIENCE:?}"),
            _ => sleep(PAUSE).await,
        }
    }
}
