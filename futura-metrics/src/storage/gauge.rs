//! A gauge: the bits of one `f64` in an atomic.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Metric, Reading, Scratch};
use crate::spec::Descriptor;

/// A handle to one gauge; clones set the same series.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    bits: Arc<AtomicU64>,
}

/// Holds a gauge one higher until it is dropped.
#[derive(Debug)]
pub struct GaugeGuard {
    gauge: Gauge,
}

// === impl Gauge ===

impl Gauge {
    /// Sets the value, in the base unit.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Relaxed);
    }

    /// Sets a gauge of seconds.
    pub fn set_duration(&self, duration: Duration) {
        self.set(duration.as_secs_f64());
    }

    /// Adds to the value; a negative `delta` takes away.
    pub fn add(&self, delta: f64) {
        let mut bits = self.bits.load(Relaxed);
        loop {
            let next = (f64::from_bits(bits) + delta).to_bits();
            match self.bits.compare_exchange_weak(bits, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => bits = current,
            }
        }
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Adds one until the guard is dropped, so that no early return or panic leaks it.
    ///
    /// ```
    /// use futura_metrics::{Metrics, spec::{GaugeSpec, Unit}, testing::sample};
    ///
    /// const WAITING: GaugeSpec = GaugeSpec::new("waiting", Unit::Count).help("Guests who wait.");
    /// let metrics = Metrics::new();
    /// let waiting = metrics.gauge(WAITING)?;
    /// let guest = waiting.hold();
    /// assert_eq!(sample(&metrics, "waiting", []), 1.0);
    /// drop(guest);
    /// assert_eq!(sample(&metrics, "waiting", []), 0.0);
    /// # Ok::<(), futura_metrics::RegisterError>(())
    /// ```
    #[must_use = "dropping the guard takes the one away again"]
    pub fn hold(&self) -> GaugeGuard {
        self.inc();
        GaugeGuard { gauge: self.clone() }
    }

    /// The value, in the base unit.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Relaxed))
    }
}

// === impl GaugeGuard ===

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

// === impl Metric ===

impl Metric for Gauge {
    type Shape = ();

    fn shape(_: &Descriptor) -> Self::Shape {}

    fn create((): &Self::Shape) -> Self {
        Self::default()
    }

    fn read(&self, _: &mut Scratch) -> Reading<'_> {
        Reading::Value(self.get())
    }
}
