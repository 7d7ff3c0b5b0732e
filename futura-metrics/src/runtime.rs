//! The tokio runtime's own metrics, read at each scrape.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeMetrics};

use crate::{
    Metrics, RegisterError,
    specs::tokio::{
        TOKIO_ALIVE_TASKS, TOKIO_BUSY_SECONDS_TOTAL, TOKIO_GLOBAL_QUEUE_DEPTH, TOKIO_PARKS_TOTAL, TOKIO_WORKERS,
    },
};

/// Registers the `tokio_*` metrics of the runtime behind `handle`.
///
/// A busy share near 1 for each worker says that tasks compete for the processor, or block it.
///
/// # Errors
/// When a name is taken.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), futura_metrics::RegisterError> {
/// use futura_metrics::{Metrics, runtime, testing::sample};
///
/// let metrics = Metrics::new();
/// runtime::register(&metrics, &tokio::runtime::Handle::current())?;
/// assert_eq!(sample(&metrics, "tokio_workers", []), 1.0);
/// # Ok(()) }
/// ```
pub fn register(metrics: &Metrics, handle: &Handle) -> Result<(), RegisterError> {
    let runtime = handle.metrics();
    let (workers, tasks) = (metrics.gauge(TOKIO_WORKERS)?, metrics.gauge(TOKIO_ALIVE_TASKS)?);
    let (queue, busy) = (metrics.gauge(TOKIO_GLOBAL_QUEUE_DEPTH)?, metrics.counter(TOKIO_BUSY_SECONDS_TOTAL)?);
    let parks = metrics.counter(TOKIO_PARKS_TOTAL)?;
    metrics.on_scrape(move || {
        workers.set(runtime.num_workers() as f64);
        tasks.set(runtime.num_alive_tasks() as f64);
        queue.set(runtime.global_queue_depth() as f64);
        busy.raise_to_duration(each_worker(&runtime, RuntimeMetrics::worker_total_busy_duration).sum::<Duration>());
        parks.raise_to(each_worker(&runtime, RuntimeMetrics::worker_park_count).sum());
    });
    Ok(())
}

fn each_worker<T>(runtime: &RuntimeMetrics, read: fn(&RuntimeMetrics, usize) -> T) -> impl Iterator<Item = T> {
    (0..runtime.num_workers()).map(move |worker| read(runtime, worker))
}
