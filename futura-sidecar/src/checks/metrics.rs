//! The series of checks.

use std::{
    collections::BTreeMap,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::{
    Counter, Family, Gauge, Histogram, Metrics, RegisterError,
    specs::checks::{
        CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, CHECK_DURATION_SECONDS, CHECK_FAILURES_TOTAL,
        CHECK_LAST_DURATION_SECONDS, CHECK_LAST_PHASE_DURATION_SECONDS, CHECK_LAST_RUN_TIMESTAMP_SECONDS,
        CHECK_RUNS_SKIPPED_TOTAL, CHECK_RUNS_TOTAL, CHECK_SUCCESS, CHECK_SUCCESSES_TOTAL, CHECK_TARGET_CONNECTIONS,
        Check, CheckKind, ConnectionState, Phase, Reason,
    },
};

use crate::network::{Chain, Connections, Trace};

type Labels = (Check, CheckKind);

/// The families of all checks.
pub(crate) struct ChecksMetrics {
    runs: Family<Counter, Labels>,
    successes: Family<Counter, Labels>,
    failures: Family<Counter, (Check, CheckKind, Reason)>,
    skipped: Family<Counter, Labels>,
    duration: Family<Histogram, Labels>,
    last: LastFamilies,
}

/// The series of one check. Counters stand at zero from the start, for each reason too.
pub(super) struct CheckMetrics {
    name: String,
    kind: CheckKind,
    runs: Counter,
    successes: Counter,
    failures: BTreeMap<Reason, Counter>,
    skipped: Counter,
    duration: Histogram,
    families: LastFamilies,
    /// Born with the first result: until then a check has neither succeeded nor failed, and a zero would be an alarm.
    last: OnceLock<Last>,
}

#[derive(Clone)]
struct LastFamilies {
    success: Family<Gauge, Labels>,
    duration: Family<Gauge, Labels>,
    timestamp: Family<Gauge, Labels>,
    phases: Family<Gauge, (Check, CheckKind, Phase)>,
    expiry: Family<Gauge, Labels>,
    connections: Family<Gauge, (Check, CheckKind, ConnectionState)>,
}

struct Last {
    success: Gauge,
    duration: Gauge,
    timestamp: Gauge,
}

// === impl ChecksMetrics ===

impl ChecksMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, RegisterError> {
        Ok(Self {
            runs: metrics.counters(CHECK_RUNS_TOTAL)?,
            successes: metrics.counters(CHECK_SUCCESSES_TOTAL)?,
            failures: metrics.counters(CHECK_FAILURES_TOTAL)?,
            skipped: metrics.counters(CHECK_RUNS_SKIPPED_TOTAL)?,
            duration: metrics.histograms(CHECK_DURATION_SECONDS)?,
            last: LastFamilies {
                success: metrics.gauges(CHECK_SUCCESS)?,
                duration: metrics.gauges(CHECK_LAST_DURATION_SECONDS)?,
                timestamp: metrics.gauges(CHECK_LAST_RUN_TIMESTAMP_SECONDS)?,
                phases: metrics.gauges(CHECK_LAST_PHASE_DURATION_SECONDS)?,
                expiry: metrics.gauges(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS)?,
                connections: metrics.gauges(CHECK_TARGET_CONNECTIONS)?,
            },
        })
    }

    pub(super) fn of(&self, name: &str, kind: CheckKind) -> CheckMetrics {
        CheckMetrics {
            name: name.to_owned(),
            kind,
            runs: self.runs.declare((name, kind)).clone(),
            successes: self.successes.declare((name, kind)).clone(),
            failures: Reason::ALL
                .iter()
                .map(|reason| (*reason, self.failures.declare((name, kind, *reason)).clone()))
                .collect(),
            skipped: self.skipped.declare((name, kind)).clone(),
            duration: self.duration.declare((name, kind)).clone(),
            families: self.last.clone(),
            last: OnceLock::new(),
        }
    }

    /// Leaves the series of a check that is gone out of the exposition: a last value would stand there for ever.
    pub(super) fn forget(&self, name: &str, kind: CheckKind) {
        for counters in [&self.runs, &self.successes, &self.skipped] {
            counters.remove((name, kind));
        }
        Reason::ALL.iter().for_each(|reason| self.failures.remove((name, kind, *reason)));
        self.duration.remove((name, kind));
        for gauges in [&self.last.success, &self.last.duration, &self.last.timestamp, &self.last.expiry] {
            gauges.remove((name, kind));
        }
        Phase::ALL.iter().for_each(|phase| self.last.phases.remove((name, kind, *phase)));
        ConnectionState::ALL.iter().for_each(|state| self.last.connections.remove((name, kind, *state)));
    }
}

// === impl CheckMetrics ===

impl CheckMetrics {
    pub(super) fn record(&self, took: Duration, failure: Option<Reason>, trace: &Trace) {
        self.runs.inc();
        self.duration.observe_duration(took);
        match failure {
            None => self.successes.inc(),
            Some(reason) => self.failures[&reason].inc(),
        }
        let last = self.last.get_or_init(|| self.families.with((&self.name, self.kind)));
        last.success.set(if failure.is_none() { 1.0 } else { 0.0 });
        last.duration.set_duration(took);
        last.timestamp.set_duration(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        self.record_trace(trace);
    }

    fn record_trace(&self, trace: &Trace) {
        let (name, kind) = (self.name.as_str(), self.kind);
        // A phase that this run did not reach would tell of the run before.
        Phase::ALL.iter().for_each(|phase| self.families.phases.remove((name, kind, *phase)));
        for (phase, duration) in trace.phases() {
            self.families.phases.declare((name, kind, phase)).set_duration(duration);
        }
        if let Some(expiry) = trace.chain.as_ref().and_then(Chain::expiry) {
            self.families.expiry.declare((name, kind)).set(expiry as f64);
        }
        if let Some(Connections { current, available }) = trace.connections {
            for (state, number) in [(ConnectionState::Current, current), (ConnectionState::Available, available)] {
                self.families.connections.declare((name, kind, state)).set(number as f64);
            }
        }
    }

    pub(super) fn skip(&self, runs: u64) {
        self.skipped.add(runs);
    }
}

// === impl LastFamilies ===

impl LastFamilies {
    fn with(&self, labels: (&str, CheckKind)) -> Last {
        Last {
            success: self.success.declare(labels).clone(),
            duration: self.duration.declare(labels).clone(),
            timestamp: self.timestamp.declare(labels).clone(),
        }
    }
}
