//! Alertmanager's own tool accepts the configuration, sends every alert where the contract says, and fills in the messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    process::Command,
};

use futura_alert_rules::{Profile, RoutingConfig, Site, files};
use insta::assert_snapshot;
use serde::Deserialize;

use crate::promtool::generated;

/// Who is told of alerts of a severity, as the contract has it. The sidecar makes events of all.
const BY_SEVERITY: &[(&str, &[&str])] =
    &[("critical", &["critical", "pager", "sidecar"]), ("warning", &["warnings", "sidecar"])];

/// Who is told besides of alerts of a team, as the contract has it.
const BY_TEAM: &[(&str, &[&str])] = &[
    ("api", &["api-team"]),
    ("business", &["business"]),
    ("database", &["database-team"]),
    ("payments", &["payments"]),
    ("platform", &[]),
];

/// What a file for `promtool test rules` says of the alerts that fire.
#[derive(Deserialize)]
struct TestFile {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Deserialize)]
struct ExpectedAlert {
    exp_labels: BTreeMap<String, String>,
}

/// What Alertmanager's configuration says of receivers, as far as the tests read it.
#[derive(Deserialize)]
struct Configuration {
    route: Root,
    receivers: Vec<BTreeMap<String, serde_yaml::Value>>,
}

#[derive(Deserialize)]
struct Root {
    group_by: Vec<String>,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    receiver: String,
    repeat_interval: String,
}

/// Runs amtool and returns what it prints, or what it objects; nothing where it is not installed.
fn amtool(arguments: &[&str]) -> Option<Result<String, String>> {
    // Whoever uses amtool here may have settings of their own, which must not matter.
    let elsewhere = tempfile::tempdir().unwrap();
    let output = match Command::new("amtool").args(arguments).env("HOME", elsewhere.path()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("amtool is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some(if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text([output.stdout, output.stderr].concat()))
    })
}

fn configuration(folder: &Path) -> String {
    folder.join("alertmanager/alertmanager.yaml").display().to_string()
}

/// The labels of every alert that fires in an example, with the alert's name.
fn firing(folder: &Path) -> BTreeSet<BTreeMap<String, String>> {
    let mut firing = BTreeSet::new();
    for entry in fs::read_dir(folder.join("prometheus/tests")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let file: TestFile = serde_yaml::from_str(&text).unwrap();
        for test in file.tests.into_iter().flat_map(|test| test.alert_rule_test) {
            firing.extend(test.exp_alerts.into_iter().map(|alert| {
                let mut labels = alert.exp_labels;
                labels.insert("alertname".to_owned(), test.alertname.clone());
                labels
            }));
        }
    }
    firing
}

/// The receivers that the contract names for these labels.
fn contracted(labels: &BTreeMap<String, String>) -> BTreeSet<&'static str> {
    if labels["alertname"] == "Watchdog" {
        return BTreeSet::from(["heartbeat"]);
    }
    let of = |table: &[(&str, &'static [&'static str])], label: &str| {
        let found = table.iter().find(|(value, _)| *value == labels[label]);
        found.unwrap_or_else(|| panic!("the contract knows no {label} {}", labels[label])).1
    };
    of(BY_SEVERITY, "severity").iter().chain(of(BY_TEAM, "team")).copied().collect()
}

#[test]
fn amtool_accepts_the_configuration() {
    let sites = [
        Site::default(),
        Site {
            routing: RoutingConfig { email: None, discord: false, sidecar_url: None, ..RoutingConfig::default() },
            ..Site::default()
        },
    ];
    for site in sites {
        let folder = generated(&site);
        let verdict = amtool(&["check-config", &configuration(folder.path())]);
        let Some(verdict) = verdict else { return };
        let found = verdict.unwrap_or_else(|objection| panic!("{objection}"));
        assert!(found.contains(" - 1 templates\n"), "{found}");
    }
}

#[test]
fn every_alert_reaches_whom_the_contract_names() {
    let folder = generated(&Site::default());
    let config = format!("--config.file={}", configuration(folder.path()));
    let alerts = firing(folder.path());
    assert!(alerts.len() > 10, "{alerts:?}");
    for labels in alerts {
        let receivers: Vec<_> = contracted(&labels).into_iter().collect();
        let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec!["config", "routes", "test", &config];
        arguments.extend(pairs.iter().map(String::as_str));
        let Some(reached) = amtool(&arguments) else { return };
        let reached = reached.unwrap_or_else(|objection| panic!("{pairs:?}: {objection}"));
        let reached: BTreeSet<_> = reached.trim().split(',').collect();
        assert_eq!(reached, receivers.into_iter().collect(), "{pairs:?}");
    }
}

#[test]
fn alerts_of_others_reach_the_default_receiver() {
    let folder = generated(&Site::default());
    let config = format!("--config.file={}", configuration(folder.path()));
    let labels = ["alertname=Foreign", "severity=info"];
    let arguments = [&["config", "routes", "test", &config, "--verify.receivers=default"][..], &labels].concat();
    if let Some(verdict) = amtool(&arguments) {
        verdict.unwrap();
    }
}

#[test]
fn channels_and_repetitions_are_those_of_the_contract() {
    let folder = generated(&Site::default());
    let text = fs::read_to_string(configuration(folder.path())).unwrap();
    let configuration: Configuration = serde_yaml::from_str(&text).unwrap();
    assert_eq!(configuration.route.group_by, ["alertname", "cluster", "service"]);
    for (receiver, channel, repeat) in [
        ("critical", "#alerts-critical", &["4h"][..]),
        ("warnings", "#alerts-warnings", &["12h"]),
        ("business", "#business-alerts", &["24h", "1d"]),
        ("payments", "#payments-alerts", &["2h"]),
    ] {
        let routes: Vec<_> = configuration.route.routes.iter().filter(|route| route.receiver == receiver).collect();
        assert!(
            !routes.is_empty() && routes.iter().all(|route| repeat.contains(&route.repeat_interval.as_str())),
            "{receiver}"
        );
        let entry = configuration.receivers.iter().find(|entry| entry["name"] == receiver).unwrap();
        assert_eq!(entry["slack_configs"][0]["channel"], channel);
        assert_eq!(entry["slack_configs"][0]["send_resolved"], true);
    }
    let kinds = |name: &str| {
        let entry = configuration.receivers.iter().find(|entry| entry["name"] == name).unwrap();
        entry.keys().map(String::as_str).filter(|key| key.ends_with("_configs")).collect::<Vec<_>>()
    };
    assert_eq!(kinds("pager"), ["pagerduty_configs"]);
    assert_eq!(kinds("database-team"), ["email_configs", "slack_configs"]);
    assert_eq!(kinds("api-team"), ["slack_configs"]);
    assert_eq!(kinds("sidecar"), ["webhook_configs"]);
}

/// A key that would hold a secret itself, and not the name of the file that does, is in no file.
#[test]
fn no_secret_stands_in_a_file() {
    let inline =
        ["api_url:", "webhook_url:", "routing_key:", "service_key:", "auth_password:", "password:", "credentials:"];
    for profile in Profile::ALL {
        let heartbeat = profile == Profile::Prometheus3;
        let routing = RoutingConfig { heartbeat, ..RoutingConfig::default() };
        for file in files(&Site { profile, routing, ..Site::default() }).unwrap() {
            for key in inline {
                let found = file.contents.lines().find(|line| line.trim_start_matches([' ', '-']).starts_with(key));
                assert_eq!(found, None, "{}", file.path);
            }
        }
    }
}

#[test]
fn a_newer_alertmanager_reads_discord_s_address_from_a_file() {
    let text = |profile| {
        let folder = generated(&Site { profile, ..Site::default() });
        fs::read_to_string(configuration(folder.path())).unwrap()
    };
    let file = "webhook_url_file: /etc/alertmanager/secrets/discord\n";
    assert!(text(Profile::Prometheus3).contains(file));
    let older = text(Profile::Prometheus2);
    assert!(!older.contains("discord_configs") && older.contains("api_url_file: /etc/alertmanager/secrets/discord\n"));
}

/// What a template makes of a notification of two alerts, one of which is over.
fn rendered(template: &str, kind: &str, status: &str) -> Option<String> {
    let folder = generated(&Site::default());
    let glob = format!("--template.glob={}", folder.path().join("alertmanager/templates/*.tmpl").display());
    let alert = |status: &str, pod: &str| {
        serde_yaml::Value::Mapping(
            [
                ("status", status.into()),
                ("startsAt", "2026-11-27T08:00:00Z".into()),
                ("labels", mapping(&[("alertname", "PodDown"), ("pod", pod)])),
                (
                    "annotations",
                    mapping(&[
                        ("summary", &format!("Pod {pod} is not running")),
                        ("description", "It is pending, <failed> & unknown."),
                    ]),
                ),
            ]
            .map(|(key, value)| (key.into(), value))
            .into_iter()
            .collect(),
        )
    };
    let notification = [
        ("status", status.into()),
        ("externalURL", "http://alertmanager:9093".into()),
        (
            "commonLabels",
            mapping(&[
                ("alertname", "PodDown"),
                ("service", "kubernetes"),
                ("severity", "critical"),
                ("cluster", "eu"),
            ]),
        ),
        (
            "commonAnnotations",
            mapping(&[
                ("runbook_url", "https://runbooks.example.org/PodDown"),
                ("dashboard_url", "https://grafana.example.org/d/futuratickets-overview?viewPanel=3"),
            ]),
        ),
        ("alerts", vec![alert(status, "api-1"), alert("resolved", "<!channel>")].into()),
    ];
    let notification: serde_yaml::Mapping = notification.map(|(key, value)| (key.into(), value)).into_iter().collect();
    let data = folder.path().join("data.json");
    // JSON is YAML written in one of its ways; every text here is plain.
    fs::write(&data, json(&notification.into())).unwrap();
    let (text, kind) = (format!("--template.text={template}"), format!("--template.type={kind}"));
    let data = format!("--template.data={}", data.display());
    amtool(&["template", "render", &glob, &text, &kind, &data]).map(|text| text.unwrap())
}

fn mapping(pairs: &[(&str, &str)]) -> serde_yaml::Value {
    let pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    serde_yaml::Value::Mapping(pairs.collect())
}

fn json(value: &serde_yaml::Value) -> String {
    match value {
        serde_yaml::Value::Mapping(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", json(key), json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        serde_yaml::Value::Sequence(values) => {
            format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(", "))
        }
        value => format!("{:?}", value.as_str().unwrap()),
    }
}

#[test]
fn messages_say_what_is_wrong_where_and_what_to_do() {
    let parts = [
        r#"{{ template "futura.title" . }}"#,
        r#"{{ template "futura.color" . }}"#,
        r#"{{ template "futura.slack.text" . }}"#,
        r#"{{ template "futura.text" . }}{{ template "futura.links" . }}"#,
        r#"{{ template "futura.silence.url" . }}"#,
    ];
    let Some(rendered) = parts.map(|part| rendered(part, "text", "firing")).into_iter().collect::<Option<Vec<_>>>()
    else {
        return;
    };
    assert_snapshot!(rendered.join("---\n"), @"
    CRITICAL: PodDown of kubernetes in eu---
    #d0021b---
    *Pod api-1 is not running*
    It is pending, &lt;failed&gt; &amp; unknown.
    Resolved: Pod &lt;!channel&gt; is not running
    ---
    Pod api-1 is not running
    It is pending, <failed> & unknown.

    Resolved: Pod <!channel> is not running
    Runbook: https://runbooks.example.org/PodDown
    Dashboard: https://grafana.example.org/d/futuratickets-overview?viewPanel=3
    ---
    http://alertmanager:9093/#/silences/new?filter=%7Balertname%3D%22PodDown%22%2Cservice%3D%22kubernetes%22%7D
    ");
}

#[test]
fn a_message_that_all_is_over_says_so() {
    let title = rendered(r#"{{ template "futura.title" . }} {{ template "futura.color" . }}"#, "text", "resolved");
    let Some(title) = title else { return };
    assert_eq!(title.trim(), "RESOLVED: PodDown of kubernetes in eu #2eb67d");
}

#[test]
fn e_mails_escape_what_comes_from_outside() {
    let Some(html) = rendered(r#"{{ template "futura.email.html" . }}"#, "html", "firing") else { return };
    assert_snapshot!(html, @r#"
    <!DOCTYPE html>
    <html lang="en">
    <body style="font-family: sans-serif">
    <h1 style="font-size: 1.2em; border-left: 0.4em solid #d0021b; padding-left: 0.5em">CRITICAL: PodDown of kubernetes in eu</h1>
    <h2 style="font-size: 1em">Pod api-1 is not running</h2>
    <p>It is pending, &lt;failed&gt; &amp; unknown.</p>
    <p style="color: #555">Since 2026-11-27 08:00:00 UTC, alertname PodDown, pod api-1</p>
    <h2 style="font-size: 1em">Resolved: Pod &lt;!channel&gt; is not running</h2>
    <p>It is pending, &lt;failed&gt; &amp; unknown.</p>
    <p style="color: #555">Since 2026-11-27 08:00:00 UTC, alertname PodDown, pod &lt;!channel&gt;</p>
    <p>
    <a href="https://runbooks.example.org/PodDown">Runbook</a>
    <a href="https://grafana.example.org/d/futuratickets-overview?viewPanel=3">Dashboard</a>
    <a href="http://alertmanager:9093/#/silences/new?filter=%7Balertname%3D%22PodDown%22%2Cservice%3D%22kubernetes%22%7D">Silence</a>
    </p>
    </body>
    </html>
    "#);
}
