//! The sidecar's pages in a real Chromium, used as people use them.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    cargo::{self, Profile},
    client::Client,
    install, ports,
    process::{self, Process},
    terminal,
};

/// Shows the pages of a sidecar whose checks are up, down, waiting and announced.
pub(crate) async fn run() -> Result<()> {
    let programs = cargo::build(&["futura-sidecar"], Profile::Dev).await?;
    let browser = install::browser().await?;
    let [page, target, errors] = ports::free()?;
    let state = tempfile::Builder::new().prefix("futura-pages-").tempdir()?;
    let config = state.path().join("sidecar.yaml");
    fs::write(&config, configuration(page, target, errors))
        .with_context(|| format!("cannot write {}", config.display()))?;
    let pictures = cargo::scratch("pages/pictures")?;

    let mut command = process::command(programs.path("futura-sidecar")?);
    command.current_dir(state.path()).args(["run", "--config"]).arg(&config);
    let mut sidecar = Process::spawn("futura-sidecar", command, &state.path().join("futura-sidecar.log"))?;
    let url = format!("http://127.0.0.1:{page}");
    sidecar.ready(&Client::new()?, &format!("{url}/readyz")).await?;

    let mut command = process::command("node");
    command
        .current_dir(&browser)
        .arg("check.mjs")
        .arg(&url)
        .arg(target.to_string())
        .arg(errors.to_string())
        .arg(&pictures)
        .arg(chromium()?);
    if let Err(error) = process::run("the check of the pages", command).await {
        terminal::line(sidecar.tail());
        return Err(error);
    }
    terminal::line(format_args!("  pictures of them are in {}", pictures.display()));
    sidecar.terminate().await.map(drop)
}

fn chromium() -> Result<PathBuf> {
    process::which("chromium").context("chromium is not on the PATH")
}

fn configuration(page: u16, target: u16, errors: u16) -> String {
    let target = format!("http://127.0.0.1:{target}");
    format!(
        "listen: 127.0.0.1:{page}
history: ./history
errors:
  listen: 127.0.0.1:{errors}
  upstreams: [{{ name: own-bugsink, dsn: \"http://key@127.0.0.1:1/1\", copy: true }}]
checks:
  - {{ name: shop, kind: http, url: \"{target}/health\", interval: 500ms, timeout: 500ms }}
  - {{ name: closed, kind: tcp, target: \"127.0.0.1:1\", interval: 500ms, timeout: 500ms }}
  - name: purchase
    kind: journey
    interval: 1s
    timeout: 1s
    base_url: {target}
    steps:
      - {{ name: log-in, method: POST, url: /login, body: \"user\", capture: {{ token: {{ json: $.token }} }} }}
      - {{ name: buy, url: /orders, headers: {{ authorization: \"Bearer {{{{token}}}}\" }}, json: {{ $.status: ok }} }}
  - {{ name: waiting, kind: http, url: \"{target}/health\", interval: 24h, offset: 23h }}
  - name: announced
    kind: http
    url: {target}/health
    interval: 1s
    timeout: 1s
    maintenance: [{{ from: \"2020-01-01T00:00:00Z\", to: \"2100-01-01T00:00:00Z\" }}]
"
    )
}
