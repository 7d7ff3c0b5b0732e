//! What is wrong with an alert's expression and threshold.

use std::time::Duration;

use super::Finding;
use crate::{
    alert::Alert,
    promql::{Quantity, Shape, validate},
    site::Site,
};

/// How many scrapes a window must hold, so that a rate survives one that fails.
const SCRAPES_IN_WINDOW: u32 = 4;
/// A window of this length is patience enough.
const LONG_WINDOW: Duration = Duration::from_secs(3600);

pub(super) fn check(alert: &Alert, site: &Site) -> Vec<Finding> {
    let name = alert.name;
    let invalid = alert.runbook.queries().filter_map(|expression| validate(expression).err());
    let mut findings: Vec<_> = invalid.map(|source| Finding::Expression { alert: name, source }).collect();
    match Shape::of(&alert.expression) {
        Err(source) => findings.push(Finding::Expression { alert: name, source }),
        Ok(shape) => check_shape(alert, &shape, site, &mut findings),
    }
    let threshold = alert.threshold;
    if !threshold.bounds.is_empty() && !threshold.bounds.contains(&threshold.value) {
        let (threshold, bounds) = (threshold.value, threshold.bounds);
        findings.push(Finding::ThresholdBetweenBuckets { alert: name, threshold, bounds });
    }
    if matches!(threshold.quantity, Quantity::Bytes | Quantity::BytesPerSecond | Quantity::Cores) {
        findings.push(Finding::AbsoluteThreshold(name));
    }
    findings
}

fn check_shape(alert: &Alert, shape: &Shape, site: &Site, findings: &mut Vec<Finding>) {
    let (name, scrape_interval) = (alert.name, site.scrape_interval);
    let short = shape.windows.iter().filter(|window| **window < scrape_interval * SCRAPES_IN_WINDOW);
    findings.extend(short.map(|window| Finding::ShortWindow { alert: name, window: *window, scrape_interval }));
    let is_doubtful = shape.has_ratio || shape.falls_back();
    let is_patient = !alert.lasts.is_zero() || shape.windows.iter().any(|window| *window >= LONG_WINDOW);
    findings.extend((is_doubtful && !is_patient).then_some(Finding::Hasty(name)));
    let is_smoothed = shape.functions.contains("avg_over_time");
    findings.extend((is_smoothed && !alert.lasts.is_zero()).then_some(Finding::SmoothedTwice(name)));
}
