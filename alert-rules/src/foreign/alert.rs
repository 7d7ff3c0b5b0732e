//! What is wrong with a rule around its expression: thresholds, texts, labels.

use promql_parser::parser::Expr;

use super::{Catalogue, Findings, Lint, expression::bare, file::ForeignRule, flow::Labels};
use crate::promql::expression::{children, metric_name, walk};

/// Checks a rule whose expression is PromQL.
pub(super) fn check(rule: &ForeignRule, expr: &Expr, catalogue: &Catalogue, findings: &mut Findings<'_>) {
    if !rule.is_alert {
        return;
    }
    if !filters(expr) {
        findings.report(Lint::NoThreshold, "it fires whenever there is a value".to_owned());
    }
    let (mut absent, mut smoothed) = (false, false);
    walk(expr, &mut |expr| {
        if let Expr::Call(call) = expr {
            absent |= call.func.name == "absent";
            smoothed |= matches!(call.func.name, "avg_over_time" | "min_over_time" | "quantile_over_time");
        }
    });
    if absent && !rule.lasts {
        findings.report(Lint::MissingFor, "it fires at once when a series is missing".to_owned());
    }
    if smoothed && rule.lasts {
        findings.report(Lint::SmoothedFor, "its value is smoothed over time, and has to last besides".to_owned());
    }
    findings.line = rule.line;
    texts(rule, &Labels::of(expr, catalogue), findings);
    if !rule.labels.contains_key("severity") {
        findings.report(Lint::MissingSeverity, "it has no label `severity`".to_owned());
    }
    let has = |names: &[&str]| names.iter().any(|name| rule.annotations.contains_key(*name));
    for (names, name) in
        [(&["summary", "description", "message"][..], "summary"), (&["runbook_url", "runbook"], "runbook_url")]
    {
        if !has(names) {
            findings.report(Lint::MissingAnnotation, format!("it has no annotation `{name}`"));
        }
    }
}

/// Whether an expression has no value where all is well.
fn filters(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::Binary(binary) if binary.op.is_comparison_operator() => !binary.return_bool(),
        Expr::Binary(binary) => match &*binary.op.to_string() {
            "or" => filters(&binary.lhs) && filters(&binary.rhs),
            "unless" => true,
            _ => filters(&binary.lhs) || filters(&binary.rhs),
        },
        Expr::Call(call) if matches!(call.func.name, "absent" | "absent_over_time") => true,
        // A watchdog fires on purpose.
        Expr::Call(call) if call.func.name == "vector" => true,
        Expr::VectorSelector(selector) => metric_name(selector) == Some("ALERTS"),
        other => children(other).into_iter().any(filters),
    }
}

/// The templates of labels and annotations.
fn texts(rule: &ForeignRule, labels: &Labels, findings: &mut Findings<'_>) {
    for (name, text) in &rule.labels {
        let actions = actions(text);
        if actions.iter().any(|action| action.contains("$value") || action.contains(".Value")) {
            findings.report(Lint::ValueInLabel, format!("its label `{name}` has the value in it"));
        }
    }
    for (name, text) in rule.labels.iter().chain(&rule.annotations) {
        let actions = actions(text);
        // What a query of the template's own finds has labels of its own.
        let queries = actions.iter().any(|action| action.contains("query"));
        let mut reported = Vec::new();
        for used in actions.iter().flat_map(|action| used_labels(action, queries)) {
            if !labels.may(used) && !reported.contains(&used) {
                reported.push(used);
                findings.report(Lint::DroppedLabel, format!("`{name}` uses the label `{used}`, which is not there"));
            }
        }
    }
}

/// What stands between `{{` and `}}`.
fn actions(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).collect()
}

/// The labels that an action of a template uses.
fn used_labels(action: &str, queries: bool) -> Vec<&str> {
    let prefixes = if queries { &["$labels."][..] } else { &["$labels.", ".Labels."] };
    let names = prefixes.iter().flat_map(|prefix| action.split(prefix).skip(1)).filter_map(|rest| {
        let end = rest.find(|character: char| character != '_' && !character.is_ascii_alphanumeric());
        Some(&rest[..end.unwrap_or(rest.len())]).filter(|name| !name.is_empty())
    });
    names.collect()
}
