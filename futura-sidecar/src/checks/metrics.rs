//! The series of checks.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::{
    Counter, Family, Gauge, Histogram, Metrics, RegisterError,
    specs::checks::{
        CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, CHECK_DURATION_SECONDS, CHECK_FAILURES_TOTAL,
        CHECK_LAST_DURATION_SECONDS, CHECK_LAST_PHASE_DURATION_SECONDS, CHECK_LAST_RUN_TIMESTAMP_SECONDS,
        CHECK_RETRIES_TOTAL, CHECK_RUNS_SKIPPED_TOTAL, CHECK_RUNS_TOTAL, CHECK_SCHEDULING_LAG_SECONDS,
        CHECK_STEP_LAST_DURATION_SECONDS, CHECK_STEP_SUCCESS, CHECK_SUCCESS, CHECK_SUCCESSES_TOTAL, CHECK_SUSPENDED,
        CHECK_TARGET_CONNECTIONS, CHECK_UP, Check, CheckKind, ConnectionState, Phase, Reason, Step, Suspension,
    },
};

use crate::network::{Connections, Trace};

type Labels = (Check, CheckKind);

/// The families of all checks.
pub(crate) struct ChecksMetrics {
    runs: Family<Counter, Labels>,
    successes: Family<Counter, Labels>,
    failures: Family<Counter, (Check, CheckKind, Reason)>,
    skipped: Family<Counter, Labels>,
    retries: Family<Counter, Labels>,
    duration: Family<Histogram, Labels>,
    last: LastFamilies,
    lag: Histogram,
}

/// The series of one check. Counters stand at zero from the start, for each reason too.
pub(super) struct CheckMetrics {
    name: String,
    kind: CheckKind,
    /// The names of a journey's steps.
    steps: Vec<String>,
    runs: Counter,
    successes: Counter,
    failures: BTreeMap<Reason, Counter>,
    skipped: Counter,
    retries: Counter,
    duration: Histogram,
    /// Born with the first result: until then a check has neither succeeded nor failed, and a zero would be an alarm.
    last: LastFamilies,
}

#[derive(Clone)]
struct LastFamilies {
    up: Family<Gauge, Labels>,
    suspended: Family<Gauge, (Check, CheckKind, Suspension)>,
    success: Family<Gauge, Labels>,
    duration: Family<Gauge, Labels>,
    timestamp: Family<Gauge, Labels>,
    phases: Family<Gauge, (Check, CheckKind, Phase)>,
    expiry: Family<Gauge, Labels>,
    connections: Family<Gauge, (Check, CheckKind, ConnectionState)>,
    steps: Family<Gauge, (Check, Step)>,
    step_durations: Family<Gauge, (Check, Step)>,
}

// === impl ChecksMetrics ===

impl ChecksMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, RegisterError> {
        Ok(Self {
            runs: metrics.counters(CHECK_RUNS_TOTAL)?,
            successes: metrics.counters(CHECK_SUCCESSES_TOTAL)?,
            failures: metrics.counters(CHECK_FAILURES_TOTAL)?,
            skipped: metrics.counters(CHECK_RUNS_SKIPPED_TOTAL)?,
            retries: metrics.counters(CHECK_RETRIES_TOTAL)?,
            duration: metrics.histograms(CHECK_DURATION_SECONDS)?,
            lag: metrics.histogram(CHECK_SCHEDULING_LAG_SECONDS)?,
            last: LastFamilies {
                up: metrics.gauges(CHECK_UP)?,
                suspended: metrics.gauges(CHECK_SUSPENDED)?,
                success: metrics.gauges(CHECK_SUCCESS)?,
                duration: metrics.gauges(CHECK_LAST_DURATION_SECONDS)?,
                timestamp: metrics.gauges(CHECK_LAST_RUN_TIMESTAMP_SECONDS)?,
                phases: metrics.gauges(CHECK_LAST_PHASE_DURATION_SECONDS)?,
                expiry: metrics.gauges(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS)?,
                connections: metrics.gauges(CHECK_TARGET_CONNECTIONS)?,
                steps: metrics.gauges(CHECK_STEP_SUCCESS)?,
                step_durations: metrics.gauges(CHECK_STEP_LAST_DURATION_SECONDS)?,
            },
        })
    }

    pub(super) fn of(&self, name: &str, kind: CheckKind, steps: Vec<String>) -> CheckMetrics {
        CheckMetrics {
            name: name.to_owned(),
            kind,
            steps,
            runs: self.runs.declare((name, kind)).clone(),
            successes: self.successes.declare((name, kind)).clone(),
            failures: Reason::ALL
                .iter()
                .map(|reason| (*reason, self.failures.declare((name, kind, *reason)).clone()))
                .collect(),
            skipped: self.skipped.declare((name, kind)).clone(),
            retries: self.retries.declare((name, kind)).clone(),
            duration: self.duration.declare((name, kind)).clone(),
            last: self.last.clone(),
        }
    }

    /// How long after their time runs start.
    pub(crate) fn lag(&self) -> &Histogram {
        &self.lag
    }

    /// Leaves the series of a check that is gone out of the exposition: a last value would stand there for ever.
    pub(super) fn forget(&self, check: &CheckMetrics) {
        let (name, kind) = (check.name.as_str(), check.kind);
        for counters in [&self.runs, &self.successes, &self.skipped, &self.retries] {
            counters.remove((name, kind));
        }
        Reason::ALL.iter().for_each(|reason| self.failures.remove((name, kind, *reason)));
        self.duration.remove((name, kind));
        for gauges in [&self.last.up, &self.last.success, &self.last.duration, &self.last.timestamp, &self.last.expiry]
        {
            gauges.remove((name, kind));
        }
        Suspension::ALL.iter().for_each(|cause| self.last.suspended.remove((name, kind, *cause)));
        ConnectionState::ALL.iter().for_each(|state| self.last.connections.remove((name, kind, *state)));
        self.last.forget_run(check);
    }
}

// === impl CheckMetrics ===

impl CheckMetrics {
    /// Takes a result down; `up` is what the check counts as after it.
    pub(super) fn record(&self, took: Duration, failure: Option<Reason>, up: bool, trace: &Trace) {
        self.runs.inc();
        self.duration.observe_duration(took);
        match failure {
            None => self.successes.inc(),
            Some(reason) => self.failures[&reason].inc(),
        }
        let (labels, last) = ((self.name.as_str(), self.kind), &self.last);
        last.up.declare(labels).set(if up { 1.0 } else { 0.0 });
        last.success.declare(labels).set(if failure.is_none() { 1.0 } else { 0.0 });
        last.duration.declare(labels).set_duration(took);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        last.timestamp.declare(labels).set_duration(now);
        self.record_trace(trace);
    }

    /// Tells whether the check is suspended; while it is, nobody knows whether it is up.
    pub(super) fn suspend(&self, cause: Option<Suspension>) {
        let (name, kind) = (self.name.as_str(), self.kind);
        for known in Suspension::ALL {
            match cause == Some(*known) {
                true => self.last.suspended.declare((name, kind, *known)).set(1.0),
                false => self.last.suspended.remove((name, kind, *known)),
            }
        }
        if cause.is_some() {
            self.last.up.remove((name, kind));
            self.last.success.remove((name, kind));
        }
    }

    fn record_trace(&self, trace: &Trace) {
        let (name, kind) = (self.name.as_str(), self.kind);
        // What this run did not reach would tell of the run before.
        self.last.forget_run(self);
        for (phase, duration) in trace.phases() {
            self.last.phases.declare((name, kind, phase)).set_duration(duration);
        }
        for step in &trace.steps {
            let success = if step.failure.is_none() { 1.0 } else { 0.0 };
            self.last.steps.declare((name, step.name.as_str())).set(success);
            self.last.step_durations.declare((name, step.name.as_str())).set_duration(step.took);
        }
        if let Some(expiry) = trace.expiry() {
            self.last.expiry.declare((name, kind)).set(expiry as f64);
        }
        if let Some(Connections { current, available }) = trace.connections {
            for (state, number) in [(ConnectionState::Current, current), (ConnectionState::Available, available)] {
                self.last.connections.declare((name, kind, state)).set(number as f64);
            }
        }
    }

    pub(super) fn skip(&self, runs: u64) {
        self.skipped.add(runs);
    }

    pub(super) fn retry(&self) {
        self.retries.inc();
    }
}

// === impl LastFamilies ===

impl LastFamilies {
    /// Leaves out what only some runs have.
    fn forget_run(&self, check: &CheckMetrics) {
        let name = check.name.as_str();
        Phase::ALL.iter().for_each(|phase| self.phases.remove((name, check.kind, *phase)));
        for step in &check.steps {
            self.steps.remove((name, step.as_str()));
            self.step_durations.remove((name, step.as_str()));
        }
    }
}
