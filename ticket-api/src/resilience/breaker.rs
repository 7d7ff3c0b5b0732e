//! A circuit breaker: closed until failures in a row, then open for a time, then one trial at a time.

use std::{
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futura_metrics::{Counter, specs::resilience::Breaker, storage::Gauge};
use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    /// Failed calls in a row that open it.
    pub failures: u32,
    /// Time from opening to the first trial.
    pub open: Duration,
}

/// The state of a breaker; the numbers are those of `circuit_breaker_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// Calls go through.
    Closed = 0,
    /// One trial call decides.
    HalfOpen = 1,
    /// Calls are refused.
    Open = 2,
}

/// The breaker of one dependency.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    breaker: Breaker,
    config: BreakerConfig,
    phase: Mutex<Phase>,
    state: Gauge,
    failures: Counter,
    rejections: Counter,
}

/// Leave to make one call; dropping it without a verdict says nothing about the dependency.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    trial: bool,
}

#[derive(Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

// === impl CircuitBreaker ===

impl CircuitBreaker {
    pub(crate) fn new(
        breaker: Breaker,
        config: BreakerConfig,
        state: Gauge,
        failures: Counter,
        rejections: Counter,
    ) -> Self {
        Self { breaker, config, phase: Mutex::new(Phase::Closed { failures: 0 }), state, failures, rejections }
    }

    /// Lets a call through, or counts its rejection.
    pub(crate) fn admit(&self) -> Option<Permit<'_>> {
        if let Phase::Closed { .. } = *self.phase() {
            return Some(Permit { breaker: self, trial: false });
        }
        let permit = self.admit_trial();
        if permit.is_none() {
            self.rejections.inc();
        }
        permit
    }

    /// Lets the trial through, if it is time for it and nobody is at it.
    pub(crate) fn admit_trial(&self) -> Option<Permit<'_>> {
        let mut phase = self.phase();
        let is_due = matches!(*phase, Phase::Open { until } if Instant::now() >= until);
        is_due.then(|| {
            self.enter(&mut phase, Phase::HalfOpen, None);
            Permit { breaker: self, trial: true }
        })
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.phase().state()
    }

    /// Calls that failed in a row, up to as many as open it.
    pub(crate) fn failures(&self) -> u32 {
        match *self.phase() {
            Phase::Closed { failures } => failures,
            Phase::Open { .. } | Phase::HalfOpen => self.config.failures,
        }
    }

    fn enter(&self, phase: &mut Phase, next: Phase, cause: Option<&(dyn Error + 'static)>) {
        let (from, to) = (phase.state(), next.state());
        *phase = next;
        self.state.set(f64::from(to as u8));
        if from != to {
            tracing::warn!(breaker = self.breaker.as_str(), ?from, ?to, error = cause, "circuit breaker changed state");
        }
    }

    fn open(&self, phase: &mut Phase, cause: &(dyn Error + 'static)) {
        self.enter(phase, Phase::Open { until: Instant::now() + self.config.open }, Some(cause));
    }

    /// Tells of the first failure in a row. Those after it, and of calls that were under way when the breaker opened, may be
    /// as many as there are callers, and the opening names the last one.
    fn tell(&self, phase: &Phase, error: &(dyn Error + 'static)) {
        let breaker = self.breaker.as_str();
        match phase {
            Phase::Closed { failures: 0 } => tracing::warn!(breaker, error, "a call failed"),
            _ => tracing::debug!(breaker, error, "a call failed again"),
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        // Each change is one assignment, so a panic elsewhere cannot have left it half made.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Permit<'_> {
    pub(crate) fn succeeded(mut self) {
        let mut phase = self.breaker.phase();
        match &mut *phase {
            Phase::Closed { failures } => *failures = 0,
            Phase::HalfOpen if self.trial => self.breaker.enter(&mut phase, Phase::Closed { failures: 0 }, None),
            // A call from before the breaker opened ends now: the trial decides, not it.
            Phase::Open { .. } | Phase::HalfOpen => {}
        }
        self.trial = false;
    }

    pub(crate) fn failed(mut self, error: &(dyn Error + 'static)) {
        let breaker = self.breaker;
        breaker.failures.inc();
        let mut phase = breaker.phase();
        breaker.tell(&phase, error);
        match &mut *phase {
            Phase::Closed { failures } => {
                *failures += 1;
                if *failures >= breaker.config.failures {
                    breaker.open(&mut phase, error);
                }
            }
            Phase::HalfOpen if self.trial => breaker.open(&mut phase, error),
            Phase::Open { .. } | Phase::HalfOpen => {}
        }
        self.trial = false;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.trial {
            let mut phase = self.breaker.phase();
            self.breaker.enter(&mut phase, Phase::Open { until: Instant::now() }, None);
        }
    }
}

// === impl Phase ===

impl Phase {
    fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::HalfOpen => BreakerState::HalfOpen,
            Self::Open { .. } => BreakerState::Open,
        }
    }
}
