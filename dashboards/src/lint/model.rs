//! A dashboard's JSON as the rules read it: panels out of their rows, queries with what they ask, variables.

use promql_parser::parser::Expr;
use serde_json::Value;

use super::{AlertPanel, expression};

/// A dashboard.
pub(super) struct Dashboard<'a> {
    pub(super) json: &'a Value,
    /// Every panel, rows and what they hide included.
    pub(super) panels: Vec<Panel<'a>>,
    pub(super) variables: Vec<Variable<'a>>,
    /// What annotations ask.
    pub(super) annotations: Vec<Query<'a>>,
    /// The alerts that link to it.
    pub(super) alerts: Vec<&'a AlertPanel>,
}

/// A panel or a row.
pub(super) struct Panel<'a> {
    pub(super) json: &'a Value,
    pub(super) path: String,
    pub(super) title: &'a str,
    pub(super) kind: &'a str,
    /// The path of the row that hides it.
    pub(super) hidden_in: Option<String>,
    pub(super) queries: Vec<Query<'a>>,
}

/// A query of a panel or of an annotation.
pub(super) struct Query<'a> {
    pub(super) json: &'a Value,
    /// The path of its text.
    pub(super) path: String,
    pub(super) text: &'a str,
    pub(super) language: Language,
    /// What it asks, or why that cannot be said; none where it is no PromQL.
    pub(super) expression: Option<Result<Expr, String>>,
}

/// What a query is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Promql,
    Logql,
    Other,
}

/// A variable.
pub(super) struct Variable<'a> {
    pub(super) json: &'a Value,
    pub(super) path: String,
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
}

/// The items of a list; none where it is no list.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text; empty where it is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether this is a dashboard that can be judged: one in the classic model, of whatever age, bare or as Grafana's API hands it
/// out.
pub fn is_dashboard(json: &Value) -> bool {
    [json, &json["dashboard"]].iter().any(|json| json["panels"].is_array() || json["rows"].is_array())
}

// === impl Dashboard ===

impl<'a> Dashboard<'a> {
    pub(super) fn new(json: &'a Value, alerts: &'a [AlertPanel]) -> Self {
        // What Grafana's API hands out has the dashboard one level down.
        let json = if json["dashboard"].is_object() { &json["dashboard"] } else { json };
        let variables = items(&json["templating"]["list"]).enumerate().map(|(index, json)| Variable {
            json,
            path: format!("$.templating.list[{index}]"),
            name: text(&json["name"]),
            kind: text(&json["type"]),
        });
        let variables: Vec<_> = variables.collect();
        let annotations = items(&json["annotations"]["list"]).enumerate();
        let annotations = annotations.filter(|(_, json)| json["expr"].is_string()).map(|(index, json)| {
            Query::new(json, format!("$.annotations.list[{index}].expr"), &Value::Null, &variables)
        });
        let alerts = alerts.iter().filter(|alert| alert.dashboard == text(&json["uid"])).collect();
        let annotations = annotations.collect();
        let mut dashboard = Self { json, panels: Vec::new(), annotations, variables, alerts };
        // Before version 16 of the model, panels lay in rows.
        for (index, row) in items(&json["rows"]).enumerate() {
            let hidden_in = (row["collapse"] == Value::Bool(true)).then(|| format!("$.rows[{index}]"));
            for (place, json) in items(&row["panels"]).enumerate() {
                dashboard.add(json, format!("$.rows[{index}].panels[{place}]"), hidden_in.clone());
            }
        }
        for (index, json) in items(&json["panels"]).enumerate() {
            let path = format!("$.panels[{index}]");
            dashboard.add(json, path.clone(), None);
            for (index, hidden) in items(&json["panels"]).enumerate() {
                dashboard.add(hidden, format!("{path}.panels[{index}]"), Some(path.clone()));
            }
        }
        dashboard
    }

    fn add(&mut self, json: &'a Value, path: String, hidden_in: Option<String>) {
        let queries = items(&json["targets"]).enumerate().map(|(index, target)| {
            Query::new(target, format!("{path}.targets[{index}].expr"), &json["datasource"], &self.variables)
        });
        let queries = queries.collect();
        let (title, kind) = (text(&json["title"]), text(&json["type"]));
        self.panels.push(Panel { json, path, title, kind, hidden_in, queries });
    }

    /// Every query of a panel.
    pub(super) fn queries(&self) -> impl Iterator<Item = (&Panel<'a>, &Query<'a>)> {
        self.panels.iter().flat_map(|panel| panel.queries.iter().map(move |query| (panel, query)))
    }

    /// Every query that is PromQL and parses, those of annotations without a panel.
    pub(super) fn expressions(&self) -> impl Iterator<Item = (Option<&Panel<'a>>, &Query<'a>, &Expr)> {
        let of_panels = self.queries().map(|(panel, query)| (Some(panel), query));
        let of_annotations = self.annotations.iter().map(|query| (None, query));
        of_panels.chain(of_annotations).filter_map(|(panel, query)| match &query.expression {
            Some(Ok(expression)) => Some((panel, query, expression)),
            _ => None,
        })
    }
}

// === impl Panel ===

impl Panel<'_> {
    /// Whether it shows what a data source answers.
    pub(super) fn asks(&self) -> bool {
        !["alertlist", "annolist", "dashlist", "news", "row", "text", "welcome"].contains(&self.kind)
    }
}

// === impl Query ===

impl<'a> Query<'a> {
    fn new(json: &'a Value, path: String, of_panel: &Value, variables: &[Variable<'_>]) -> Self {
        let text = text(&json["expr"]);
        let own = &json["datasource"];
        let language = language(if own.is_null() { of_panel } else { own }, variables);
        let language = if text.is_empty() { Language::Other } else { language };
        let expression = (language == Language::Promql).then(|| expression::parse(text, variables)).flatten();
        Self { json, path, text, language, expression }
    }
}

/// What is spoken with a data source, which is an object, a name or a variable; with one that is not said, Prometheus's.
fn language(datasource: &Value, variables: &[Variable<'_>]) -> Language {
    let reference = datasource.as_str().or_else(|| datasource["uid"].as_str()).unwrap_or_default();
    let variable = reference.trim_start_matches("${").trim_start_matches('$').trim_end_matches('}');
    let variable = variables.iter().find(|known| known.kind == "datasource" && known.name == variable);
    let kind = match (&datasource["type"], variable) {
        (Value::String(kind), _) => kind,
        (_, Some(variable)) => self::text(&variable.json["query"]),
        _ => "prometheus",
    };
    match kind {
        "prometheus" => Language::Promql,
        "loki" => Language::Logql,
        _ => Language::Other,
    }
}
