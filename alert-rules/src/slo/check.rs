//! What neither the compiler nor `promtool` checks about a set of objectives.

use std::collections::HashSet;

use super::Slo;
use crate::promql::{InvalidExpression, validate};

/// Something wrong with the objectives.
#[derive(Debug, thiserror::Error)]
pub enum SloFinding {
    /// Two objectives have one name.
    #[error("objective `{0}` is declared twice")]
    DuplicateName(&'static str),
    /// Files cannot be called by the name.
    #[error("objective `{0}`: a name is lower case letters, digits and `-`, as files are called by it")]
    Name(&'static str),
    /// Nothing shows that its alerts fire and end.
    #[error("objective `{0}` has no series to try its rules with: set `traffic`")]
    NoTraffic(&'static str),
    /// The expression of a recording rule is not PromQL.
    #[error("objective `{slo}` records `{record}`")]
    Expression {
        /// The objective.
        slo: &'static str,
        /// The series that the rule would write.
        record: &'static str,
        /// What Prometheus would say.
        #[source]
        source: InvalidExpression,
    },
}

/// Everything wrong with these objectives, besides what is wrong with their alerts.
pub fn check(slos: &[Slo]) -> Vec<SloFinding> {
    let mut names = HashSet::new();
    let mut findings = Vec::new();
    for slo in slos {
        findings.extend((!names.insert(slo.name)).then_some(SloFinding::DuplicateName(slo.name)));
        findings.extend((!is_file_name(slo.name)).then_some(SloFinding::Name(slo.name)));
        let is_untried = slo.recorded.iter().all(|example| example.series.is_empty());
        findings.extend(is_untried.then_some(SloFinding::NoTraffic(slo.name)));
        findings.extend(slo.records.iter().filter_map(|record| {
            let source = validate(&record.expression).err()?;
            Some(SloFinding::Expression { slo: slo.name, record: record.name, source })
        }));
    }
    findings
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
