//! Where the numbers live: atomics behind cheap handles, found by label values without a lock held or a byte allocated.

pub use self::{
    counter::Counter,
    exemplar::SpanRef,
    family::{FAMILY_LIMIT, FOLDED, Family, OPEN_LABEL_LIMIT},
    gauge::{Gauge, GaugeGuard},
    histogram::Histogram,
};

use crate::spec::Descriptor;

mod counter;
mod exemplar;
mod family;
mod gauge;
mod histogram;
mod index;
mod sharded;

#[cfg(feature = "http")]
pub(crate) use self::index::Index;
pub(crate) use self::{exemplar::Exemplar, family::FamilyInner};

/// A handle to one series. Sealed: counters, gauges and histograms are all there are.
pub trait Metric: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn create(descriptor: &Descriptor) -> Self;

    /// Reads the value; a histogram fills `buckets`, which serves one series after another.
    #[doc(hidden)]
    fn read(&self, buckets: &mut Vec<Bucket>) -> Reading;
}

/// What one bucket of a histogram holds.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Observations in this bucket alone.
    pub(crate) count: u64,
    pub(crate) exemplar: Option<Exemplar>,
}

/// What one series holds at the time of a scrape.
#[doc(hidden)]
#[derive(Debug)]
pub enum Reading {
    /// A count in the unit's integer steps.
    Steps(u64),
    /// A gauge's value.
    Value(f64),
    /// A histogram's sum in steps; its buckets, the last above all bounds, are where the reader asked.
    Histogram {
        /// Sum of all observations, in steps.
        sum: u64,
    },
}
