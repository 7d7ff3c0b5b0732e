//! The event store: what was appended, what was loaded, and how long an append takes.

use crate::spec::{CounterSpec, HistogramSpec, Unit};

/// Bounds of the append duration in seconds, from an embedded database's to a struggling one's.
pub const APPEND_BOUNDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

crate::declare! {
    /// Domain events appended to the event store.
    pub EVENT_STORE_EVENTS_APPENDED_TOTAL: CounterSpec = CounterSpec::new("event_store_events_appended_total", Unit::Count);

    /// Domain events loaded from the event store.
    pub EVENT_STORE_EVENTS_LOADED_TOTAL: CounterSpec = CounterSpec::new("event_store_events_loaded_total", Unit::Count);

    /// Time to append one batch of domain events, its transaction included.
    pub EVENT_STORE_APPEND_DURATION_SECONDS: HistogramSpec =
        HistogramSpec::new("event_store_append_duration_seconds", Unit::Seconds, APPEND_BOUNDS);
}
