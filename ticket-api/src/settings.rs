//! Times and limits of the service that are not for operators to change; tests do.

use std::time::Duration;

use crate::{
    domain::Currency,
    queue::MEMORY_ROOM,
    resilience::{BreakerConfig, RetryConfig},
};

/// The service's times and limits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The currency of every price; [`Config`](crate::Config) has the operator's.
    pub currency: Currency,
    /// How long a reservation holds its seats.
    pub reservation_time: Duration,
    /// How long an order may be without an outcome before the provider is asked for it.
    pub pending_time: Duration,
    /// From one round of upkeep to the next.
    pub upkeep_interval: Duration,
    /// From one count of all valid tickets to the next; the process adds those that it issues in between.
    pub ticket_count_interval: Duration,
    /// How long one attempt to charge may take.
    pub payment_timeout: Duration,
    /// The breaker around the payment provider.
    pub payment_breaker: BreakerConfig,
    /// The breaker around the database.
    pub database_breaker: BreakerConfig,
    /// The breaker around Redis.
    pub redis_breaker: BreakerConfig,
    /// How calls to any of them are tried again.
    pub retry: RetryConfig,
    /// How many people at the front of an event's queue have their turn at the same time.
    pub queue_admitted: u32,
    /// How long a turn lasts.
    pub queue_turn: Duration,
    /// How long the place of one who waits is kept from the last time that they asked for it.
    pub queue_patience: Duration,
    /// How many people may be in all queues together where these are in memory.
    pub queue_room: usize,
    /// Messages that the event bus holds.
    pub bus_capacity: usize,
    /// How long those that a broker has not got may take to reach it when the service stops.
    pub bus_flush_limit: Duration,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: Currency::USD,
            reservation_time: Duration::from_secs(15 * 60),
            pending_time: Duration::from_secs(2 * 60),
            upkeep_interval: Duration::from_secs(5),
            ticket_count_interval: Duration::from_secs(60),
            payment_timeout: Duration::from_secs(15),
            payment_breaker: BreakerConfig { failures: 3, open: Duration::from_secs(120) },
            database_breaker: BreakerConfig { failures: 5, open: Duration::from_secs(60) },
            redis_breaker: BreakerConfig { failures: 3, open: Duration::from_secs(30) },
            retry: RetryConfig::default(),
            queue_admitted: 100,
            queue_turn: Duration::from_secs(10 * 60),
            queue_patience: Duration::from_secs(2 * 60),
            queue_room: MEMORY_ROOM as usize,
            bus_capacity: 1024,
            bus_flush_limit: Duration::from_secs(5),
        }
    }
}
