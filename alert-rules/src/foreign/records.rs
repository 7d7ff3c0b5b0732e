//! Whether the name of a record tells what it holds.

use promql_parser::parser::Expr;

use super::{Catalogue, Findings, Labels, Lint, file::ForeignRule};

/// Levels that name no label: all that there is.
const OF_ALL: [&str; 3] = ["all", "cluster", "global"];

/// Checks the name of a rule that records.
pub(super) fn check(rule: &ForeignRule, expr: &Expr, catalogue: &Catalogue, findings: &mut Findings<'_>) {
    if rule.is_alert {
        return;
    }
    if !rule.name.contains(':') {
        findings.report(Lint::RecordName, "its name has no level and no operations".to_owned());
    }
    let labels = Labels::of(expr, catalogue).with(rule.labels.keys().cloned());
    let parts: Vec<_> = rule.name.split(':').collect();
    // Names of more parts say more than a level, each in its own way.
    let [level, _, _] = parts[..] else { return };
    if labels.is_open() || level.is_empty() {
        return;
    }
    let at_first = Labels::at_first(expr, catalogue);
    let begins_with_label = words(level, &labels).is_some();
    if !begins_with_label || names_lost_label(level, &labels, &at_first) {
        let names: Vec<_> = labels.names().map(|name| format!("`{name}`")).collect();
        let names = if names.is_empty() { "no labels".to_owned() } else { names.join(", ") };
        findings.report(Lint::RecordLevel, format!("its name says `{level}`, but its series have {names}"));
    }
}

/// What follows the label that a level begins with, the longest one; none where it begins with no label.
fn words<'a>(level: &'a str, labels: &Labels) -> Option<&'a str> {
    let after = |name| level.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('_'));
    let rest = labels.names().chain(OF_ALL).filter_map(after).min_by_key(|rest| rest.len())?;
    Some(rest.trim_start_matches('_'))
}

/// Whether a level names a label that the expression has dropped; other words say what was selected.
fn names_lost_label(level: &str, labels: &Labels, at_first: &Labels) -> bool {
    if level.is_empty() {
        return false;
    }
    match words(level, labels) {
        Some(rest) => names_lost_label(rest, labels, at_first),
        None if at_first.names().any(|name| level == name || level.starts_with(&format!("{name}_"))) => true,
        None => level.split_once('_').is_some_and(|(_, rest)| names_lost_label(rest, labels, at_first)),
    }
}
