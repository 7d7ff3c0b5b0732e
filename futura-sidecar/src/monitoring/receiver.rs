//! A receiver of notifications: takes what Alertmanager posts to webhooks, and to Slack and what is like it.

use std::{future::pending, net::SocketAddr, time::Instant};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    LIMITS,
    listener::{self, Address, BindError, Listener},
};

/// How large a notification may be, in bytes.
const MESSAGE_LIMIT: usize = 1024 * 1024;

/// How many notifications wait to be looked at.
const WAITING: usize = 64;

/// A receiver that is bound and not running yet.
#[derive(Debug)]
pub struct Receiver(Listener);

/// A notification that came.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it says of an alert.
    body: Value,
    /// When it came.
    pub came: Instant,
}

/// What a notification says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// That it fires.
    Firing,
    /// That it is over.
    Resolved,
}

// === impl Receiver ===

impl Receiver {
    /// Opens its socket.
    ///
    /// # Errors
    /// When the address is taken or cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        listener::bind(&Address::Tcp(address), "--receiver-listen").await.map(Self)
    }

    /// Where notifications are to be posted.
    pub fn url(&self) -> String {
        format!("http://{}/", self.0.address())
    }

    /// The messages, and the work of taking them, which never ends and is done as long as it is waited for.
    pub fn run(self) -> (mpsc::Receiver<Message>, impl Future<Output = ()>) {
        let (sender, messages) = mpsc::channel(WAITING);
        let router = Router::new().fallback(post(take)).layer(DefaultBodyLimit::max(MESSAGE_LIMIT));
        (messages, self.0.serve(router.with_state(sender), LIMITS, pending()))
    }
}

async fn take(State(messages): State<mpsc::Sender<Message>>, body: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    match messages.try_send(Message { body, came: Instant::now() }) {
        Ok(()) => StatusCode::OK,
        // Alertmanager sends it once more.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

// === impl Message ===

impl Message {
    /// What it says of the alert of this name whose texts bear `mark`; none when it says nothing of it.
    ///
    /// A webhook's message lists alerts with a status each. Others are texts for people, whose title tells the status
    /// in capitals, as Alertmanager's own templates and ours have it, or whose color does.
    pub fn says_of(&self, name: &str, mark: &str) -> Option<MessageStatus> {
        if let Some(alerts) = self.body["alerts"].as_array() {
            let about = |alert: &&Value| alert["labels"]["alertname"] == name && contains(&alert["annotations"], mark);
            let alert = alerts.iter().find(about)?;
            let resolved = alert["status"] == "resolved";
            return Some(if resolved { MessageStatus::Resolved } else { MessageStatus::Firing });
        }
        if !self.contains(name) {
            return None;
        }
        let resolved = ["RESOLVED", "Resolved"].iter().any(|word| self.contains(word))
            || self.body["attachments"][0]["color"] == "good";
        Some(if resolved { MessageStatus::Resolved } else { MessageStatus::Firing })
    }

    /// Whether one of its texts has this part.
    pub fn contains(&self, part: &str) -> bool {
        contains(&self.body, part)
    }
}

fn contains(value: &Value, part: &str) -> bool {
    match value {
        Value::String(text) => text.contains(part),
        Value::Array(values) => values.iter().any(|value| contains(value, part)),
        Value::Object(fields) => fields.values().any(|value| contains(value, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::{Message, MessageStatus};

    fn status(body: Value) -> Option<MessageStatus> {
        Message { body, came: Instant::now() }.says_of("PodDown", "DRILL:")
    }

    #[test]
    fn a_webhook_s_message_tells_of_each_alert_by_itself() {
        let body = |name: &str, summary: &str, status: &str| {
            let alert = json!({"status": status, "labels": {"alertname": name}, "annotations": {"summary": summary}});
            json!({"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "Other"}}, alert]})
        };
        assert_eq!(status(body("PodDown", "DRILL: gone", "firing")), Some(MessageStatus::Firing));
        assert_eq!(status(body("PodDown", "DRILL: gone", "resolved")), Some(MessageStatus::Resolved));
        assert_eq!(status(body("PodDown", "gone", "firing")), None, "that one is no drill");
        assert_eq!(status(body("PodDownAgain", "DRILL: gone", "firing")), None);
    }

    #[test]
    fn a_message_for_people_tells_its_status_by_word_or_color() {
        let slack = |color: &str, title: &str| json!({"attachments": [{"color": color, "title": title}]});
        assert_eq!(status(slack("danger", "[FIRING:1] PodDown")), Some(MessageStatus::Firing));
        assert_eq!(status(slack("#36a64f", "[RESOLVED] PodDown")), Some(MessageStatus::Resolved));
        assert_eq!(status(slack("good", "PodDown")), Some(MessageStatus::Resolved));
        assert_eq!(status(slack("danger", "[FIRING:1] Other")), None);
        assert_eq!(status(json!({"embeds": [{"title": "[RESOLVED] PodDown"}]})), Some(MessageStatus::Resolved));
        assert_eq!(status(json!([1, null])), None);
    }
}
