//! Metrics, traces and errors for a service.

#[macro_use]
pub mod spec;
pub mod specs;
