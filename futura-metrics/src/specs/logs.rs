//! How much a program logs.

use crate::{
    label,
    spec::{CounterSpec, Unit},
};

label! {
    /// The severity of a log record.
    pub enum Level: "level" { Error => "error", Warn => "warn", Info => "info", Debug => "debug", Trace => "trace" }
}

crate::declare! {
    /// Log records written, by level.
    pub LOG_RECORDS_TOTAL: CounterSpec<(Level,)> = CounterSpec::new("log_records_total", Unit::Count);
}
