//! Alertmanager's webhook: each alert becomes an event, and the end of it another one of the same issue.
//!
//! Alertmanager repeats what it has told. An event's id is made of the alert, its beginning and whether it is over, so that
//! the repetitions are known and kept once.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::uploads;
use crate::errors::envelope::{EnvelopeError, derived_id};

/// How long a tag's name may be, as at Sentry.
const TAG_NAME_LIMIT: usize = 32;

/// How long a tag's value may be, as at Sentry.
const TAG_VALUE_LIMIT: usize = 200;

/// A notification, version 4 of Alertmanager's webhook; what is not needed of it is passed over.
#[derive(Deserialize)]
pub(super) struct Notification {
    alerts: Vec<Alert>,
    #[serde(default, rename = "externalURL")]
    external_url: String,
}

/// An alert of a notification.
#[derive(Deserialize)]
struct Alert {
    status: Status,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(default, rename = "endsAt")]
    ends_at: String,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

/// The envelopes of a notification, one an alert.
pub(super) fn envelopes(notification: &[u8]) -> Result<Vec<Vec<u8>>, EnvelopeError> {
    let notification: Notification = serde_json::from_slice(notification).map_err(|_| EnvelopeError::Alerts)?;
    let event = |alert: &Alert| uploads::of_event(alert.event(&notification.external_url).to_string().as_bytes());
    notification.alerts.iter().map(event).collect()
}

// === impl Alert ===

impl Alert {
    fn event(&self, alertmanager: &str) -> Value {
        let over = self.status == Status::Resolved;
        let name = self.label("alertname").unwrap_or("alert");
        let summary = self.annotations.get("summary").map_or(name, String::as_str);
        let level = match (over, self.label("severity")) {
            (true, _) | (false, Some("info" | "none")) => "info",
            (false, Some("warning")) => "warning",
            (false, Some("critical" | "page")) => "fatal",
            (false, _) => "error",
        };
        let mut extra: Map<String, Value> =
            self.annotations.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
        extra.insert("generator_url".to_owned(), json!(self.generator_url));
        extra.insert("alertmanager_url".to_owned(), json!(alertmanager));
        json!({
            "event_id": self.id().simple(),
            "timestamp": if over { &self.ends_at } else { &self.starts_at },
            "platform": "other",
            "logger": "alertmanager",
            "level": level,
            "logentry": { "formatted": if over { format!("resolved: {summary}") } else { summary.to_owned() } },
            "fingerprint": ["alertmanager", name],
            "server_name": self.label("instance"),
            "environment": self.label("environment"),
            "tags": self.tags(),
            "extra": extra,
        })
    }

    fn tags(&self) -> Map<String, Value> {
        let mut tags = Map::new();
        for (name, value) in &self.labels {
            let value: String = value.chars().filter(|character| *character != '\n').take(TAG_VALUE_LIMIT).collect();
            if name.len() <= TAG_NAME_LIMIT && !value.is_empty() {
                tags.insert(name.clone(), json!(value));
            }
        }
        let status = if self.status == Status::Resolved { "resolved" } else { "firing" };
        tags.insert("alert_status".to_owned(), json!(status));
        tags
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The same whenever the same is told.
    fn id(&self) -> Uuid {
        derived_id(&json!((&self.labels, &self.starts_at, self.status == Status::Resolved)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{EnvelopeError, envelopes};

    fn notification(status: &str, starts_at: &str) -> Vec<u8> {
        let alert = json!({
            "status": status,
            "labels": { "alertname": "RedisDown", "severity": "critical", "instance": "redis:6379", "long_name_of_a_label_that_is_no_tag": "x" },
            "annotations": { "summary": "Redis does not answer", "runbook_url": "https://runbooks.example.org/RedisDown" },
            "startsAt": starts_at,
            "endsAt": "2026-11-27T08:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "c0ffee",
        });
        let notification =
            json!({ "version": "4", "status": status, "externalURL": "http://alertmanager:9093", "alerts": [alert] });
        notification.to_string().into_bytes()
    }

    fn event(notification: &[u8]) -> Value {
        let envelopes = envelopes(notification).expect("a notification");
        let [envelope] = &envelopes[..] else { panic!("one alert") };
        let line = envelope.split(|byte| *byte == b'\n').nth(2).expect("an event");
        serde_json::from_slice(line).expect("JSON")
    }

    #[test]
    fn an_alert_is_an_event_grouped_by_its_name() {
        let event = event(&notification("firing", "2026-11-27T07:00:00Z"));
        for (pointer, expected) in [
            ("/level", "fatal"),
            ("/logentry/formatted", "Redis does not answer"),
            ("/fingerprint/1", "RedisDown"),
            ("/timestamp", "2026-11-27T07:00:00Z"),
            ("/server_name", "redis:6379"),
            ("/tags/severity", "critical"),
            ("/tags/alert_status", "firing"),
            ("/extra/runbook_url", "https://runbooks.example.org/RedisDown"),
            ("/extra/alertmanager_url", "http://alertmanager:9093"),
        ] {
            assert_eq!(event.pointer(pointer).and_then(Value::as_str), Some(expected), "{pointer} in {event}");
        }
        assert_eq!(event["tags"].as_object().map(serde_json::Map::len), Some(4), "{event}");
    }

    #[test]
    fn what_is_repeated_has_the_same_id_and_what_is_new_another() {
        let id = |status, starts_at| event(&notification(status, starts_at))["event_id"].clone();
        let fired = id("firing", "2026-11-27T07:00:00Z");
        assert_eq!(id("firing", "2026-11-27T07:00:00Z"), fired);
        assert_ne!(id("firing", "2026-11-27T09:00:00Z"), fired);
        assert_ne!(id("resolved", "2026-11-27T07:00:00Z"), fired);
    }

    #[test]
    fn the_end_of_an_alert_is_a_note_in_the_same_issue() {
        let event = event(&notification("resolved", "2026-11-27T07:00:00Z"));
        assert_eq!(event["level"], "info");
        assert_eq!(event["logentry"]["formatted"], "resolved: Redis does not answer");
        assert_eq!(
            (&event["fingerprint"][1], &event["timestamp"]),
            (&json!("RedisDown"), &json!("2026-11-27T08:00:00Z"))
        );
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        for no_notification in [&b""[..], b"{}", b"[]", b"{\"alerts\":[{}]}"] {
            assert_eq!(envelopes(no_notification).map(drop), Err(EnvelopeError::Alerts));
        }
        assert_eq!(envelopes(b"{\"alerts\":[]}"), Ok(vec![]));
    }
}
