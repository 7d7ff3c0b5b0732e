//! Runs the examples as their readers would: starts them, asks them something, and looks at what they count.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::{self, Profile, Programs},
    client::Client,
    ports,
    process::{self, Process},
    terminal,
    wait::eventually,
};

/// The exit code of wrong configuration.
const USAGE: i32 = 64;
/// How long an example that ends by itself may take.
const RUN_LIMIT: Duration = Duration::from_secs(30);
/// How long until an answered request is counted.
const COUNT_LIMIT: Duration = Duration::from_secs(10);
/// How long the example is not to be that has all of a program's own monitoring.
const LINES_LIMIT: usize = 80;
/// What the metrics say after one request.
const COUNTED: &str = r#"http_requests_total{method="GET",path="/events/{id}",status="200"} 1"#;

/// Runs all of them.
pub(crate) async fn run() -> Result<()> {
    let programs = cargo::build(&["futura-examples"], Profile::Dev).await?;
    let logs = cargo::scratch("examples-logs")?;
    let client = Client::new()?;
    custom_metrics(&programs).await.context("custom_metrics")?;
    own_monitoring(&programs).await.context("own_monitoring")?;
    minimal(&programs, &client, &logs).await.context("minimal")?;
    pod(&programs, &client, &logs).await.context("pod")
}

async fn custom_metrics(programs: &Programs) -> Result<()> {
    let command = process::command(programs.path("custom_metrics")?);
    let output = process::output(command, Stdio::inherit(), RUN_LIMIT).await?;
    let printed = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    for line in [r#"cups_served_total{size="large",blend="house"} 2"#, "guests 3"] {
        ensure!(printed.lines().any(|printed| printed == line), "it prints no line {line}:\n{printed}");
    }
    terminal::line("  ok custom_metrics prints its own metrics");
    Ok(())
}

/// Writes rules, tests, runbooks and a dashboard, which Prometheus's own tool takes where it is installed.
async fn own_monitoring(programs: &Programs) -> Result<()> {
    let lines = fs::read_to_string(cargo::root().join("examples/own_monitoring.rs"))?.lines().count();
    ensure!(lines < LINES_LIMIT, "it has {lines} lines, where less than {LINES_LIMIT} are promised");
    let folder = cargo::scratch("examples-monitoring")?;
    let run = async |options: &[&str]| {
        let mut command = process::command(programs.path("own_monitoring")?);
        command.arg(&folder).args(options);
        process::output(command, Stdio::piped(), RUN_LIMIT).await
    };
    let written = run(&[]).await?;
    ensure!(written.status.success(), "it ended with {}", written.status);
    let help = String::from_utf8(run(&["--help"]).await?.stdout)?;
    ensure!(help.contains("own_monitoring [OPTIONS] <FOLDER>"), "its help does not say how it is called:\n{help}");
    let refused = run(&["--oops"]).await?.status;
    ensure!(refused.code() == Some(USAGE), "on an option that there is not it ends with {refused}, not code {USAGE}");
    ensure!(run(&["--check"]).await?.status.success(), "what it has written is not up to date");
    let rules = folder.join("alert-rules/prometheus/coffee-bar.yaml");
    fs::remove_file(&rules)?;
    ensure!(!run(&["--check"]).await?.status.success(), "it does not notice that {} is missing", rules.display());
    ensure!(run(&[]).await?.status.success() && rules.is_file(), "it does not write {} again", rules.display());
    terminal::line(format_args!(
        "  ok own_monitoring, of {lines} lines, writes its files and notices one that is missing"
    ));
    if process::which("promtool").is_none() {
        terminal::line("  left out: promtool is not installed, so nothing has judged them");
        return Ok(());
    }
    let mut command = process::command("promtool");
    command.args(["test", "rules"]);
    for entry in fs::read_dir(folder.join("alert-rules/prometheus/tests"))? {
        command.arg(entry?.path());
    }
    let output = process::output(command, Stdio::piped(), RUN_LIMIT).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "promtool does not pass its tests:\n{said}");
    terminal::line("  ok promtool passes the tests of own_monitoring");
    Ok(())
}

async fn minimal(programs: &Programs, client: &Client, logs: &Path) -> Result<()> {
    let [port] = ports::free()?;
    let mut command = process::command(programs.path("minimal")?);
    command.env("PORT", port.to_string());
    let mut minimal = Process::spawn("minimal", command, &logs.join("minimal.log"))?;
    let url = format!("http://127.0.0.1:{port}");
    minimal.ready(client, &format!("{url}/metrics")).await?;
    measures_requests(client, &url, &url).await?;
    let status = minimal.terminate().await?;
    ensure!(status.success(), "it ended with {status} on SIGTERM");
    terminal::line("  ok minimal counts a request by its route and ends with success on SIGTERM");
    refuses_a_port_that_is_none(programs, "minimal").await
}

async fn pod(programs: &Programs, client: &Client, logs: &Path) -> Result<()> {
    let [port, metrics_port] = ports::free()?;
    let mut command = process::command(programs.path("pod")?);
    command.env("PORT", port.to_string()).env("METRICS_PORT", metrics_port.to_string());
    let mut pod = Process::spawn("pod", command, &logs.join("pod.log"))?;
    let (url, metrics_url) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{metrics_port}"));
    pod.ready(client, &format!("{metrics_url}/readyz")).await?;
    measures_requests(client, &url, &metrics_url).await?;
    let status = pod.terminate().await?;
    ensure!(status.success(), "it ended with {status} on SIGTERM");
    terminal::line("  ok pod counts a request by its route and ends with success on SIGTERM");
    refuses_a_port_that_is_none(programs, "pod").await
}

async fn refuses_a_port_that_is_none(programs: &Programs, name: &str) -> Result<()> {
    let mut command = process::command(programs.path(name)?);
    command.env("PORT", "none");
    let output = process::output(command, Stdio::piped(), RUN_LIMIT).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(USAGE), "it ended with {}, not code {USAGE}:\n{said}", output.status);
    ensure!(said.lines().count() == 1 && said.contains("PORT"), "it does not name PORT in one line:\n{said}");
    terminal::line(format_args!("  ok {name} names the variable PORT when it is wrong"));
    Ok(())
}

async fn measures_requests(client: &Client, url: &str, metrics_url: &str) -> Result<()> {
    let answer = client.get(&format!("{url}/events/42")).await?;
    ensure!(answer == "event 42\n", "the answer is {answer:?}");
    eventually(COUNT_LIMIT, async || {
        let page = client.get(&format!("{metrics_url}/metrics")).await?;
        ensure!(page.lines().any(|line| line == COUNTED), "no line {COUNTED} in:\n{page}");
        Ok(())
    })
    .await
}
