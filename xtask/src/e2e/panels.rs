//! The queries of the generated dashboards, as Grafana would send them with what is chosen at first.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo;

/// What Grafana puts in place of its own variables; the longer names come first, as one may begin another.
const BUILT_IN: &[(&str, &str)] =
    &[("__rate_interval", "5m"), ("__interval", "5s"), ("__range_s", "300"), ("__range", "5m")];

/// A query of a panel.
#[derive(Debug)]
pub(crate) struct PanelQuery {
    pub(crate) dashboard: String,
    pub(crate) panel: String,
    pub(crate) query: String,
    /// Whether the panel says what it means that there is no data.
    pub(crate) may_be_empty: bool,
}

/// Every query of every generated dashboard.
pub(crate) fn queries() -> Result<Vec<PanelQuery>> {
    let folder = cargo::root().join("dashboards/generated");
    let mut queries = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let dashboard = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
            queries.extend(of_dashboard(&dashboard));
        }
    }
    ensure!(!queries.is_empty(), "{} holds no dashboard with a query", folder.display());
    Ok(queries)
}

fn of_dashboard(dashboard: &Value) -> Vec<PanelQuery> {
    let variables = variables(dashboard);
    let mut queries = Vec::new();
    let mut panels: Vec<_> = items(&dashboard["panels"]).collect();
    while let Some(panel) = panels.pop() {
        // A row holds the panels that it hides.
        panels.extend(items(&panel["panels"]));
        for query in items(&panel["targets"]).filter_map(|target| target["expr"].as_str()) {
            queries.push(PanelQuery {
                dashboard: dashboard["uid"].as_str().unwrap_or_default().to_owned(),
                panel: panel["title"].as_str().unwrap_or_default().to_owned(),
                query: substituted(query, &variables),
                may_be_empty: panel["fieldConfig"]["defaults"]["noValue"].is_string(),
            });
        }
    }
    queries
}

/// A dashboard's own variables with the value that is chosen at first or what "All" stands for, the longest name first.
fn variables(dashboard: &Value) -> Vec<(String, String)> {
    let list = items(&dashboard["templating"]["list"]).filter_map(|variable| {
        let chosen = variable["current"]["value"].as_str();
        let value = chosen.or(variable["allValue"].as_str()).unwrap_or(".+");
        Some((variable["name"].as_str()?.to_owned(), value.to_owned()))
    });
    let built_in = BUILT_IN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut variables: Vec<_> = list.chain(built_in).collect();
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    variables
}

/// A query with `$name`, `${name}` and `${name:format}` replaced.
fn substituted(query: &str, variables: &[(String, String)]) -> String {
    let mut query = query.to_owned();
    for (name, value) in variables {
        query = query.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
        while let Some(start) = query.find(&format!("${{{name}:")) {
            let end = query[start..].find('}').map_or(query.len(), |length| start + length + 1);
            query.replace_range(start..end, value);
        }
    }
    query
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::of_dashboard;
    use serde_json::json;

    #[test]
    fn variables_are_replaced_in_every_spelling() {
        let dashboard = json!({
            "uid": "orders",
            "templating": { "list": [
                { "name": "service" },
                { "name": "service_group", "allValue": ".*" },
                { "name": "zone", "current": { "value": "eu" } },
            ] },
            "panels": [{ "title": "row", "panels": [{ "title": "rate", "targets": [{
                "expr": "rate(a{s=~\"$service\",g=~\"${service_group}\",x=~\"${service:regex}\",z=\"$zone\"}[$__rate_interval])"
            }] }] }],
        });
        let queries = of_dashboard(&dashboard);
        let [query] = &queries[..] else { panic!("one query, not {queries:?}") };
        assert_eq!((query.dashboard.as_str(), query.panel.as_str()), ("orders", "rate"));
        assert_eq!(query.query, r#"rate(a{s=~".+",g=~".*",x=~".+",z="eu"}[5m])"#);
    }
}
