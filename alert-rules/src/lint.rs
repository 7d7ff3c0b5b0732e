//! What neither the compiler nor `promtool` checks about a set of alerts.

use crate::{alert::Alert, site::Site};

pub use self::finding::Finding;

mod examples;
mod expression;
mod finding;
mod set;
mod texts;

/// Everything wrong with these alerts at this site.
pub fn check(alerts: &[&Alert], site: &Site) -> Vec<Finding> {
    let mut findings = set::check(alerts);
    for alert in alerts {
        findings.extend(expression::check(alert, site));
        findings.extend(examples::check(alert));
        findings.extend(texts::check(alert, alerts));
    }
    findings
}

#[cfg(test)]
mod tests;
