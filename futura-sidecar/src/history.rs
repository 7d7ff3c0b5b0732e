//! What came of a check's runs: the last results one by one, and all of thirty days by the hour. Bounded, some kilobytes a
//! check; with a store it outlives the process.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::specs::checks::{Phase, Reason};

use crate::network::{Failure, Step, Trace};

pub use self::store::StoreError;
pub(crate) use self::store::{Recorder, Store};

mod record;
mod store;

/// How many results are kept of each check.
pub(crate) const LENGTH: usize = 1000;

/// How many hours are kept of each check: thirty days.
pub(crate) const HOURS: u64 = 30 * 24;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// The results of one check.
#[derive(Default)]
pub(crate) struct History {
    state: Mutex<State>,
    recorder: OnceLock<Recorder>,
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

/// What came of all runs that ended within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hour {
    /// Hours since the Unix epoch.
    pub(crate) hour: u64,
    pub(crate) runs: u32,
    pub(crate) failures: u32,
}

/// What a run left behind besides its result; of the last one alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    pub(crate) phases: Vec<(Phase, Duration)>,
    pub(crate) steps: Vec<Step>,
    /// When the first certificate of the target's chain expires, in seconds since the Unix epoch.
    pub(crate) certificate_expiry: Option<i64>,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub(crate) struct FailedRun {
    pub(crate) ended_ms: u64,
    pub(crate) failure: Failure,
    /// Empty where it is from before a restart.
    pub(crate) phases: Vec<(Phase, Duration)>,
}

/// What a history holds at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Oldest first.
    pub(crate) samples: VecDeque<Sample>,
    /// Oldest first; hours without a run are left out. After a run under a wrong clock there may be some that are still to come.
    pub(crate) hours: VecDeque<Hour>,
    pub(crate) last: Detail,
    /// The last failure, even if its sample is gone.
    pub(crate) last_failure: Option<FailedRun>,
    /// When the runs began to fail or to succeed as they do now.
    pub(crate) since_ms: u64,
}

// === impl History ===

impl History {
    /// Begins with what was kept of the check before.
    pub(crate) fn restore(&self, state: State) {
        *self.lock() = state;
    }

    /// Has all further results kept by a store as well.
    pub(crate) fn keep_by(&self, recorder: Recorder) {
        // The first one stays: a history has one store for all its time.
        let _ = self.recorder.set(recorder);
    }

    /// Takes a result down.
    pub(crate) fn record(&self, ended: SystemTime, took: Duration, failure: Option<&Failure>, trace: &Trace) {
        let sample = Sample {
            ended_ms: milliseconds(ended),
            took_us: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            failure: failure.map(|failure| failure.reason),
        };
        let mut state = self.lock();
        state.take(sample, failure);
        state.last = Detail {
            phases: trace.phases().collect(),
            steps: trace.steps.clone(),
            // An expiry that was seen once stays known.
            certificate_expiry: trace.expiry().or(state.last.certificate_expiry),
        };
        let phases = state.last.phases.clone();
        if let Some(last) = state.last_failure.as_mut().filter(|_| failure.is_some()) {
            last.phases = phases;
        }
        if let Some(recorder) = self.recorder.get() {
            recorder.record(sample, failure);
        }
    }

    /// A copy of all of it.
    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Reads it where it is.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Takes a result down.
    fn take(&mut self, sample: Sample, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            let failure = failure.clone();
            self.last_failure = Some(FailedRun { ended_ms: sample.ended_ms, failure, phases: Vec::new() });
        }
        let hour = sample.ended_ms / HOUR_MS;
        let place = self.hours.partition_point(|other| other.hour < hour);
        match self.hours.get_mut(place).filter(|there| there.hour == hour) {
            Some(there) => there.add(sample.failure.is_some()),
            None => {
                self.hours.insert(place, Hour { hour, runs: 1, failures: u32::from(sample.failure.is_some()) });
                self.drop_hours(hour);
            }
        }
        self.push(sample);
    }

    /// Drops what is one hour too many: one that is still to come by the present clock, or else the oldest. Which clock was wrong
    /// cannot be known, and so no more is dropped than has to be.
    fn drop_hours(&mut self, now: u64) {
        if self.hours.len() as u64 <= HOURS {
            return;
        }
        match self.hours.back() {
            Some(last) if last.hour > now => self.hours.pop_back(),
            _ => self.hours.pop_front(),
        };
    }

    /// Adds a result that the hours have already.
    fn push(&mut self, sample: Sample) {
        let before = self.samples.back().map(|sample| sample.failure.is_some());
        if before != Some(sample.failure.is_some()) {
            self.since_ms = sample.ended_ms;
        }
        if self.samples.len() == LENGTH {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The share of successes among the runs of so many hours before `now_ms`, if there was one.
    pub(crate) fn uptime(&self, now_ms: u64, hours: u64) -> Option<f64> {
        let now = now_ms / HOUR_MS;
        let past = self.hours.iter().rev().skip_while(|other| other.hour > now);
        let within = past.take_while(|past| past.hour + hours > now);
        let (runs, failures) = within
            .fold((0, 0), |(runs, failures), hour| (runs + u64::from(hour.runs), failures + u64::from(hour.failures)));
        (runs > 0).then(|| (runs - failures) as f64 / runs as f64)
    }
}

// === impl Hour ===

impl Hour {
    fn add(&mut self, failed: bool) {
        self.runs = self.runs.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(failed));
    }
}

// === impl Sample ===

impl Sample {
    pub(crate) fn took(&self) -> Duration {
        Duration::from_micros(u64::from(self.took_us))
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Failure, HOUR_MS, HOURS, History, LENGTH, Reason, Sample, Trace};
    use std::time::{Duration, SystemTime};

    fn record(history: &History, second: u64, failed: bool) {
        let failure = failed.then(|| Failure::new(Reason::Connect, format!("failure {second}")));
        let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        history.record(ended, Duration::from_millis(5), failure.as_ref(), &Trace::default());
    }

    #[test]
    fn a_history_forgets_the_oldest_results_but_not_the_last_failure() {
        let history = History::default();
        record(&history, 0, true);
        (1..=LENGTH as u64).for_each(|second| record(&history, second, false));
        let state = history.state();
        assert_eq!(state.samples.len(), LENGTH);
        assert_eq!(state.samples[0], Sample { ended_ms: 1000, took_us: 5000, failure: None });
        let last = state.last_failure.expect("a failure");
        assert_eq!((last.ended_ms, last.failure), (0, Failure::new(Reason::Connect, "failure 0")));
        assert_eq!(state.since_ms, 1000);
    }

    #[test]
    fn uptime_is_of_the_hours_asked_for() {
        let history = History::default();
        let hour = HOUR_MS / 1000;
        // Every second run of the first hours fails, and none of the last.
        for number in 0..2 * HOURS {
            record(&history, number * hour, number < HOURS && number % 2 == 0);
            record(&history, number * hour + 1, false);
        }
        let state = history.state();
        let now_ms = (2 * HOURS - 1) * HOUR_MS;
        assert_eq!(state.hours.len(), HOURS as usize);
        assert_eq!((state.uptime(now_ms, 24), state.uptime(now_ms, HOURS)), (Some(1.0), Some(1.0)));
        assert_eq!(state.uptime(now_ms + HOURS * HOUR_MS, 24), None, "nothing ran lately");
        let past = History::default();
        for number in 0..24 {
            record(&past, number * hour, number < 6);
        }
        assert_eq!(past.state().uptime(23 * HOUR_MS, 24), Some(0.75));
        assert_eq!(past.state().uptime(23 * HOUR_MS, 12), Some(1.0));
    }

    #[test]
    fn runs_under_a_wrong_clock_count_in_no_other_hour() {
        let hour = HOUR_MS / 1000;
        let (begin, future) = (1_000_000, 2_000_000);
        for wrong in [future, 0] {
            let history = History::default();
            (begin..begin + HOURS).for_each(|number| record(&history, number * hour, false));
            record(&history, wrong * hour, true);
            for number in begin + HOURS..begin + HOURS + 24 {
                record(&history, number * hour, number % 2 == 0);
                record(&history, number * hour + 1, number % 2 == 0);
            }
            let (state, now_ms) = (history.state(), (begin + HOURS + 23) * HOUR_MS);
            assert_eq!(state.uptime(now_ms, 24), Some(0.5), "{wrong}");
            assert!(state.uptime(now_ms, HOURS).is_some_and(|uptime| (0.9..1.0).contains(&uptime)), "{wrong}");
            assert!(state.hours.len() as u64 <= HOURS && state.hours.iter().is_sorted_by_key(|hour| hour.hour));
            let last = state.hours.iter().rfind(|hour| hour.hour < future).expect("an hour");
            assert_eq!((last.hour, last.runs), (begin + HOURS + 23, 2), "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_was_wrong_for_long_leaves_room_for_the_right_one() {
        let (history, hour) = (History::default(), HOUR_MS / 1000);
        (2 * HOURS..3 * HOURS).for_each(|number| record(&history, number * hour, false));
        (0..24).for_each(|number| record(&history, number * hour, true));
        assert_eq!(history.state().uptime(23 * HOUR_MS, 24), Some(0.0));
    }

    #[test]
    fn a_change_is_remembered_with_its_time() {
        let history = History::default();
        for (failed, second) in [false, false, true, true, false].into_iter().zip(0..) {
            record(&history, second, failed);
        }
        assert_eq!(history.state().since_ms, 4000);
    }

    #[test]
    fn a_sample_is_small() {
        assert_eq!(size_of::<Sample>(), 16);
    }
}
