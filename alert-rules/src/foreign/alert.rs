//! What is wrong with a rule around its expression: thresholds, texts, labels.

use promql_parser::parser::Expr;

use super::{Catalogue, Findings, Labels, Lint, expression::bare, file::ForeignRule, quantity};
use crate::promql::{
    Quantity,
    expression::{children, metric_name, walk},
};

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
    units(rule, expr, catalogue, findings);
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
        if actions.iter().any(|action| has_value(action)) {
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

/// Whether the functions of the texts that write the value for people fit what it measures.
fn units(rule: &ForeignRule, expr: &Expr, catalogue: &Catalogue, findings: &mut Findings<'_>) {
    let (measured, is_percent) = (quantity::of(expr, catalogue), is_percent(expr));
    for (name, text) in &rule.annotations {
        for action in actions(text).into_iter().filter(|action| has_value(action)) {
            let mut words = action.split(|character: char| !character.is_ascii_alphanumeric());
            let Some(function) = words.find(|word| word.starts_with("humanize")) else { continue };
            if function == "humanizePercentage" && is_percent {
                let message = format!("`{name}` multiplies by 100 with {function} what the expression has multiplied");
                findings.report(Lint::HumanizeUnit, message);
            } else if let Some(quantity) = measured.filter(|quantity| !fits(function, *quantity)) {
                findings.report(Lint::HumanizeUnit, format!("`{name}` writes {} with {function}", noun(quantity)));
            }
        }
    }
}

/// Whether an action of a template writes the alert's value.
fn has_value(action: &str) -> bool {
    action.contains("$value") || action.contains(".Value")
}

/// Whether an alert's value is a share that was multiplied by 100.
fn is_percent(expr: &Expr) -> bool {
    let is_hundred = |expr: &Expr| matches!(bare(expr), Expr::NumberLiteral(number) if number.val == 100.0);
    match bare(expr) {
        Expr::Binary(binary) => match &*binary.op.to_string() {
            "*" => is_hundred(&binary.lhs) || is_hundred(&binary.rhs),
            "-" => is_hundred(&binary.lhs) && is_percent(&binary.rhs),
            "and" | "unless" => is_percent(&binary.lhs),
            _ => binary.op.is_comparison_operator() && is_percent(&binary.lhs),
        },
        _ => false,
    }
}

/// Whether a function of templates writes such a value as people read it.
fn fits(function: &str, quantity: Quantity) -> bool {
    match function {
        "humanizePercentage" => matches!(quantity, Quantity::Ratio | Quantity::Cores),
        "humanizeDuration" | "humanizeTimestamp" => quantity == Quantity::Seconds,
        "humanize1024" => matches!(quantity, Quantity::Bytes | Quantity::BytesPerSecond),
        // It writes a half as `500m`.
        "humanize" => quantity != Quantity::Ratio,
        _ => true,
    }
}

fn noun(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Count => "a number of things",
        Quantity::PerSecond => "a number per second",
        Quantity::Seconds => "seconds",
        Quantity::Cores => "a number of cores",
        Quantity::Bytes => "bytes",
        Quantity::BytesPerSecond => "bytes per second",
        Quantity::Ratio => "a share",
        Quantity::State => "a state",
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
