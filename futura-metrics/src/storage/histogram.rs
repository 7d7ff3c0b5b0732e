//! A histogram: integer steps, a bucket found by bit length, and two additions an observation.
//!
//! There is no separate count: it is the sum of the buckets, so `+Inf` equals `_count` in every scrape.

use super::{
    Bucket, Metric, Reading, SpanRef,
    counter::nanoseconds,
    exemplar::{Exemplar, Slot},
    sharded::Sharded,
};
use crate::spec::Descriptor;
use std::{
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

/// A handle to one histogram; clones observe into the same series.
///
/// The sum may be ahead of the buckets by the observations that are being made at the time of a scrape.
#[derive(Clone, Debug)]
pub struct Histogram {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    /// One for each bound, one for what lies above all, and the last for the sum.
    cells: Sharded<Box<[AtomicU64]>>,
    /// One for each bucket, once there is an exemplar.
    exemplars: OnceLock<Box<[Slot]>>,
}

/// Bucket bounds in steps, with the first bucket that each bit length of a value can fall into.
#[derive(Debug)]
struct Bounds {
    steps: Box<[u64]>,
    first_by_bit_length: [u8; 65],
    steps_per_unit: u64,
}

// === impl Histogram ===

impl Histogram {
    /// Observes a value in the base unit. Negative values and NaN are no observations and are left out.
    pub fn observe(&self, value: f64) {
        if value >= 0.0 {
            // A float to integer cast saturates, which is what a value past the last bound needs.
            self.inner.observe((value * self.inner.bounds.steps_per_unit as f64) as u64, None);
        }
    }

    /// Observes a time in a histogram of seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe_duration_in(duration, None);
    }

    /// Observes a time that passed in `span`, which becomes the exemplar of its bucket.
    pub fn observe_duration_in(&self, duration: Duration, span: Option<SpanRef>) {
        self.inner.observe(nanoseconds(duration), span);
    }

    /// Observes the time since `start` in a histogram of seconds.
    pub fn observe_since(&self, start: Instant) {
        self.observe_duration(start.elapsed());
    }

    /// How many observations were made.
    pub fn count(&self) -> u64 {
        self.inner.buckets().sum()
    }
}

// === impl Inner ===

impl Inner {
    fn observe(&self, steps: u64, span: Option<SpanRef>) {
        let bucket = self.bounds.bucket(steps);
        self.cells.add_all([(bucket, 1), (self.sum_cell(), steps)]);
        if let Some(span) = span {
            let slots = self.exemplars.get_or_init(|| (0..self.sum_cell()).map(|_| Slot::new()).collect());
            slots[bucket].write(Exemplar { span, steps });
        }
    }

    fn buckets(&self) -> impl Iterator<Item = u64> {
        (0..self.sum_cell()).map(|cell| self.cells.total(cell))
    }

    fn sum_cell(&self) -> usize {
        self.cells.len() - 1
    }
}

// === impl Bounds ===

impl Bounds {
    fn new(bounds: &[f64], steps_per_unit: u64) -> Self {
        let steps: Box<[u64]> = bounds.iter().map(|bound| (bound * steps_per_unit as f64).round() as u64).collect();
        let first_by_bit_length = std::array::from_fn(|length| {
            let smallest = if length == 0 { 0 } else { 1 << (length - 1) };
            u8::try_from(steps.partition_point(|bound| *bound < smallest)).expect("a spec has at most 63 bounds")
        });
        Self { steps, first_by_bit_length, steps_per_unit }
    }

    /// The first bucket whose bound is not below `value`: where bounds lie an octave apart, one comparison.
    fn bucket(&self, value: u64) -> usize {
        let mut bucket = usize::from(self.first_by_bit_length[(u64::BITS - value.leading_zeros()) as usize]);
        while self.steps.get(bucket).is_some_and(|bound| *bound < value) {
            bucket += 1;
        }
        bucket
    }
}

// === impl Metric ===

impl Metric for Histogram {
    fn create(descriptor: &Descriptor) -> Self {
        let bounds = Bounds::new(descriptor.bounds, descriptor.unit.steps());
        let cells = (0..descriptor.bounds.len() + 2).map(|_| AtomicU64::new(0)).collect();
        Self { inner: Arc::new(Inner { bounds, cells: Sharded::new(cells), exemplars: OnceLock::new() }) }
    }

    fn read(&self, buckets: &mut Vec<Bucket>) -> Reading {
        let slots = self.inner.exemplars.get();
        buckets.clear();
        buckets.extend(self.inner.buckets().enumerate().map(|(bucket, count)| {
            let exemplar = slots.and_then(|slots| slots[bucket].read());
            Bucket { count, exemplar }
        }));
        Reading::Histogram { sum: self.inner.cells.total(self.inner.sum_cell()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Bounds;
    use proptest::{collection::btree_set, prelude::any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_value_falls_into_the_first_bucket_whose_bound_is_not_below_it(
            bounds in btree_set(1_u64..1 << 52, 1..63),
            values in proptest::collection::vec(any::<u64>(), 50),
            shift in 0_u32..64,
        ) {
            let floats: Vec<f64> = bounds.iter().map(|bound| *bound as f64).collect();
            let table = Bounds::new(&floats, 1);
            for value in values.iter().map(|value| value >> shift).chain(bounds.iter().copied()) {
                prop_assert_eq!(table.bucket(value), table.steps.partition_point(|bound| *bound < value));
            }
        }
    }
}
