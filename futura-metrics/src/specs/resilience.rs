//! Circuit breakers and retries around what a service depends on.

use crate::{
    label,
    spec::{CounterSpec, GaugeSpec, Unit},
};

label! {
    /// What a circuit breaker protects the service from.
    pub enum Breaker: "breaker" { Database => "database", Payment => "payment", Redis => "redis" }
}

label! {
    /// What is tried again when it fails.
    pub enum Operation: "operation" { Database => "database", Payment => "payment", Redis => "redis" }
}

crate::declare! {
    /// State of a circuit breaker: 0 closed, 1 half-open, 2 open.
    pub CIRCUIT_BREAKER_STATE: GaugeSpec<(Breaker,)> = GaugeSpec::new("circuit_breaker_state", Unit::State);

    /// Calls through a circuit breaker that failed.
    pub CIRCUIT_BREAKER_FAILURES_TOTAL: CounterSpec<(Breaker,)> = CounterSpec::new("circuit_breaker_failures_total", Unit::Count);

    /// Calls that an open circuit breaker refused.
    pub CIRCUIT_BREAKER_REJECTIONS_TOTAL: CounterSpec<(Breaker,)> = CounterSpec::new("circuit_breaker_rejections_total", Unit::Count);

    /// Attempts made again after a failure.
    pub RETRY_ATTEMPTS_TOTAL: CounterSpec<(Operation,)> = CounterSpec::new("retry_attempts_total", Unit::Count);

    /// Operations that succeeded after at least one retry.
    pub RETRY_SUCCESSES_TOTAL: CounterSpec<(Operation,)> = CounterSpec::new("retry_successes_total", Unit::Count);

    /// Operations given up after the last retry.
    pub RETRY_EXHAUSTED_TOTAL: CounterSpec<(Operation,)> = CounterSpec::new("retry_exhausted_total", Unit::Count);
}
