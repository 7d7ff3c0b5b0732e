//! A histogram: integer steps, a cell found by the highest bits, and two additions an observation.
//!
//! There is no separate count: it is the sum of the cells, so `+Inf` equals `_count` in every scrape.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{
    Bucket, Metric, Reading, Scratch, SpanRef,
    bounds::Bounds,
    counter::nanoseconds,
    exemplar::{Exemplar, Slot},
    sharded::Sharded,
    sync::AtomicU64,
};
use crate::spec::Descriptor;

/// What a larger observation counts as, so that one alone does not make the sum go round: 36 years in nanoseconds.
const LARGEST_STEPS: u64 = 1 << 60;

/// A handle to one histogram; clones observe into the same series.
///
/// The sum may differ from the buckets by the observations that are being made at the time of a scrape.
#[derive(Clone, Debug)]
pub struct Histogram {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bounds: Arc<Bounds>,
    /// The cells of the bounds, and the sum as the last.
    cells: Sharded<Box<[AtomicU64]>>,
    /// One for each classic bucket, once there is an exemplar.
    exemplars: OnceLock<Box<[Slot]>>,
}

// === impl Histogram ===

impl Histogram {
    /// Observes a value in the base unit, to the nearest step: a nanosecond in a histogram of seconds, one in any other.
    ///
    /// Negative values, NaN and infinity are no observations and are left out.
    pub fn observe(&self, value: f64) {
        if value >= 0.0 && value.is_finite() {
            let steps = (value * self.inner.bounds.steps_per_unit as f64).round();
            self.inner.observe((steps as u64).min(LARGEST_STEPS), None);
        }
    }

    /// Observes a time in a histogram of seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe_duration_in(duration, None);
    }

    /// Observes a time that passed in `span`, which becomes the exemplar of its bucket if it is the bucket's first since the
    /// last scrape.
    pub fn observe_duration_in(&self, duration: Duration, span: Option<SpanRef>) {
        self.observe_nanoseconds(nanoseconds(duration), span);
    }

    /// The same in a histogram of seconds, whose steps are nanoseconds.
    pub(crate) fn observe_nanoseconds(&self, nanoseconds: u64, span: Option<SpanRef>) {
        self.inner.observe(nanoseconds, span);
    }

    /// Observes the time since `start` in a histogram of seconds.
    pub fn observe_since(&self, start: Instant) {
        self.observe_duration(start.elapsed());
    }

    /// How many observations were made.
    pub fn count(&self) -> u64 {
        self.inner.cells.total(0..self.inner.bounds.cells())
    }
}

// === impl Inner ===

impl Inner {
    #[inline]
    fn observe(&self, steps: u64, span: Option<SpanRef>) {
        let cell = self.bounds.cell(steps);
        let is_added = self.cells.try_add_all([(cell, 1), (self.bounds.cells(), steps)]);
        if !is_added || span.is_some() {
            self.finish(cell, steps, span, is_added);
        }
    }

    /// What few observations need.
    #[inline(never)]
    fn finish(&self, cell: usize, steps: u64, span: Option<SpanRef>, is_added: bool) {
        if !is_added {
            self.cells.add_all_elsewhere([(cell, 1), (self.bounds.cells(), steps)]);
        }
        if let Some(span) = span {
            self.keep(span, cell, steps);
        }
    }

    /// Keeps the observation as its bucket's exemplar, where none waits to be read.
    fn keep(&self, span: SpanRef, cell: usize, steps: u64) {
        let slots = self.exemplars.get_or_init(|| (0..self.bounds.classic_buckets()).map(|_| Slot::new()).collect());
        let slot = &slots[self.bounds.classic_bucket(cell)];
        if slot.wants() {
            slot.write(Exemplar::now(span, steps));
        }
    }
}

// === impl Metric ===

impl Metric for Histogram {
    type Shape = Arc<Bounds>;

    fn shape(descriptor: &Descriptor) -> Self::Shape {
        Arc::new(Bounds::new(descriptor))
    }

    fn create(bounds: &Self::Shape) -> Self {
        let cells = (0..=bounds.cells()).map(|_| AtomicU64::new(0)).collect();
        let inner = Inner { bounds: Arc::clone(bounds), cells: Sharded::new(cells), exemplars: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    fn read<'a>(&'a self, scratch: &mut Scratch) -> Reading<'a> {
        let Inner { bounds, cells, exemplars } = &*self.inner;
        let slots = exemplars.get();
        // Both kinds of buckets tell of one moment, so where cells are asked for, classic buckets are summed up from them.
        let whole = scratch.cells.as_mut().map(|whole| {
            cells.totals_but_last(whole);
            &*whole
        });
        let buckets = bounds.classic().enumerate().map(|(bucket, run)| Bucket {
            count: whole.map_or_else(|| cells.total(run.clone()), |whole| whole[run.clone()].iter().sum()),
            exemplar: slots.and_then(|slots| slots[bucket].read()),
        });
        scratch.buckets.clear();
        scratch.buckets.extend(buckets);
        Reading::Histogram { sum: cells.total(bounds.cells()..bounds.cells() + 1), native: bounds.native() }
    }
}
