//! What `amtool check-config` does not find wrong with a policy: typing errors, dead ends and silences.

use super::{
    EXTERNAL_LABELS, Matcher, Policy, Route,
    matcher::{Known, known},
};
use crate::alert::{Alert, Severity};

/// Something wrong with a policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Only the default receiver is told of an alert.
    #[error("alert `{0}` reaches nobody but the default receiver: give it a route")]
    Unrouted(&'static str),
    /// No alert takes a route.
    #[error("no alert takes the route {0}: an earlier one ends before it, or no rule has these labels")]
    Unreachable(String),
    /// A route names a receiver that is not declared.
    #[error("the route {0} leads to no receiver")]
    UnknownReceiver(String),
    /// Two receivers have one name.
    #[error("receiver `{0}` is declared twice")]
    DuplicateReceiver(&'static str),
    /// No route leads to a receiver.
    #[error("no route leads to receiver `{0}`")]
    UnusedReceiver(&'static str),
    /// A matcher is about a label that no rule has.
    #[error("no rule has the label of the matcher {0}")]
    UnknownLabel(String),
    /// A matcher is about a value that no rule states.
    #[error("the matcher {matcher} names `{value}`, which no rule states")]
    UnknownValue {
        /// The matcher.
        matcher: String,
        /// What it names.
        value: &'static str,
    },
    /// Alerts are grouped by a label that one of them lacks.
    #[error("alerts are grouped by `{label}`, which alert `{alert}` does not have")]
    GroupBy {
        /// The label.
        label: &'static str,
        /// The alert.
        alert: &'static str,
    },
    /// An inhibition compares a label that one side lacks; Alertmanager takes two missing labels for alike.
    #[error("`{cause}` would mute `{consequence}` by the label `{label}`, which `{lacking}` does not have")]
    InhibitEqual {
        /// The alert that mutes.
        cause: &'static str,
        /// The alert that is muted.
        consequence: &'static str,
        /// The label.
        label: &'static str,
        /// The one that lacks it.
        lacking: &'static str,
    },
    /// An inhibition mutes nothing.
    #[error("the inhibition of {0} mutes no alert")]
    IdleInhibition(String),
    /// A warning would mute a critical alert.
    #[error("the warning `{cause}` would mute the critical alert `{consequence}`")]
    MutedByWarning {
        /// The warning.
        cause: &'static str,
        /// The critical alert.
        consequence: &'static str,
    },
    /// A critical alert would have to wait for an interval.
    #[error("the critical alert `{alert}` would wait for `{interval}` on the route {route}")]
    Delayed {
        /// The alert.
        alert: &'static str,
        /// The interval.
        interval: &'static str,
        /// The route.
        route: String,
    },
    /// A route names an interval that is not declared.
    #[error("no interval is called `{0}`")]
    UnknownInterval(&'static str),
    /// No route names an interval.
    #[error("no route names the interval `{0}`")]
    UnusedInterval(&'static str),
}

/// Everything wrong with this policy for these alerts.
pub fn check(policy: &Policy, alerts: &[&Alert]) -> Vec<Finding> {
    let mut findings = Vec::new();
    check_alerts(policy, alerts, &mut findings);
    check_routes(policy, alerts, &mut findings);
    check_names(policy, &mut findings);
    check_inhibitions(policy, alerts, &mut findings);
    findings
}

fn has(alert: &Alert, label: &str) -> bool {
    known(alert, label) != Known::Nothing
}

fn text(matchers: &[Matcher]) -> String {
    let texts: Vec<_> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", texts.join(","))
}

fn route_text(route: &Route) -> String {
    format!("{} to `{}`", text(&route.matchers), route.receiver)
}

fn check_alerts(policy: &Policy, alerts: &[&Alert], findings: &mut Vec<Finding>) {
    for alert in alerts {
        let name = alert.name;
        if policy.reached(alert).iter().all(|receiver| *receiver == policy.default) {
            findings.push(Finding::Unrouted(name));
        }
        let labels = policy.group_by.iter().filter(|label| !EXTERNAL_LABELS.contains(*label) && !has(alert, label));
        findings.extend(labels.map(|label| Finding::GroupBy { label, alert: name }));
        if alert.severity == Severity::Critical {
            let delayed = policy.taken(alert).into_iter().filter_map(|route| Some((route, route.during?)));
            findings.extend(delayed.map(|(route, interval)| Finding::Delayed {
                alert: name,
                interval,
                route: route_text(route),
            }));
        }
    }
}

fn check_routes(policy: &Policy, alerts: &[&Alert], findings: &mut Vec<Finding>) {
    for route in &policy.routes {
        for matcher in &route.matchers {
            check_matcher(matcher, alerts, findings);
        }
        if !alerts.iter().any(|alert| policy.taken(alert).contains(&route)) {
            findings.push(Finding::Unreachable(route_text(route)));
        }
        if !policy.receivers.iter().any(|receiver| receiver.name == route.receiver) {
            findings.push(Finding::UnknownReceiver(route_text(route)));
        }
    }
}

fn check_matcher(matcher: &Matcher, alerts: &[&Alert], findings: &mut Vec<Finding>) {
    if !alerts.iter().any(|alert| has(alert, matcher.label)) {
        findings.push(Finding::UnknownLabel(matcher.to_string()));
        return;
    }
    // What must not be may well be absent.
    let values = matcher.values.iter().filter(|_| !matcher.other);
    let unknown = values.filter(|value| {
        let occurs = |alert: &&Alert| matches!(known(alert, matcher.label), Known::Value(stated) if stated == **value);
        !alerts.iter().any(occurs)
    });
    findings.extend(unknown.map(|value| Finding::UnknownValue { matcher: matcher.to_string(), value }));
}

fn check_names(policy: &Policy, findings: &mut Vec<Finding>) {
    for (index, receiver) in policy.receivers.iter().enumerate() {
        let name = receiver.name;
        if policy.receivers[..index].iter().any(|other| other.name == name) {
            findings.push(Finding::DuplicateReceiver(name));
        }
        if name != policy.default && !policy.routes.iter().any(|route| route.receiver == name) {
            findings.push(Finding::UnusedReceiver(name));
        }
    }
    let named: Vec<_> = policy.routes.iter().filter_map(|route| route.during).collect();
    let declared: Vec<_> = policy.intervals.iter().map(|interval| interval.name).collect();
    findings.extend(named.iter().filter(|name| !declared.contains(name)).copied().map(Finding::UnknownInterval));
    findings.extend(declared.iter().filter(|name| !named.contains(name)).copied().map(Finding::UnusedInterval));
}

fn check_inhibitions(policy: &Policy, alerts: &[&Alert], findings: &mut Vec<Finding>) {
    for inhibition in &policy.inhibitions {
        for matcher in inhibition.cause.iter().chain(&inhibition.consequence) {
            check_matcher(matcher, alerts, findings);
        }
        let those = |matchers: &[Matcher]| {
            let alerts = alerts.iter().filter(|alert| matchers.iter().all(|matcher| matcher.can_match(alert)));
            alerts.copied().collect::<Vec<_>>()
        };
        let (causes, consequences) = (those(&inhibition.cause), those(&inhibition.consequence));
        let pairs = causes.iter().flat_map(|cause| consequences.iter().map(move |consequence| (*cause, *consequence)));
        let pairs: Vec<_> = pairs.filter(|(cause, consequence)| cause.name != consequence.name).collect();
        if pairs.is_empty() {
            findings.push(Finding::IdleInhibition(text(&inhibition.consequence)));
        }
        for (cause, consequence) in pairs {
            check_pair(cause, consequence, inhibition.equal, findings);
        }
    }
}

fn check_pair(cause: &Alert, consequence: &Alert, equal: &[&'static str], findings: &mut Vec<Finding>) {
    if (cause.severity, consequence.severity) == (Severity::Warning, Severity::Critical) {
        findings.push(Finding::MutedByWarning { cause: cause.name, consequence: consequence.name });
    }
    for label in equal.iter().filter(|label| !EXTERNAL_LABELS.contains(label)) {
        let lacking = [cause, consequence].into_iter().filter(|alert| !has(alert, label));
        findings.extend(lacking.map(|lacking| Finding::InhibitEqual {
            cause: cause.name,
            consequence: consequence.name,
            label,
            lacking: lacking.name,
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;

    use super::{Finding, check};
    use crate::{
        alert::{Alert, Severity, Team},
        routing::{Inhibition, Interval, Matcher, Policy, Receiver, Route, RoutingConfig, policy},
        rules::alerts,
        site::Site,
    };

    /// What is found wrong with our policy once it is spoilt.
    fn findings(spoil: impl FnOnce(&mut Policy)) -> String {
        let alerts: Vec<Alert> = alerts(&Site::default()).collect();
        let alerts: Vec<_> = alerts.iter().collect();
        let mut policy = policy(&alerts, &RoutingConfig::default());
        spoil(&mut policy);
        check(&policy, &alerts).iter().map(|finding: &Finding| format!("{finding}\n")).collect()
    }

    fn route(receiver: &'static str, matchers: Vec<Matcher>) -> Route {
        Route { receiver, matchers, repeat: Duration::from_secs(3600), during: None, goes_on: true }
    }

    #[test]
    fn nothing_is_wrong_with_the_policy() {
        assert_eq!(findings(|_| {}), "");
    }

    #[test]
    fn an_alert_that_only_the_default_receiver_gets_is_found() {
        let findings = findings(|policy| {
            policy.routes.retain(|route| ["payments", "api-team"].contains(&route.receiver));
            policy.receivers.retain(|receiver| ["default", "payments", "api-team"].contains(&receiver.name));
        });
        assert!(findings.contains("alert `RedisDown` reaches nobody but the default receiver: give it a route\n"));
        assert!(!findings.contains("`HighErrorRate`"), "{findings}");
    }

    #[test]
    fn a_route_behind_one_that_ends_is_found() {
        let findings = findings(|policy| {
            let all = route("critical", vec![Matcher::severity(&[Severity::Critical, Severity::Warning])]);
            policy.routes.retain(|route| route.receiver == "critical");
            policy.routes.insert(0, Route { goes_on: false, ..all });
            policy.receivers.truncate(1);
            policy.receivers.push(Receiver { name: "critical", channels: Vec::new() });
            policy.intervals.clear();
        });
        assert_snapshot!(findings, @r#"no alert takes the route {severity="critical"} to `critical`: an earlier one ends before it, or no rule has these labels"#);
    }

    #[test]
    fn receivers_that_are_unknown_unused_or_declared_twice_are_found() {
        let findings = findings(|policy| {
            policy.routes.push(route("nobody", vec![Matcher::team(Team::Api)]));
            policy.receivers.push(Receiver { name: "attic", channels: Vec::new() });
            policy.receivers.push(Receiver { name: "pager", channels: Vec::new() });
        });
        assert_snapshot!(findings, @r#"
        the route {team="api"} to `nobody` leads to no receiver
        no route leads to receiver `attic`
        receiver `pager` is declared twice
        "#);
    }

    #[test]
    fn labels_and_values_that_no_rule_states_are_found() {
        let findings = findings(|policy| {
            let mut typing_error = Matcher::team(Team::Api);
            typing_error.label = "taem";
            policy.routes.push(route("pager", vec![typing_error]));
            policy.routes.push(route("pager", vec![Matcher::alert(&["RedisDown", "RedisGone"])]));
        });
        assert_snapshot!(findings, @r#"
        no rule has the label of the matcher taem="api"
        no alert takes the route {taem="api"} to `pager`: an earlier one ends before it, or no rule has these labels
        the matcher alertname=~"RedisDown|RedisGone" names `RedisGone`, which no rule states
        "#);
    }

    #[test]
    fn grouping_by_a_label_that_an_alert_lacks_is_found() {
        let findings = findings(|policy| policy.group_by = &["alertname", "cluster", "pod"]);
        assert!(findings.contains("alerts are grouped by `pod`, which alert `RedisDown` does not have\n"));
        assert!(!findings.contains("`PodDown`") && !findings.contains("`cluster`"), "{findings}");
    }

    #[test]
    fn inhibitions_that_compare_what_is_missing_or_mute_wrongly_are_found() {
        let inhibition = |cause, consequence, equal| Inhibition {
            cause: vec![Matcher::alert(&[cause])],
            consequence: vec![Matcher::alert(&[consequence])],
            equal,
        };
        let findings = findings(|policy| {
            policy.inhibitions.push(inhibition("RedisDown", "PodDown", &["cluster", "pod"]));
            policy.inhibitions.push(inhibition("HighCPUUsage", "PodDown", &["pod"]));
            policy.inhibitions.push(inhibition("PodDown", "PodDown", &["pod"]));
        });
        assert_snapshot!(findings, @r#"
        `RedisDown` would mute `PodDown` by the label `pod`, which `RedisDown` does not have
        the warning `HighCPUUsage` would mute the critical alert `PodDown`
        the inhibition of {alertname="PodDown"} mutes no alert
        "#);
    }

    #[test]
    fn pages_that_wait_and_intervals_that_do_not_fit_are_found() {
        let findings = findings(|policy| {
            let night = Some("night");
            let redis = route("pager", vec![Matcher::alert(&["RedisDown"])]);
            policy.routes.push(Route { during: night, ..redis });
            let hours = policy.intervals[0].hours.clone();
            policy.intervals.push(Interval { name: "weekend", hours });
        });
        assert_snapshot!(findings, @r#"
        the critical alert `RedisDown` would wait for `night` on the route {alertname="RedisDown"} to `pager`
        no interval is called `night`
        no route names the interval `weekend`
        "#);
    }
}
