//! Rules about the dashboard as a whole.

use futura_alert_rules::foreign::Labels;
use serde_json::Value;

use super::{
    Catalogue, Report, Rule,
    model::{Dashboard, items, text},
};
use crate::grafana::SCHEMA_VERSION;

/// How many queries a dashboard may ask at once, each time it reloads.
const QUERY_LIMIT: usize = 60;
/// The longest uid that Grafana takes.
const UID_LIMIT: usize = 40;

pub(super) const RULES: &[Rule] = &[
    Rule::error(
        "dashboard-classic-rule",
        "write the classic model, as files are provisioned: `panels`, `\"id\": null`, a `uid` of your own, no `__inputs`",
        classic,
    ),
    Rule::warning(
        "uneditable-dashboard",
        "set `\"editable\": false`: what is provisioned is overwritten, and with it what was edited in place",
        uneditable,
    ),
    Rule::warning(
        "dashboard-cost-rule",
        "hide panels in collapsed rows, or aggregate: each query is asked anew at every reload by everyone who looks",
        cost,
    ),
];

fn classic(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let json = dashboard.json;
    if json["elements"].is_object() || json["apiVersion"].is_string() {
        report.find(None, "$", "it is a resource of Kubernetes' kind, which files and sidecars do not take");
        return;
    }
    if json["rows"].is_array() {
        report.find(None, "$.rows", "its panels are in rows, as they were before Grafana 5");
    } else if !json["panels"].is_array() {
        report.find(None, "$.panels", "it has no panels");
    }
    for inputs in ["__inputs", "__requires"] {
        if !json[inputs].is_null() {
            report.find(None, format!("$.{inputs}"), "only the import by hand fills that in");
        }
    }
    if !json["id"].is_null() {
        report.find(None, "$.id", "the number is another dashboard's on another Grafana");
    }
    let uid = text(&json["uid"]);
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if uid.is_empty() || uid.len() > UID_LIMIT || !uid.chars().all(is_part) {
        report.find(None, "$.uid", format!("`{uid}` is no uid, and without one links break at each import"));
    }
    if json["schemaVersion"].as_u64().is_some_and(|version| version > SCHEMA_VERSION.into()) {
        report.find(None, "$.schemaVersion", format!("Grafana 13.2 knows versions up to {SCHEMA_VERSION}"));
    }
}

fn uneditable(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    if dashboard.json["editable"] != Value::Bool(false) {
        report.find(None, "$.editable", "it can be edited in place");
    }
}

fn cost(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    let at_once = dashboard.queries().filter(|(panel, _)| panel.hidden_in.is_none()).count();
    let at_once = at_once + items(&dashboard.json["annotations"]["list"]).count();
    if at_once > QUERY_LIMIT {
        report.find(None, "$.panels", format!("it asks {at_once} queries at once, more than {QUERY_LIMIT}"));
    }
    for (panel, query) in dashboard.queries() {
        let Some(Ok(expression)) = &query.expression else { continue };
        // These show how values are spread.
        let draws_buckets = ["bargauge", "heatmap", "histogram"].contains(&panel.kind);
        if !draws_buckets && Labels::of(expression, catalogue).known("le") {
            report.find(Some(panel.title), query.path.as_str(), "it draws a line for each bucket of each series");
        }
    }
}
