//! Wrong input for the real programs: each refusal is one clear line, and nothing is left half-written.

use std::{fs, net::TcpListener, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use tokio::process::Command;

use super::check;
use crate::{
    cargo::{self, Profile, Programs},
    client::{Answer, announce_body, send},
    ports, process,
    stack::{Ports, Stack},
    terminal,
};

/// How long a program may take to refuse.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);
/// The exit code for wrong usage and configuration.
const USAGE: i32 = 64;
/// The length of a body that is larger than any that the API takes.
const HUGE_BODY_BYTES: usize = 1 << 30;

/// Configurations that the sidecar must refuse: the text, the line that is wrong, and what the message must name.
const BAD_CONFIGS: &[(&str, usize, &str)] = &[
    ("listen: 127.0.0.1:9469\nlissten: 127.0.0.1:9469\n", 2, "lissten"),
    ("listen: 127.0.0.1:9469\nlisten: 127.0.0.1:9470\n", 2, "listen"),
    ("checks:\n  - name: api\n    kind: http\n    url: \"no url\"\n", 4, "checks[0].url"),
    (
        "checks:\n  - name: api\n    kind: tcp\n    target: \"127.0.0.1:1\"\n    interval: soon\n",
        5,
        "checks[0].interval",
    ),
    (
        "checks:\n  - { name: api, kind: tcp, target: \"127.0.0.1:1\" }\n  - { name: api, kind: tcp, target: \"127.0.0.1:2\" }\n",
        3,
        "api",
    ),
    ("errors:\n  listen: 127.0.0.1:9470\n  upstream: nowhere\n  spool: ./spool\n", 3, "errors.upstream"),
    ("listen: [127.0.0.1:9469\n", 2, "']'"),
];

/// Where events are created.
const EVENTS: &str = "/api/events";
/// Bodies that create none.
const BAD_BODIES: &[&str] = &[
    "",
    r#"{"name":"#,
    r#"{"name":"Gala","startsAt":"tomorrow"}"#,
    r#"{"name":"","startsAt":"2031-06-01T20:00:00Z"}"#,
    r#"{"name":"Gala","startsAt":"2031-06-01T20:00:00Z","capacity":-1}"#,
];

pub(super) async fn run() -> Result<()> {
    let programs = cargo::build(&["ticket-api", "futura-sidecar", "futura-dashboards"], Profile::Dev).await?;
    let state = tempfile::Builder::new().prefix("futura-bad-input-").tempdir()?;
    let folder = state.path();
    for (number, (text, line, key)) in BAD_CONFIGS.iter().enumerate() {
        let work = config_refused(&programs, folder, text, *line, key);
        check(&format!("the sidecar refuses configuration {} at line {line}", number + 1), work).await?;
    }
    check("a port in use is named", port_in_use_named(&programs, folder)).await?;
    check("an unreachable database is named", database_named(&programs, folder)).await?;
    check("a folder that cannot be written is named", folder_named(&programs, folder)).await?;
    check("the API refuses bodies that are wrong and goes on", bodies_refused(programs, folder)).await
}

async fn config_refused(programs: &Programs, folder: &Path, text: &str, line: usize, key: &str) -> Result<()> {
    let config = folder.join("sidecar.yaml");
    fs::write(&config, text)?;
    let place = format!("{}:{line}:", config.display());
    refused(sidecar(programs, &config)?, USAGE, &[&place, key])
        .await
        .with_context(|| format!("the configuration\n{text}"))
}

async fn port_in_use_named(programs: &Programs, folder: &Path) -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let config = folder.join("sidecar.yaml");
    fs::write(&config, format!("listen: 127.0.0.1:{port}\n"))?;
    refused(sidecar(programs, &config)?, 1, &[&port, "in use"]).await.context("the sidecar")?;
    let [free] = ports::free()?;
    for (port, metrics_port) in [(&port, &free.to_string()), (&free.to_string(), &port)] {
        let mut command = api(programs, folder)?;
        command.env("PORT", port).env("METRICS_PORT", metrics_port);
        refused(command, 1, &[&taken.local_addr()?.port().to_string(), "in use"]).await.context("the API")?;
    }
    Ok(())
}

async fn database_named(programs: &Programs, folder: &Path) -> Result<()> {
    let mut unreachable = api(programs, folder)?;
    unreachable.env("DATABASE_URL", "postgres://user:secret-password@127.0.0.1:1/tickets");
    refused(unreachable, 1, &["127.0.0.1:1"]).await?;
    let mut unknown = api(programs, folder)?;
    unknown.env("DATABASE_URL", "carrier-pigeon://roof");
    refused(unknown, USAGE, &["DATABASE_URL", "carrier-pigeon"]).await
}

/// The generator is given a folder below a file, which even root cannot make.
async fn folder_named(programs: &Programs, folder: &Path) -> Result<()> {
    let file = folder.join("a-file");
    fs::write(&file, "unchanged")?;
    let below = file.join("below");
    let mut command = process::command(programs.path("generate-dashboards")?);
    command.current_dir(folder).arg("--out").arg(&below);
    refused(command, 1, &[&below.display().to_string()]).await?;
    ensure!(fs::read_to_string(&file)? == "unchanged", "the file was written to");
    Ok(())
}

async fn bodies_refused(programs: Programs, folder: &Path) -> Result<()> {
    let stack = Stack::new(programs, Ports::free()?, None, folder, &cargo::scratch("bad-input-logs")?)?;
    let api = stack.start_api().await?;
    if let Err(error) = bad_bodies(&stack).await {
        terminal::line(api.tail());
        return Err(error);
    }
    let status = api.terminate().await?;
    ensure!(status.success(), "the API ended with {status}");
    Ok(())
}

async fn bad_bodies(stack: &Stack) -> Result<()> {
    let (client, api) = (&stack.client, stack.api_url());
    for body in BAD_BODIES {
        let request = client.request(Method::POST, &format!("{api}{EVENTS}"));
        let request = request.header("content-type", "application/json").body(*body);
        let Answer { status, body: said } = send(request).await.with_context(|| format!("the body {body}"))?;
        ensure!([400, 422].contains(&status), "the body {body} is answered with {status}: {said}");
        ensure!(said.contains("\"error\""), "the answer to {body} does not say what is wrong: {said}");
    }
    let (_, answer) = announce_body(stack.ports.api, EVENTS, HUGE_BODY_BYTES).await?;
    ensure!(answer.starts_with("HTTP/1.1 413 "), "a huge body is answered with {answer}");
    let events = client.get(&format!("{api}{EVENTS}")).await?;
    ensure!(!events.contains("Gala"), "a refused event was stored: {events}");
    Ok(())
}

fn sidecar(programs: &Programs, config: &Path) -> Result<Command> {
    let mut command = process::command(programs.path("futura-sidecar")?);
    command.args(["run", "--config"]).arg(config);
    Ok(command)
}

fn api(programs: &Programs, folder: &Path) -> Result<Command> {
    let [port, metrics_port] = ports::free()?;
    let mut command = process::command(programs.path("ticket-api")?);
    command
        .current_dir(folder)
        .env("HOST", "127.0.0.1")
        .env("PORT", port.to_string())
        .env("METRICS_PORT", metrics_port.to_string())
        .env("DATABASE_URL", format!("sqlite:{}", folder.join("tickets.sqlite3").display()));
    Ok(command)
}

/// The command must end with this code, and one line must name all of this; no secret may show.
async fn refused(command: Command, code: i32, names: &[&str]) -> Result<()> {
    let output = process::output(command, Stdio::piped(), REFUSAL_LIMIT).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "it ended with {}, not code {code}:\n{said}", output.status);
    let lines = said.lines().filter(|line| names.iter().all(|name| line.contains(name))).count();
    ensure!(lines == 1, "{lines} lines, not one, name {names:?}:\n{said}");
    for wrong in ["panicked at", "secret-password"] {
        ensure!(!said.contains(wrong), "it says {wrong:?}:\n{said}");
    }
    Ok(())
}
