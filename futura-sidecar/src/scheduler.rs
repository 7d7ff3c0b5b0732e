//! When checks run: on a grid of their interval that never drifts, spread by name, one run at a time.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    pin, select,
    time::{Instant, sleep_until},
};

use crate::checks::Check;

/// Within which time all first runs are spread: nobody waits an hour for the first result of an hourly check.
const LONGEST_SPREAD: Duration = Duration::from_secs(30);

/// The grid of one check.
struct Schedule {
    next: Instant,
    interval: Duration,
}

/// Runs a check until `stop`; a run that has begun by then ends.
pub(crate) async fn run(check: Arc<Check>, stop: impl Future<Output = ()>) {
    let mut schedule =
        Schedule { next: Instant::now() + offset(&check.name, check.interval), interval: check.interval };
    pin!(stop);
    loop {
        select! {
            biased;
            () = &mut stop => return,
            () = sleep_until(schedule.next) => {}
        }
        check.run().await;
        check.skipped(schedule.advance());
    }
}

/// How far into its interval a check starts: always the same for a name, and evenly spread over names.
fn offset(name: &str, interval: Duration) -> Duration {
    // FNV-1a with a final mix, since names often differ in their last letter alone.
    let fnv = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    interval.min(LONGEST_SPREAD).mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
}

// === impl Schedule ===

impl Schedule {
    /// Moves on to the next time that is not past; returns how many runs were due in between.
    fn advance(&mut self) -> u64 {
        self.next += self.interval;
        let late = Instant::now().saturating_duration_since(self.next);
        let missed = u32::try_from(late.as_nanos().div_ceil(self.interval.as_nanos())).unwrap_or(u32::MAX);
        self.next += self.interval * missed;
        u64::from(missed)
    }
}

#[cfg(test)]
mod tests;
