//! A counter: a number that only grows.

use std::{sync::Arc, time::Duration};

use super::{Metric, Reading, Scratch, sharded::Sharded, sync::AtomicU64};
use crate::spec::Descriptor;

/// A handle to one counter; clones count on the same series.
///
/// A counter of seconds keeps nanoseconds, so that no addition is lost to rounding.
#[derive(Clone, Debug)]
pub struct Counter {
    steps: Arc<Sharded<[AtomicU64; 1]>>,
    steps_per_unit: u64,
}

// === impl Counter ===

impl Counter {
    /// A counter of no family, for sums that are exposed as something else.
    pub(crate) fn detached() -> Self {
        Self::create(&1)
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds whole units.
    pub fn add(&self, units: u64) {
        self.steps.add(0, units.wrapping_mul(self.steps_per_unit));
    }

    /// Adds a time to a counter of seconds.
    pub fn add_duration(&self, duration: Duration) {
        self.steps.add(0, nanoseconds(duration));
    }

    /// Raises a counter of seconds to a total that is kept elsewhere, such as by the kernel, instead of adding to it.
    pub fn raise_to_duration(&self, total: Duration) {
        self.steps.raise(0, nanoseconds(total));
    }

    /// The same in whole units.
    pub fn raise_to(&self, total: u64) {
        self.steps.raise(0, total.wrapping_mul(self.steps_per_unit));
    }

    /// The count, in whole units.
    pub fn get(&self) -> u64 {
        self.steps.total(0..1) / self.steps_per_unit
    }
}

// === impl Metric ===

impl Metric for Counter {
    /// Steps per unit.
    type Shape = u64;

    fn shape(descriptor: &Descriptor) -> Self::Shape {
        descriptor.unit.steps()
    }

    fn create(steps_per_unit: &Self::Shape) -> Self {
        Self { steps: Arc::new(Sharded::new([AtomicU64::new(0)])), steps_per_unit: *steps_per_unit }
    }

    fn read(&self, _: &mut Scratch) -> Reading<'_> {
        Reading::Steps(self.steps.total(0..1))
    }
}

/// A time in nanoseconds, of which 64 bits hold 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    const PER_SECOND: u64 = 1_000_000_000;
    // To bound the number of 128 bits instead would take longer than all the rest of an observation.
    if duration.as_secs() < u64::MAX / PER_SECOND {
        duration.as_secs() * PER_SECOND + u64::from(duration.subsec_nanos())
    } else {
        u64::MAX
    }
}
