//! The last results of a check, in memory and bounded: sixteen bytes a result.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::specs::checks::Reason;

use crate::network::Failure;

/// How many results are kept of each check.
pub(crate) const LENGTH: usize = 1000;

/// The results of one check.
#[derive(Default)]
pub(crate) struct History {
    state: Mutex<State>,
}

/// One result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// When the run ended, in milliseconds since the Unix epoch.
    pub(crate) ended_ms: u64,
    /// How long it took, in microseconds; more than an hour stays an hour.
    pub(crate) took_us: u32,
    /// Why it failed.
    pub(crate) failure: Option<Reason>,
}

/// What a history holds at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    /// Oldest first.
    pub(crate) samples: Vec<Sample>,
    /// The last failure, even if its sample is gone.
    pub(crate) last_failure: Option<(u64, Failure)>,
    /// When the check began to fail or to succeed as it does now.
    pub(crate) since_ms: u64,
}

#[derive(Default)]
struct State {
    samples: VecDeque<Sample>,
    last_failure: Option<(u64, Failure)>,
    since_ms: u64,
}

// === impl History ===

impl History {
    /// Takes a result down.
    pub(crate) fn record(&self, ended: SystemTime, took: Duration, failure: Option<&Failure>) {
        let ended_ms =
            u64::try_from(ended.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let sample = Sample { ended_ms, took_us, failure: failure.map(|failure| failure.reason) };
        let mut state = self.lock();
        let before = state.samples.back().map(|sample| sample.failure.is_some());
        if before != Some(failure.is_some()) {
            state.since_ms = ended_ms;
        }
        if let Some(failure) = failure {
            state.last_failure = Some((ended_ms, failure.clone()));
        }
        if state.samples.len() == LENGTH {
            state.samples.pop_front();
        }
        state.samples.push_back(sample);
    }

    pub(crate) fn results(&self) -> Results {
        let state = self.lock();
        Results {
            samples: state.samples.iter().copied().collect(),
            last_failure: state.last_failure.clone(),
            since_ms: state.since_ms,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Sample ===

impl Sample {
    pub(crate) fn took(&self) -> Duration {
        Duration::from_micros(u64::from(self.took_us))
    }
}

// === impl Results ===

impl Results {
    /// The share of the results that are successes, once there is one.
    pub(crate) fn uptime(&self) -> Option<f64> {
        let successes = self.samples.iter().filter(|sample| sample.failure.is_none()).count();
        (!self.samples.is_empty()).then(|| successes as f64 / self.samples.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, History, LENGTH, Reason, Sample};
    use std::time::{Duration, SystemTime};

    fn record(history: &History, second: u64, failed: bool) {
        let failure = failed.then(|| Failure::new(Reason::Connect, format!("failure {second}")));
        let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        history.record(ended, Duration::from_millis(5), failure.as_ref());
    }

    #[test]
    fn a_history_forgets_the_oldest_results_but_not_the_last_failure() {
        let history = History::default();
        record(&history, 0, true);
        (1..=LENGTH as u64).for_each(|second| record(&history, second, false));
        let results = history.results();
        assert_eq!(results.samples.len(), LENGTH);
        assert_eq!(results.samples[0], Sample { ended_ms: 1000, took_us: 5000, failure: None });
        assert_eq!(results.last_failure, Some((0, Failure::new(Reason::Connect, "failure 0"))));
        assert_eq!((results.uptime(), results.since_ms), (Some(1.0), 1000));
    }

    #[test]
    fn a_change_is_remembered_with_its_time() {
        let history = History::default();
        for (failed, second) in [false, false, true, true, false].into_iter().zip(0..) {
            record(&history, second, failed);
        }
        assert_eq!((history.results().since_ms, history.results().uptime()), (4000, Some(0.6)));
    }

    #[test]
    fn a_sample_is_small() {
        assert_eq!(size_of::<Sample>(), 16);
    }
}
