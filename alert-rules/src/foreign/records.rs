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
    if !labels.is_open() && !is_made_of(level, &labels) {
        let names: Vec<_> = labels.names().map(|name| format!("`{name}`")).collect();
        let names = if names.is_empty() { "no labels".to_owned() } else { names.join(", ") };
        findings.report(Lint::RecordLevel, format!("its name says `{level}`, but its series have {names}"));
    }
}

/// Whether a level is labels joined by `_`, whatever their order.
fn is_made_of(level: &str, labels: &Labels) -> bool {
    let mut names = labels.names().chain(OF_ALL);
    level.is_empty()
        || names.any(|name| {
            let rest = level.strip_prefix(name);
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix('_').is_some_and(|rest| is_made_of(rest, labels))
            })
        })
}
