//! What the sidecar knows of an envelope: its first line, and the type of its first item. All else passes untouched.
//!
//! Every field that is not ours stays as it was: SDKs send items and headers that no list of ours would hold.

use sentry_types::Dsn;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, UtcDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// How long the two header lines may be together.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;

/// The category of errors, for whose sake all this is done.
pub(super) const ERROR: &str = "error";

/// The category of what SDKs tell of themselves.
pub(super) const INTERNAL: &str = "internal";

/// What upstreams limit by; an item type that is not known falls under `default`.
const CATEGORIES: &[(&str, &str)] = &[
    ("event", ERROR),
    ("transaction", "transaction"),
    ("session", "session"),
    ("sessions", "session"),
    ("attachment", "attachment"),
    ("check_in", "monitor"),
    ("profile", "profile"),
    ("profile_chunk", "profile_chunk"),
    ("replay_event", "replay"),
    ("replay_recording", "replay"),
    ("feedback", "feedback"),
    ("user_report", "feedback"),
    ("log", "log_item"),
    ("span", "span"),
    ("statsd", "metric_bucket"),
    ("trace_metric", "trace_metric"),
    ("client_report", INTERNAL),
    ("raw_security", "security"),
    ("security", "security"),
];

/// The category of an envelope whose first item is of no known type.
pub(super) const DEFAULT_CATEGORY: &str = "default";

/// The beginning of an envelope.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    header: Map<String, Value>,
    /// How many bytes the header line takes, its end included.
    header_length: usize,
    /// The rate limit category of the first item.
    pub(super) category: &'static str,
}

/// Why some bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvelopeError {
    #[error("the first line is not a JSON object")]
    Header,
    #[error("the first line is longer than {HEAD_LIMIT} bytes")]
    HeaderTooLong,
    #[error("the event is not a JSON object")]
    Event,
    #[error("this is no notification of Alertmanager's webhook")]
    Alerts,
    #[error("the report is not JSON")]
    Report,
    #[error("there is no minidump: it is the body, or the field `upload_file_minidump` of a form")]
    Minidump,
}

// === impl Head ===

impl Head {
    /// Reads the head out of the first [`HEAD_LIMIT`] bytes of an envelope, or all when it has fewer.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let (line, header_length) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&bytes[..end], end + 1),
            None if bytes.len() >= HEAD_LIMIT => return Err(EnvelopeError::HeaderTooLong),
            None => (bytes, bytes.len()),
        };
        let header = serde_json::from_slice(line).map_err(|_| EnvelopeError::Header)?;
        Ok(Self { header, header_length, category: category(&bytes[header_length..]) })
    }

    /// The event's id.
    pub(super) fn event_id(&self) -> Option<Uuid> {
        Uuid::parse_str(self.header.get("event_id")?.as_str()?).ok()
    }

    /// The id by which the envelope is known when it comes again. Those of errors and transactions are of one envelope; a
    /// replay, say, has one id for many.
    pub(super) fn known_by(&self) -> Option<Uuid> {
        matches!(self.category, ERROR | "transaction").then(|| self.event_id()).flatten()
    }

    /// The project that the application's DSN names, where the envelope holds it.
    pub(super) fn project(&self) -> Option<&str> {
        let dsn = self.header.get("dsn")?.as_str()?;
        dsn.trim_end_matches('/').rsplit_once('/').map(|(_, project)| project).filter(|project| !project.is_empty())
    }

    /// The header line to send in place of the first [`header_length`](Self::header_length) bytes.
    ///
    /// `dsn` and the key in `trace` name the application's project at the sidecar; left as they are, the upstream would
    /// refuse the envelope or sample by another project's rules. `sent_at` is when the envelope leaves: servers move all
    /// times by the difference to their own clock, which must not be the time in the spool.
    pub(super) fn rewritten(mut self, upstream: &Dsn, now: UtcDateTime) -> Vec<u8> {
        if let Some(dsn) = self.header.get_mut("dsn") {
            *dsn = json!(public_dsn(upstream));
        }
        if let Some(key) = self.header.get_mut("trace").and_then(|trace| trace.get_mut("public_key")) {
            *key = json!(upstream.public_key());
        }
        if let Ok(now) = OffsetDateTime::from(now).format(&Rfc3339) {
            self.header.insert("sent_at".to_owned(), json!(now));
        }
        let mut line = Value::Object(self.header).to_string().into_bytes();
        line.push(b'\n');
        line
    }

    pub(super) fn header_length(&self) -> usize {
        self.header_length
    }
}

/// The id of an event that is made here: the same whenever the same is told.
pub(super) fn derived_id(told: &Value) -> Uuid {
    let digest = Sha256::digest(told.to_string());
    let bytes = digest.first_chunk().expect("a digest is longer than an id");
    // A UUID of a form of its own, as RFC 9562 has version 8.
    uuid::Builder::from_custom_bytes(*bytes).into_uuid()
}

/// The DSN without the secret that old ones have.
fn public_dsn(dsn: &Dsn) -> String {
    let port = if dsn.port() == dsn.scheme().default_port() { String::new() } else { format!(":{}", dsn.port()) };
    format!("{}://{}@{}{port}{}{}", dsn.scheme(), dsn.public_key(), dsn.host(), dsn.path(), dsn.project_id())
}

/// The category by this name, if it is one that an envelope can have here.
pub(super) fn known_category(name: &str) -> Option<&'static str> {
    let known = CATEGORIES.iter().map(|(_, category)| *category);
    known.chain([DEFAULT_CATEGORY]).find(|category| *category == name)
}

fn category(items: &[u8]) -> &'static str {
    let line = items.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let item: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
    let text = |name| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = match text("attachment_type") {
        // A crash without an event of its own.
        "event.minidump" | "event.applecrashreport" => "event",
        _ => text("type"),
    };
    CATEGORIES.iter().find(|(name, _)| *name == kind).map_or(DEFAULT_CATEGORY, |(_, category)| category)
}

#[cfg(test)]
mod tests;
