//! What is told about checks and error forwarding, as the API sends it and the pages draw it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futura_metrics::specs::checks::{Phase, Reason, Suspension};
use serde::{Serialize, Serializer};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use crate::{
    checks::Check,
    errors::{ErrorsStatus, ErrorsSummary, LastError},
    history::{FailedRun, HOURS, Sample, State, milliseconds},
    network::{Failure, Step},
};

/// How many of the last results are drawn.
pub(super) const RECENT: usize = 60;

/// How many of the last results are listed of one check.
pub(super) const LISTED: usize = 200;

/// Over how many hours uptime is told, and what that is called.
const SPANS: [(&str, u64); 3] = [("24h", 24), ("7d", 7 * 24), ("30d", HOURS)];

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Everything, at one time.
#[derive(Serialize)]
pub(super) struct View {
    pub(super) version: &'static str,
    pub(super) generated_at: Timestamp,
    pub(super) checks: Vec<CheckView>,
    /// `null` where errors are not forwarded.
    pub(super) errors: Option<ErrorsSummary>,
}

/// Error forwarding, with the last errors.
#[derive(Serialize)]
pub(super) struct ErrorsView {
    pub(super) generated_at: Timestamp,
    #[serde(flatten)]
    pub(super) summary: ErrorsSummary,
    /// The last events that were accepted, newest first; of a burst only some.
    pub(super) last_errors: Vec<ErrorView>,
}

/// An event that was accepted.
#[derive(Serialize)]
pub(super) struct ErrorView {
    pub(super) accepted_at: Timestamp,
    pub(super) level: String,
    pub(super) title: String,
    pub(super) event_id: Option<String>,
    pub(super) project: Option<String>,
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
    /// Since when its runs fail or succeed as they do now.
    pub(super) since: Option<Timestamp>,
    /// The share of successful runs within `24h`, `7d` and `30d`; without a run within them there is none.
    pub(super) uptime_ratio: BTreeMap<&'static str, f64>,
    /// When the first certificate of the target's chain expires; `null` where it showed none.
    pub(super) certificate_expires_at: Option<Timestamp>,
    pub(super) last_run: Option<RunView>,
    /// How long each phase of the last run took.
    pub(super) phases: Vec<PhaseView>,
    /// The steps of a journey's last run, as far as it came.
    pub(super) steps: Vec<StepView>,
    pub(super) last_failure: Option<FailureView>,
    /// The last results, oldest first.
    pub(super) recent: Vec<RunView>,
}

/// One check with more of its past.
#[derive(Serialize)]
pub(super) struct CheckDetail {
    #[serde(flatten)]
    pub(super) check: CheckView,
    pub(super) generated_at: Timestamp,
    /// Thirty days, oldest first.
    pub(super) days: Vec<DayView>,
    /// The last results, newest first.
    pub(super) results: Vec<RunView>,
}

/// What a check counts as. The gravest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckState {
    Down,
    /// It failed, though not often enough to count as down.
    Failing,
    Suspended,
    /// It has not run since the start.
    Pending,
    Up,
}

/// By what is seen whether a check has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    state: CheckState,
    suspended: Option<Suspension>,
    /// The end of the last run.
    ended_ms: Option<u64>,
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

/// How long a phase took.
#[derive(Serialize)]
pub(super) struct PhaseView {
    pub(super) phase: &'static str,
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub(super) took: Duration,
}

/// A step of a journey.
#[derive(Serialize)]
pub(super) struct StepView {
    pub(super) name: String,
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub(super) took: Duration,
    /// `null` for a success.
    pub(super) reason: Option<&'static str>,
    pub(super) message: Option<String>,
}

/// A failed run.
#[derive(Serialize)]
pub(super) struct FailureView {
    pub(super) ended_at: Timestamp,
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// Empty where it is from before a restart.
    pub(super) phases: Vec<PhaseView>,
}

/// What came of the runs of a day, in UTC.
#[derive(Serialize)]
pub(super) struct DayView {
    pub(super) begins_at: Timestamp,
    pub(super) runs: u64,
    pub(super) failures: u64,
}

/// Milliseconds since the Unix epoch, written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp(u64);

// === impl View ===

impl View {
    pub(super) fn new(checks: &[Arc<Check>], errors: Option<&ErrorsStatus>, now: Timestamp) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            generated_at: now,
            checks: checks.iter().map(|check| CheckView::new(check, now)).collect(),
            errors: errors.map(ErrorsStatus::summary),
        }
    }

    pub(super) fn count(&self, state: CheckState) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

// === impl ErrorsView ===

impl ErrorsView {
    pub(super) fn new(errors: &ErrorsStatus, now: Timestamp) -> Self {
        let last_errors = errors.last().into_iter().map(ErrorView::from).collect();
        Self { generated_at: now, summary: errors.summary(), last_errors }
    }
}

impl From<LastError> for ErrorView {
    fn from(error: LastError) -> Self {
        let LastError { at_ms, level, title, event_id, project } = error;
        Self { accepted_at: Timestamp(at_ms), level, title, event_id, project }
    }
}

// === impl CheckView ===

impl CheckView {
    pub(super) fn new(check: &Check, now: Timestamp) -> Self {
        check.history.with(|state| Self::of(check, state, now))
    }

    fn of(check: &Check, history: &State, now: Timestamp) -> Self {
        let Mark { state, suspended, .. } = Mark::of(check, history);
        let last_run = history.samples.back().copied().map(RunView::from);
        let skipped = history.samples.len().saturating_sub(RECENT);
        Self {
            name: check.name.clone(),
            kind: check.kind().as_str(),
            target: check.target(),
            interval: check.schedule.interval,
            timeout: check.schedule.timeout,
            state,
            suspended: suspended.map(Suspension::as_str),
            since: last_run.map(|_| Timestamp(history.since_ms)),
            uptime_ratio: SPANS
                .iter()
                .filter_map(|(name, hours)| Some((*name, history.uptime(now.0, *hours)?)))
                .collect(),
            certificate_expires_at: history.last.certificate_expiry.map(Timestamp::of_seconds),
            last_run,
            phases: phases(&history.last.phases),
            steps: history.last.steps.iter().map(StepView::from).collect(),
            last_failure: history.last_failure.as_ref().map(FailureView::from),
            recent: history.samples.iter().skip(skipped).copied().map(RunView::from).collect(),
        }
    }
}

fn phases(phases: &[(Phase, Duration)]) -> Vec<PhaseView> {
    phases.iter().map(|(phase, took)| PhaseView { phase: phase.as_str(), took: *took }).collect()
}

// === impl CheckDetail ===

impl CheckDetail {
    pub(super) fn new(check: &Check, now: Timestamp) -> Self {
        check.history.with(|state| Self {
            check: CheckView::of(check, state, now),
            generated_at: now,
            days: days(state, now),
            results: state.samples.iter().rev().take(LISTED).copied().map(RunView::from).collect(),
        })
    }
}

/// The last thirty days, those without a run too.
fn days(history: &State, now: Timestamp) -> Vec<DayView> {
    let today = now.0 / DAY_MS;
    let first = today.saturating_sub(HOURS / 24 - 1);
    let mut days: Vec<_> =
        (first..=today).map(|day| DayView { begins_at: Timestamp(day * DAY_MS), runs: 0, failures: 0 }).collect();
    for hour in &history.hours {
        let place = (hour.hour / 24).checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(day) = place.and_then(|place| days.get_mut(place)) {
            day.runs += u64::from(hour.runs);
            day.failures += u64::from(hour.failures);
        }
    }
    days
}

// === impl CheckState ===

impl CheckState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Failing => "failing",
            Self::Suspended => "suspended",
            Self::Pending => "pending",
            Self::Up => "up",
        }
    }
}

// === impl Mark ===

impl Mark {
    pub(super) fn new(check: &Check) -> Self {
        check.history.with(|history| Self::of(check, history))
    }

    fn of(check: &Check, history: &State) -> Self {
        let (up, suspended, last) = (check.is_up(), check.suspension(), history.samples.back());
        let state = match (suspended, up) {
            (Some(_), _) => CheckState::Suspended,
            (None, Some(false)) => CheckState::Down,
            (None, Some(true)) if last.is_some_and(|last| last.failure.is_some()) => CheckState::Failing,
            (None, Some(true)) => CheckState::Up,
            (None, None) => CheckState::Pending,
        };
        Self { state, suspended, ended_ms: last.map(|last| last.ended_ms) }
    }

    /// Whether it stands as the other, though it may have run since.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        (self.state, self.suspended) == (other.state, other.suspended)
    }
}

// === impl RunView ===

impl From<Sample> for RunView {
    fn from(sample: Sample) -> Self {
        Self { ended_at: Timestamp(sample.ended_ms), took: sample.took(), reason: sample.failure.map(Reason::as_str) }
    }
}

// === impl StepView ===

impl From<&Step> for StepView {
    fn from(step: &Step) -> Self {
        let failure = step.failure.as_ref();
        Self {
            name: step.name.clone(),
            took: step.took,
            reason: failure.map(|failure| failure.reason.as_str()),
            message: failure.map(|failure| failure.message.clone()),
        }
    }
}

// === impl FailureView ===

impl From<&FailedRun> for FailureView {
    fn from(run: &FailedRun) -> Self {
        let Failure { reason, message } = &run.failure;
        Self {
            ended_at: Timestamp(run.ended_ms),
            reason: reason.as_str(),
            message: message.clone(),
            phases: phases(&run.phases),
        }
    }
}

// === impl Timestamp ===

impl Timestamp {
    pub(super) fn now() -> Self {
        Self(milliseconds(SystemTime::now()))
    }

    fn of_seconds(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000))
    }

    /// How long ago it is.
    pub(super) fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    pub(super) fn render(self) -> String {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        let time = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
        time.format(&Rfc3339).unwrap_or_default()
    }

    /// The date alone.
    pub(super) fn date(self) -> String {
        self.render().chars().take("2026-11-23".len()).collect()
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
