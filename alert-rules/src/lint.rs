//! What neither the compiler nor `promtool` checks about a set of alerts.

use std::collections::HashSet;

use futura_metrics::spec::Label;

use crate::{
    alert::Alert,
    promql::{InvalidExpression, Service, validate},
};

/// Something wrong with the alerts.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// Two alerts have one name.
    #[error("alert `{0}` is declared twice")]
    DuplicateName(&'static str),
    /// An expression is not PromQL.
    #[error("alert `{alert}`")]
    Expression {
        /// The alert.
        alert: &'static str,
        /// What Prometheus would say.
        #[source]
        source: InvalidExpression,
    },
    /// Neither the expression nor the rule says what is affected, or both do.
    #[error("alert `{0}` must get its label `service` either from its expression or from its definition")]
    ServiceLabel(&'static str),
    /// The threshold lies between two buckets of the histogram, where a quantile is a guess.
    #[error("alert `{alert}`: {threshold} is not a bucket bound of the histogram")]
    ThresholdBetweenBuckets {
        /// The alert.
        alert: &'static str,
        /// Its threshold.
        threshold: f64,
    },
    /// No example shows that the alert fires.
    #[error("alert `{0}` has no example under which it fires")]
    NeverFires(&'static str),
    /// No example shows series under which the alert never fires.
    #[error("alert `{0}` has no example under which it stays silent")]
    NeverSilent(&'static str),
    /// No example shows that the alert ends.
    #[error("alert `{0}` has no example under which it is resolved")]
    NeverResolved(&'static str),
    /// The runbook points to an alert that does not exist.
    #[error("the runbook of `{alert}` names `{related}`, which is no other alert")]
    UnknownRelated {
        /// The alert.
        alert: &'static str,
        /// What its runbook names.
        related: &'static str,
    },
}

/// Everything wrong with these alerts.
pub fn check(alerts: &[&Alert]) -> Vec<Finding> {
    let mut names = HashSet::new();
    let duplicates =
        alerts.iter().filter(|alert| !names.insert(alert.name)).map(|alert| Finding::DuplicateName(alert.name));
    let mut findings: Vec<_> = duplicates.collect();
    for alert in alerts {
        check_expressions(alert, &mut findings);
        check_examples(alert, &mut findings);
        let (name, threshold) = (alert.name, alert.threshold);
        if alert.label_names.contains(&Service::NAME) == alert.service.is_some() {
            findings.push(Finding::ServiceLabel(name));
        }
        if !threshold.bounds.is_empty() && !threshold.bounds.contains(&threshold.value) {
            findings.push(Finding::ThresholdBetweenBuckets { alert: name, threshold: threshold.value });
        }
        let unknown = alert.runbook.related.iter().filter(|related| **related == name || !names.contains(*related));
        findings.extend(unknown.map(|related| Finding::UnknownRelated { alert: name, related }));
    }
    findings
}

fn check_expressions(alert: &Alert, findings: &mut Vec<Finding>) {
    let expressions = alert.runbook.queries().chain([alert.expression.as_str()]);
    let invalid = expressions.filter_map(|expression| validate(expression).err());
    findings.extend(invalid.map(|source| Finding::Expression { alert: alert.name, source }));
}

fn check_examples(alert: &Alert, findings: &mut Vec<Finding>) {
    let (mut fired, mut silent, mut resolved) = (false, false, false);
    for scenario in &alert.scenarios {
        let firing: Vec<_> = scenario.moments.iter().map(|moment| !moment.firing.is_empty()).collect();
        match firing.iter().position(|firing| *firing) {
            Some(first) => (fired, resolved) = (true, resolved || firing[first..].contains(&false)),
            None => silent = true,
        }
    }
    findings.extend((!fired).then_some(Finding::NeverFires(alert.name)));
    findings.extend((!silent).then_some(Finding::NeverSilent(alert.name)));
    findings.extend((fired && !resolved).then_some(Finding::NeverResolved(alert.name)));
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::check;
    use crate::{
        alert::{Alert, Definition, Severity, Team, minutes},
        example::Example,
        promql::{Service, Window},
        queries,
        runbook::Runbook,
        template::template,
    };

    fn faulty(examples: Vec<Example<(Service,)>>) -> Alert {
        let definition = Definition {
            name: "Faulty",
            severity: Severity::Warning,
            team: Team::Api,
            service: Some("ticket-api"),
            condition: queries::response_time(0.95, Window::minutes(5)).above(3.0),
            lasts: minutes(5),
            panel: None,
            summary: template(("Faulty",)),
            description: template(("Faulty",)),
            examples,
            runbook: Runbook {
                symptom: "",
                meaning: "",
                investigation: Vec::new(),
                resolution: &[],
                related: &["Faulty", "Unheard"],
            },
        };
        definition.into()
    }

    fn findings(alerts: &[&Alert]) -> String {
        check(alerts).iter().map(|finding| format!("{finding}\n")).collect()
    }

    #[test]
    fn what_no_tool_checks_is_found() {
        let endless = Example::when("it never ends", []).fires_at(9, ("ticket-api",), 4.0);
        assert_snapshot!(findings(&[&faulty(vec![endless])]), @r"
        alert `Faulty` has no example under which it stays silent
        alert `Faulty` has no example under which it is resolved
        alert `Faulty` must get its label `service` either from its expression or from its definition
        alert `Faulty`: 3 is not a bucket bound of the histogram
        the runbook of `Faulty` names `Faulty`, which is no other alert
        the runbook of `Faulty` names `Unheard`, which is no other alert
        ");
    }

    #[test]
    fn an_alert_without_examples_and_a_second_of_its_name_are_found() {
        let (one, other) = (faulty(Vec::new()), faulty(Vec::new()));
        let findings = findings(&[&one, &other]);
        assert!(findings.starts_with("alert `Faulty` is declared twice\n"), "{findings}");
        assert!(findings.contains("alert `Faulty` has no example under which it fires\n"), "{findings}");
    }
}
