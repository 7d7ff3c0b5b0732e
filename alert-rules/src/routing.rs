//! Who is told of an alert, by which channel, when and how often: Alertmanager's configuration.
//!
//! [`policy`] says it as data for a set of alerts; [`lint`] finds what no tool of Alertmanager's does. From a [`Policy`] come
//! the configuration that Alertmanager reads and the resource that the prometheus-operator reads. No secret stands in
//! either: they name the files, or the keys of a Kubernetes `Secret`, that hold them.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    alert::Alert,
    output::{GeneratedFile, MARK},
    site::Site,
};

pub mod config;
pub mod lint;

mod alertmanager;
mod matcher;
mod messages;
mod operator;
mod policy;

pub use self::{
    config::{RoutingConfig, RoutingConfigError},
    lint::Finding,
    matcher::Matcher,
    policy::policy,
};

/// Labels that no rule states because Prometheus itself attaches them to what it sends, as `external_labels`.
pub const EXTERNAL_LABELS: &[&str] = &["cluster"];

/// The label that holds an alert's name.
pub(crate) const ALERT_NAME: &str = "alertname";

/// Who is told of which alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Alerts that are alike in these labels are told in one message.
    pub group_by: &'static [&'static str],
    /// The receiver of alerts that no route takes: none of ours, as [`lint`] sees to.
    pub default: &'static str,
    /// The routes, in the order in which Alertmanager tries them.
    pub routes: Vec<Route>,
    /// The receivers.
    pub receivers: Vec<Receiver>,
    /// Which alerts say nothing while others fire.
    pub inhibitions: Vec<Inhibition>,
    /// The times that routes name.
    pub intervals: Vec<Interval>,
}

/// Which alerts go to a receiver, and how often it is told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The receiver.
    pub receiver: &'static str,
    /// What all must hold of an alert.
    pub matchers: Vec<Matcher>,
    /// After which time it is told again of what still fires.
    pub repeat: Duration,
    /// The interval in which it is told; outside of it, alerts that still fire wait for its beginning.
    pub during: Option<&'static str>,
    /// Whether routes after this one are tried too.
    pub goes_on: bool,
}

/// A name for one or more channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// The name.
    pub name: &'static str,
    /// By what it is told; without any, it only makes known that the alert is somebody's.
    pub channels: Vec<Channel>,
}

/// One way to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A message in Slack.
    Slack {
        /// The channel there.
        channel: &'static str,
        /// The secret that holds the webhook's address.
        secret: &'static str,
    },
    /// A message in Discord.
    Discord {
        /// The secret that holds the webhook's address.
        secret: &'static str,
    },
    /// A page, which calls a person or sends a text message, as the person has set it.
    PagerDuty {
        /// The secret that holds the integration's key.
        secret: &'static str,
    },
    /// An e-mail.
    Email {
        /// To whom.
        to: String,
    },
    /// The sidecar, which makes an event of each alert.
    Sidecar {
        /// Where it takes alerts.
        url: String,
    },
    /// A service that raises the alarm when it is no longer told.
    Heartbeat {
        /// The secret that holds the service's address.
        secret: &'static str,
    },
}

/// Alerts that say nothing of their own while others fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhibition {
    /// What all must hold of the alert that mutes.
    pub cause: Vec<Matcher>,
    /// What all must hold of an alert that is muted.
    pub consequence: Vec<Matcher>,
    /// The labels in which the two must be alike.
    pub equal: &'static [&'static str],
}

/// Hours of some days of each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The name that routes use.
    pub name: &'static str,
    /// The hours.
    pub hours: config::WorkingHours,
}

/// Why there is no configuration for Alertmanager.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// What was asked for is not fit.
    #[error("the configuration of notifications is not fit")]
    Config(#[from] RoutingConfigError),
    /// Some alert would reach nobody, or something the like.
    #[error("the routes are not fit to be written")]
    Finding(#[from] Finding),
    /// A file could not be written as YAML.
    #[error("the configuration of Alertmanager cannot be written as YAML")]
    Yaml(#[from] serde_yaml::Error),
}

/// Alertmanager's configuration and its templates for these alerts, or the first thing that is wrong.
pub(crate) fn files(alerts: &[&Alert], site: &Site) -> Result<Vec<GeneratedFile>, RoutingError> {
    site.routing.check(site.profile)?;
    let policy = policy(alerts, &site.routing);
    if let Some(finding) = lint::check(&policy, alerts).into_iter().next() {
        return Err(finding.into());
    }
    let mut files = vec![
        GeneratedFile {
            path: "alertmanager/alertmanager.yaml".to_owned(),
            contents: yaml(&alertmanager::configuration(&policy, &site.routing, site.profile))?,
        },
        GeneratedFile {
            path: format!("alertmanager/templates/{}", messages::FILE),
            contents: format!("{{{{/* {MARK} */}}}}\n{}", messages::TEMPLATES),
        },
    ];
    // The resource has no field for a time zone: it would hold back alerts at other hours than were asked for.
    if site.routing.working_hours.is_utc() {
        let path = "kubernetes/operator/alertmanager.yaml".to_owned();
        files.push(GeneratedFile { path, contents: yaml(&operator::resource(&policy, &site.routing))? });
    }
    Ok(files)
}

fn yaml(file: &impl serde::Serialize) -> Result<String, serde_yaml::Error> {
    Ok(format!("# {MARK}\n{}", with_quoted_times(&serde_yaml::to_string(file)?)))
}

/// Times of the day in quotes: in YAML 1.1, which many tools still read, a bare `18:00` is a number of minutes.
fn with_quoted_times(yaml: &str) -> String {
    let is_time = |value: &str| value.len() == 5 && value.split(':').all(|part| part.parse::<u8>().is_ok());
    let lines = yaml.lines().map(|line| match line.split_once(": ") {
        Some((key, value)) if is_time(value) => format!("{key}: \"{value}\"\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

// === impl Policy ===

impl Policy {
    /// The routes that an alert takes, in order.
    pub fn taken(&self, alert: &Alert) -> Vec<&Route> {
        let mut taken = Vec::new();
        for route in self.routes.iter().filter(|route| route.matches(alert)) {
            taken.push(route);
            if !route.goes_on {
                break;
            }
        }
        taken
    }

    /// The receivers that an alert reaches.
    pub fn reached(&self, alert: &Alert) -> BTreeSet<&'static str> {
        let taken = self.taken(alert);
        if taken.is_empty() { [self.default].into() } else { taken.iter().map(|route| route.receiver).collect() }
    }
}

// === impl Route ===

impl Route {
    fn matches(&self, alert: &Alert) -> bool {
        self.matchers.iter().all(|matcher| matcher.can_match(alert))
    }
}

// === impl Channel ===

impl Channel {
    /// The secret that the channel needs, if it does.
    pub fn secret(&self) -> Option<&'static str> {
        match self {
            Self::Slack { secret, .. }
            | Self::Discord { secret }
            | Self::PagerDuty { secret }
            | Self::Heartbeat { secret } => Some(secret),
            Self::Email { .. } => Some(config::SMTP_PASSWORD),
            Self::Sidecar { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_quoted_times;

    #[test]
    fn times_are_texts_to_every_reader() {
        let yaml = "times:\n- start_time: 08:00\n  end_time: 18:00\nsmarthost: mail:25\nrange: a: 1\n";
        let quoted = "times:\n- start_time: \"08:00\"\n  end_time: \"18:00\"\nsmarthost: mail:25\nrange: a: 1\n";
        assert_eq!(with_quoted_times(yaml), quoted);
    }
}
