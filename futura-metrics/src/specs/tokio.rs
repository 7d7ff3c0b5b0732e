//! The tokio runtime that a program runs on.

use crate::spec::{CounterSpec, GaugeSpec, Unit};

crate::declare! {
    /// Worker threads of the runtime.
    pub TOKIO_WORKERS: GaugeSpec = GaugeSpec::new("tokio_workers", Unit::Count);

    /// Tasks that have not ended.
    pub TOKIO_ALIVE_TASKS: GaugeSpec = GaugeSpec::new("tokio_alive_tasks", Unit::Count);

    /// Tasks that wait in the queue that all workers share.
    pub TOKIO_GLOBAL_QUEUE_DEPTH: GaugeSpec = GaugeSpec::new("tokio_global_queue_depth", Unit::Count);

    /// Time that workers spent running tasks, all workers together.
    pub TOKIO_BUSY_SECONDS_TOTAL: CounterSpec = CounterSpec::new("tokio_busy_seconds_total", Unit::Seconds);

    /// Times that a worker had nothing to do and went to sleep, all workers together.
    pub TOKIO_PARKS_TOTAL: CounterSpec = CounterSpec::new("tokio_parks_total", Unit::Count);
}
