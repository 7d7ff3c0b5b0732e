//! Where the numbers live: atomics behind cheap handles, found by label values without a lock held or a byte allocated.

pub use self::{
    counter::Counter,
    exemplar::SpanRef,
    family::{FAMILY_LIMIT, FOLDED, Family, OPEN_LABEL_LIMIT, OPEN_VALUE_LIMIT},
    gauge::{Gauge, GaugeGuard},
    histogram::Histogram,
};

use crate::spec::Descriptor;

mod bounds;
mod counter;
mod exemplar;
mod family;
mod gauge;
mod histogram;
mod index;
mod sharded;
mod sync;
mod text;
mod thread_number;

pub(crate) use self::{
    bounds::{NativeBounds, SCHEMA},
    exemplar::Exemplar,
    family::FamilyInner,
};
#[cfg(feature = "http")]
pub(crate) use self::{index::Index, text::TextHasher};

/// A handle to one series. Sealed: counters, gauges and histograms are all there are.
pub trait Metric: Clone + Send + Sync + 'static {
    /// What all series of a family share.
    #[doc(hidden)]
    type Shape: Send + Sync;

    #[doc(hidden)]
    fn shape(descriptor: &Descriptor) -> Self::Shape;

    #[doc(hidden)]
    fn create(shape: &Self::Shape) -> Self;

    /// Reads the value; a histogram also fills `scratch`, which serves one series after another.
    #[doc(hidden)]
    fn read<'a>(&'a self, scratch: &mut Scratch) -> Reading<'a>;
}

/// Room for what a histogram holds.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Scratch {
    /// Observations in each cell, where native buckets are to be made of them.
    pub(crate) cells: Option<Vec<u64>>,
    /// The classic buckets, `+Inf` last.
    pub(crate) buckets: Vec<Bucket>,
}

/// What one classic bucket of a histogram holds.
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
#[expect(private_interfaces, reason = "sealed: nobody else reads a metric")]
pub enum Reading<'a> {
    /// A count in the unit's integer steps.
    Steps(u64),
    /// A gauge's value.
    Value(f64),
    /// A histogram; its cells and buckets are in the scratch.
    Histogram {
        /// Sum of all observations, in steps.
        sum: u64,
        /// How its cells make native buckets, where it can have them.
        native: Option<&'a NativeBounds>,
    },
}
