//! What is wrong between alerts.

use std::collections::HashSet;

use super::Finding;
use crate::{
    alert::{Alert, Severity},
    promql::Comparison,
};

/// How many alerts may wake somebody: more than these nobody knows what to do about by heart.
const CRITICAL_BUDGET: usize = 24;

pub(super) fn check(alerts: &[&Alert]) -> Vec<Finding> {
    let mut names = HashSet::new();
    let duplicates =
        alerts.iter().filter(|alert| !names.insert(alert.name)).map(|alert| Finding::DuplicateName(alert.name));
    let mut findings: Vec<_> = duplicates.collect();
    for (place, one) in alerts.iter().enumerate() {
        findings
            .extend(alerts[..place].iter().filter(|other| other.name != one.name).filter_map(|other| pair(other, one)));
    }
    let count = alerts.iter().filter(|alert| alert.severity == Severity::Critical).count();
    findings.extend((count > CRITICAL_BUDGET).then_some(Finding::TooManyPages { count, budget: CRITICAL_BUDGET }));
    findings
}

fn pair(one: &Alert, other: &Alert) -> Option<Finding> {
    if one.condition == other.condition {
        return Some(Finding::SameCondition(one.name, other.name));
    }
    if !one.condition.differs_in_threshold_alone(&other.condition) || one.severity == other.severity {
        return None;
    }
    let (critical, warning) = if one.severity == Severity::Critical { (one, other) } else { (other, one) };
    let late = match warning.threshold.comparison {
        Comparison::Above => warning.threshold.value > critical.threshold.value,
        Comparison::Below => warning.threshold.value < critical.threshold.value,
        Comparison::Equal | Comparison::Absent | Comparison::Always => false,
    };
    late.then_some(Finding::WarningAfterPage { warning: warning.name, critical: critical.name })
}
