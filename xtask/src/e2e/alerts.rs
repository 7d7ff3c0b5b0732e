//! The way of an alert: from a rule in a real Prometheus through a real Alertmanager to the messages that people get.
//!
//! Everything runs with the generated files; only waiting times are shortened in them. Every receiver's address is one of
//! ours on loopback, which keeps what it is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::receiver::{Message, Receiver};
use super::check;
use crate::{
    cargo::{self, Profile, Programs},
    client::Client,
    ports,
    process::{self, Process},
    terminal,
    wait::eventually,
};

mod receiver;

/// How long the generator may take.
const GENERATOR_LIMIT: Duration = Duration::from_secs(60);
/// How long a message may be on its way: a scrape, an evaluation and a group's wait, each a second.
const MESSAGE_LIMIT: Duration = Duration::from_secs(60);

/// What must be told of RedisDown, by the names of the secrets and of the receiver's other addresses.
const TOLD: [&str; 5] = ["alertmanager", "discord", "pagerduty", "slack-critical", "slack-database"];
/// Secrets that are addresses, all of them ours here.
const ADDRESSES: [&str; 7] =
    ["discord", "slack-api", "slack-business", "slack-critical", "slack-database", "slack-payments", "slack-warnings"];
/// The key that PagerDuty must be shown.
const PAGERDUTY_KEY: &str = "key-of-the-pager";

/// The colors of messages, as the templates have them.
const CRITICAL_COLOR: &str = "#d0021b";
const RESOLVED_COLOR: &str = "#2eb67d";

/// What runs during the check.
struct World {
    receiver: Receiver,
    alertmanager: Process,
    prometheus: Process,
}

/// Lets RedisDown fire and end, and looks at what is told.
pub(super) async fn run() -> Result<()> {
    let programs = cargo::build(&["futura-dashboards"], Profile::Dev).await?;
    let logs = cargo::scratch("e2e/logs")?;
    let state = tempfile::Builder::new().prefix("futura-alerts-").tempdir()?;
    let world = World::start(&programs, state.path(), &logs).await?;
    if let Err(error) = world.check().await {
        terminal::line(world.prometheus.tail());
        terminal::line(world.alertmanager.tail());
        return Err(error);
    }
    world.prometheus.terminate().await?;
    world.alertmanager.terminate().await.map(drop)
}

// === impl World ===

impl World {
    async fn start(programs: &Programs, state: &Path, logs: &Path) -> Result<Self> {
        let (client, receiver) = (Client::new()?, Receiver::start().await?);
        let files = generate(programs, state, &receiver).await?;
        let [alertmanager_port, prometheus_port] = ports::free()?;
        let alertmanager = start_alertmanager(&client, &files, alertmanager_port, logs).await?;
        let config = prometheus_config(&files, alertmanager_port, receiver.port());
        let prometheus = start_prometheus(&client, &config, state, prometheus_port, logs).await?;
        Ok(Self { receiver, alertmanager, prometheus })
    }

    async fn check(&self) -> Result<()> {
        check("an alert that fires is told to everyone it concerns", self.told("firing")).await?;
        let message = async { self.slack_message(CRITICAL_COLOR, "CRITICAL") };
        check("the message in Slack has color, runbook and dashboard", message).await?;
        check("the pager is called with its key", async { self.page("trigger") }).await?;
        self.receiver.redis_answers(true);
        check("its end is told to the same", self.told("resolved")).await?;
        let message = async { self.slack_message(RESOLVED_COLOR, "RESOLVED") };
        check("the message in Slack says that it is over", message).await?;
        check("the pager is called off", async { self.page("resolve") }).await?;
        check("nobody else was told", async {
            let others: Vec<_> = self.receiver.messages().into_iter().map(|message| message.to).collect();
            ensure!(others.iter().all(|to| TOLD.contains(&to.as_str())), "told: {others:?}");
            Ok(())
        })
        .await
    }

    /// Everyone has got a message, the last of which is of this status; each form of message says it in its own way.
    async fn told(&self, status: &str) -> Result<()> {
        for to in TOLD {
            eventually(MESSAGE_LIMIT, async || {
                let message = self.last(to)?;
                let is_over = match to {
                    "alertmanager" => message.body["status"] == "resolved",
                    "pagerduty" => message.body["event_action"] == "resolve",
                    _ => message.body["attachments"][0]["color"] == RESOLVED_COLOR,
                };
                ensure!(is_over == (status == "resolved"), "{to} was told otherwise: {}", message.body);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn slack_message(&self, color: &str, begins: &str) -> Result<()> {
        let body = self.last("slack-critical")?.body;
        ensure!(body["channel"] == "#alerts-critical", "the channel is {}", body["channel"]);
        let message = &body["attachments"][0];
        ensure!(message["color"] == color, "the color is {}", message["color"]);
        let (title, text) = (message["title"].as_str().unwrap_or(""), message["text"].as_str().unwrap_or(""));
        ensure!(title == format!("{begins}: RedisDown of redis in e2e"), "the title is {title:?}");
        ensure!(text.contains("Redis does not answer"), "the text is {text:?}");
        let links = [
            ("Runbook", "https://runbooks.futuratickets.com/RedisDown"),
            ("Dashboard", "https://grafana.futuratickets.com/d/futuratickets-overview?viewPanel=9"),
        ];
        for (name, url) in links {
            let button = list(&message["actions"])?.iter().find(|button| button["text"] == name);
            ensure!(button.is_some_and(|button| button["url"] == url), "no button {name} to {url}: {message}");
        }
        Ok(())
    }

    fn page(&self, action: &str) -> Result<()> {
        let body = self.last("pagerduty")?.body;
        ensure!(body["event_action"] == action && body["routing_key"] == PAGERDUTY_KEY, "the page is {body}");
        // What calls a page off says no more than which one it means.
        if action == "trigger" {
            let payload = &body["payload"];
            ensure!(payload["severity"] == "critical" && payload["component"] == "redis", "the page is {body}");
            ensure!(payload["summary"] == "CRITICAL: RedisDown of redis in e2e", "the page is {body}");
        }
        Ok(())
    }

    fn last(&self, to: &str) -> Result<Message> {
        let last = self.receiver.messages().into_iter().rfind(|message| message.to == to);
        last.with_context(|| format!("{to} was told nothing"))
    }
}

/// Generates the files for a receiver of ours, with shorter times; returns the folder of those of alert-rules.
async fn generate(programs: &Programs, state: &Path, receiver: &Receiver) -> Result<PathBuf> {
    let secrets = state.join("secrets");
    fs::create_dir(&secrets)?;
    for address in ADDRESSES {
        fs::write(secrets.join(address), receiver.url(address))?;
    }
    fs::write(secrets.join("pagerduty-key"), PAGERDUTY_KEY)?;
    let settings = state.join("site.yaml");
    let (secrets, pagerduty, sidecar) = (secrets.display(), receiver.url("pagerduty"), receiver.url("alertmanager"));
    fs::write(
        &settings,
        format!("routing: {{ secrets: {secrets}, pagerduty_url: {pagerduty}, sidecar_url: {sidecar}, email: null }}\n"),
    )?;
    let mut command = process::command(programs.path("generate-dashboards")?);
    command.current_dir(state).args(["--out", "generated", "--config"]).arg(&settings);
    let output = process::output(command, Stdio::piped(), GENERATOR_LIMIT).await?;
    ensure!(output.status.success(), "the generator says {}", String::from_utf8_lossy(&output.stderr));
    let files = state.join("generated/alert-rules");
    // Only of that alert: of MongoDB nothing is known here either.
    let redis = "alert: RedisDown\n    expr: (min(redis_up) or vector(0)) == 0\n    for: ";
    let [long, short] = ["2m", "1s"].map(|lasts| format!("{redis}{lasts}"));
    shorten(&files.join("prometheus/databases.yaml"), &[(&long, &short)])?;
    let waits = [("group_wait: 30s", "group_wait: 1s"), ("group_interval: 5m", "group_interval: 1s")];
    shorten(&files.join("alertmanager/alertmanager.yaml"), &waits)?;
    Ok(files)
}

/// Replaces times in a file, each of which must be there.
fn shorten(path: &Path, times: &[(&str, &str)]) -> Result<()> {
    let mut text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    for (long, short) in times {
        ensure!(text.contains(long), "{} has no {long:?} any more", path.display());
        text = text.replace(long, short);
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

async fn start_alertmanager(client: &Client, files: &Path, port: u16, logs: &Path) -> Result<Process> {
    // Debian's name, and everyone else's.
    let program = ["prometheus-alertmanager", "alertmanager"].into_iter().find_map(process::which);
    let mut command = process::command(program.context("there is no Alertmanager: cargo xtask test install")?);
    command
        .arg(format!("--config.file={}", files.join("alertmanager/alertmanager.yaml").display()))
        .arg(format!("--storage.path={}", files.join("storage").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // Alone, it needs no port to find others by.
        .args(["--cluster.listen-address=", "--log.level=warn"]);
    let mut alertmanager = Process::spawn("alertmanager", command, &logs.join("alertmanager.log"))?;
    alertmanager.ready(client, &format!("http://127.0.0.1:{port}/-/ready")).await?;
    Ok(alertmanager)
}

fn prometheus_config(files: &Path, alertmanager: u16, exporter: u16) -> String {
    let rules = files.join("prometheus/databases.yaml");
    format!(
        "global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {{ cluster: e2e }}
rule_files: [ {rules:?} ]
alerting:
  alertmanagers: [ {{ static_configs: [ {{ targets: [ \"127.0.0.1:{alertmanager}\" ] }} ] }} ]
scrape_configs:
  - {{ job_name: redis, static_configs: [ {{ targets: [ \"127.0.0.1:{exporter}\" ] }} ] }}
"
    )
}

async fn start_prometheus(client: &Client, config: &str, state: &Path, port: u16, logs: &Path) -> Result<Process> {
    let file = state.join("prometheus.yaml");
    fs::write(&file, config)?;
    let mut command = process::command("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", state.join("prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // Otherwise it would tell an alert's end up to a minute late.
        .args(["--rules.alert.resend-delay=1s", "--log.level=warn"]);
    let mut prometheus = Process::spawn("prometheus", command, &logs.join("prometheus-alerts.log"))?;
    prometheus.ready(client, &format!("http://127.0.0.1:{port}/-/ready")).await?;
    Ok(prometheus)
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("not a list: {value}"))
}
