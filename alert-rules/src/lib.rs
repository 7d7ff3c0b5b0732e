//! Alert rules, their tests and their runbooks, written in Rust over the declared metrics.
//!
//! - [`promql`]: expressions whose types know the metric's kind and the labels that survive.
//! - [`queries`]: what rules, panels and runbooks ask alike.
//! - [`rules`]: the alerts, one module an area; [`alert`] says what one is, [`example`] how it is tried, [`runbook`]
//!   what to do about it, [`template`] how its texts are written.
//! - [`lint`]: what no tool checks about them.
//! - [`output`]: the files for Prometheus, promtool and people.
//! - [`panel`]: the panels that alerts link to; [`site`]: what differs between installations.

pub mod alert;
pub mod example;
pub mod lint;
pub mod output;
pub mod panel;
pub mod promql;
pub mod queries;
pub mod rules;
pub mod runbook;
pub mod site;
pub mod template;

pub use self::{
    alert::Alert,
    output::{GeneratedFile, MARK, files},
    site::Site,
};
