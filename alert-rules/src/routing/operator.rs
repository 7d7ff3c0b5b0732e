//! The resource `AlertmanagerConfig` that the prometheus-operator reads; it names keys of a `Secret` in the place of files.
//!
//! It is meant for `spec.alertmanagerConfiguration` of an `Alertmanager`: selected by `alertmanagerConfigSelector` it would only
//! apply to alerts that have the label `namespace`, which not all of ours do.

use serde::Serialize;

use super::{
    Channel, Inhibition, Interval, Matcher, Policy, Receiver, Route,
    alertmanager::{Action, GROUP_INTERVAL, GROUP_WAIT, actions},
    config::{EmailConfig, RoutingConfig, SMTP_PASSWORD},
    messages,
};
use crate::{
    kubernetes::{Metadata, object_name},
    promql::duration_text,
};

/// The `Secret` that holds every secret.
const SECRET: &str = "alertmanager-notifications";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    route: RootEntry,
    inhibit_rules: Vec<InhibitEntry>,
    /// All intervals, whether routes name them as those of silence or, as ours do, as those of speech.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mute_time_intervals: Vec<IntervalEntry>,
    receivers: Vec<ReceiverEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RootEntry {
    receiver: &'static str,
    group_by: &'static [&'static str],
    group_wait: &'static str,
    group_interval: &'static str,
    routes: Vec<RouteEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteEntry {
    matchers: Vec<MatcherEntry>,
    receiver: &'static str,
    repeat_interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_time_intervals: Option<[&'static str; 1]>,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    goes_on: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatcherEntry {
    name: &'static str,
    /// Equality is what the operator assumes. YAML 1.1, which many tools still read, has a meaning of its own for a bare `=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    match_type: Option<&'static str>,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InhibitEntry {
    source_match: Vec<MatcherEntry>,
    target_match: Vec<MatcherEntry>,
    equal: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IntervalEntry {
    name: &'static str,
    time_intervals: [Hours; 1],
}

#[derive(Serialize)]
struct Hours {
    weekdays: [String; 1],
    times: [Times; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    start_time: String,
    end_time: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiverEntry {
    name: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slack_configs: Vec<Slack>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    discord_configs: Vec<Discord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pagerduty_configs: Vec<PagerDuty>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    email_configs: Vec<Email>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhook_configs: Vec<Webhook>,
}

#[derive(Serialize)]
struct SecretKey {
    name: &'static str,
    key: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Slack {
    send_resolved: bool,
    #[serde(rename = "apiURL")]
    api_url: SecretKey,
    channel: &'static str,
    color: &'static str,
    title: &'static str,
    fallback: &'static str,
    text: &'static str,
    actions: Vec<Action>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discord {
    send_resolved: bool,
    #[serde(rename = "apiURL")]
    api_url: SecretKey,
    title: &'static str,
    message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PagerDuty {
    send_resolved: bool,
    url: String,
    routing_key: SecretKey,
    description: &'static str,
    severity: &'static str,
    class: &'static str,
    component: &'static str,
    group: &'static str,
    client: &'static str,
    #[serde(rename = "clientURL")]
    client_url: &'static str,
    pager_duty_link_configs: Vec<Link>,
}

#[derive(Serialize)]
struct Link {
    href: &'static str,
    alt: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Email {
    send_resolved: bool,
    to: String,
    from: String,
    smarthost: String,
    auth_username: String,
    auth_password: SecretKey,
    headers: [Header; 1],
    html: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct Header {
    key: &'static str,
    value: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    send_resolved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_secret: Option<SecretKey>,
    max_alerts: u32,
}

pub(super) fn resource(policy: &Policy, config: &RoutingConfig) -> Resource {
    Resource {
        api_version: "monitoring.coreos.com/v1alpha1",
        kind: "AlertmanagerConfig",
        metadata: Metadata::new(object_name("alertmanager").expect("the name is one of Kubernetes")),
        spec: Spec {
            route: RootEntry {
                receiver: policy.default,
                group_by: policy.group_by,
                group_wait: GROUP_WAIT,
                group_interval: GROUP_INTERVAL,
                routes: policy.routes.iter().map(RouteEntry::from).collect(),
            },
            inhibit_rules: policy.inhibitions.iter().map(InhibitEntry::from).collect(),
            mute_time_intervals: policy.intervals.iter().map(IntervalEntry::from).collect(),
            receivers: policy.receivers.iter().map(|receiver| receiver_entry(receiver, config)).collect(),
        },
    }
}

fn receiver_entry(receiver: &Receiver, config: &RoutingConfig) -> ReceiverEntry {
    let mut entry = ReceiverEntry { name: receiver.name, ..ReceiverEntry::default() };
    for channel in &receiver.channels {
        match channel {
            Channel::Slack { channel, secret } => entry.slack_configs.push(Slack {
                send_resolved: true,
                api_url: SecretKey::new(secret),
                channel,
                color: messages::COLOR,
                title: messages::TITLE,
                fallback: messages::TITLE,
                text: messages::SLACK_TEXT,
                actions: actions(),
            }),
            Channel::Discord { secret } => entry.discord_configs.push(Discord {
                send_resolved: true,
                api_url: SecretKey::new(secret),
                title: messages::TITLE,
                message: messages::PLAIN_TEXT,
            }),
            Channel::PagerDuty { secret } => {
                entry.pagerduty_configs.push(PagerDuty::page(config.pagerduty_url.clone(), secret));
            }
            Channel::Email { to } => {
                let server = config.email.as_ref().expect("who gets e-mails is told together with the server");
                entry.email_configs.push(Email::message(server, to));
            }
            Channel::Sidecar { url } => entry.webhook_configs.push(Webhook {
                send_resolved: true,
                url: Some(url.clone()),
                url_secret: None,
                max_alerts: messages::SIDECAR_MAX_ALERTS,
            }),
            Channel::Heartbeat { secret } => entry.webhook_configs.push(Webhook {
                send_resolved: false,
                url: None,
                url_secret: Some(SecretKey::new(secret)),
                max_alerts: 1,
            }),
        }
    }
    entry
}

fn matcher_entries(matchers: &[Matcher]) -> Vec<MatcherEntry> {
    let entry = |matcher: &Matcher| MatcherEntry {
        name: matcher.label,
        match_type: Some(matcher.operator()).filter(|operator| *operator != "="),
        value: matcher.value(),
    };
    matchers.iter().map(entry).collect()
}

// === impl SecretKey ===

impl SecretKey {
    fn new(key: &'static str) -> Self {
        Self { name: SECRET, key }
    }
}

// === impl PagerDuty ===

impl PagerDuty {
    fn page(url: String, secret: &'static str) -> Self {
        Self {
            send_resolved: true,
            url,
            routing_key: SecretKey::new(secret),
            description: messages::TITLE,
            severity: messages::SEVERITY,
            class: messages::ALERT,
            component: messages::SERVICE,
            group: messages::TEAM,
            client: "Alertmanager",
            client_url: messages::ALERTMANAGER_URL,
            pager_duty_link_configs: messages::LINKS.map(|(alt, href)| Link { href, alt }).into(),
        }
    }
}

// === impl Email ===

impl Email {
    fn message(server: &EmailConfig, to: &str) -> Self {
        Self {
            send_resolved: true,
            to: to.to_owned(),
            from: server.from.clone(),
            smarthost: server.smarthost.clone(),
            auth_username: server.username.clone(),
            auth_password: SecretKey::new(SMTP_PASSWORD),
            headers: [Header { key: "Subject", value: messages::TITLE }],
            html: messages::EMAIL_HTML,
            text: messages::PLAIN_TEXT,
        }
    }
}

// === impl RouteEntry ===

impl From<&Route> for RouteEntry {
    fn from(route: &Route) -> Self {
        Self {
            matchers: matcher_entries(&route.matchers),
            receiver: route.receiver,
            repeat_interval: duration_text(route.repeat),
            active_time_intervals: route.during.map(|during| [during]),
            goes_on: route.goes_on,
        }
    }
}

// === impl InhibitEntry ===

impl From<&Inhibition> for InhibitEntry {
    fn from(inhibition: &Inhibition) -> Self {
        Self {
            source_match: matcher_entries(&inhibition.cause),
            target_match: matcher_entries(&inhibition.consequence),
            equal: inhibition.equal,
        }
    }
}

// === impl IntervalEntry ===

impl From<&Interval> for IntervalEntry {
    fn from(interval: &Interval) -> Self {
        let hours = &interval.hours;
        let times = Times { start_time: hours.from.clone(), end_time: hours.to.clone() };
        Self { name: interval.name, time_intervals: [Hours { weekdays: [hours.days.clone()], times: [times] }] }
    }
}
