//! Rules about what a viewer can choose.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Catalogue, Report, Rule, expression,
    model::{Dashboard, Variable, items, text},
};

/// Variables that Grafana has by itself, besides those that begin with `__`.
const BUILT_IN: [&str; 3] = ["interval", "timeFilter", "timezone"];
/// Grafana's number for asking anew when the time range changes.
const ON_TIME_RANGE: u64 = 2;

pub(super) const RULES: &[Rule] = &[
    Rule::error(
        "template-datasource-rule",
        "add a variable of type `datasource`, named `datasource`, titled `Data source`",
        datasource,
    ),
    Rule::warning(
        "template-selector-rule",
        "give it a title, the dashboard's data source, and with `includeAll` an `allValue` of `.+` or `.*`",
        selector,
    ),
    Rule::error(
        "template-label-promql-rule",
        "ask `label_values(selector, label)`, `label_names()`, `metrics(regex)` or `query_result(expression)`",
        label_query,
    ),
    Rule::warning(
        "template-on-time-change-reload-rule",
        "set `\"refresh\": 2`, so that what can be chosen is what there is in the time range",
        reload,
    ),
    Rule::error("template-use-rule", "use each variable, and declare what is used", used),
];

/// The function of a variable's query and its arguments: `label_values`, and `["up", "job"]`.
pub(super) fn call<'a>(variable: &Variable<'a>) -> Option<(&'a str, Vec<&'a str>)> {
    let (function, arguments) = query_text(variable)?.trim().split_once('(')?;
    let arguments = arguments.strip_suffix(')')?.trim();
    let split = if function == "label_values" { arguments.rsplit_once(',') } else { None };
    let arguments = match split {
        // A comma in braces is one between matchers.
        Some((selector, label)) if !label.contains('}') => vec![selector.trim(), label.trim()],
        _ if arguments.is_empty() => Vec::new(),
        _ => vec![arguments],
    };
    Some((function.trim(), arguments))
}

/// The label that a variable chooses values of.
pub(super) fn label_of<'a>(variable: &Variable<'a>) -> Option<&'a str> {
    match call(variable)? {
        ("label_values", arguments) => arguments.last().copied(),
        _ => None,
    }
}

/// The metric whose labels a variable chooses from, if it names one.
pub(super) fn metric_of<'a>(variable: &Variable<'a>) -> Option<&'a str> {
    let ("label_values", arguments) = call(variable)? else { return None };
    let [selector, _] = arguments[..] else { return None };
    selector.split(['{', ' ']).next().filter(|metric| !metric.is_empty())
}

fn query_text<'a>(variable: &Variable<'a>) -> Option<&'a str> {
    let query = &variable.json["query"];
    query.as_str().or_else(|| query["query"].as_str())
}

fn datasource(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let mut sources = dashboard.variables.iter().filter(|variable| variable.kind == "datasource").peekable();
    if sources.peek().is_none() && dashboard.panels.iter().any(super::model::Panel::asks) {
        report.find(None, "$.templating.list", "the data source cannot be chosen");
    }
    for variable in sources {
        if !["datasource", "prometheus_datasource", "loki_datasource"].contains(&variable.name) {
            let problem = format!("the data source's variable is called `{}`", variable.name);
            report.find(None, format!("{}.name", variable.path), problem);
        }
        if !text(&variable.json["label"]).to_ascii_lowercase().contains("data source") {
            report.find(None, format!("{}.label", variable.path), "its title does not say that it is the data source");
        }
    }
}

fn selector(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for variable in dashboard.variables.iter().filter(|variable| label_of(variable).is_some()) {
        let Variable { json, path, name, .. } = variable;
        if text(&json["label"]).is_empty() {
            report.find(None, format!("{path}.label"), format!("the variable `{name}` has no title"));
        }
        let reference = json["datasource"].as_str().or_else(|| json["datasource"]["uid"].as_str());
        if !reference.is_some_and(|reference| reference.starts_with('$')) {
            report.find(
                None,
                format!("{path}.datasource"),
                format!("the variable `{name}` asks a data source of its own"),
            );
        }
        if json["includeAll"] == Value::Bool(true) && ![".+", ".*"].contains(&text(&json["allValue"])) {
            let problem = format!("\"All\" of the variable `{name}` lists every value there is");
            report.find(None, format!("{path}.allValue"), problem);
        }
    }
}

fn label_query(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for variable in dashboard.variables.iter().filter(|variable| variable.kind == "query") {
        let path = format!("{}.query", variable.path);
        let Some(query) = query_text(variable) else { continue };
        let Some((function, arguments)) = call(variable) else {
            report.find(None, path, format!("`{query}` is no query of a variable"));
            continue;
        };
        let expression = match (function, &arguments[..]) {
            ("label_values", [selector, _]) | ("query_result", [selector]) => Some(*selector),
            ("label_values", [_]) | ("metrics", [_]) | ("label_names", []) => None,
            _ => {
                report.find(None, path, format!("`{query}` is no query of a variable"));
                continue;
            }
        };
        if let Some(Err(reason)) = expression.and_then(|text| expression::parse(text, &dashboard.variables)) {
            report.find(None, path, format!("`{query}` does not parse: {reason}"));
        }
    }
}

fn reload(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for variable in dashboard.variables.iter().filter(|variable| variable.kind == "query") {
        if variable.json["refresh"].as_u64() != Some(ON_TIME_RANGE) {
            let problem =
                format!("the variable `{}` offers what there was when the dashboard was opened", variable.name);
            report.find(None, format!("{}.refresh", variable.path), problem);
        }
    }
}

fn used(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let repeats = dashboard.panels.iter().filter_map(|panel| panel.json["repeat"].as_str());
    let mut used: BTreeSet<_> = repeats.map(str::to_owned).collect();
    let mut use_text = |panel: Option<&str>, path: String, text: &str| {
        for name in expression::variables_of(text) {
            // What is missing is told where it is used first.
            let is_first = used.insert(name.to_owned());
            let is_known = dashboard.variables.iter().any(|variable| variable.name == name);
            if is_first && !is_known && !name.starts_with("__") && !BUILT_IN.contains(&name) {
                report.find(panel, path.as_str(), format!("there is no variable `{name}`"));
            }
        }
    };
    for variable in &dashboard.variables {
        use_text(None, format!("{}.query", variable.path), query_text(variable).unwrap_or_default());
        texts(&variable.json["datasource"], &variable.path, &mut |path, text| use_text(None, path, text));
    }
    texts(&dashboard.json["annotations"], "$.annotations", &mut |path, text| use_text(None, path, text));
    texts(&dashboard.json["links"], "$.links", &mut |path, text| use_text(None, path, text));
    for panel in &dashboard.panels {
        for part in ["title", "datasource", "targets", "links", "fieldConfig", "transformations", "options"] {
            let path = format!("{}.{part}", panel.path);
            texts(&panel.json[part], &path, &mut |path, text| use_text(Some(panel.title), path, text));
        }
    }
    for variable in dashboard.variables.iter().filter(|variable| !["adhoc", "groupby"].contains(&variable.kind)) {
        if !used.contains(variable.name) {
            report.find(None, variable.path.as_str(), format!("nothing uses the variable `{}`", variable.name));
        }
    }
}

/// Every text in a part of the JSON, with its path.
fn texts(value: &Value, path: &str, found: &mut dyn FnMut(String, &str)) {
    match value {
        Value::String(text) => found(path.to_owned(), text),
        Value::Array(_) => {
            for (index, item) in items(value).enumerate() {
                texts(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                texts(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Variable, call};

    #[test]
    fn the_last_comma_outside_braces_splits_the_label_off() {
        for (query, expected) in [
            ("label_values(up, job)", Some(("label_values", vec!["up", "job"]))),
            ("label_values(up{a=\"b\",c=\"d\"}, job)", Some(("label_values", vec!["up{a=\"b\",c=\"d\"}", "job"]))),
            ("label_values(job)", Some(("label_values", vec!["job"]))),
            ("label_names()", Some(("label_names", vec![]))),
            ("up", None),
        ] {
            let json = json!({ "query": { "query": query } });
            let variable = Variable { json: &json, path: String::new(), name: "", kind: "query" };
            assert_eq!(call(&variable), expected, "{query}");
        }
    }
}
