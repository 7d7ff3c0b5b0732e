//! Grafana dashboards over the declared metrics, and the generator of everything generated.
//!
//! - [`catalogue`]: every dashboard, every query that one of them asks, and their files.
//! - [`grafana`]: the part of Grafana's classic JSON that we use, typed; [`panels`], [`variables`]: the house look.
//! - [`lint`]: what Grafana never says is wrong with a dashboard, ours or another's.
//! - [`provisioning`]: what brings them to Grafana.
//! - [`mod@reference`]: the page that tells of every metric what it is and who reads it.
//! - [`generate`]: writes or checks the files of dashboards and alert rules both; the program `generate-dashboards` and
//!   the sidecar's `generate` are this.
//! - [`output`]: what is generated; a program that declares metrics of its own makes one, and [`generate::main`] is the
//!   rest of it.

pub mod catalogue;
pub mod generate;
pub mod grafana;
pub mod lint;
pub mod output;
pub mod panels;
pub mod provisioning;
pub mod reference;
pub mod variables;

mod checks;
mod cluster;
mod dashboard;
mod errors;
mod http;
mod internals;
mod overview;
mod slos;

pub use self::{
    catalogue::{PanelQuery, dashboards, files, queries},
    output::{Format, Output},
};
