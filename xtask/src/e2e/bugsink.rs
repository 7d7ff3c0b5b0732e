//! Bugsink, a server that speaks Sentry's protocol, as the place where errors arrive.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    client::Client,
    install, ports,
    process::{self, Process},
};

/// How long making the databases may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);
/// How long reading the events may take.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// A running Bugsink with one project.
#[derive(Debug)]
pub(crate) struct Bugsink {
    pub(crate) process: Process,
    /// Where the project takes events.
    pub(crate) dsn: String,
    venv: PathBuf,
    state: PathBuf,
    url: String,
}

// === impl Bugsink ===

impl Bugsink {
    pub(crate) async fn start(client: &Client, state: &Path, logs: &Path) -> Result<Self> {
        let venv = install::bugsink().await?;
        fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
        fs::write(state.join("bugsink_conf.py"), include_str!("bugsink_conf.py"))?;
        let [port] = ports::free()?;
        let url = format!("http://127.0.0.1:{port}");
        let dsn =
            python(&venv, state, &url, include_str!("bugsink_prepare.py"), PREPARE_LIMIT).await?.trim().to_owned();
        let mut command = command(&venv, "gunicorn", state, &url);
        command.args(["--bind", &format!("127.0.0.1:{port}"), "--threads", "4", "--no-control-socket", "bugsink.wsgi"]);
        let mut process = Process::spawn("bugsink", command, &logs.join("bugsink.log"))?;
        process.ready(client, &format!("{url}/health/ready")).await?;
        Ok(Self { process, dsn, venv, state: state.to_owned(), url })
    }

    /// The events stored so far, oldest first.
    pub(crate) async fn events(&self) -> Result<Vec<Value>> {
        let script = include_str!("bugsink_events.py");
        let events = python(&self.venv, &self.state, &self.url, script, READ_LIMIT).await?;
        serde_json::from_str(&events).context("Bugsink's events are not JSON")
    }
}

async fn python(venv: &Path, state: &Path, url: &str, script: &str, limit: Duration) -> Result<String> {
    let mut command = command(venv, "python", state, url);
    command.args(["-c", script]);
    let output = process::output(command, Stdio::piped(), limit).await?;
    ensure!(output.status.success(), "Bugsink's script failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("Bugsink's script does not print UTF-8")
}

fn command(venv: &Path, program: &str, state: &Path, url: &str) -> Command {
    let mut command = process::command(venv.join("bin").join(program));
    command
        .current_dir(state)
        .env("DJANGO_SETTINGS_MODULE", "bugsink_conf")
        .env("PYTHONPATH", state)
        .env("BUGSINK_STATE", state)
        .env("BUGSINK_URL", url)
        .env_remove("SENTRY_DSN");
    command
}
