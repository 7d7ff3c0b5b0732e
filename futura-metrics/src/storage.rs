//! Where the numbers live: atomics behind cheap handles, found by label values without a lock held or a byte allocated.

pub use self::{
    counter::Counter,
    family::Family,
    gauge::{Gauge, GaugeGuard},
    histogram::Histogram,
};

use crate::spec::Descriptor;

mod counter;
mod family;
mod gauge;
mod histogram;

pub(crate) use self::{
    family::{FamilyInner, Series},
    histogram::Snapshot,
};

/// A handle to one series. Sealed: counters, gauges and histograms are all there are.
pub trait Metric: Clone + Send + Sync + 'static {
    #[doc(hidden)]
    fn create(descriptor: &Descriptor) -> Self;

    #[doc(hidden)]
    fn read(&self) -> Reading;
}

/// What one series holds at the time of a scrape.
#[doc(hidden)]
#[derive(Debug)]
pub enum Reading {
    /// A count in the unit's integer steps.
    Steps(u64),
    /// A gauge's value.
    Value(f64),
    /// A histogram's buckets and sum.
    Histogram(Snapshot),
}
