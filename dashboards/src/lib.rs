//! Grafana dashboards over the declared metrics, and the generator of everything generated.
//!
//! - [`catalogue`]: every dashboard, every query that one of them asks, and their files.
//! - [`grafana`]: the part of Grafana's classic JSON that we use, typed; [`panels`]: the house look.
//! - [`generate`]: writes or checks the files of dashboards and alert rules both; the program `generate-dashboards` and
//!   the sidecar's `generate` are this.

pub mod catalogue;
pub mod generate;
pub mod grafana;
pub mod panels;

mod overview;

pub use self::catalogue::{PanelQuery, dashboards, files, queries};
