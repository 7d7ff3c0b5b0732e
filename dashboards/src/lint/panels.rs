//! Rules about single panels: what they say, and what they call by name.

use futura_alert_rules::{foreign::quantity, promql::Quantity};
use serde_json::Value;

use super::{
    Catalogue, Report, Rule, expression,
    model::{Dashboard, Panel, items, text},
    registry,
};

/// Panels whose numbers have a unit.
const WITH_UNIT: [&str; 8] = ["bargauge", "barchart", "gauge", "heatmap", "histogram", "stat", "timeseries", "trend"];

pub(super) const RULES: &[Rule] = &[
    Rule::error("panel-datasource-rule", "ask `${datasource}`, in the panel and in each query", datasource),
    Rule::warning("panel-title-description-rule", "say what the panel shows, and what to do about it", description),
    Rule::error("panel-units-rule", "set a unit that Grafana knows, or `suffix:` and a text of your own", units),
    Rule::error("panel-no-targets-rule", "ask something, or remove the panel", targets),
    Rule::error("panel-unit-quantity-rule", "set the unit of what is asked", quantities),
    Rule::error("panel-registry-rule", "use a name that Grafana 13 knows: any other does nothing", names),
];

fn shown<'d, 'a>(dashboard: &'d Dashboard<'a>) -> impl Iterator<Item = &'d Panel<'a>> {
    dashboard.panels.iter().filter(|panel| panel.asks())
}

/// Whether a viewer chooses the data source, or it is one that Grafana makes up, as `-- Mixed --` is.
fn is_chosen(datasource: &Value, dashboard: &Dashboard<'_>) -> bool {
    let reference = datasource.as_str().or_else(|| datasource["uid"].as_str()).unwrap_or_default();
    let variables = expression::variables_of(reference);
    // `${DS_…}` is filled in by the import by hand alone, where no variable is called so.
    let is_declared = dashboard.variables.iter().any(|variable| variables.contains(&variable.name));
    (reference.starts_with('$') && (is_declared || !reference.starts_with("${DS_"))) || reference.starts_with("--")
}

fn datasource(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for panel in shown(dashboard).filter(|panel| !panel.queries.is_empty()) {
        let of_panel = &panel.json["datasource"];
        if !is_chosen(of_panel, dashboard) {
            report.find(
                Some(panel.title),
                format!("{}.datasource", panel.path),
                "the data source is fixed or not said",
            );
        }
        for (index, target) in items(&panel.json["targets"]).enumerate() {
            let own = &target["datasource"];
            if !own.is_null() && !is_chosen(own, dashboard) && own["uid"] != "__expr__" {
                let path = format!("{}.targets[{index}].datasource", panel.path);
                report.find(Some(panel.title), path, "the query's data source is fixed");
            }
        }
    }
}

fn description(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for panel in shown(dashboard) {
        for part in ["title", "description"] {
            if text(&panel.json[part]).trim().is_empty() {
                report.find(Some(panel.title), format!("{}.{part}", panel.path), format!("it has no {part}"));
            }
        }
    }
}

fn units(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for panel in shown(dashboard) {
        let defaults = &panel.json["fieldConfig"]["defaults"];
        let overridden = overrides(panel).filter(|(_, property)| property["id"] == "unit");
        let overridden: Vec<_> = overridden.map(|(path, property)| (path, &property["value"])).collect();
        let path = format!("{}.fieldConfig.defaults.unit", panel.path);
        // Words in the place of numbers need no unit.
        let is_mapped = items(&defaults["mappings"]).next().is_some();
        if defaults["unit"].is_null() && overridden.is_empty() && WITH_UNIT.contains(&panel.kind) && !is_mapped {
            report.find(Some(panel.title), path.as_str(), "it has no unit");
        }
        for (path, unit) in [(path, &defaults["unit"])].into_iter().chain(overridden) {
            if !unit.is_null() && !registry::is_unit(text(unit)) {
                report.find(Some(panel.title), path, format!("`{}` is no unit of Grafana's", text(unit)));
            }
        }
    }
}

fn targets(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for panel in shown(dashboard).filter(|panel| panel.json["libraryPanel"].is_null()) {
        if items(&panel.json["targets"]).next().is_none() {
            report.find(Some(panel.title), format!("{}.targets", panel.path), "it asks nothing");
        }
    }
}

/// Whether a unit can write this quantity; what a count or a state means is not said by its declaration.
fn fits(unit: &str, quantity: Quantity) -> bool {
    let is_rate = |unit: &str| {
        ["cps", "ops", "reqps", "rps", "wps", "iops", "eps", "mps", "recps", "rowsps", "pps", "hertz"].contains(&unit)
    };
    let is_time = |unit: &str| ["s", "dtdurations", "dthms", "clocks"].contains(&unit);
    let is_data = |unit: &str| ["bytes", "decbytes"].contains(&unit);
    let is_data_rate = |unit: &str| ["binBps", "Bps"].contains(&unit);
    let is_plain = |unit: &str| ["none", "short", "sishort", "locale", "string", "sci"].contains(&unit);
    let says_more = |unit: &str| unit.contains(':');
    match quantity {
        Quantity::Count | Quantity::State => !is_time(unit) && !is_data_rate(unit) && !is_rate(unit),
        Quantity::PerSecond => is_rate(unit) || is_plain(unit) || says_more(unit),
        Quantity::Seconds => is_time(unit) || unit.starts_with("dateTime") || says_more(unit),
        // Seconds of CPU time per second are cores, and the share of one.
        Quantity::Cores => is_plain(unit) || unit == "percentunit" || says_more(unit),
        Quantity::Bytes => is_data(unit) || says_more(unit),
        Quantity::BytesPerSecond => is_data_rate(unit) || says_more(unit),
        Quantity::Ratio => unit == "percentunit" || is_plain(unit) || says_more(unit),
    }
}

fn quantities(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    for panel in shown(dashboard) {
        let unit = text(&panel.json["fieldConfig"]["defaults"]["unit"]);
        // With units by field, which query has which is not to be said.
        let is_overridden = overrides(panel).any(|(_, property)| property["id"] == "unit");
        if is_overridden || !registry::is_unit(unit) {
            continue;
        }
        for query in &panel.queries {
            let Some(Ok(expression)) = &query.expression else { continue };
            let Some(quantity) = quantity(expression, catalogue) else { continue };
            if !fits(unit, quantity) {
                let problem = format!("`{unit}` does not write what is asked, {quantity:?}");
                report.find(Some(panel.title), query.path.as_str(), problem);
            }
        }
    }
}

/// Every property that an override of a panel sets, with its path.
fn overrides<'a>(panel: &Panel<'a>) -> impl Iterator<Item = (String, &'a Value)> {
    let path = format!("{}.fieldConfig.overrides", panel.path);
    items(&panel.json["fieldConfig"]["overrides"]).enumerate().flat_map(move |(index, item)| {
        let path = format!("{path}[{index}].properties");
        items(&item["properties"]).enumerate().map(move |(place, property)| (format!("{path}[{place}]"), property))
    })
}

fn names(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for panel in &dashboard.panels {
        let Panel { json, path, title, kind, .. } = panel;
        // Whoever makes a panel of their own has a name before the dash.
        if registry::is_gone_panel(kind) || !registry::is_panel(kind) && !kind.ends_with("-panel") {
            report.find(Some(title), format!("{path}.type"), format!("`{kind}` is no panel of Grafana 13"));
        }
        let mut name = |path: String, what: &str, name: &Value, is_known: fn(&str) -> bool| {
            if !is_known(text(name)) {
                report.find(Some(title), path, format!("`{}` is no {what}", text(name)));
            }
        };
        let options = &json["options"];
        for (place, calcs) in
            [("reduceOptions", &options["reduceOptions"]["calcs"]), ("legend", &options["legend"]["calcs"])]
        {
            for (index, calc) in items(calcs).enumerate() {
                name(format!("{path}.options.{place}.calcs[{index}]"), "reducer", calc, registry::is_reducer);
            }
        }
        for (index, item) in items(&json["fieldConfig"]["overrides"]).enumerate() {
            let path = format!("{path}.fieldConfig.overrides[{index}].matcher.id");
            name(path, "matcher", &item["matcher"]["id"], registry::is_matcher);
        }
        for (path, property) in overrides(panel) {
            name(format!("{path}.id"), "setting of a field", &property["id"], registry::is_property);
        }
        for (index, item) in items(&json["transformations"]).enumerate() {
            let path = format!("{path}.transformations[{index}].id");
            name(path, "transformation", &item["id"], registry::is_transformation);
        }
    }
}
