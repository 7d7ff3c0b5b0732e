//! The rule that an alert's panel shows from where the alert counts.

use futura_alert_rules::Alert;
use serde_json::Value;

use super::{
    Catalogue, Report, Rule, expression,
    model::{Dashboard, Panel, items, text},
};

pub(super) const RULES: &[Rule] = &[Rule::error(
    "alert-threshold-rule",
    "link the alert to a panel that shows what it judges, and draw its threshold there: as a step of the thresholds, or as a dashed query",
    drawn,
)];

/// An alert that links to a panel.
#[derive(Clone, Debug)]
pub struct AlertPanel {
    /// The alert's name.
    pub alert: String,
    /// The uid of the panel's dashboard.
    pub dashboard: String,
    /// The panel's id.
    pub panel: u64,
    /// What the alert's value is compared with, where there is a good and a bad side of it.
    pub threshold: Option<f64>,
}

// === impl AlertPanel ===

impl AlertPanel {
    /// The panels that these alerts link to.
    pub fn of<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Vec<Self> {
        let panels = alerts.into_iter().filter_map(|alert| {
            let (panel, threshold) = (alert.panel?, alert.threshold);
            // A state is told by its color, and one value has no side.
            let has_side = threshold.is_limit();
            Some(Self {
                alert: alert.name.to_owned(),
                dashboard: panel.dashboard.to_owned(),
                panel: panel.id.into(),
                threshold: has_side.then_some(threshold.value),
            })
        });
        panels.collect()
    }
}

fn drawn(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for AlertPanel { alert, panel: id, threshold, .. } in &dashboard.alerts {
        let Some(panel) = dashboard.panels.iter().find(|panel| panel.json["id"].as_u64() == Some(*id)) else {
            report.find(None, "$.panels", format!("`{alert}` links to panel {id}, which is not there"));
            continue;
        };
        if threshold.is_some_and(|threshold| !has_step(panel, threshold) && !has_dashed_query(panel, threshold)) {
            let path = format!("{}.fieldConfig.defaults.thresholds", panel.path);
            report.find(Some(panel.title), path, format!("the threshold of `{alert}` is not drawn"));
        }
    }
}

/// Whether the threshold is one of the steps, and these are drawn.
fn has_step(panel: &Panel<'_>, threshold: f64) -> bool {
    let defaults = &panel.json["fieldConfig"]["defaults"];
    let is_step = |step: &Value| step["value"].as_f64() == Some(threshold);
    let style = text(&defaults["custom"]["thresholdsStyle"]["mode"]);
    let is_shown = panel.kind != "timeseries" || !["", "off"].contains(&style);
    is_shown && items(&defaults["thresholds"]["steps"]).any(is_step)
}

/// Whether a query that has the threshold's number in it is drawn as a dashed line.
fn has_dashed_query(panel: &Panel<'_>, threshold: f64) -> bool {
    let dashed = items(&panel.json["fieldConfig"]["overrides"]).filter(|item| {
        let is_dashed = |property: &Value| property["id"] == "custom.lineStyle" && property["value"]["fill"] == "dash";
        item["matcher"]["id"] == "byFrameRefID" && items(&item["properties"]).any(is_dashed)
    });
    let letters: Vec<_> = dashed.map(|item| text(&item["matcher"]["options"])).collect();
    panel.queries.iter().any(|query| {
        let has_number = matches!(&query.expression, Some(Ok(parsed)) if expression::has_number(parsed, threshold));
        has_number && letters.contains(&text(&query.json["refId"]))
    })
}
