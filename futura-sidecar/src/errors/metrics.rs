//! The series of error forwarding.

use futura_metrics::{
    Counter, Family, Gauge, Metrics, RegisterError,
    specs::errors::{
        DropReason, ERROR_DEAD_ENVELOPES, ERROR_DEAD_ENVELOPES_EVICTED_TOTAL, ERROR_ENVELOPES_DROPPED_TOTAL,
        ERROR_ENVELOPES_FORWARDED_TOTAL, ERROR_ENVELOPES_RECEIVED_TOTAL, ERROR_ENVELOPES_RECOVERED_TOTAL,
        ERROR_ENVELOPES_REJECTED_TOTAL, ERROR_FORWARD_RETRIES_TOTAL, ERROR_SCRUBBED_VALUES_TOTAL, ERROR_SPOOL_BYTES,
        ERROR_SPOOL_ENVELOPES, ERROR_SPOOL_LIMIT_BYTES, ERROR_SPOOL_LIMIT_ENVELOPES, RejectReason,
    },
};

/// Handles to all of them. Clones count on the same series.
#[derive(Clone)]
pub(crate) struct ErrorsMetrics {
    pub(super) received: Counter,
    pub(super) recovered: Counter,
    pub(super) forwarded: Counter,
    rejected: Family<Counter, (RejectReason,)>,
    dropped: Family<Counter, (DropReason,)>,
    pub(super) scrubbed: Counter,
    pub(super) retries: Counter,
    pub(super) spool_envelopes: Gauge,
    pub(super) spool_bytes: Gauge,
    pub(super) spool_limit_envelopes: Gauge,
    pub(super) spool_limit_bytes: Gauge,
    pub(super) dead_envelopes: Gauge,
    pub(super) evicted: Counter,
}

// === impl ErrorsMetrics ===

impl ErrorsMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, RegisterError> {
        Ok(Self {
            received: metrics.counter(ERROR_ENVELOPES_RECEIVED_TOTAL)?,
            recovered: metrics.counter(ERROR_ENVELOPES_RECOVERED_TOTAL)?,
            rejected: metrics.counters(ERROR_ENVELOPES_REJECTED_TOTAL)?,
            forwarded: metrics.counter(ERROR_ENVELOPES_FORWARDED_TOTAL)?,
            dropped: metrics.counters(ERROR_ENVELOPES_DROPPED_TOTAL)?,
            scrubbed: metrics.counter(ERROR_SCRUBBED_VALUES_TOTAL)?,
            retries: metrics.counter(ERROR_FORWARD_RETRIES_TOTAL)?,
            spool_envelopes: metrics.gauge(ERROR_SPOOL_ENVELOPES)?,
            spool_bytes: metrics.gauge(ERROR_SPOOL_BYTES)?,
            spool_limit_envelopes: metrics.gauge(ERROR_SPOOL_LIMIT_ENVELOPES)?,
            spool_limit_bytes: metrics.gauge(ERROR_SPOOL_LIMIT_BYTES)?,
            dead_envelopes: metrics.gauge(ERROR_DEAD_ENVELOPES)?,
            evicted: metrics.counter(ERROR_DEAD_ENVELOPES_EVICTED_TOTAL)?,
        })
    }

    pub(super) fn rejected(&self, reason: RejectReason) -> Counter {
        self.rejected.with((reason,)).clone()
    }

    pub(super) fn dropped(&self, reason: DropReason) -> Counter {
        self.dropped.with((reason,)).clone()
    }
}
