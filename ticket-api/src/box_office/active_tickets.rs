//! The gauge of valid tickets: counted in the database at start and now and then, added to in between.
//!
//! A count that overlaps with an issuing may hold its tickets or not, so it is thrown away rather than counted twice.

use crate::store::{Store, StoreError};
use futura_metrics::Gauge;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct ActiveTickets {
    gauge: Gauge,
    issuings: Mutex<Issuings>,
}

/// Issuings of this process.
#[derive(Debug, Default)]
struct Issuings {
    begun: u64,
    running: u64,
}

/// An issuing that runs until it is dropped.
pub(super) struct Issuing<'a> {
    tickets: &'a ActiveTickets,
}

// === impl ActiveTickets ===

impl ActiveTickets {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { gauge, issuings: Mutex::default() }
    }

    pub(super) fn begin_issuing(&self) -> Issuing<'_> {
        let mut issuings = self.issuings();
        issuings.begun += 1;
        issuings.running += 1;
        Issuing { tickets: self }
    }

    /// Sets the gauge to what the database counts, unless tickets are being issued at the same time.
    pub(super) async fn refresh(&self, store: &Store) -> Result<(), StoreError> {
        let begun = self.issuings().begun;
        let count = store.active_tickets().await?;
        let issuings = self.issuings();
        if issuings.running == 0 && issuings.begun == begun {
            self.gauge.set(count as f64);
        }
        Ok(())
    }

    fn issuings(&self) -> MutexGuard<'_, Issuings> {
        // Two counters that no panic leaves half changed.
        self.issuings.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.tickets.issuings().running -= 1;
    }
}
