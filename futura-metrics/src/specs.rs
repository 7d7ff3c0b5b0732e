//! Every metric that Futura knows: its own, and those of other exporters that its rules and dashboards read.
//!
//! The names, labels and bounds are wire format: dashboards and alerts outside this repository depend on them.

use crate::spec::Descriptor;

pub mod build;
pub mod business;
pub mod checks;
pub mod config;
pub mod database;
pub mod errors;
pub mod event_bus;
pub mod event_store;
pub mod external;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod probe;
pub mod process;
pub mod push;
pub mod resilience;
pub mod sentry;
pub mod tokio;

const AREAS: &[&[Descriptor]] = &[
    build::CATALOGUE,
    business::CATALOGUE,
    checks::CATALOGUE,
    config::CATALOGUE,
    database::CATALOGUE,
    errors::CATALOGUE,
    event_bus::CATALOGUE,
    event_store::CATALOGUE,
    external::CATALOGUE,
    http::CATALOGUE,
    logs::CATALOGUE,
    metrics::CATALOGUE,
    probe::CATALOGUE,
    process::CATALOGUE,
    push::CATALOGUE,
    resilience::CATALOGUE,
    sentry::CATALOGUE,
    tokio::CATALOGUE,
];

/// Every declared metric, by area.
///
/// ```
/// use futura_metrics::specs::catalogue;
/// assert!(catalogue().any(|metric| metric.name == "http_requests_total" && metric.label_names.contains(&"status")));
/// ```
pub fn catalogue() -> impl Iterator<Item = &'static Descriptor> {
    AREAS.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::catalogue;

    #[test]
    fn no_two_metrics_share_a_name() {
        let mut names = HashSet::new();
        for descriptor in catalogue() {
            assert!(names.insert(descriptor.name), "{} is declared twice", descriptor.name);
        }
    }
}
