//! The event bus between the parts of a service.

use crate::spec::{CounterSpec, Unit};

crate::declare! {
    /// Messages published on the event bus.
    pub EVENT_BUS_MESSAGES_PUBLISHED_TOTAL: CounterSpec = CounterSpec::new("event_bus_messages_published_total", Unit::Count);

    /// Messages that a consumer of the event bus has handled.
    pub EVENT_BUS_MESSAGES_CONSUMED_TOTAL: CounterSpec = CounterSpec::new("event_bus_messages_consumed_total", Unit::Count);

    /// Messages that could not be published.
    pub EVENT_BUS_PUBLISH_ERRORS_TOTAL: CounterSpec = CounterSpec::new("event_bus_publish_errors_total", Unit::Count);
}
