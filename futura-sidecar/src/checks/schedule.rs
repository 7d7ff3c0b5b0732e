//! When a check is run and when it counts as down, as it is configured.

use std::time::Duration;

use serde_yaml::Value;

use super::maintenance::Window;
use crate::config::{Section, form};

/// The shortest interval: below it a check is a load test.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often one run may be repeated.
const RETRIES_LIMIT: u64 = 10;

/// How many failed runs in a row may be asked for.
const THRESHOLD_LIMIT: u64 = 1000;

/// When a check is run and when it counts as down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// The time from one start to the next. Default `10s`.
    pub interval: Duration,
    /// The same after a failed run. Default the `interval`.
    pub interval_failing: Duration,
    /// How long one attempt may take in all; all attempts of a run fit into the interval. Default `2s`.
    pub timeout: Duration,
    /// When the first run is, from the start of the sidecar. Default spread by the name over the interval, at most 30 s.
    pub offset: Option<Duration>,
    /// Up to how much later than its time each run starts, at random. Default none.
    pub jitter: Duration,
    /// How often a failed run is repeated at once before it counts. Default never.
    pub retries: u64,
    /// After how many failed runs in a row the check counts as down. Default 1.
    pub failure_threshold: u64,
    /// When the check is not run, besides the windows of all checks. Default never.
    pub(crate) maintenance: Vec<Window>,
}

// === impl ScheduleConfig ===

impl ScheduleConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let interval = section.or("interval", interval_of, DEFAULT_INTERVAL);
        let interval_failing = section.or("interval_failing", |value| interval_of(value).map(Some), None);
        let timeout = section.or("timeout", timeout, DEFAULT_TIMEOUT);
        let offset = section.or("offset", |value| form::duration(value).map(Some), None);
        let jitter = section.or("jitter", form::duration, Duration::ZERO);
        let retries = section.or("retries", |value| at_most(value, 0, RETRIES_LIMIT), 0);
        let failure_threshold = section.or("failure_threshold", |value| at_most(value, 1, THRESHOLD_LIMIT), 1);
        let maintenance = Window::read_all(section);
        let (interval, timeout, retries) = (interval?, timeout?, retries?);
        let interval_failing = interval_failing?.unwrap_or(interval);
        let (shortest, attempts) = (interval.min(interval_failing), retries as u32 + 1);
        if timeout * attempts > shortest {
            let times = if attempts == 1 { String::new() } else { format!(", {attempts} times over,") };
            let message = format!(
                "a timeout of {timeout:?}{times} is longer than the interval of {shortest:?}, so runs would overlap"
            );
            section.report("timeout", message);
        }
        let jitter = jitter?;
        if jitter > shortest {
            section.report("jitter", format!("{jitter:?} at random is more than the interval of {shortest:?}"));
        }
        Some(Self {
            interval,
            interval_failing,
            timeout,
            offset: offset?,
            jitter,
            retries,
            failure_threshold: failure_threshold?,
            maintenance: maintenance?,
        })
    }
}

fn interval_of(value: &Value) -> Result<Duration, String> {
    let interval = form::duration(value)?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!("{interval:?} is too often: at least {SHORTEST_INTERVAL:?}"));
    }
    Ok(interval)
}

fn timeout(value: &Value) -> Result<Duration, String> {
    let timeout = form::duration(value)?;
    if timeout.is_zero() {
        return Err("no run ends within no time: write one such as `2s`".to_owned());
    }
    Ok(timeout)
}

fn at_most(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    let number = form::number(value)?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("{number} is not from {least} to {most}")) }
}
