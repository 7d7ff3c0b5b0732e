//! When checks run: each on a grid of its interval that never drifts, spread by name, one run at a time, and no more at once
//! than there are places.

use std::{future::Future, sync::Arc, time::Duration};

use futura_metrics::Histogram;
use tokio::{
    pin, select,
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::checks::Check;

/// Within which time all first runs are spread: nobody waits an hour for the first result of an hourly check.
const LONGEST_SPREAD: Duration = Duration::from_secs(30);

/// What all checks share. Clones share it too.
#[derive(Clone)]
pub(crate) struct Lanes {
    places: Arc<Semaphore>,
    lag: Histogram,
}

/// The grid of one check.
struct Schedule {
    next: Instant,
}

// === impl Lanes ===

impl Lanes {
    /// Places for `concurrency` runs at once.
    pub(crate) fn new(concurrency: usize, lag: Histogram) -> Self {
        Self { places: Arc::new(Semaphore::new(concurrency)), lag }
    }
}

/// Runs a check until `stop`; a run that has begun by then ends.
pub(crate) async fn run(check: Arc<Check>, lanes: Lanes, stop: impl Future<Output = ()>) {
    let first = check.schedule.offset.unwrap_or_else(|| offset(&check.name, check.schedule.interval));
    let mut schedule = Schedule { next: Instant::now() + first };
    pin!(stop);
    loop {
        let due = schedule.next + jitter(check.schedule.jitter);
        let place = async {
            sleep_until(due).await;
            lanes.places.acquire().await
        };
        let place = select! {
            biased;
            () = &mut stop => return,
            place = place => place,
        };
        match check.suspension() {
            None => {
                lanes.lag.observe_duration(due.elapsed());
                check.run().await;
                drop(place);
                check.skipped(schedule.advance(check.interval()));
            }
            Some(_) => {
                drop(place);
                check.refresh();
                schedule.advance(check.interval());
            }
        }
    }
}

/// How far into its interval a check starts: always the same for a name, and evenly spread over names.
fn offset(name: &str, interval: Duration) -> Duration {
    interval.min(LONGEST_SPREAD).mul_f64((spread(name) >> 11) as f64 / (1_u64 << 53) as f64)
}

/// A number that is always the same for a name, and evenly spread over names.
pub(crate) fn spread(name: &str) -> u64 {
    // FNV-1a with a final mix, since names often differ in their last letter alone.
    let fnv = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

// === impl Schedule ===

impl Schedule {
    /// Moves on to the next time that is not past; returns how many runs were due in between.
    fn advance(&mut self, interval: Duration) -> u64 {
        self.next += interval;
        let late = Instant::now().saturating_duration_since(self.next);
        let missed = u32::try_from(late.as_nanos().div_ceil(interval.as_nanos())).unwrap_or(u32::MAX);
        self.next += interval * missed;
        u64::from(missed)
    }
}

#[cfg(test)]
mod tests;
