//! Rules about where panels lie and by what they are known.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Catalogue, Report, Rule,
    model::{Dashboard, Panel, text},
};
use crate::grafana::GRID_WIDTH;

pub(super) const RULES: &[Rule] = &[
    Rule::error("panel-grid-rule", "place it within the 24 columns, beside or below what is there", grid),
    Rule::error("panel-id-rule", "give it an id of its own: links lead to the first that has it", ids),
];

/// Left, right, top and bottom.
type Edges = [u64; 4];

fn edges(panel: &Panel<'_>) -> Option<Edges> {
    let position = &panel.json["gridPos"];
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| position[name].as_u64());
    let (x, y, w, h) = (x?, y?, w?, h?);
    Some([x, x + w, y, y + h])
}

fn grid(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let mut placed: Vec<(&Panel<'_>, Edges)> = Vec::new();
    for panel in &dashboard.panels {
        let path = format!("{}.gridPos", panel.path);
        // Grafana itself places what has no position.
        if panel.json["gridPos"].is_null() {
            continue;
        }
        let Some(edges) = edges(panel) else {
            report.find(Some(panel.title), path, "its position is not four whole numbers from zero");
            continue;
        };
        let [left, right, top, bottom] = edges;
        if right > u64::from(GRID_WIDTH) || left == right || top == bottom {
            report.find(Some(panel.title), path.as_str(), "it has no size or reaches out of the grid");
        }
        // What a collapsed row hides is laid out among itself.
        let beside = placed.iter().filter(|(other, _)| other.hidden_in == panel.hidden_in);
        let overlap = |[l, r, t, b]: Edges| left < r && l < right && top < b && t < bottom;
        for (other, _) in beside.filter(|(_, other)| overlap(*other)) {
            report.find(Some(panel.title), path.as_str(), format!("it lies on `{}`", other.title));
        }
        placed.push((panel, edges));
    }
}

fn ids(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let mut ids = HashSet::new();
    for panel in &dashboard.panels {
        let id = panel.json["id"].as_u64();
        if let Some(id) = id.filter(|id| !ids.insert(*id)) {
            report.find(Some(panel.title), format!("{}.id", panel.path), format!("another panel has the id {id}"));
        }
        let mut letters = HashSet::new();
        for (index, target) in super::model::items(&panel.json["targets"]).enumerate() {
            let letter = &target["refId"];
            if !matches!(letter, Value::String(letter) if letters.insert(letter.as_str())) {
                let problem = format!("another query of the panel has the refId `{}`, or it has none", text(letter));
                report.find(Some(panel.title), format!("{}.targets[{index}].refId", panel.path), problem);
            }
        }
    }
}
