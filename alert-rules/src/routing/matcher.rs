//! Conditions on an alert's labels, as Alertmanager writes them and as they hold for our rules.

use std::fmt;

use futura_metrics::spec::Label;

use super::ALERT_NAME;
use crate::{
    alert::{Alert, Severity, Team},
    promql::Service,
};

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub(super) label: &'static str,
    pub(super) values: Vec<&'static str>,
    /// Whether the label must have another value than these.
    pub(super) other: bool,
}

/// What is known of an alert's label before it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// The rule states the value.
    Value(&'a str),
    /// The expression has the label; its values show when the alert fires.
    Label,
    /// The alert never has it.
    Nothing,
}

/// What is known of this label of the alert.
pub(super) fn known<'a>(alert: &'a Alert, label: &str) -> Known<'a> {
    if label == ALERT_NAME {
        return Known::Value(alert.name);
    }
    let stated = alert.stated_labels().into_iter().find(|(name, _)| *name == label);
    match stated {
        Some((_, value)) if !value.contains("{{") => Known::Value(value),
        Some(_) => Known::Label,
        None if alert.label_names.contains(&label) => Known::Label,
        None => Known::Nothing,
    }
}

// === impl Matcher ===

impl Matcher {
    /// The alert has one of these names.
    pub fn alert(names: &[&'static str]) -> Self {
        Self { label: ALERT_NAME, values: names.to_vec(), other: false }
    }

    /// The alert has another name than these.
    pub fn other_alert(names: &[&'static str]) -> Self {
        Self { other: true, ..Self::alert(names) }
    }

    /// The alert is of one of these severities.
    pub fn severity(severities: &[Severity]) -> Self {
        let values = severities.iter().map(|severity| severity.as_str()).collect();
        Self { label: "severity", values, other: false }
    }

    /// This team acts on it.
    pub fn team(team: Team) -> Self {
        Self { label: "team", values: vec![team.as_str()], other: false }
    }

    /// It is about another service than these.
    pub fn other_service(services: &[&'static str]) -> Self {
        Self { label: Service::NAME, values: services.to_vec(), other: true }
    }

    /// Whether this can hold for the alert: only what the rule states can speak against it.
    pub(super) fn can_match(&self, alert: &Alert) -> bool {
        match known(alert, self.label) {
            Known::Value(value) => self.values.contains(&value) != self.other,
            Known::Label => true,
            Known::Nothing => self.other,
        }
    }

    /// The operator, as Alertmanager writes it.
    pub(super) fn operator(&self) -> &'static str {
        match (self.other, self.values.len()) {
            (false, 1) => "=",
            (true, 1) => "!=",
            (false, _) => "=~",
            (true, _) => "!~",
        }
    }

    /// The value or the expression for the values; all are names of ours, without characters that mean anything in one.
    pub(super) fn value(&self) -> String {
        self.values.join("|")
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{}{}"{}""#, self.label, self.operator(), self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Matcher, known};
    use crate::{
        alert::{Alert, Severity, Team},
        rules::alerts,
        site::Site,
    };

    fn alert(name: &str) -> Alert {
        alerts(&Site::default()).find(|alert| alert.name == name).unwrap()
    }

    #[test]
    fn matchers_are_written_as_alertmanager_reads_them() {
        let both = Matcher::severity(&[Severity::Critical, Severity::Warning]);
        assert_eq!(both.to_string(), r#"severity=~"critical|warning""#);
        assert_eq!(Matcher::team(Team::Api).to_string(), r#"team="api""#);
        assert_eq!(Matcher::other_alert(&["Watchdog"]).to_string(), r#"alertname!="Watchdog""#);
        assert_eq!(Matcher::other_service(&["node"]).to_string(), r#"service!="node""#);
        assert_eq!(Matcher::other_service(&["node", "kubernetes"]).to_string(), r#"service!~"node|kubernetes""#);
    }

    #[test]
    fn only_what_a_rule_states_can_speak_against_a_match() {
        let (redis, errors) = (alert("RedisDown"), alert("HighErrorRate"));
        assert_eq!(known(&redis, "service"), Known::Value("redis"));
        assert_eq!(known(&errors, "service"), Known::Label);
        assert_eq!(known(&redis, "pod"), Known::Nothing);
        assert!(!Matcher::other_service(&["redis"]).can_match(&redis));
        assert!(Matcher::other_service(&["redis"]).can_match(&errors));
        assert!(Matcher::alert(&["PodDown", "RedisDown"]).can_match(&redis));
        assert!(!Matcher::severity(&[Severity::Warning]).can_match(&redis));
    }
}
