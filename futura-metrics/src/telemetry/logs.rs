//! Log records: written to standard error, and counted by level.

use std::io::stderr;

use tracing::{Event, Subscriber};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::Context, registry::LookupSpan};

use super::{LogFormat, TelemetryConfig, TelemetryError};
use crate::{
    Counter, Metrics,
    specs::logs::{LOG_RECORDS_TOTAL, Level},
};

/// Counts the records that pass the filter of the layer that writes them.
struct CountRecords {
    by_level: [Counter; Level::ALL.len()],
}

pub(super) fn layer<S>(config: &TelemetryConfig, metrics: &Metrics) -> Result<impl Layer<S> + use<S>, TelemetryError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let records = metrics.counters(LOG_RECORDS_TOTAL)?;
    let count = CountRecords { by_level: std::array::from_fn(|index| records.with((Level::ALL[index],)).clone()) };
    let write = match config.log_format {
        LogFormat::Pretty => fmt::layer().with_writer(stderr).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(stderr).boxed(),
    };
    Ok(write.and_then(count).with_filter(EnvFilter::new(&config.log_filter)))
}

// === impl CountRecords ===

impl<S: Subscriber> Layer<S> for CountRecords {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        };
        self.by_level[level as usize].inc();
    }
}
