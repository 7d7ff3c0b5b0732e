//! How a histogram's observations are divided: cells fine enough for its classic buckets and, where asked for, for native
//! ones at once.
//!
//! An observation falls into one cell; every bucket of either kind is a run of cells. Native buckets are those of Prometheus'
//! exponential histograms: with schema 3, eight to each doubling, so that a quantile is off by 4.5 % at most. See
//! <https://prometheus.io/docs/specs/native_histograms/>.

use std::{mem, ops::Range};

use crate::spec::{Descriptor, Unit};

/// The schema of native buckets: bucket `i` reaches up to 2 to the power of `i / 2^SCHEMA` units.
pub(crate) const SCHEMA: i32 = 3;
const BUCKETS_PER_DOUBLING: i32 = 1 << SCHEMA;

/// Values below eight steps have a start of their own; above, each doubling has eight.
const SMALL: usize = 8;
const STARTS: usize = SMALL + (u64::BITS as usize - 3) * SMALL;

/// The cells of one family's histograms, in steps.
#[derive(Debug)]
pub struct Bounds {
    /// Upper bounds, ascending; the last is the largest number, of the cell above all others.
    cells: Box<[u64]>,
    /// The first cell that a value can fall into, by the highest bit and the three below of the number before it.
    starts: [u16; STARTS],
    /// How many cells lie below each classic bound.
    classic: Box<[u16]>,
    /// The classic bucket of each cell.
    buckets: Box<[u16]>,
    native: Option<NativeBounds>,
    pub(super) steps_per_unit: u64,
}

/// Where the native buckets lie in the cells.
#[derive(Debug)]
pub(crate) struct NativeBounds {
    /// The index of the first bucket.
    first: i32,
    /// The upper end of the zero bucket, in units.
    pub(crate) zero_threshold: f64,
    /// How many cells lie below each bucket's bound, beginning with the zero bucket; the last bucket takes all above, too.
    ends: Box<[u16]>,
}

// === impl Bounds ===

impl Bounds {
    pub(super) fn new(descriptor: &Descriptor) -> Self {
        let steps_per_unit = descriptor.unit.steps();
        let classic: Vec<u64> =
            descriptor.bounds.iter().map(|bound| whole_steps(bound * steps_per_unit as f64)).collect();
        let native = descriptor.native.then(|| native_range(descriptor.unit));
        let native_bounds: Vec<u64> = native
            .clone()
            .into_iter()
            .flatten()
            .map(|index| whole_steps(upper_bound(index) * steps_per_unit as f64))
            .collect();
        let mut cells = [&classic[..], &native_bounds].concat();
        cells.sort_unstable();
        cells.dedup();
        let end_of = |bound: &u64| count(cells.partition_point(|cell| cell <= bound));
        let ends: Box<[u16]> = classic.iter().map(end_of).collect();
        let bucket_of = |cell: usize| count(ends.partition_point(|end| usize::from(*end) <= cell));
        Self {
            buckets: (0..=cells.len()).map(bucket_of).collect(),
            classic: ends,
            native: native.map(|range| NativeBounds {
                first: *range.start() + 1,
                zero_threshold: upper_bound(*range.start()),
                ends: native_bounds.iter().map(end_of).collect(),
            }),
            starts: std::array::from_fn(|start| match start {
                // Nothing comes before zero, which may be a bound itself.
                0 => 0,
                _ => count(cells.partition_point(|cell| *cell <= smallest_of(start))),
            }),
            cells: [&cells[..], &[u64::MAX]].concat().into(),
            steps_per_unit,
        }
    }

    /// How many cells there are, the one above all bounds included.
    pub(super) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The cell of a value: its start is found by the highest bits, and is off by a cell or two, seldom more.
    ///
    /// Those of the number before it are taken, as a power of two is the last of its cell and not the first.
    #[inline]
    pub(super) fn cell(&self, value: u64) -> usize {
        let mut cell = usize::from(self.starts[start_of(value.saturating_sub(1))]);
        // Added, not branched on: a processor would guess such branches wrong as often as not.
        cell += usize::from(self.cells[cell] < value);
        cell += usize::from(self.cells[cell] < value);
        while self.cells[cell] < value {
            cell += 1;
        }
        cell
    }

    /// How many classic buckets there are, `+Inf` included.
    pub(super) fn classic_buckets(&self) -> usize {
        self.classic.len() + 1
    }

    /// The classic bucket that a cell belongs to.
    pub(super) fn classic_bucket(&self, cell: usize) -> usize {
        usize::from(self.buckets[cell])
    }

    /// The cells of each classic bucket, `+Inf` last.
    pub(super) fn classic(&self) -> impl Iterator<Item = Range<usize>> {
        runs(self.classic.iter().map(|end| usize::from(*end)).chain([self.cells()]))
    }

    pub(crate) fn native(&self) -> Option<&NativeBounds> {
        self.native.as_ref()
    }
}

// === impl NativeBounds ===

impl NativeBounds {
    /// The count of the zero bucket, and index and count of each other that is not empty.
    pub(crate) fn counts<'a>(&'a self, cells: &'a [u64]) -> (u64, impl Iterator<Item = (i32, u64)> + 'a) {
        let (_, inner) = self.ends.split_last().expect("a range of buckets is not empty");
        let runs = runs(inner.iter().map(|end| usize::from(*end)).chain([cells.len()]));
        let mut counts = runs.map(|run| cells[run].iter().sum());
        let zero = counts.next().expect("the zero bucket is the first");
        (zero, (self.first..).zip(counts).filter(|(_, count)| *count > 0))
    }
}

/// The cells up to each end, from the end before.
fn runs(ends: impl Iterator<Item = usize>) -> impl Iterator<Item = Range<usize>> {
    ends.scan(0, |begin, end| Some(mem::replace(begin, end)..end))
}

/// Native buckets from the zero bucket's bound on: a microsecond to four and a half hours for times, else 1 to 2^40.
fn native_range(unit: Unit) -> std::ops::RangeInclusive<i32> {
    match unit {
        Unit::Seconds | Unit::Timestamp | Unit::Ratio => -20 * BUCKETS_PER_DOUBLING..=14 * BUCKETS_PER_DOUBLING,
        Unit::Count | Unit::Bytes | Unit::State => 0..=40 * BUCKETS_PER_DOUBLING,
    }
}

/// The upper bound of a native bucket, in units.
fn upper_bound(index: i32) -> f64 {
    (f64::from(index) / f64::from(BUCKETS_PER_DOUBLING)).exp2()
}

/// The last whole step not above a bound: what is observed is whole steps, so the bound stays exact.
///
/// A product that should be whole, such as 0.3 times a billion, may come out a hair below.
fn whole_steps(bound: f64) -> u64 {
    let nearest = bound.round();
    if (nearest - bound).abs() < 1e-6 { nearest as u64 } else { bound.floor() as u64 }
}

fn start_of(value: u64) -> usize {
    let length = (u64::BITS - value.leading_zeros()) as usize;
    match length.checked_sub(4) {
        None => value as usize,
        Some(shift) => SMALL + shift * SMALL + ((value >> shift) as usize & (SMALL - 1)),
    }
}

fn smallest_of(start: usize) -> u64 {
    match start.checked_sub(SMALL) {
        None => start as u64,
        Some(above) => ((SMALL + above % SMALL) as u64) << (above / SMALL),
    }
}

fn count(cells: usize) -> u16 {
    u16::try_from(cells).expect("63 classic and 321 native bounds fit")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};

    use super::{Bounds, SMALL, STARTS, smallest_of, start_of, upper_bound};
    use crate::spec::{HistogramSpec, Unit};

    const WAIT_SECONDS: HistogramSpec =
        HistogramSpec::new("wait_seconds", Unit::Seconds, &[0.25, 0.3, 1.0, 100.0]).native();

    #[test]
    fn a_start_begins_with_its_smallest_value() {
        for start in 0..STARTS {
            assert_eq!(start_of(smallest_of(start)), start);
            assert!(start < SMALL || start_of(smallest_of(start) - 1) == start - 1);
        }
        assert_eq!(start_of(u64::MAX), STARTS - 1);
    }

    #[test]
    fn a_bound_of_both_kinds_is_one_cell() {
        let (both, classic) = (Bounds::new(&WAIT_SECONDS.descriptor()), WAIT_SECONDS.descriptor().bounds.len());
        // 0.25 and 1 are powers of two, 0.3 and 100 are not.
        assert_eq!(both.cells(), (20 + 14) * 8 + 1 + classic - 2 + 1);
    }

    proptest! {
        #[test]
        fn each_observation_is_in_the_right_bucket_of_both_kinds(values in vec(any::<u64>(), 1..50), shift in 0_u32..64) {
            let bounds = Bounds::new(&WAIT_SECONDS.descriptor());
            for steps in values.iter().map(|value| value >> shift) {
                let mut cells = vec![0; bounds.cells()];
                cells[bounds.cell(steps)] = 1;
                let units = steps as f64 / 1e9;
                let expected = [0.25, 0.3, 1.0, 100.0].iter().position(|bound| units <= *bound).unwrap_or(4);
                prop_assert_eq!(bounds.classic().position(|run| cells[run].contains(&1)), Some(expected));
                prop_assert_eq!(bounds.classic_bucket(bounds.cell(steps)), expected);
                let (zero, counts) = bounds.native().unwrap().counts(&cells);
                match counts.collect::<Vec<_>>()[..] {
                    [] => prop_assert_eq!((zero, units <= upper_bound(-160)), (1, true)),
                    [(index, 1)] => {
                        let inside = upper_bound(index - 1) < units && (units <= upper_bound(index) || index == 112);
                        prop_assert_eq!((zero, inside), (0, true));
                    }
                    ref other => prop_assert_eq!(other.len(), 1, "one observation is in one bucket"),
                }
            }
        }
    }
}
