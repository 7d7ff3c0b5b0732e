//! Sentry envelopes that the sidecar forwards.
//!
//! The account of each upstream balances: received and recovered are forwarded, dropped or in the spool. An envelope of which
//! another upstream gets a copy counts for both.

use crate::{
    label,
    spec::{CounterSpec, GaugeSpec, Unit},
};

label! {
    /// Where envelopes go: `default`, or the name of one of `errors.upstreams`.
    pub enum UpstreamName: "upstream";
}

label! {
    /// Why an envelope was not accepted.
    pub enum RejectReason: "reason" {
        /// Not an envelope, in an encoding that is not spoken, or not sent to its end in time.
        Invalid => "invalid",
        /// Larger than an envelope may be.
        TooLarge => "too_large",
        /// An event of the same id was accepted before.
        Duplicate => "duplicate",
        /// The spool holds as much as it may.
        SpoolFull => "spool_full",
        /// The spool could not be written.
        SpoolError => "spool_error",
        /// There was no room for the copy that another upstream gets; the envelope itself was accepted.
        CopyLost => "copy_lost",
    }
}

label! {
    /// Why an envelope that was accepted is not delivered.
    pub enum DropReason: "reason" {
        /// The upstream refused it for good.
        Refused => "refused",
        /// It failed again and again while others got through.
        Undeliverable => "undeliverable",
        /// The spool could not be read.
        SpoolError => "spool_error",
    }
}

crate::declare! {
    /// Sentry envelopes accepted from applications, durable in the spool.
    pub ERROR_ENVELOPES_RECEIVED_TOTAL: CounterSpec<(UpstreamName,)> = CounterSpec::new("error_envelopes_received_total", Unit::Count);

    /// Sentry envelopes that the upstream took.
    pub ERROR_ENVELOPES_FORWARDED_TOTAL: CounterSpec<(UpstreamName,)> = CounterSpec::new("error_envelopes_forwarded_total", Unit::Count);

    /// Sentry envelopes that waited in the spool when the process started.
    pub ERROR_ENVELOPES_RECOVERED_TOTAL: CounterSpec<(UpstreamName,)> = CounterSpec::new("error_envelopes_recovered_total", Unit::Count);

    /// Sentry envelopes that were not accepted, by reason; whoever sent one was told, unless only a copy was lost.
    pub ERROR_ENVELOPES_REJECTED_TOTAL: CounterSpec<(RejectReason,)> = CounterSpec::new("error_envelopes_rejected_total", Unit::Count);

    /// Accepted Sentry envelopes that were refused or given up, by reason; they are dead letters then.
    pub ERROR_ENVELOPES_DROPPED_TOTAL: CounterSpec<(UpstreamName, DropReason)> = CounterSpec::new("error_envelopes_dropped_total", Unit::Count);

    /// Secrets and personal data that were removed from events.
    pub ERROR_SCRUBBED_VALUES_TOTAL: CounterSpec = CounterSpec::new("error_scrubbed_values_total", Unit::Count);

    /// Events that were acknowledged and counted in the place of being sent, as too many of their kind came; one that is sent tells their number.
    pub ERROR_EVENTS_SUPPRESSED_TOTAL: CounterSpec = CounterSpec::new("error_events_suppressed_total", Unit::Count);

    /// Error records in logs that became events.
    pub ERROR_LOG_EVENTS_TOTAL: CounterSpec = CounterSpec::new("error_log_events_total", Unit::Count);

    /// Logs that are followed.
    pub ERROR_LOG_FILES: GaugeSpec = GaugeSpec::new("error_log_files", Unit::Count);

    /// Attempts to deliver an envelope that failed and will be made again.
    pub ERROR_FORWARD_RETRIES_TOTAL: CounterSpec<(UpstreamName,)> = CounterSpec::new("error_forward_retries_total", Unit::Count);

    /// Sentry envelopes waiting in the spool.
    pub ERROR_SPOOL_ENVELOPES: GaugeSpec<(UpstreamName,)> = GaugeSpec::new("error_spool_envelopes", Unit::Count);

    /// Size of the spool.
    pub ERROR_SPOOL_BYTES: GaugeSpec<(UpstreamName,)> = GaugeSpec::new("error_spool_bytes", Unit::Bytes);

    /// How many Sentry envelopes the spool may hold.
    pub ERROR_SPOOL_LIMIT_ENVELOPES: GaugeSpec<(UpstreamName,)> = GaugeSpec::new("error_spool_limit_envelopes", Unit::Count);

    /// How large the spool may grow.
    pub ERROR_SPOOL_LIMIT_BYTES: GaugeSpec<(UpstreamName,)> = GaugeSpec::new("error_spool_limit_bytes", Unit::Bytes);

    /// Sentry envelopes kept as dead letters after the upstream refused them.
    pub ERROR_DEAD_ENVELOPES: GaugeSpec<(UpstreamName,)> = GaugeSpec::new("error_dead_envelopes", Unit::Count);

    /// Envelopes kept as undeliverable that were deleted to make room for later ones.
    pub ERROR_DEAD_ENVELOPES_EVICTED_TOTAL: CounterSpec<(UpstreamName,)> = CounterSpec::new("error_dead_envelopes_evicted_total", Unit::Count);
}
