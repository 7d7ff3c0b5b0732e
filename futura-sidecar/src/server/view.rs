//! What is told about checks and error forwarding, as the API sends it and the page draws it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::specs::checks::{Reason, Suspension};
use serde::{Serialize, Serializer};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use crate::{
    checks::Check,
    errors::{ErrorsStatus, ErrorsSummary},
    history::Sample,
    network::Failure,
};

/// How many of the last results are shown.
pub(super) const RECENT: usize = 60;

/// Everything, at one time.
#[derive(Serialize)]
pub(super) struct View {
    pub(super) version: &'static str,
    pub(super) generated_at: Timestamp,
    pub(super) checks: Vec<CheckView>,
    /// `null` where errors are not forwarded.
    pub(super) errors: Option<ErrorsSummary>,
}

/// One check.
#[derive(Serialize)]
pub(super) struct CheckView {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) target: String,
    #[serde(rename = "interval_seconds", serialize_with = "as_seconds")]
    pub(super) interval: Duration,
    #[serde(rename = "timeout_seconds", serialize_with = "as_seconds")]
    pub(super) timeout: Duration,
    pub(super) state: CheckState,
    /// Why it is suspended: `draining`, `maintenance` or `paused`; `null` where it is not.
    pub(super) suspended: Option<&'static str>,
    /// Since when the state is as it is; as far as this process has seen.
    pub(super) since: Option<Timestamp>,
    /// The share of successes among the results that are kept.
    pub(super) uptime_ratio: Option<f64>,
    /// How many results are kept.
    pub(super) results: usize,
    pub(super) last_run: Option<RunView>,
    pub(super) last_failure: Option<FailureView>,
    /// The last results, oldest first.
    pub(super) recent: Vec<RunView>,
}

/// What the last run says of a check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckState {
    Down,
    /// It failed, though not often enough to count as down.
    Failing,
    Suspended,
    /// It has not run yet.
    Pending,
    Up,
}

/// One run.
#[derive(Clone, Copy, Serialize)]
pub(super) struct RunView {
    pub(super) ended_at: Timestamp,
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub(super) took: Duration,
    /// `null` for a success.
    pub(super) reason: Option<&'static str>,
}

/// A failed run.
#[derive(Serialize)]
pub(super) struct FailureView {
    pub(super) ended_at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Milliseconds since the Unix epoch, written as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp(u64);

// === impl View ===

impl View {
    pub(super) fn new(checks: &[Arc<Check>], errors: Option<&ErrorsStatus>, now: SystemTime) -> Self {
        let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            generated_at: Timestamp(u64::try_from(now_ms).unwrap_or(u64::MAX)),
            checks: checks.iter().map(|check| CheckView::new(check)).collect(),
            errors: errors.map(ErrorsStatus::summary),
        }
    }

    pub(super) fn count(&self, state: CheckState) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

// === impl CheckView ===

impl CheckView {
    fn new(check: &Check) -> Self {
        let (results, suspended) = (check.history.results(), check.suspension());
        let last_run = results.samples.last().copied().map(RunView::from);
        Self {
            name: check.name.clone(),
            kind: check.kind().as_str(),
            target: check.target(),
            interval: check.schedule.interval,
            timeout: check.schedule.timeout,
            state: match (suspended, check.is_up(), last_run) {
                (Some(_), ..) => CheckState::Suspended,
                (None, Some(false), _) => CheckState::Down,
                (None, _, None) => CheckState::Pending,
                (None, _, Some(run)) if run.reason.is_some() => CheckState::Failing,
                _ => CheckState::Up,
            },
            suspended: suspended.map(Suspension::as_str),
            since: last_run.map(|_| Timestamp(results.since_ms)),
            uptime_ratio: results.uptime(),
            results: results.samples.len(),
            last_run,
            recent: results.samples.iter().rev().take(RECENT).rev().copied().map(RunView::from).collect(),
            last_failure: results.last_failure.map(|(ended_ms, Failure { reason, message })| FailureView {
                ended_at: Timestamp(ended_ms),
                reason: reason.as_str(),
                message,
            }),
        }
    }
}

// === impl RunView ===

impl From<Sample> for RunView {
    fn from(sample: Sample) -> Self {
        Self { ended_at: Timestamp(sample.ended_ms), took: sample.took(), reason: sample.failure.map(Reason::as_str) }
    }
}

// === impl Timestamp ===

impl Timestamp {
    /// How long ago it is.
    pub(super) fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    pub(super) fn render(self) -> String {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        let time = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
        time.format(&Rfc3339).unwrap_or_default()
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.render())
    }
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
