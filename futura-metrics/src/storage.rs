//! Where the numbers live: atomics behind cheap handles, found by label values without a lock held or a byte allocated.

pub use self::{
    counter::Counter,
    family::{FAMILY_LIMIT, FOLDED, Family, OPEN_LABEL_LIMIT},
    gauge::{Gauge, GaugeGuard},
    histogram::Histogram,
};

use crate::spec::Descriptor;

mod counter;
mod family;
mod gauge;
mod histogram;
mod index;
mod sharded;

pub(crate) use self::family::FamilyInner;
#[cfg(feature = "http")]
pub(crate) use self::index::Index;

/// A handle to one series. Sealed: counters, gauges and histograms are all there are.
pub trait Metric: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn create(descriptor: &Descriptor) -> Self;

    /// Reads the value; a histogram fills `buckets`, which serves one series after another.
    #[doc(hidden)]
    fn read(&self, buckets: &mut Vec<u64>) -> Reading;
}

/// What one series holds at the time of a scrape.
#[doc(hidden)]
#[derive(Debug)]
pub enum Reading {
    /// A count in the unit's integer steps.
    Steps(u64),
    /// A gauge's value.
    Value(f64),
    /// A histogram's sum in steps; its buckets, not cumulated and the last above all bounds, are where the reader asked.
    Histogram {
        /// Sum of all observations, in steps.
        sum: u64,
    },
}
