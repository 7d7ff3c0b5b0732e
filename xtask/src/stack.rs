//! The programs that the demo and the end-to-end checks start, configured as a pod would configure them.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    cargo::{self, Programs},
    client::Client,
    ports,
    process::{self, Process},
};

/// The environment variable that tells the sidecar the real Sentry project: no key stands in a file.
const UPSTREAM: &str = "UPSTREAM_DSN";

/// What listens where, as the documentation says.
const USUAL: [(&str, u16); 5] =
    [("API", 3000), ("API metrics", 9090), ("sidecar", 9469), ("sidecar for errors", 9470), ("Prometheus", 9091)];

/// Where the programs listen, on loopback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) api: u16,
    pub(crate) api_metrics: u16,
    pub(crate) sidecar: u16,
    pub(crate) errors: u16,
    pub(crate) prometheus: u16,
}

/// What the programs are started with.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) client: Client,
    pub(crate) ports: Ports,
    /// The Sentry project that the sidecar forwards to; without one it forwards nothing.
    pub(crate) upstream: Option<String>,
    programs: Programs,
    /// Databases, spools, configuration.
    state: PathBuf,
    logs: PathBuf,
}

/// What Prometheus scrapes.
#[derive(Debug)]
pub(crate) struct Target {
    /// The job, and the label `service`.
    pub(crate) service: String,
    pub(crate) port: u16,
    pub(crate) path: String,
}

// === impl Ports ===

impl Ports {
    /// Free ports.
    pub(crate) fn free() -> Result<Self> {
        ports::free().map(Self::from)
    }

    /// The ports of the documentation, each replaced where it is taken.
    pub(crate) fn usual() -> Result<Self> {
        ports::preferred(USUAL.map(|(_, port)| port)).map(Self::from)
    }

    /// What does not listen where the documentation says, one line each.
    pub(crate) fn moved(self) -> Vec<String> {
        let Self { api, api_metrics, sidecar, errors, prometheus } = self;
        let ports = [api, api_metrics, sidecar, errors, prometheus].into_iter().zip(USUAL);
        let moved = ports.filter(|(port, (_, usual))| port != usual);
        moved.map(|(port, (what, usual))| format!("{what}: {port}, as another program has {usual}")).collect()
    }
}

impl From<[u16; 5]> for Ports {
    fn from([api, api_metrics, sidecar, errors, prometheus]: [u16; 5]) -> Self {
        Self { api, api_metrics, sidecar, errors, prometheus }
    }
}

// === impl Stack ===

impl Stack {
    /// Prepares the folders; nothing is started yet.
    pub(crate) fn new(
        programs: Programs,
        ports: Ports,
        upstream: Option<String>,
        state: &Path,
        logs: &Path,
    ) -> Result<Self> {
        for folder in [state, logs] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let (state, logs) = (state.to_owned(), logs.to_owned());
        Ok(Self { client: Client::new()?, ports, upstream, programs, state, logs })
    }

    pub(crate) fn api_url(&self) -> String {
        url(self.ports.api)
    }

    pub(crate) fn api_metrics_url(&self) -> String {
        url(self.ports.api_metrics)
    }

    pub(crate) fn sidecar_url(&self) -> String {
        url(self.ports.sidecar)
    }

    pub(crate) fn prometheus_url(&self) -> String {
        url(self.ports.prometheus)
    }

    /// The folder of the programs' logs.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts the API on its embedded database.
    pub(crate) async fn start_api(&self) -> Result<Process> {
        let mut command = process::command(self.programs.path("ticket-api")?);
        command
            .current_dir(&self.state)
            .env("HOST", "127.0.0.1")
            .env("PORT", self.ports.api.to_string())
            .env("METRICS_PORT", self.ports.api_metrics.to_string())
            .env("DATABASE_URL", format!("sqlite:{}", self.state.join("tickets.sqlite3").display()))
            .env("DRILL_ROUTES", "true")
            .env_remove("SENTRY_DSN");
        if self.upstream.is_some() {
            // The sidecar puts the real project in the place of this key and number.
            command.env("SENTRY_DSN", format!("http://application@127.0.0.1:{}/1", self.ports.errors));
        }
        let mut api = Process::spawn("ticket-api", command, &self.log("ticket-api"))?;
        api.ready(&self.client, &format!("{}/readyz", self.api_metrics_url())).await?;
        Ok(api)
    }

    /// Starts the sidecar with checks on the API, forwarding its errors where there is somewhere to forward them to.
    pub(crate) async fn start_sidecar(&self) -> Result<Process> {
        let config = self.state.join("sidecar.yaml");
        fs::write(&config, self.sidecar_config()?).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = process::command(self.programs.path("futura-sidecar")?);
        command.current_dir(&self.state).args(["run", "--config"]).arg(&config).env_remove("SENTRY_DSN");
        if let Some(upstream) = &self.upstream {
            command.env(UPSTREAM, upstream);
        }
        let mut sidecar = Process::spawn("futura-sidecar", command, &self.log("futura-sidecar"))?;
        sidecar.ready(&self.client, &format!("{}/readyz", self.sidecar_url())).await?;
        Ok(sidecar)
    }

    /// Starts a Prometheus with the generated rules that scrapes the API, the sidecar and `others` each second.
    pub(crate) async fn start_prometheus(&self, others: &[Target]) -> Result<Process> {
        let config = self.state.join("prometheus.yaml");
        fs::write(&config, self.prometheus_config(others)?)
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = process::command("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", self.state.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.ports.prometheus))
            .arg("--log.level=warn");
        let mut prometheus = Process::spawn("prometheus", command, &self.log("prometheus"))?;
        prometheus.ready(&self.client, &format!("{}/-/ready", self.prometheus_url())).await?;
        Ok(prometheus)
    }

    fn sidecar_config(&self) -> Result<String> {
        let Ports { api, api_metrics, sidecar, errors, .. } = self.ports;
        let mut config = format!(
            "listen: 127.0.0.1:{sidecar}
checks:
  - {{ name: api-health, kind: http, url: \"http://127.0.0.1:{api}/health\", interval: 1s, timeout: 1s }}
  - {{ name: api-port, kind: tcp, target: \"127.0.0.1:{api}\", interval: 1s, timeout: 1s }}
  - name: api-probes
    kind: journey
    interval: 1s
    timeout: 1s
    base_url: http://127.0.0.1:{api_metrics}
    steps: [{{ name: alive, url: /livez }}, {{ name: ready, url: /readyz }}]
"
        );
        if self.upstream.is_some() {
            let spool = self.state.join("spool");
            write!(config, "errors:\n  listen: 127.0.0.1:{errors}\n  upstream: ${{{UPSTREAM}}}\n  spool: {spool:?}\n")?;
        }
        Ok(config)
    }

    fn prometheus_config(&self, others: &[Target]) -> Result<String> {
        let rules = cargo::root().join("alert-rules/generated/prometheus/*.yaml");
        let mut config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}
rule_files: [ {rules:?} ]
scrape_configs:
"
        );
        let own = [("ticket-api", self.ports.api_metrics), ("futura-sidecar", self.ports.sidecar)]
            .map(|(service, port)| Target { service: service.to_owned(), port, path: "/metrics".to_owned() });
        for Target { service, port, path } in own.iter().chain(others) {
            write!(
                config,
                "  - job_name: {service}
    metrics_path: {path}
    static_configs: [ {{ targets: [ \"127.0.0.1:{port}\" ], labels: {{ service: {service} }} }} ]
"
            )?;
        }
        Ok(config)
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::{Ports, USUAL};

    #[test]
    fn ports_that_were_moved_are_told() {
        let mut ports = Ports::from(USUAL.map(|(_, port)| port));
        assert!(ports.moved().is_empty());
        ports.sidecar = 1;
        assert_eq!(ports.moved(), ["sidecar: 1, as another program has 9469"]);
    }
}
