//! What differs between installations in how people are told.

use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// The secret that is the password at the mail server.
pub(super) const SMTP_PASSWORD: &str = "smtp-password";
/// The secret that is the key of PagerDuty's integration.
pub(super) const PAGERDUTY_KEY: &str = "pagerduty-key";
/// The secret that is the address of Discord's webhook.
pub(super) const DISCORD: &str = "discord";
/// The secret that is the address of what watches the heartbeat.
pub(super) const HEARTBEAT_URL: &str = "heartbeat-url";

/// How an installation tells its people: the setting `routing` of a [`Site`](crate::Site).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingConfig {
    /// The folder in which Alertmanager finds a file for each secret.
    pub secrets: String,
    /// When people look at warnings.
    pub working_hours: WorkingHours,
    /// Where PagerDuty takes events, which depends on the account's region.
    pub pagerduty_url: String,
    /// Who gets e-mails, and by which server; nobody does without it.
    pub email: Option<EmailConfig>,
    /// Whether critical alerts go to Discord too.
    pub discord: bool,
    /// Where a sidecar takes alerts, to make events of them; none does without it.
    pub sidecar_url: Option<String>,
    /// Whether the alert that always fires is sent on, to a service that raises the alarm when it no longer comes.
    pub heartbeat: bool,
}

/// A mail server and who gets mail through it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The server's host and port; it must speak TLS.
    pub smarthost: String,
    /// The sender.
    pub from: String,
    /// The name at the server.
    pub username: String,
    /// Who gets critical alerts.
    pub on_call: String,
    /// Who gets alerts about data stores.
    pub database_team: String,
}

/// Hours of some days of each week.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkingHours {
    /// A day, or the first and the last day with a `:` between them.
    pub days: String,
    /// The first minute of each day, `HH:MM`.
    pub from: String,
    /// The minute after the last of each day, `HH:MM`.
    pub to: String,
    /// The time zone, as in the IANA's database.
    pub time_zone: String,
}

/// Why a configuration of notifications is refused.
#[derive(Debug, thiserror::Error)]
pub enum RoutingConfigError {
    /// A value is not what its key asks for.
    #[error("`{key}`: `{value}` is not {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Only a newer Alertmanager can do it.
    #[error("`heartbeat`: Alertmanager reads a webhook's address from a file since 0.26: choose profile {}", Profile::Prometheus3.as_str())]
    HeartbeatUnsupported,
}

// === impl RoutingConfig ===

impl RoutingConfig {
    /// Fails on the first value that is not what its key asks for.
    pub fn check(&self, profile: Profile) -> Result<(), RoutingConfigError> {
        let is_path = self.secrets.starts_with('/') && is_plain(&self.secrets);
        demand("secrets", &self.secrets, is_path, "an absolute path without spaces")?;
        demand("pagerduty_url", &self.pagerduty_url, is_url(&self.pagerduty_url), "an address")?;
        if let Some(url) = &self.sidecar_url {
            demand("sidecar_url", url, is_url(url), "an address")?;
        }
        if let Some(email) = &self.email {
            email.check()?;
        }
        if self.heartbeat && !profile.webhook_reads_url_from_file() {
            return Err(RoutingConfigError::HeartbeatUnsupported);
        }
        self.working_hours.check()
    }

    /// The file that holds a secret.
    pub(super) fn secret_file(&self, secret: &str) -> String {
        format!("{}/{secret}", self.secrets.trim_end_matches('/'))
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            secrets: "/etc/alertmanager/secrets".to_owned(),
            working_hours: WorkingHours::default(),
            pagerduty_url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            email: Some(EmailConfig {
                smarthost: "smtp.futuratickets.com:587".to_owned(),
                from: "alertmanager@futuratickets.com".to_owned(),
                username: "alertmanager@futuratickets.com".to_owned(),
                on_call: "on-call@futuratickets.com".to_owned(),
                database_team: "database-team@futuratickets.com".to_owned(),
            }),
            discord: true,
            sidecar_url: Some("http://futura-sidecar:9470/alertmanager".to_owned()),
            heartbeat: false,
        }
    }
}

// === impl EmailConfig ===

impl EmailConfig {
    fn check(&self) -> Result<(), RoutingConfigError> {
        let Self { smarthost, from, username, on_call, database_team } = self;
        let port = smarthost.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        let is_server = port.is_some_and(|(host, _)| !host.is_empty() && is_plain(host));
        demand("email.smarthost", smarthost, is_server, "a host and a port, such as smtp.example.org:587")?;
        demand("email.username", username, is_plain(username), "a name without spaces")?;
        for (key, value) in [("email.from", from), ("email.on_call", on_call), ("email.database_team", database_team)] {
            demand(key, value, value.contains('@') && is_plain(value), "an e-mail address")?;
        }
        Ok(())
    }
}

// === impl WorkingHours ===

impl WorkingHours {
    const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

    pub(super) fn is_utc(&self) -> bool {
        self.time_zone == "UTC"
    }

    fn check(&self) -> Result<(), RoutingConfigError> {
        let Self { days, from, to, time_zone } = self;
        let (first, last) = days.split_once(':').unwrap_or((days, days));
        let day = |name: &str| Self::DAYS.iter().position(|day| *day == name);
        let in_order = day(first).zip(day(last)).is_some_and(|(first, last)| first <= last);
        demand("working_hours.days", days, in_order, "days such as monday:friday, of a week that begins on sunday")?;
        let (start, end) = (minute_of_day(from), minute_of_day(to));
        demand("working_hours.from", from, start.is_some(), "a time such as 08:00")?;
        demand("working_hours.to", to, end.is_some() && start < end, "a later time of the day, such as 18:00")?;
        let is_zone = !time_zone.is_empty()
            && time_zone.chars().all(|character| character.is_ascii_alphanumeric() || "_/+-".contains(character));
        demand("working_hours.time_zone", time_zone, is_zone, "a time zone such as Europe/Madrid")
    }
}

impl Default for WorkingHours {
    fn default() -> Self {
        Self {
            days: "monday:friday".to_owned(),
            from: "08:00".to_owned(),
            to: "18:00".to_owned(),
            time_zone: "UTC".to_owned(),
        }
    }
}

fn demand(key: &'static str, value: &str, holds: bool, wanted: &'static str) -> Result<(), RoutingConfigError> {
    if holds { Ok(()) } else { Err(RoutingConfigError::Value { key, value: value.to_owned(), wanted }) }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_graphic() && !"{}\"'`\\".contains(character))
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.starts_with('/') && is_plain(rest))
}

/// Minutes since midnight; the day ends with 24:00.
fn minute_of_day(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':').filter(|_| text.len() == 5)?;
    let (hour, minute) = (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
    Some(hour * 60 + minute).filter(|minutes| minute < 60 && *minutes <= 24 * 60)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::{Profile, RoutingConfig};

    fn refusal(yaml: &str) -> String {
        match serde_yaml::from_str::<RoutingConfig>(yaml) {
            Ok(config) => config.check(Profile::Prometheus2).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_not_said_is_as_by_default() {
        let config = serde_yaml::from_str::<RoutingConfig>("email: null\nworking_hours: { to: \"20:00\" }").unwrap();
        let usual = RoutingConfig::default();
        assert_eq!((config.email, config.working_hours.to.as_str()), (None, "20:00"));
        assert_eq!((config.secrets, config.working_hours.from), (usual.secrets, usual.working_hours.from));
    }

    #[test]
    fn a_refusal_names_the_key_and_what_it_wants() {
        let refusals: Vec<_> = [
            "secret: /etc",
            "secrets: etc",
            "pagerduty_url: events.pagerduty.com",
            "sidecar_url: \"http://{{ }}\"",
            "heartbeat: true",
            "working_hours: { days: \"friday:monday\" }",
            "working_hours: { from: \"8:00\" }",
            "working_hours: { from: \"19:00\" }",
            "working_hours: { time_zone: \"\" }",
            "email: { smarthost: mail, from: a@b, username: a, on_call: a@b, database_team: a@b }",
            "email: { smarthost: \"mail:25\", from: a@b, username: a, on_call: ab, database_team: a@b }",
        ]
        .map(refusal)
        .into();
        assert_snapshot!(refusals.join("\n"), @"
        unknown field `secret`, expected one of `secrets`, `working_hours`, `pagerduty_url`, `email`, `discord`, `sidecar_url`, `heartbeat`
        `secrets`: `etc` is not an absolute path without spaces
        `pagerduty_url`: `events.pagerduty.com` is not an address
        `sidecar_url`: `http://{{ }}` is not an address
        `heartbeat`: Alertmanager reads a webhook's address from a file since 0.26: choose profile prometheus-3
        `working_hours.days`: `friday:monday` is not days such as monday:friday, of a week that begins on sunday
        `working_hours.from`: `8:00` is not a time such as 08:00
        `working_hours.to`: `18:00` is not a later time of the day, such as 18:00
        `working_hours.time_zone`: `` is not a time zone such as Europe/Madrid
        `email.smarthost`: `mail` is not a host and a port, such as smtp.example.org:587
        `email.on_call`: `ab` is not an e-mail address
        ");
    }

    #[test]
    fn a_heartbeat_is_sent_on_by_a_newer_alertmanager() {
        let config = RoutingConfig { heartbeat: true, ..RoutingConfig::default() };
        config.check(Profile::Prometheus3).unwrap();
    }
}
