//! What is wrong with an alert's examples.

use super::Finding;
use crate::{
    alert::Alert,
    example::Scenario,
    promql::{Comparison, Shape},
};

pub(super) fn check(alert: &Alert) -> Vec<Finding> {
    if alert.untested.is_some() {
        return Vec::new();
    }
    let (name, scenarios) = (alert.name, alert.scenarios());
    let fired = scenarios.iter().any(|scenario| !scenario.is_silent());
    let mut findings = Vec::new();
    findings.extend((!fired).then_some(Finding::NeverFires(name)));
    // What always fires can show nothing else.
    if alert.threshold.comparison == Comparison::Always {
        return findings;
    }
    let shape = Shape::of(&alert.expression).unwrap_or_default();
    let stated_silence = |scenario: &&Scenario| scenario.is_silent() && !scenario.series.is_empty();
    let silent = scenarios.iter().any(|scenario| stated_silence(&scenario));
    let without_data = scenarios.iter().any(|scenario| scenario.series.is_empty());
    let restarts = scenarios.iter().any(|scenario| scenario.is_silent() && scenario.has_restart());
    findings.extend((!silent).then_some(Finding::NeverSilent(name)));
    findings.extend((fired && !scenarios.iter().any(is_resolved)).then_some(Finding::NeverResolved(name)));
    findings.extend((!without_data).then_some(Finding::NeverWithoutData(name)));
    findings.extend((shape.reads_counters() && !restarts).then_some(Finding::NeverRestarts(name)));
    findings
}

/// Whether the alert fires and later does not.
fn is_resolved(scenario: &Scenario) -> bool {
    let firing: Vec<_> = scenario.moments.iter().map(|moment| !moment.firing.is_empty()).collect();
    let first = firing.iter().position(|firing| *firing);
    first.is_some_and(|first| firing[first..].contains(&false))
}
