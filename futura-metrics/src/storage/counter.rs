//! A counter: one atomic that only grows.

use super::{Metric, Reading};
use crate::spec::Descriptor;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A handle to one counter; clones count on the same series.
///
/// A counter of seconds keeps nanoseconds, so that no addition is lost to rounding.
#[derive(Clone, Debug)]
pub struct Counter {
    steps: Arc<AtomicU64>,
    steps_per_unit: u64,
}

// === impl Counter ===

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds whole units.
    pub fn add(&self, units: u64) {
        self.steps.fetch_add(units.wrapping_mul(self.steps_per_unit), Relaxed);
    }

    /// Adds a time to a counter of seconds.
    pub fn add_duration(&self, duration: Duration) {
        self.steps.fetch_add(nanoseconds(duration), Relaxed);
    }

    /// Raises the counter of seconds to a total that is kept elsewhere, such as the kernel; it never falls.
    pub fn raise_to_duration(&self, total: Duration) {
        self.steps.fetch_max(nanoseconds(total), Relaxed);
    }

    /// The count, in whole units.
    pub fn get(&self) -> u64 {
        self.steps.load(Relaxed) / self.steps_per_unit
    }
}

// === impl Metric ===

impl Metric for Counter {
    fn create(descriptor: &Descriptor) -> Self {
        Self { steps: Arc::default(), steps_per_unit: descriptor.unit.steps() }
    }

    fn read(&self, _: &mut Vec<u64>) -> Reading {
        Reading::Steps(self.steps.load(Relaxed))
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
