//! The gauge of valid tickets: counted in the database at start and now and then, added to in between.
//!
//! A ticket is valid until a day after its event's start, for no event tells its end. A count that overlaps with an issuing
//! may hold its tickets or not, so it is thrown away rather than counted twice, and made again soon.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futura_metrics::Gauge;
use tokio::time::Instant;

use crate::{
    store::{Store, StoreError},
    timestamp::Timestamp,
};

/// From an event's start to when it has ended for sure.
const LONGEST_EVENT: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(super) struct ActiveTickets {
    gauge: Gauge,
    count_interval: Duration,
    state: Mutex<State>,
}

/// Issuings of this process, and when the gauge was last counted.
#[derive(Debug, Default)]
struct State {
    begun: u64,
    running: u64,
    counted: Option<Instant>,
}

/// An issuing that runs until it is dropped.
pub(super) struct Issuing<'a> {
    tickets: &'a ActiveTickets,
}

// === impl ActiveTickets ===

impl ActiveTickets {
    pub(super) fn new(gauge: Gauge, count_interval: Duration) -> Self {
        Self { gauge, count_interval, state: Mutex::default() }
    }

    pub(super) fn begin_issuing(&self) -> Issuing<'_> {
        let mut state = self.state();
        state.begun += 1;
        state.running += 1;
        Issuing { tickets: self }
    }

    /// Sets the gauge to what the database counts when that is due, unless tickets are being issued at the same time.
    pub(super) async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let begun = {
            let state = self.state();
            if state.counted.is_some_and(|counted| counted.elapsed() < self.count_interval) {
                return Ok(());
            }
            state.begun
        };
        let count = store.tickets_of_events(Timestamp::now().minus(LONGEST_EVENT)).await?;
        let mut state = self.state();
        if state.running == 0 && state.begun == begun {
            self.gauge.set(count as f64);
            state.counted = Some(Instant::now());
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain numbers that no panic leaves half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Issuing ===

impl Issuing<'_> {
    /// Adds the tickets that were issued.
    pub(super) fn issued(self, tickets: usize) {
        self.tickets.gauge.add(tickets as f64);
    }
}

impl Drop for Issuing<'_> {
    fn drop(&mut self) {
        self.tickets.state().running -= 1;
    }
}
