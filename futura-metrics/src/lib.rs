//! Metrics, traces and errors for a service: one crate, a few lines, a cost per request that cannot be felt.
//!
//! - [`spec`] and [`specs`]: every metric is declared once, as a typed constant. Without default features the crate is these
//!   alone, which is all that alert rules and dashboards need.
//! - [`Metrics`]: the registry that a program passes around; [`storage`] holds its numbers, [`exposition`] writes them.
//! - [`http`]: the layer that measures requests.
//! - [`telemetry`]: logs, traces and metrics over OTLP, and Sentry from the standard environment variables.
//! - [`admin`], [`serve`] and [`shutdown`]: `/metrics`, `/livez`, `/readyz`, serving within bounds, and how a program ends.
//! - [`process`] and [`runtime`]: the process's own metrics and tokio's; [`testing`]: assertions on metrics.

pub mod spec;
pub mod specs;

#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "registry")]
pub mod exposition;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "registry")]
pub mod process;
#[cfg(feature = "registry")]
mod registry;
#[cfg(feature = "tokio")]
pub mod runtime;
#[cfg(feature = "admin")]
pub mod serve;
#[cfg(feature = "admin")]
pub mod shutdown;
#[cfg(feature = "registry")]
pub mod storage;
#[cfg(feature = "telemetry")]
pub mod telemetry;
#[cfg(feature = "registry")]
pub mod testing;

#[cfg(feature = "registry")]
pub use self::{
    registry::{Metrics, RegisterError},
    storage::{Counter, Family, Gauge, Histogram},
};
