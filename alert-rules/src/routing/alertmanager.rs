//! The configuration file that Alertmanager reads.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Channel, Inhibition, Interval, Policy, Receiver, Route,
    config::{RoutingConfig, SMTP_PASSWORD},
    messages,
};
use crate::{profile::Profile, promql::duration_text};

/// How long the first message of a group waits for more of the same.
pub(super) const GROUP_WAIT: &str = "30s";
/// How long a group that was told waits before it tells what is new.
pub(super) const GROUP_INTERVAL: &str = "5m";

#[derive(Serialize)]
pub(super) struct Configuration {
    global: Global,
    templates: [String; 1],
    route: RootEntry,
    inhibit_rules: Vec<InhibitEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    time_intervals: Vec<IntervalEntry>,
    receivers: Vec<ReceiverEntry>,
}

#[derive(Serialize)]
struct Global {
    pagerduty_url: String,
    #[serde(flatten)]
    smtp: Option<Smtp>,
}

#[derive(Serialize)]
struct Smtp {
    smtp_smarthost: String,
    smtp_from: String,
    smtp_auth_username: String,
    smtp_auth_password_file: String,
}

#[derive(Serialize)]
struct RootEntry {
    receiver: &'static str,
    group_by: &'static [&'static str],
    group_wait: &'static str,
    group_interval: &'static str,
    routes: Vec<RouteEntry>,
}

#[derive(Serialize)]
struct RouteEntry {
    matchers: Vec<String>,
    receiver: &'static str,
    repeat_interval: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_time_intervals: Option<[&'static str; 1]>,
    #[serde(rename = "continue", skip_serializing_if = "std::ops::Not::not")]
    goes_on: bool,
}

#[derive(Serialize)]
struct InhibitEntry {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: &'static [&'static str],
}

#[derive(Serialize)]
struct IntervalEntry {
    name: &'static str,
    time_intervals: [Hours; 1],
}

#[derive(Serialize)]
struct Hours {
    weekdays: [String; 1],
    times: [Times; 1],
    location: String,
}

#[derive(Serialize)]
struct Times {
    start_time: String,
    end_time: String,
}

#[derive(Default, Serialize)]
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
struct Slack {
    send_resolved: bool,
    api_url_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    color: &'static str,
    title: &'static str,
    fallback: &'static str,
    text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
}

#[derive(Serialize)]
pub(super) struct Action {
    r#type: &'static str,
    text: &'static str,
    url: &'static str,
}

#[derive(Serialize)]
struct Discord {
    send_resolved: bool,
    webhook_url_file: String,
    title: &'static str,
    message: &'static str,
}

#[derive(Serialize)]
struct PagerDuty {
    send_resolved: bool,
    routing_key_file: String,
    description: &'static str,
    severity: &'static str,
    class: &'static str,
    component: &'static str,
    group: &'static str,
    client: &'static str,
    client_url: &'static str,
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Link {
    href: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct Email {
    send_resolved: bool,
    to: String,
    headers: BTreeMap<&'static str, &'static str>,
    html: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct Webhook {
    send_resolved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_file: Option<String>,
    max_alerts: u32,
}

pub(super) fn configuration(policy: &Policy, config: &RoutingConfig, profile: Profile) -> Configuration {
    let smtp = config.email.as_ref().map(|email| Smtp {
        smtp_smarthost: email.smarthost.clone(),
        smtp_from: email.from.clone(),
        smtp_auth_username: email.username.clone(),
        smtp_auth_password_file: config.secret_file(SMTP_PASSWORD),
    });
    Configuration {
        global: Global { pagerduty_url: config.pagerduty_url.clone(), smtp },
        // Alertmanager looks for it beside this file.
        templates: [format!("templates/{}", messages::FILE)],
        route: RootEntry {
            receiver: policy.default,
            group_by: policy.group_by,
            group_wait: GROUP_WAIT,
            group_interval: GROUP_INTERVAL,
            routes: policy.routes.iter().map(RouteEntry::from).collect(),
        },
        inhibit_rules: policy.inhibitions.iter().map(InhibitEntry::from).collect(),
        time_intervals: policy.intervals.iter().map(IntervalEntry::from).collect(),
        receivers: policy.receivers.iter().map(|receiver| receiver_entry(receiver, config, profile)).collect(),
    }
}

/// The buttons below a message in Slack.
pub(super) fn actions() -> Vec<Action> {
    messages::LINKS.map(|(text, url)| Action { r#type: "button", text, url }).into()
}

fn receiver_entry(receiver: &Receiver, config: &RoutingConfig, profile: Profile) -> ReceiverEntry {
    let mut entry = ReceiverEntry { name: receiver.name, ..ReceiverEntry::default() };
    for channel in &receiver.channels {
        match channel {
            Channel::Slack { channel, secret } => {
                entry.slack_configs.push(Slack::message(config.secret_file(secret), Some(channel)));
            }
            Channel::Discord { secret } if profile.discord_reads_url_from_file() => {
                entry.discord_configs.push(Discord {
                    send_resolved: true,
                    webhook_url_file: config.secret_file(secret),
                    title: messages::TITLE,
                    message: messages::PLAIN_TEXT,
                });
            }
            // Discord takes Slack's messages at an address of its own, but has no buttons for them.
            Channel::Discord { secret } => {
                let message = Slack::message(config.secret_file(secret), None);
                entry.slack_configs.push(Slack { text: messages::PLAIN_TEXT, actions: Vec::new(), ..message });
            }
            Channel::PagerDuty { secret } => entry.pagerduty_configs.push(PagerDuty::page(config.secret_file(secret))),
            Channel::Email { to } => entry.email_configs.push(Email {
                send_resolved: true,
                to: to.clone(),
                headers: BTreeMap::from([("Subject", messages::TITLE)]),
                html: messages::EMAIL_HTML,
                text: messages::PLAIN_TEXT,
            }),
            Channel::Sidecar { url } => entry.webhook_configs.push(Webhook {
                send_resolved: true,
                url: Some(url.clone()),
                url_file: None,
                max_alerts: messages::SIDECAR_MAX_ALERTS,
            }),
            Channel::Heartbeat { secret } => entry.webhook_configs.push(Webhook {
                send_resolved: false,
                url: None,
                url_file: Some(config.secret_file(secret)),
                max_alerts: 1,
            }),
        }
    }
    entry
}

// === impl Slack ===

impl Slack {
    fn message(api_url_file: String, channel: Option<&'static str>) -> Self {
        Self {
            send_resolved: true,
            api_url_file,
            channel,
            color: messages::COLOR,
            title: messages::TITLE,
            fallback: messages::TITLE,
            text: messages::SLACK_TEXT,
            actions: actions(),
        }
    }
}

// === impl PagerDuty ===

impl PagerDuty {
    fn page(routing_key_file: String) -> Self {
        Self {
            send_resolved: true,
            routing_key_file,
            description: messages::TITLE,
            severity: messages::SEVERITY,
            class: messages::ALERT,
            component: messages::SERVICE,
            group: messages::TEAM,
            client: "Alertmanager",
            client_url: messages::ALERTMANAGER_URL,
            links: messages::LINKS.map(|(text, href)| Link { href, text }).into(),
        }
    }
}

// === impl RouteEntry ===

impl From<&Route> for RouteEntry {
    fn from(route: &Route) -> Self {
        Self {
            matchers: route.matchers.iter().map(ToString::to_string).collect(),
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
            source_matchers: inhibition.cause.iter().map(ToString::to_string).collect(),
            target_matchers: inhibition.consequence.iter().map(ToString::to_string).collect(),
            equal: inhibition.equal,
        }
    }
}

// === impl IntervalEntry ===

impl From<&Interval> for IntervalEntry {
    fn from(interval: &Interval) -> Self {
        let hours = &interval.hours;
        let times = Times { start_time: hours.from.clone(), end_time: hours.to.clone() };
        let location = hours.time_zone.clone();
        Self {
            name: interval.name,
            time_intervals: [Hours { weekdays: [hours.days.clone()], times: [times], location }],
        }
    }
}
