//! Lints of rule files that others wrote by hand, against a catalogue of metrics: what `promtool check rules` lets pass.
//!
//! ```
//! use futura_alert_rules::foreign::{Catalogue, Options, RuleFile, check};
//!
//! let text = r#"
//! groups:
//! - name: api
//!   rules:
//!   - alert: Errors
//!     expr: rate(http_requests_total{staus="500"}[5m]) > 1
//!     for: 5m
//!     labels: { severity: critical }
//!     annotations: { summary: Errors, runbook_url: "https://example.org" }
//! "#;
//! let findings = check(&RuleFile::parse(text)?, &Catalogue::ours(), &Options::default());
//! assert_eq!(findings[0].to_string(), "6: error: alert `Errors`: `http_requests_total` has no label `staus` (unknown-label)");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::{collections::BTreeSet, fmt, time::Duration};

pub use self::{
    catalogue::{Catalogue, Metric, MetricKind},
    file::{FileError, RuleFile},
    flow::Labels,
    lints::{Level, Lint},
    quantity::of as quantity,
};
use self::{expression::ExpressionCheck, file::ForeignRule};

mod alert;
mod catalogue;
mod exposition;
mod expression;
mod file;
mod flow;
mod groups;
mod joins;
mod lints;
mod quantity;
mod records;

/// How to lint.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often Prometheus scrapes: a rate needs several samples.
    pub scrape_interval: Duration,
    /// What is not looked for.
    pub disabled: BTreeSet<Lint>,
}

/// Something wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line in the file, from 1.
    pub line: usize,
    /// What was looked for.
    pub lint: Lint,
    /// Which rule, such as `` alert `HighErrorRate` ``.
    pub subject: String,
    /// What is wrong.
    pub message: String,
}

/// What the checks of one rule write to.
#[derive(Debug)]
struct Findings<'a> {
    rule: &'a ForeignRule,
    line: usize,
    found: Vec<Finding>,
}

/// Everything wrong with the rules of a file, in the order of its lines.
pub fn check(file: &RuleFile, catalogue: &Catalogue, options: &Options) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, rule) in file.rules.iter().enumerate() {
        let mut findings = Findings { rule, line: rule.line, found: Vec::new() };
        rule.check_comments(&mut findings);
        groups::check(file, index, catalogue, &mut findings);
        match &rule.parsed {
            Err(reason) => {
                findings.line = rule.expression_line;
                findings.report(Lint::Syntax, reason.clone());
            }
            Ok(expression) => {
                records::check(rule, expression, catalogue, &mut findings);
                findings.line = rule.expression_line;
                ExpressionCheck::new(catalogue, options, rule.is_alert, &mut findings).run(expression);
                alert::check(rule, expression, catalogue, &mut findings);
            }
        }
        let is_disabled = |finding: &Finding| rule.disabled.iter().any(|name| name == finding.lint.name());
        found.extend(findings.found.into_iter().filter(|finding| !is_disabled(finding)));
    }
    found.extend(groups::intervals(file));
    found.retain(|finding| !options.disabled.contains(&finding.lint));
    found.sort_by_key(|finding| finding.line);
    found.dedup();
    found
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { scrape_interval: Duration::from_secs(15), disabled: BTreeSet::new() }
    }
}

// === impl Findings ===

impl Findings<'_> {
    fn report(&mut self, lint: Lint, message: String) {
        let kind = if self.rule.is_alert { "alert" } else { "record" };
        let subject = format!("{kind} `{}`", self.rule.name);
        self.found.push(Finding { line: self.line, lint, subject, message });
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, lint, subject, message } = self;
        write!(f, "{line}: {}: {subject}: {message} ({})", lint.level(), lint.name())
    }
}

#[cfg(test)]
mod tests;
