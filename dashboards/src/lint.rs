//! What Grafana never says is wrong with a dashboard: it passes over what it does not know, and draws nothing where a query
//! finds nothing.
//!
//! The rules judge the JSON, whoever wrote it, so that they serve dashboards that are not ours as well. Those of Grafana's
//! dashboard-linter have its names; where it asks for the labels `job` and `instance`, ours ask for what the dashboard lets
//! a viewer choose (`template-selector-rule`, `target-selector-rule`).
//!
//! ```
//! use futura_dashboards::lint::{self, Catalogue};
//! let dashboard = serde_json::json!({
//!     "uid": "orders", "id": null, "schemaVersion": 42, "panels": [{
//!         "type": "timeseries", "title": "Orders", "description": "Orders per second.", "fieldConfig": { "defaults": { "unit": "cps" } },
//!         "targets": [{ "refId": "A", "expr": "rate(orders_total[$__rate_interval])" }],
//!     }],
//! });
//! let findings = lint::check(&dashboard, &Catalogue::declared(), &[]);
//! let finding = findings.iter().find(|finding| finding.rule == "target-metric-rule").unwrap();
//! assert_eq!(finding.path, "$.panels[0].targets[0].expr");
//! assert!(finding.problem.starts_with("no metric is called `orders_total`"));
//! ```

use std::fmt;

use serde_json::Value;

pub use futura_alert_rules::foreign::Catalogue;

use self::model::Dashboard;
pub use self::{model::is_dashboard, thresholds::AlertPanel};

mod dashboard;
mod expression;
mod layout;
mod model;
mod panels;
mod queries;
mod registry;
mod selectors;
mod thresholds;
mod variables;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It works, though not as well as it could.
    Warning,
    /// Something is drawn wrong or not at all.
    Error,
}

/// Something wrong with a dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that found it.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The title of the panel, if it is about one.
    pub panel: Option<String>,
    /// Where in the JSON it is, as a path: `$.panels[3].targets[0].expr`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// The way out.
    pub remedy: &'static str,
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name, by which findings tell it.
    pub name: &'static str,
    /// How bad it is to break it.
    pub level: Level,
    /// The way out.
    pub remedy: &'static str,
    check: fn(&Dashboard<'_>, &Catalogue, &mut Report<'_>),
}

/// The findings of one rule.
struct Report<'a> {
    rule: &'a Rule,
    findings: &'a mut Vec<Finding>,
}

/// Every rule.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        dashboard::RULES,
        variables::RULES,
        layout::RULES,
        panels::RULES,
        queries::RULES,
        selectors::RULES,
        thresholds::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Everything wrong with a dashboard in the classic model, in the order of the rules; `catalogue` says what there is to ask,
/// `alerts` which alerts link to panels.
pub fn check(dashboard: &Value, catalogue: &Catalogue, alerts: &[AlertPanel]) -> Vec<Finding> {
    let dashboard = Dashboard::new(dashboard, alerts);
    let mut findings = Vec::new();
    for rule in rules() {
        (rule.check)(&dashboard, catalogue, &mut Report { rule, findings: &mut findings });
    }
    findings
}

// === impl Rule ===

impl Rule {
    const fn error(
        name: &'static str,
        remedy: &'static str,
        check: fn(&Dashboard<'_>, &Catalogue, &mut Report<'_>),
    ) -> Self {
        Self { name, level: Level::Error, remedy, check }
    }

    const fn warning(
        name: &'static str,
        remedy: &'static str,
        check: fn(&Dashboard<'_>, &Catalogue, &mut Report<'_>),
    ) -> Self {
        Self { name, level: Level::Warning, remedy, check }
    }
}

// === impl Report ===

impl Report<'_> {
    fn find(&mut self, panel: Option<&str>, path: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding {
            rule: self.rule.name,
            level: self.rule.level,
            panel: panel.map(str::to_owned),
            path: path.into(),
            problem: problem.into(),
            remedy: self.rule.remedy,
        });
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, level: _, panel, path, problem, remedy } = self;
        write!(f, "{path}: ")?;
        if let Some(panel) = panel {
            write!(f, "panel `{panel}`: ")?;
        }
        write!(f, "{problem}: {remedy} ({rule})")
    }
}

#[cfg(test)]
mod tests;
