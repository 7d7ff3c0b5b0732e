//! `lint`: rule files against catalogues from everywhere, and its exit codes.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use axum::{Router, routing::get};
use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};
use tokio::{net::TcpListener, task::spawn_blocking};

use crate::exporter::closed_port;

const RULES: &str = r#"groups:
- name: shop
  rules:
  - alert: NoSales
    expr: shop_sales_total < 1
    for: 10m
    labels: { severity: critical }
    annotations: { summary: Nothing is sold, runbook_url: "https://runbooks.example.org/NoSales" }
"#;

fn folder() -> TempDir {
    let folder = tempdir().expect("a folder");
    fs::create_dir(folder.path().join("rules")).expect("a folder");
    fs::write(folder.path().join("rules/shop.yaml"), RULES).expect("a file");
    fs::write(folder.path().join("rules/none.json"), "{}").expect("a file");
    fs::write(folder.path().join("rules/values.yml"), "replicas: 3\n").expect("a file");
    fs::create_dir(folder.path().join("broken")).expect("a folder");
    fs::write(folder.path().join("broken/a.yaml"), "groups:\n- name: [\n").expect("a file");
    fs::create_dir(folder.path().join("half")).expect("a folder");
    fs::write(folder.path().join("half/a.json"), "{\"panels\": [").expect("a file");
    fs::write(folder.path().join("gauge.prom"), "# TYPE shop_sales_total gauge\nshop_sales_total 1\n").expect("a file");
    folder
}

fn lint(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_futura-sidecar"));
    command.env_clear().current_dir(folder).arg("lint").args(arguments).output().expect("the binary")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_finding_names_file_line_rule_and_remedy() {
    let folder = folder();
    let output = lint(folder.path(), &["rules"]);
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(&output), @"
    rules/shop.yaml:5: error: alert `NoSales`: there is no metric `shop_sales_total` (unknown-metric)
        name a metric of the catalogue, or give the catalogue that has this one
    files: 1, rules: 1, dashboards: 0, errors: 1, warnings: 0
    ");
}

#[test]
fn what_is_disabled_or_well_is_no_error() {
    let folder = folder();
    let output = lint(folder.path(), &["rules/shop.yaml", "--disable", "unknown-metric"]);
    assert_eq!(output.status.code(), Some(0));
    assert_snapshot!(text(&output), @"files: 1, rules: 1, dashboards: 0, errors: 0, warnings: 0");
    let output = lint(folder.path(), &["rules/shop.yaml", "--catalogue", "gauge.prom"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_wrong_command_line_or_file_exits_64() {
    let folder = folder();
    for (arguments, message) in [
        (&["missing.yaml"][..], "cannot read `missing.yaml`: No such file"),
        (&["rules/values.yml"], "rules/values.yml:it has neither `groups` nor `spec.groups`"),
        (&["gauge.prom"], "gauge.prom:"),
        (&["rules", "--catalogue", "rules/values.yml"], "--catalogue `rules/values.yml`: it holds no metric"),
        (&["rules", "--catalogue", "ftp://localhost/"], "an address starts with http:// or https://"),
        (&["rules", "--disable", "nothing"], "no lint is called so"),
        (&["board.json"], "cannot read `board.json`"),
        (&["broken"], "broken/a.yaml:"),
        (&["half"], "half/a.json is not JSON"),
        (&["rules/none.json"], "rules/none.json: it has neither `panels` nor `rows`"),
        (&[], "FILE"),
    ] {
        let output = lint(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(message), "{arguments:?}: {}", text(&output));
    }
    let nobody = format!("http://{}/metrics", closed_port());
    assert_eq!(lint(folder.path(), &["rules", "--catalogue", &nobody]).status.code(), Some(69));
}

#[test]
fn the_lints_are_listed_with_their_remedies() {
    let list = text(&lint(Path::new("."), &["--list"]));
    assert!(list.lines().any(|line| line.starts_with("error    unknown-metric             ")), "{list}");
    assert!(list.lines().any(|line| line.starts_with("warning  short-range                ")), "{list}");
}

#[tokio::test]
async fn a_live_page_and_a_prometheus_are_catalogues() {
    let metadata = r#"{"status":"success","data":{"shop_sales_total":[{"type":"counter","help":"","unit":""}]}}"#;
    let router = Router::new()
        .route("/metrics", get(async || "# TYPE shop_sales_total counter\nshop_sales_total{shop=\"a\"} 1\n"))
        .route("/prometheus/api/v1/metadata", get(async move || metadata));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    for (path, code) in [("/metrics", 1), ("/prometheus", 1), ("/elsewhere/metrics", 69)] {
        let (folder, source) = (folder(), format!("http://{address}{path}"));
        let output = spawn_blocking(move || lint(folder.path(), &["rules", "--catalogue", &source])).await;
        let output = output.expect("no panic");
        assert_eq!(output.status.code(), Some(code), "{path}: {}", text(&output));
        assert_eq!(text(&output).contains("(counter-without-rate)"), code == 1, "{path}: {}", text(&output));
    }
}

#[test]
fn a_dashboard_is_judged_by_the_same_catalogue() {
    let folder = folder();
    let dashboard = r#"{
        "uid": "shop", "title": "Shop", "schemaVersion": 42, "panels": [{
            "id": 1, "type": "timeseries", "title": "Sales", "description": "Sales.", "gridPos": { "x": 0, "y": 0, "w": 12, "h": 8 },
            "fieldConfig": { "defaults": { "unit": "cps" } },
            "targets": [{ "refId": "A", "expr": "rate(shop_sales[$__rate_interval])", "legendFormat": "sales" }]
        }]
    }"#;
    fs::write(folder.path().join("shop.json"), dashboard).expect("a file");
    let found = text(&lint(folder.path(), &["shop.json", "--catalogue", "gauge.prom"]));
    let expected = "shop.json:$.panels[0].targets[0].expr: error: panel `Sales`: no metric is called `shop_sales`";
    assert!(found.contains(expected), "{found}");
    assert!(found.contains("files: 1, rules: 0, dashboards: 1, errors: "), "{found}");
    let found =
        text(&lint(folder.path(), &["shop.json", "--catalogue", "gauge.prom", "--disable", "target-metric-rule"]));
    assert!(!found.contains("shop_sales`"), "{found}");
}

#[test]
fn dashboards_are_read_whatever_their_age_and_wrapping() {
    let folder = folder();
    let old = r#"{ "rows": [{ "panels": [{ "type": "graph", "title": "Old", "targets": [{ "expr": "rate(" }] }] }] }"#;
    fs::write(folder.path().join("old.json"), old).expect("a file");
    fs::write(folder.path().join("handed-out.json"), format!("{{ \"dashboard\": {old} }}")).expect("a file");
    let found = text(&lint(folder.path(), &["old.json", "handed-out.json"]));
    for file in ["old.json", "handed-out.json"] {
        let expected =
            format!("{file}:$.rows[0].panels[0].targets[0].expr: error: panel `Old`: `rate(` does not parse");
        assert!(found.contains(&expected), "{found}");
    }
    assert!(found.contains("files: 2, rules: 0, dashboards: 2, "), "{found}");
}

#[test]
fn what_files_record_is_known_in_the_others() {
    let folder = folder();
    let records = "groups:\n- name: records\n  interval: 10m\n  rules:\n  - record: job:up:sum\n    expr: sum(up)\n";
    let alerts = "groups:\n- name: alerts\n  rules:\n  - alert: Restarted\n    expr: rate(job:up:sum[5m]) > 0\n    \
                  labels: { severity: warning }\n    annotations: { summary: s, runbook_url: u }\n";
    fs::write(folder.path().join("b.yaml"), records).expect("a file");
    fs::write(folder.path().join("a.yaml"), alerts).expect("a file");
    assert_snapshot!(text(&lint(folder.path(), &["a.yaml", "b.yaml"])), @"
    a.yaml:5: error: alert `Restarted`: rate() is taken of `job:up:sum`, which a rule records as an aggregate (rate-after-sum)
        take the rate first and sum after: the restart of one counter makes the sum fall
    b.yaml:2: warning: group `records`: it is evaluated every 10m, which is more than 5m (long-interval)
        evaluate it every five minutes or more often: a sample counts for five minutes, and then there is none
    b.yaml:5: warning: record `job:up:sum`: its name says `job`, but its series have no labels (record-level)
        begin the name with labels that the expression keeps, joined by `_`
    files: 2, rules: 2, dashboards: 0, errors: 1, warnings: 2
    ");
}
