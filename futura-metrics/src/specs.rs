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

/// Metrics that belong together: one file of declarations.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// What they are about, as a title.
    pub title: &'static str,
    /// Their declarations.
    pub metrics: &'static [Descriptor],
}

/// Every area with its metrics.
pub const AREAS: &[Area] = &[
    Area { title: "Build", metrics: build::CATALOGUE },
    Area { title: "Business and integrations", metrics: business::CATALOGUE },
    Area { title: "Checks of the sidecar", metrics: checks::CATALOGUE },
    Area { title: "Configuration", metrics: config::CATALOGUE },
    Area { title: "Database pool", metrics: database::CATALOGUE },
    Area { title: "Error forwarding", metrics: errors::CATALOGUE },
    Area { title: "Event bus", metrics: event_bus::CATALOGUE },
    Area { title: "Event store", metrics: event_store::CATALOGUE },
    Area { title: "Other exporters", metrics: external::CATALOGUE },
    Area { title: "HTTP", metrics: http::CATALOGUE },
    Area { title: "Logs", metrics: logs::CATALOGUE },
    Area { title: "The metrics themselves", metrics: metrics::CATALOGUE },
    Area { title: "Probes", metrics: probe::CATALOGUE },
    Area { title: "Process", metrics: process::CATALOGUE },
    Area { title: "Push of metrics", metrics: push::CATALOGUE },
    Area { title: "Breakers and retries", metrics: resilience::CATALOGUE },
    Area { title: "Sentry", metrics: sentry::CATALOGUE },
    Area { title: "Tokio", metrics: tokio::CATALOGUE },
];

/// Every declared metric, by area.
///
/// ```
/// use futura_metrics::specs::catalogue;
/// assert!(catalogue().any(|metric| metric.name == "http_requests_total" && metric.label_names.contains(&"status")));
/// ```
pub fn catalogue() -> impl Iterator<Item = &'static Descriptor> {
    AREAS.iter().flat_map(|area| area.metrics)
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
