//! Alert rules, their tests and their runbooks, written in Rust over the declared metrics.
//!
//! - [`promql`]: expressions whose types know the metric's kind and the labels that survive.
//! - [`queries`]: what rules, panels and runbooks ask alike.
//! - [`rules`]: the alerts, one module an area; [`alert`] says what one is, [`example`] how it is tried, [`runbook`]
//!   what to do about it, [`mod@template`] how its texts are written.
//! - [`slo`]: objectives, with recording rules and alerts on how fast an error budget is used up.
//! - [`rule_set`]: all of it together; the platform's, or those of a program that declares its own.
//! - [`lint`]: what no tool checks about them; [`foreign`]: the like about rules that others wrote by hand.
//! - [`routing`]: whom Alertmanager tells of an alert, how, when and how often.
//! - [`output`]: the files for Prometheus, promtool, Alertmanager and people; [`kubernetes`]: the same as objects of Kubernetes.
//! - [`panel`]: the panels that alerts link to; [`site`]: what differs between installations, [`profile`] between versions.
//!
//! What one writes rules of one's own with is here as well, without the modules' names.

pub mod alert;
pub mod example;
pub mod foreign;
pub mod kubernetes;
pub mod lint;
pub mod output;
pub mod panel;
pub mod profile;
pub mod promql;
pub mod queries;
pub mod routing;
pub mod rule_set;
pub mod rules;
pub mod runbook;
pub mod site;
pub mod slo;
pub mod template;

pub use self::{
    alert::{Alert, Definition, Severity, Team},
    example::{Example, Samples, series},
    output::{GeneratedFile, MARK, files},
    panel::Panel,
    profile::Profile,
    promql::{Service, Vector, Window, all, by, counter, gauge, histogram, label},
    routing::RoutingConfig,
    rule_set::RuleSet,
    runbook::{Runbook, ask, open, run},
    site::Site,
    slo::{Indicator, Slo},
    template::{template, value},
};
