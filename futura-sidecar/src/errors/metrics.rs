//! The series of error forwarding.

use std::sync::Arc;

use futura_metrics::{
    Counter, Family, Gauge, Metrics, RegisterError,
    specs::errors::{
        DropReason, ERROR_DEAD_ENVELOPES, ERROR_DEAD_ENVELOPES_EVICTED_TOTAL, ERROR_ENVELOPES_DROPPED_TOTAL,
        ERROR_ENVELOPES_FORWARDED_TOTAL, ERROR_ENVELOPES_RECEIVED_TOTAL, ERROR_ENVELOPES_RECOVERED_TOTAL,
        ERROR_ENVELOPES_REJECTED_TOTAL, ERROR_EVENTS_SUPPRESSED_TOTAL, ERROR_FORWARD_RETRIES_TOTAL,
        ERROR_LOG_EVENTS_TOTAL, ERROR_LOG_FILES, ERROR_SCRUBBED_VALUES_TOTAL, ERROR_SPOOL_BYTES, ERROR_SPOOL_ENVELOPES,
        ERROR_SPOOL_LIMIT_BYTES, ERROR_SPOOL_LIMIT_ENVELOPES, RejectReason, UpstreamName,
    },
};

/// The upstream that takes what no other does.
pub(super) const DEFAULT_UPSTREAM: &str = "default";

/// Handles to all of them, to those of one upstream where they are told apart. Clones count on the same series.
#[derive(Clone)]
pub(crate) struct ErrorsMetrics {
    families: Families,
    upstream: Arc<str>,
    pub(super) received: Counter,
    pub(super) recovered: Counter,
    pub(super) forwarded: Counter,
    pub(super) scrubbed: Counter,
    pub(super) suppressed: Counter,
    pub(super) log_events: Counter,
    pub(super) log_files: Gauge,
    pub(super) retries: Counter,
    pub(super) spool_envelopes: Gauge,
    pub(super) spool_bytes: Gauge,
    pub(super) spool_limit_envelopes: Gauge,
    pub(super) spool_limit_bytes: Gauge,
    pub(super) dead_envelopes: Gauge,
    pub(super) evicted: Counter,
}

/// What is told apart by upstream or by reason.
#[derive(Clone)]
struct Families {
    received: Family<Counter, (UpstreamName,)>,
    recovered: Family<Counter, (UpstreamName,)>,
    forwarded: Family<Counter, (UpstreamName,)>,
    rejected: Family<Counter, (RejectReason,)>,
    dropped: Family<Counter, (UpstreamName, DropReason)>,
    scrubbed: Counter,
    suppressed: Counter,
    log_events: Counter,
    log_files: Gauge,
    retries: Family<Counter, (UpstreamName,)>,
    spool_envelopes: Family<Gauge, (UpstreamName,)>,
    spool_bytes: Family<Gauge, (UpstreamName,)>,
    spool_limit_envelopes: Family<Gauge, (UpstreamName,)>,
    spool_limit_bytes: Family<Gauge, (UpstreamName,)>,
    dead_envelopes: Family<Gauge, (UpstreamName,)>,
    evicted: Family<Counter, (UpstreamName,)>,
}

// === impl ErrorsMetrics ===

impl ErrorsMetrics {
    /// Registers all, with the series of the upstream that is always there.
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, RegisterError> {
        let families = Families {
            received: metrics.counters(ERROR_ENVELOPES_RECEIVED_TOTAL)?,
            recovered: metrics.counters(ERROR_ENVELOPES_RECOVERED_TOTAL)?,
            rejected: metrics.counters(ERROR_ENVELOPES_REJECTED_TOTAL)?,
            forwarded: metrics.counters(ERROR_ENVELOPES_FORWARDED_TOTAL)?,
            dropped: metrics.counters(ERROR_ENVELOPES_DROPPED_TOTAL)?,
            scrubbed: metrics.counter(ERROR_SCRUBBED_VALUES_TOTAL)?,
            suppressed: metrics.counter(ERROR_EVENTS_SUPPRESSED_TOTAL)?,
            log_events: metrics.counter(ERROR_LOG_EVENTS_TOTAL)?,
            log_files: metrics.gauge(ERROR_LOG_FILES)?,
            retries: metrics.counters(ERROR_FORWARD_RETRIES_TOTAL)?,
            spool_envelopes: metrics.gauges(ERROR_SPOOL_ENVELOPES)?,
            spool_bytes: metrics.gauges(ERROR_SPOOL_BYTES)?,
            spool_limit_envelopes: metrics.gauges(ERROR_SPOOL_LIMIT_ENVELOPES)?,
            spool_limit_bytes: metrics.gauges(ERROR_SPOOL_LIMIT_BYTES)?,
            dead_envelopes: metrics.gauges(ERROR_DEAD_ENVELOPES)?,
            evicted: metrics.counters(ERROR_DEAD_ENVELOPES_EVICTED_TOTAL)?,
        };
        Ok(families.of(DEFAULT_UPSTREAM))
    }

    /// The same for another upstream.
    pub(super) fn of(&self, upstream: &str) -> Self {
        self.families.clone().of(upstream)
    }

    pub(super) fn rejected(&self, reason: RejectReason) -> Counter {
        self.families.rejected.with((reason,)).clone()
    }

    pub(super) fn dropped(&self, reason: DropReason) -> Counter {
        self.families.dropped.with((&*self.upstream, reason)).clone()
    }
}

// === impl Families ===

impl Families {
    fn of(self, upstream: &str) -> ErrorsMetrics {
        for reason in DropReason::ALL {
            self.dropped.declare((upstream, *reason));
        }
        ErrorsMetrics {
            upstream: upstream.into(),
            received: self.received.declare((upstream,)).clone(),
            recovered: self.recovered.declare((upstream,)).clone(),
            forwarded: self.forwarded.declare((upstream,)).clone(),
            scrubbed: self.scrubbed.clone(),
            suppressed: self.suppressed.clone(),
            log_events: self.log_events.clone(),
            log_files: self.log_files.clone(),
            retries: self.retries.declare((upstream,)).clone(),
            spool_envelopes: self.spool_envelopes.declare((upstream,)).clone(),
            spool_bytes: self.spool_bytes.declare((upstream,)).clone(),
            spool_limit_envelopes: self.spool_limit_envelopes.declare((upstream,)).clone(),
            spool_limit_bytes: self.spool_limit_bytes.declare((upstream,)).clone(),
            dead_envelopes: self.dead_envelopes.declare((upstream,)).clone(),
            evicted: self.evicted.declare((upstream,)).clone(),
            families: self,
        }
    }
}
