//! What is made of a check's results: whether it counts as up, and whether it is run at all.

use std::time::{Duration, SystemTime};

use futura_metrics::specs::checks::Suspension;

use super::maintenance::Window;

/// Where a check stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// How many runs failed since the last success.
    failures: u64,
    /// Whether it counts as up, once it has run.
    up: Option<bool>,
    pause: Option<Pause>,
    draining: bool,
    /// The windows of this check and of all.
    pub(super) windows: Vec<Window>,
}

/// A pause that somebody asked for.
#[derive(Clone, Copy, Debug)]
enum Pause {
    ForGood,
    Until(SystemTime),
}

// === impl Standing ===

impl Standing {
    /// That of a check that has not run.
    pub(super) fn new(windows: Vec<Window>) -> Self {
        Self { windows, ..Self::default() }
    }

    /// Takes a result down; tells whether it changed what the check counts as. A first success changes nothing.
    pub(super) fn record(&mut self, failed: bool, threshold: u64) -> bool {
        self.failures = if failed { self.failures + 1 } else { 0 };
        let (before, now) = (self.up.unwrap_or(true), self.failures < threshold);
        self.up = Some(now);
        before != now
    }

    pub(super) fn is_up(&self) -> Option<bool> {
        self.up
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Why the check is not to be run at this time, if it is not.
    pub(super) fn suspension(&self, now: SystemTime) -> Option<Suspension> {
        let paused = match self.pause {
            None => false,
            Some(Pause::ForGood) => true,
            Some(Pause::Until(end)) => now < end,
        };
        match () {
            () if self.draining => Some(Suspension::Draining),
            () if paused => Some(Suspension::Paused),
            () if self.windows.iter().any(|window| window.holds(now)) => Some(Suspension::Maintenance),
            () => None,
        }
    }

    /// Pauses, until [`Self::resume`] or for a time.
    pub(super) fn pause(&mut self, now: SystemTime, time: Option<Duration>) {
        self.pause = Some(time.map_or(Pause::ForGood, |time| Pause::Until(now + time)));
    }

    pub(super) fn resume(&mut self) {
        self.pause = None;
    }

    /// Ends the check, as its target ends with this process, or has it go on.
    pub(super) fn drain(&mut self, draining: bool) {
        self.draining = draining;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Standing, Suspension, Window};

    #[test]
    fn a_check_is_down_after_as_many_failures_in_a_row_as_configured() {
        let mut standing = Standing::default();
        let mut record = |failed: bool| (standing.record(failed, 3), standing.is_up(), standing.is_failing());
        assert_eq!(record(true), (false, Some(true), true));
        assert_eq!(record(true), (false, Some(true), true));
        assert_eq!(record(false), (false, Some(true), false));
        assert_eq!([record(true), record(true)].map(|(changed, ..)| changed), [false; 2]);
        assert_eq!(record(true), (true, Some(false), true));
        assert_eq!(record(true), (false, Some(false), true));
        assert_eq!(record(false), (true, Some(true), false));
    }

    #[test]
    fn a_check_is_suspended_for_one_cause_at_a_time() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let later = now + Duration::from_secs(60);
        let mut standing = Standing::new(vec![Window::Once { from: 900, to: 1030 }]);
        assert_eq!(standing.suspension(now), Some(Suspension::Maintenance));
        assert_eq!(standing.suspension(later), None);
        standing.pause(now, Some(Duration::from_secs(60)));
        assert_eq!((standing.suspension(now), standing.suspension(later)), (Some(Suspension::Paused), None));
        standing.pause(now, None);
        assert_eq!(standing.suspension(later), Some(Suspension::Paused));
        standing.resume();
        assert_eq!(standing.suspension(later), None);
        standing.drain(true);
        assert_eq!(standing.suspension(now), Some(Suspension::Draining));
        standing.drain(false);
        assert_eq!(standing.suspension(later), None);
    }
}
