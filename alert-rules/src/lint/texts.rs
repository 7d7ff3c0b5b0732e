//! What is wrong with what an alert tells people.

use futura_metrics::spec::Label as _;

use super::Finding;
use crate::{alert::Alert, promql::Service, template::Part};

pub(super) fn check(alert: &Alert, alerts: &[&Alert]) -> Vec<Finding> {
    let (name, labels, runbook) = (alert.name, alert.label_names, &alert.runbook);
    let mut findings = Vec::new();
    findings.extend((!is_camel_case(name)).then_some(Finding::Name(name)));
    if labels.contains(&Service::NAME) == alert.service.is_some() {
        findings.push(Finding::ServiceLabel(name));
    }
    let names_label = alert.summary.iter().any(|part| matches!(part, Part::Label(_)));
    if !labels.is_empty() && !names_label {
        findings.push(Finding::SummaryNamesNothing { alert: name, labels });
    }
    let sections = [
        ("symptom", runbook.symptom.is_empty()),
        ("meaning", runbook.meaning.is_empty()),
        ("investigation", runbook.investigation.is_empty()),
        ("resolution", runbook.resolution.is_empty()),
    ];
    let empty = sections.into_iter().filter(|(_, empty)| *empty);
    findings.extend(empty.map(|(section, _)| Finding::IncompleteRunbook { alert: name, section }));
    let is_other = |related: &str| related != name && alerts.iter().any(|alert| alert.name == related);
    let unknown = runbook.related.iter().filter(|related| !is_other(related));
    findings.extend(unknown.map(|related| Finding::UnknownRelated { alert: name, related }));
    findings
}

/// Words that begin with a capital, without anything between them.
fn is_camel_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
}
