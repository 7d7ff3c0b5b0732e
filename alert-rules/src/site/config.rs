//! The file of a site's settings, read so that each mistake is told with its place and a way out.

use std::{collections::BTreeMap, time::Duration};

use serde_yaml::{Mapping, Value};

use super::Site;
use crate::{
    Alert,
    profile::UnknownProfile,
    promql::{Quantity, parse_duration},
    routing::RoutingConfigError,
    rules,
};

const KEYS: [&str; 9] = [
    "namespace",
    "runbooks_url",
    "grafana_url",
    "profile",
    "sidecar_job",
    "scrape_interval",
    "routing",
    "thresholds",
    "durations",
];

/// Why a site cannot be taken as it is set.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// It is not YAML, or holds a key twice.
    #[error("not valid YAML")]
    Yaml(#[from] serde_yaml::Error),
    /// It is YAML, but no mapping.
    #[error("{0} must be a mapping of names to values")]
    NoMapping(String),
    /// There is no such setting.
    #[error("there is no setting `{key}`{}", hint(key, &KEYS))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value is not what the setting takes.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// There is no such alert.
    #[error("`{key}`: there is no alert `{alert}`{}", hint(alert, alerts))]
    UnknownAlert {
        /// `thresholds` or `durations`.
        key: &'static str,
        /// What it names.
        alert: String,
        /// The alerts that there are.
        alerts: Vec<&'static str>,
    },
    /// The alert compares a state, or nothing, so that there is nothing to set.
    #[error("`thresholds`: alert `{0}` has no threshold to set, as it asks for a state; leave the line out")]
    NoThreshold(String),
    /// People cannot be told as it says.
    #[error("`routing`")]
    Routing(#[from] RoutingConfigError),
}

/// The site that the file describes, its alerts not looked at yet.
pub(super) fn read(text: &str) -> Result<Site, SiteError> {
    let settings = match serde_yaml::from_str(text)? {
        Value::Null => Mapping::new(),
        Value::Mapping(settings) => settings,
        _ => return Err(SiteError::NoMapping("the file".to_owned())),
    };
    let mut site = Site::default();
    for (key, value) in &settings {
        let key = name(key);
        let invalid = |reason| SiteError::Value { key: key.clone(), reason };
        match key.as_str() {
            "namespace" => site.namespace = Site::parse_namespace(&name(value)).map_err(invalid)?,
            "runbooks_url" => site.runbooks_url = Site::parse_url(&name(value)).map_err(invalid)?,
            "grafana_url" => site.grafana_url = Site::parse_url(&name(value)).map_err(invalid)?,
            "profile" => {
                site.profile = name(value).parse().map_err(|error: UnknownProfile| invalid(error.to_string()))?;
            }
            "routing" => {
                site.routing = serde_yaml::from_value(value.clone()).map_err(|error| invalid(error.to_string()))?;
            }
            "sidecar_job" => site.sidecar_job = filled(&name(value)).map_err(invalid)?,
            "scrape_interval" => site.scrape_interval = duration(value).map_err(invalid)?,
            "thresholds" => site.thresholds = by_alert("thresholds", value, number)?,
            "durations" => site.durations = by_alert("durations", value, duration)?,
            _ => return Err(SiteError::UnknownKey { key }),
        }
    }
    Ok(site)
}

fn by_alert<T>(
    key: &'static str,
    value: &Value,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Result<BTreeMap<String, T>, SiteError> {
    let entries = match value {
        // A heading of which every line was taken out.
        Value::Null => return Ok(BTreeMap::new()),
        Value::Mapping(entries) => entries,
        _ => return Err(SiteError::NoMapping(format!("`{key}`"))),
    };
    let entries = entries.iter().map(|(alert, value)| {
        let alert = name(alert);
        let value = read(value).map_err(|reason| SiteError::Value { key: format!("{key}.{alert}"), reason })?;
        Ok((alert, value))
    });
    entries.collect()
}

/// A key or value as text, whatever YAML took it for.
fn name(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim_end().to_owned(),
    }
}

fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn number(value: &Value) -> Result<f64, String> {
    let number = value.as_f64().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("`{}` is not a number", name(value)))
}

/// Whether what measures this can have such a value, so that the alert neither always fires nor ever.
fn possible(value: f64, quantity: Quantity) -> Result<(), String> {
    if quantity == Quantity::Ratio && value > 1.0 {
        return Err(format!("`{value}` is more than all: of a share 1 is all, so that 80 % is written 0.8"));
    }
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(format!("`{value}` is not a number from zero up")) }
}

fn duration(value: &Value) -> Result<Duration, String> {
    let text = name(value);
    parse_duration(&text).ok_or_else(|| format!("`{text}` is not a duration such as 90s, 5m or 1h30m"))
}

fn hint(wrong: &str, names: &[&str]) -> String {
    let nearest = names.iter().map(|name| (distance(wrong, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 + wrong.len() / 5 => format!("; did you mean `{name}`?"),
        _ => format!("; there are: {}", names.join(", ")),
    }
}

/// How many letters must be put in, taken out or changed to make one word of the other, whatever their case.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<_> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

// === impl Site ===

impl Site {
    /// Whether every alert that it speaks of is one of the platform's and has what is set.
    pub fn check(&self) -> Result<(), SiteError> {
        let alerts: Vec<_> = rules::stated(self).into_iter().flat_map(|area| area.alerts).collect();
        self.check_by(&alerts.iter().collect::<Vec<_>>())
    }

    /// The same where these are all the alerts.
    pub(crate) fn check_by(&self, alerts: &[&Alert]) -> Result<(), SiteError> {
        let find = |key: &'static str, name: &String| {
            alerts.iter().find(|alert| alert.name == name).ok_or_else(|| SiteError::UnknownAlert {
                key,
                alert: name.clone(),
                alerts: alerts.iter().map(|alert| alert.name).collect(),
            })
        };
        for (name, value) in &self.thresholds {
            let alert = find("thresholds", name)?;
            if !alert.threshold.is_limit() {
                return Err(SiteError::NoThreshold(name.clone()));
            }
            let invalid = |reason| SiteError::Value { key: format!("thresholds.{name}"), reason };
            possible(*value, alert.threshold.quantity).map_err(invalid)?;
        }
        self.durations.keys().try_for_each(|name| find("durations", name).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use insta::assert_snapshot;

    use super::{Site, distance};
    use crate::{output::files, rules::areas, site::page};

    fn refused(text: &str) -> String {
        let error = Site::from_yaml(text).unwrap_err();
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    }

    #[test]
    fn what_a_file_leaves_out_stays() {
        for empty in ["", "# nothing\n", "thresholds:\n  # HighErrorRate: 10\ndurations:\n"] {
            assert_eq!(Site::from_yaml(empty).unwrap(), Site::default());
        }
        let site = Site::from_yaml("namespace: staging\ngrafana_url: http://grafana.test/\n").unwrap();
        let expected =
            Site { namespace: "staging".to_owned(), grafana_url: "http://grafana.test".to_owned(), ..Site::default() };
        assert_eq!(site, expected);
    }

    #[test]
    fn each_mistake_is_told_with_a_way_out() {
        let mistakes = [
            "name_space: x",
            "colour: red",
            "namespace: Not A Name",
            "grafana_url: ftp://x",
            "scrape_interval: 1 minute",
            "profile: prometheus-1",
            "routing: { mail: null }",
            "thresholds: [1, 2]",
            "thresholds: { HighErorRate: 20 }",
            "thresholds: { RedisDown: 1 }",
            "thresholds: { HighErrorRate: many }",
            "thresholds: { HighErrorRate: -1 }",
            "thresholds: { HighCPUUsage: 80 }",
            "durations: { HighErrorRate: 5 }",
            "durations: { RedisDwon: 5m }",
            "- namespace",
        ];
        assert_snapshot!(mistakes.map(refused).join("\n"), @"
        there is no setting `name_space`; did you mean `namespace`?
        there is no setting `colour`; there are: namespace, runbooks_url, grafana_url, profile, sidecar_job, scrape_interval, routing, thresholds, durations
        `namespace`: a namespace is lower case letters, digits and `-`
        `grafana_url`: an address is https:// or http://, a host and a path, without spaces, quotes, braces, `?` and `#`
        `scrape_interval`: `1 minute` is not a duration such as 90s, 5m or 1h30m
        `profile`: `prometheus-1` is no profile: there are prometheus-2.42 and prometheus-3
        `routing`: unknown field `mail`, expected one of `secrets`, `working_hours`, `pagerduty_url`, `email`, `discord`, `sidecar_url`, `heartbeat`
        `thresholds` must be a mapping of names to values
        `thresholds`: there is no alert `HighErorRate`; did you mean `HighErrorRate`?
        `thresholds`: alert `RedisDown` has no threshold to set, as it asks for a state; leave the line out
        `thresholds.HighErrorRate`: `many` is not a number
        `thresholds.HighErrorRate`: `-1` is not a number from zero up
        `thresholds.HighCPUUsage`: `80` is more than all: of a share 1 is all, so that 80 % is written 0.8
        `durations.HighErrorRate`: `5` is not a duration such as 90s, 5m or 1h30m
        `durations`: there is no alert `RedisDwon`; did you mean `RedisDown`?
        the file must be a mapping of names to values
        ");
        let twice = refused("namespace: a\nnamespace: b");
        assert!(twice.starts_with("not valid YAML: ") && twice.contains("namespace"), "{twice}");
    }

    #[test]
    fn what_is_printed_as_the_settings_changes_nothing_when_read() {
        let site = Site::from_yaml("thresholds: { HighErrorRate: 25 }\ndurations: { RedisDown: 1m30s }").unwrap();
        for site in [Site::default(), site] {
            let alerts: Vec<_> = areas(&site).into_iter().flat_map(|area| area.alerts).collect();
            let printed = page(&site, &alerts.iter().collect::<Vec<_>>());
            let read = Site::from_yaml(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
            assert_eq!(files(&read).unwrap(), files(&site).unwrap());
        }
    }

    #[test]
    fn near_is_what_few_letters_make_the_same() {
        assert_eq!(distance("HighErorRate", "HighErrorRate"), 1);
        assert_eq!(distance("redisdown", "RedisDown"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
