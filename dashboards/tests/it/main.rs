//! The dashboards as Grafana reads them, and the generator as people and CI run it.
#![expect(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not by their folder")]

mod dashboards;
mod generate;
mod output;
