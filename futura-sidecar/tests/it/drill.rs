//! `drill` against the real Alertmanager, where it is installed, and what it says when there is none.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output, Stdio},
    sync::Mutex,
    time::Duration,
};

use futura_alert_rules::{Site, rules};
use futura_sidecar::{ApiConfig, Drill, DrillConfig, DrillError, Witness, Word};
use insta::assert_snapshot;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::{
    process::Child,
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{exporter::closed_port, sentry::PATIENCE, verify::client};

/// An Alertmanager that sends critical alerts to a webhook and warnings to Slack, both at `receiver`.
struct Alertmanager {
    listen: SocketAddr,
    receiver: SocketAddr,
    client: Client,
    _process: Child,
    _folder: TempDir,
}

impl Alertmanager {
    /// None where it is not installed.
    async fn start() -> Option<Self> {
        let (listen, receiver) = (closed_port(), closed_port());
        let folder = tempdir().expect("a folder");
        let config = format!(
            "route:\n  receiver: slack\n  group_by: [alertname]\n  group_wait: 1s\n  group_interval: 1s\n  routes:\n  \
             - {{ receiver: webhook, matchers: [severity=critical] }}\nreceivers:\n- name: webhook\n  webhook_configs:\n  \
             - {{ url: \"http://{receiver}/\" }}\n- name: slack\n  slack_configs:\n  \
             - {{ api_url: \"http://{receiver}/slack\", channel: \"#alerts\", send_resolved: true }}\n"
        );
        let file = folder.path().join("alertmanager.yml");
        fs::write(&file, config).expect("a file");
        let mut command = tokio::process::Command::new("prometheus-alertmanager");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.path={}", folder.path().display()));
        command.arg(format!("--web.listen-address={listen}")).arg("--cluster.listen-address=").kill_on_drop(true);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let client = client();
        let alertmanager = Self { listen, receiver, client, _process: process, _folder: folder };
        let ready = async {
            while alertmanager.client.get(alertmanager.url() + "/-/ready").send().await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("Alertmanager comes up");
        Some(alertmanager)
    }

    fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    fn drill(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
        command.env_clear().args(["drill", "--alertmanager", &self.url(), "--wait", "30s"]);
        command.arg(format!("--receiver-listen={}", self.receiver)).args(arguments);
        command
    }

    async fn alerts(&self) -> Vec<Value> {
        let answer = self.client.get(self.url() + "/api/v2/alerts").send().await.expect("an answer");
        serde_json::from_str(&answer.text().await.expect("text")).expect("a list")
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = self.client.post(self.url() + path).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

/// What it printed, its numbers being nobody's to promise.
fn printed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let words = text.split(' ').map(|word| if word.parse::<f64>().is_ok() { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn alerts_arrive_at_a_webhook_and_at_slack_and_so_does_their_end() {
    let Some(alertmanager) = Alertmanager::start().await else {
        eprintln!("prometheus-alertmanager is not installed");
        return;
    };
    let output = alertmanager.drill(&["HighErrorRate", "HighResponseTime"]).output().await.expect("the binary");
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert_snapshot!(printed(&output).replace(&alertmanager.receiver.to_string(), "RECEIVER"), @"
    HighResponseTime: notified after N s, of its end after N s, by slack; the message lacks runbook_url and dashboard_url
    HighErrorRate: notified after N s, of its end after N s, by webhook
    point a receiver of Alertmanager at http://RECEIVER/
    HighResponseTime: sent, goes to slack
    HighResponseTime: resolved, waiting for the message that says so
    HighErrorRate: sent, goes to webhook
    HighErrorRate: resolved, waiting for the message that says so
    ");
    assert!(alertmanager.alerts().await.is_empty(), "all is resolved");
}

#[tokio::test]
async fn what_is_silenced_or_fires_for_real_is_told_and_left_alone() {
    let Some(alertmanager) = Alertmanager::start().await else {
        eprintln!("prometheus-alertmanager is not installed");
        return;
    };
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "RedisDown", "isRegex": false, "isEqual": true}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z", "createdBy": "test", "comment": "test",
    });
    alertmanager.post("/api/v2/silences", &silence).await;
    let output = alertmanager.drill(&["RedisDown"]).output().await.expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("RedisDown: NOT NOTIFIED, as it is silenced by "), "{}", printed(&output));

    let labels = json!({
        "alertname": "NoOrdersReceived", "severity": "warning", "team": "business", "service": "ticket-api",
    });
    alertmanager.post("/api/v2/alerts", &json!([{"labels": labels}])).await;
    let output = alertmanager.drill(&["NoOrdersReceived"]).output().await.expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        printed(&output).contains("alert `NoOrdersReceived` fires with these very labels already"),
        "{}",
        printed(&output)
    );
    let fires = alertmanager.alerts().await.iter().any(|alert| alert["labels"] == labels);
    assert!(fires, "the real one goes on");
}

#[tokio::test]
async fn a_person_s_word_counts_where_no_receiver_listens() {
    let Some(alertmanager) = Alertmanager::start().await else {
        eprintln!("prometheus-alertmanager is not installed");
        return;
    };
    let api = ApiConfig { url: alertmanager.url().parse().expect("an address"), access: None, timeout: PATIENCE };
    let config = DrillConfig {
        site: Site::default(),
        wait: PATIENCE,
        labels: [("cluster".to_owned(), "test".to_owned())].into(),
        prometheus: "http://prometheus.test/".parse().expect("an address"),
    };
    let (person, words) = mpsc::channel(2);
    person.send(Word::Came).await.expect("a listener");
    person.send(Word::Missing).await.expect("a listener");
    let mut drill = Drill::begin(api, config, Witness::Operator(words)).await.expect("Alertmanager");
    let alert = rules::alerts(&Site::default()).find(|alert| alert.name == "PodDown").expect("an alert");
    let sent = drill.alert(&alert).expect("an example");
    let asked = Mutex::new(Vec::new());
    let drilled =
        drill.run(&sent, |text| asked.lock().expect("no panic").push(text.to_owned())).await.expect("a drill");
    assert!(drilled.fired.is_some() && drilled.resolved.is_none() && !drilled.is_well(), "{drilled:?}");
    assert_snapshot!(asked.into_inner().expect("no panic").join("\n"), @r"
    PodDown: sent, goes to webhook
    PodDown: has the message arrived that it fires? [y/n]
    PodDown: resolved, waiting for the message that says so
    PodDown: has the message arrived that it is resolved? [y/n]
    ");
    drop(person);
    let unheard = drill.run(&drill.alert(&alert).expect("an example"), |_| ()).await;
    assert!(matches!(unheard, Err(DrillError::NoWitness)), "{unheard:?}");
    assert!(alertmanager.alerts().await.is_empty(), "whatever comes of a drill, its alert ends");
}

#[tokio::test]
async fn an_interrupted_drill_resolves_its_alert() {
    let Some(alertmanager) = Alertmanager::start().await else {
        eprintln!("prometheus-alertmanager is not installed");
        return;
    };
    // Messages go to a receiver where nobody listens, so the drill waits until it is told to stop.
    let elsewhere = format!("--receiver-listen={}", closed_port());
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
    command.env_clear().args(["drill", "HighErrorRate", "--alertmanager", &alertmanager.url(), &elsewhere]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    let fires = async {
        while alertmanager.alerts().await.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, fires).await.expect("the alert is sent");
    let alerts = alertmanager.alerts().await;
    let summary = alerts[0]["annotations"]["summary"].as_str().unwrap_or_default();
    assert!(summary.starts_with("DRILL: "), "{alerts:?}");
    assert_eq!(alerts[0]["labels"]["severity"], "critical");
    let process = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-INT", &process]).status().expect("kill").success());
    let output = child.wait_with_output().await.expect("an end");
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    assert!(printed(&output).ends_with("interrupted: alert `HighErrorRate` is resolved\n"), "{}", printed(&output));
    assert!(alertmanager.alerts().await.is_empty());
}

#[tokio::test]
async fn a_drill_without_alertmanager_alert_or_witness_does_not_begin() {
    let drill = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
        let output =
            command.env_clear().arg("drill").args(arguments).stdin(Stdio::null()).output().expect("the binary");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nobody = format!("http://{}", closed_port());
    let (code, text) = drill(&["PodDown", "--alertmanager", &nobody, "--receiver-listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(69));
    assert!(text.contains("/api/v2/status` cannot be asked: "), "{text}");
    let (code, text) = drill(&["PodUp", "--alertmanager", &nobody, "--receiver-listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(64));
    assert!(text.starts_with("no alert is called `PodUp`, but ") && text.contains("PodDown"), "{text}");
    let (code, text) = drill(&["PodDown", "--alertmanager", &nobody]);
    assert_eq!(code, Some(64));
    assert_snapshot!(text, @"nobody can be asked, as standard input is no terminal: give --receiver-listen ADDRESS");
    assert_eq!(drill(&["--alertmanager", &nobody]).0, Some(64));
    assert_eq!(drill(&["PodDown", "--all", "--alertmanager", &nobody]).0, Some(64));
}
