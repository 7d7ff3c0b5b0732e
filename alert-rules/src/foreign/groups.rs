//! What is wrong between the rules of a file, and with how often a group is evaluated.

use std::{collections::BTreeMap, time::Duration};

use promql_parser::{
    label::MatchOp,
    parser::{Expr, VectorSelector},
};

use super::{Catalogue, Finding, Findings, Labels, Lint, RuleFile, file::ForeignRule};
use crate::promql::{
    duration_text,
    expression::{metric_name, selector, walk},
};

/// How long a sample counts as the present one.
const LOOKBACK: Duration = Duration::from_secs(5 * 60);

/// The groups whose samples are gone before the next ones come.
pub(super) fn intervals(file: &RuleFile) -> impl Iterator<Item = Finding> {
    file.groups.iter().filter_map(|group| {
        let interval = group.interval.filter(|interval| *interval > LOOKBACK)?;
        let message = format!("it is evaluated every {}, which is more than 5m", duration_text(interval));
        let subject = format!("group `{}`", group.name);
        Some(Finding { line: group.line, lint: Lint::LongInterval, subject, message })
    })
}

/// Checks the rule at this place in its file beside the others.
pub(super) fn check(file: &RuleFile, index: usize, catalogue: &Catalogue, findings: &mut Findings<'_>) {
    let (before, rule, after) = (&file.rules[..index], &file.rules[index], &file.rules[index + 1..]);
    if before.iter().any(|other| other.is_same(rule)) {
        findings.report(Lint::DuplicateRule, "it is in the file twice".to_owned());
    } else if let Some(other) = before.iter().find(|other| has_identity_of(rule, other, catalogue)) {
        let message = format!("the alert of this name in line {} has the same labels", other.line);
        findings.report(Lint::SameIdentity, message);
    }
    let Ok(expr) = &rule.parsed else { return };
    let records = |rules: &[ForeignRule], name: &str| rules.iter().any(|rule| !rule.is_alert && rule.name == name);
    let in_group = after.iter().take_while(|other| other.group == rule.group).count();
    let mut late = Vec::new();
    for name in selectors(expr).filter_map(metric_name) {
        // What is recorded above as well is there in part.
        let is_late = records(&after[..in_group], name) && !records(before, name) && rule.name != name;
        if is_late && !late.contains(&name) {
            late.push(name);
            findings.report(Lint::RecordOrder, format!("it reads `{name}`, which its group records after it"));
        }
    }
}

/// Whether two alerts may fire with the same labels, so that Alertmanager cannot tell one from the other.
fn has_identity_of(rule: &ForeignRule, other: &ForeignRule, catalogue: &Catalogue) -> bool {
    let is_named_alike = rule.is_alert && other.is_alert && rule.name == other.name && rule.labels == other.labels;
    let (true, Ok(expr), Ok(of_other)) = (is_named_alike, &rule.parsed, &other.parsed) else { return false };
    let (labels, labels_of_other) = (Labels::of(expr, catalogue), Labels::of(of_other, catalogue));
    let lacks = |one: &Labels, other: &Labels| one.missing_in(other).next().is_some();
    !lacks(&labels, &labels_of_other)
        && !lacks(&labels_of_other, &labels)
        && takes(of_other, &fixed_labels(expr, &labels))
        && takes(expr, &fixed_labels(of_other, &labels_of_other))
}

/// Whether no matcher of an expression keeps these values of labels out.
fn takes(expr: &Expr, fixed: &BTreeMap<&str, &str>) -> bool {
    let mut matchers = selectors(expr).flat_map(|selector| &selector.matchers.matchers);
    matchers.all(|matcher| fixed.get(&*matcher.name).is_none_or(|value| matcher.is_match(value)))
}

/// The labels that an expression's series have with one value alone.
fn fixed_labels<'a>(expr: &'a Expr, labels: &Labels) -> BTreeMap<&'a str, &'a str> {
    let matchers = selectors(expr).flat_map(|selector| &selector.matchers.matchers);
    let fixed = matchers.filter(|matcher| matcher.op == MatchOp::Equal && labels.may(&matcher.name));
    fixed.map(|matcher| (&*matcher.name, &*matcher.value)).collect()
}

fn selectors(expr: &Expr) -> impl Iterator<Item = &VectorSelector> {
    let mut selectors = Vec::new();
    walk(expr, &mut |expr| selectors.extend(selector(expr)));
    selectors.into_iter()
}
