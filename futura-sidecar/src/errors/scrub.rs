//! Removes secrets and personal data from Sentry's envelopes before they are kept or sent.
//!
//! The rules are written as Relay's `piiConfig` is, and what they did is told as Relay tells it, so that Sentry's pages show
//! it. What cannot be scrubbed is removed: nothing passes because something went wrong.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use self::{
    chunks::Done,
    engine::{Layer, Walk},
    schema::Area,
    selector::Selector,
};
use super::{framing::Envelope, json::Json};

pub(super) use self::config::read;
pub use self::explain::Explanation;

mod chunks;
mod config;
mod defaults;
mod engine;
mod explain;
mod meta;
mod path;
mod patterns;
mod rules;
mod schema;
mod selector;

/// How large the payload of an item may be that is scrubbed, in bytes. Sentry takes events of 1 MiB.
const ITEM_LIMIT: usize = 8 * 1024 * 1024;

/// The item types that are scrubbed. All others pass as they are: what is no JSON, as attachments and the recording of a replay,
/// and sessions, check-ins, profiles and client reports, whose fields are Sentry's own.
const SCRUBBED: &[&str] =
    &["event", "transaction", "log", "span", "trace_metric", "replay_event", "feedback", "user_report", "raw_security"];

/// The key of the list in an item that holds many.
const LIST: &str = "items";

/// Removes secrets and personal data from events, by built-in rules and those of the configuration.
#[derive(Clone)]
pub struct Scrubber {
    rules: Arc<ScrubRules>,
}

/// What is removed where.
#[derive(Debug)]
struct ScrubRules {
    own: Layer,
    defaults: Vec<Layer>,
    allow: Vec<Selector>,
}

/// One thing that was removed. It says where and by which rule, never what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where, as a selector would have it.
    pub path: String,
    /// The rule, such as `@email:replace`.
    pub rule: String,
    done: Done,
}

/// What became of an envelope.
#[derive(Debug)]
pub struct Scrubbed {
    /// The envelope, scrubbed.
    pub bytes: Vec<u8>,
    /// What was removed, in the order of the envelope.
    pub hits: Vec<Hit>,
    /// The items that are gone as they could not be scrubbed.
    pub removed: Vec<RemovedItem>,
}

/// An item that could not be scrubbed.
#[derive(Debug, PartialEq, Eq)]
pub struct RemovedItem {
    /// Its type.
    pub kind: String,
    /// Why.
    pub error: ScrubError,
}

/// Why something cannot be scrubbed, and so must not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrubError {
    /// An envelope that may hold an event is none that can be read.
    #[error("the envelope may hold an event and cannot be taken apart")]
    Framing,
    /// An event is no JSON.
    #[error("the payload cannot be read: {0}")]
    Json(String),
    /// An event is too large.
    #[error("the payload is larger than {ITEM_LIMIT} bytes")]
    TooLarge,
    /// The scrubber has a fault.
    #[error("the scrubber failed")]
    Panic,
}

// === impl Scrubber ===

impl Scrubber {
    fn new(own: Layer, defaults: bool, allow: Vec<Selector>) -> Self {
        let defaults = if defaults { defaults::layers() } else { Vec::new() };
        Self { rules: Arc::new(ScrubRules { own, defaults, allow }) }
    }

    /// Scrubs an envelope. Bytes that no rule touches stay as they are.
    ///
    /// # Errors
    /// When it cannot be taken apart and may hold an event.
    pub fn envelope(&self, bytes: Vec<u8>) -> Result<Scrubbed, ScrubError> {
        let mut envelope = Envelope::parse(&bytes);
        if !envelope.is_framed() && may_hold_event(envelope.rest) {
            return Err(ScrubError::Framing);
        }
        let (mut hits, mut removed) = (Vec::new(), Vec::new());
        for item in &mut envelope.items {
            let Some(kind) = item.kinds().find(|kind| SCRUBBED.contains(kind)).map(str::to_owned) else { continue };
            match self.item(&kind, item.payload) {
                Ok((None, _)) => {}
                Ok((Some(payload), found)) => {
                    item.replace(payload);
                    hits.extend(found);
                }
                Err(error) => {
                    item.remove();
                    removed.push(RemovedItem { kind, error });
                }
            }
        }
        let changed = !hits.is_empty() || !removed.is_empty();
        let written = changed.then(|| envelope.write());
        Ok(Scrubbed { bytes: written.unwrap_or(bytes), hits, removed })
    }

    /// Scrubs an event that stands alone, as JSON; the same bytes where no rule touches it.
    ///
    /// # Errors
    /// When it cannot be scrubbed.
    pub fn event(&self, event: &[u8]) -> Result<(Vec<u8>, Vec<Hit>), ScrubError> {
        let (scrubbed, hits) = self.item("event", event)?;
        Ok((scrubbed.unwrap_or_else(|| event.to_vec()), hits))
    }

    /// Scrubs a payload; none where nothing was to be done.
    fn item(&self, kind: &str, payload: &[u8]) -> Result<(Option<Vec<u8>>, Vec<Hit>), ScrubError> {
        if payload.len() > ITEM_LIMIT {
            return Err(ScrubError::TooLarge);
        }
        let mut json = Json::parse(payload).map_err(|error| ScrubError::Json(error.to_string()))?;
        let scrub = || {
            let hits = self.json(kind, &mut json);
            (json, hits)
        };
        // What a fault of ours leaves half done is not looked at again.
        let (json, hits) = catch_unwind(AssertUnwindSafe(scrub)).map_err(|_| ScrubError::Panic)?;
        Ok((Some(json.render().into_bytes()).filter(|_| !hits.is_empty()), hits))
    }

    fn json(&self, kind: &str, json: &mut Json) -> Vec<Hit> {
        let ScrubRules { own, defaults, allow } = &*self.rules;
        let mut walk = Walk { own, defaults, allow, hits: Vec::new() };
        match (kind, json) {
            ("log" | "span" | "trace_metric", Json::Object(fields)) if is_list(fields) => {
                for (key, value) in fields {
                    match value {
                        Json::Array(items) if key == LIST => {
                            items.iter_mut().for_each(|item| walk.event(item, Area::Log));
                        }
                        other => walk.event(other, Area::Log),
                    }
                }
            }
            // One span, as SDKs sent them before there were lists.
            ("span", json) => walk.event(json, Area::Span),
            ("log" | "trace_metric", json) => walk.event(json, Area::Log),
            ("user_report" | "raw_security", json) => walk.event(json, Area::Free),
            (_, json) => walk.event(json, Area::Event),
        }
        walk.hits
    }
}

impl Default for Scrubber {
    /// Removes what is removed where the configuration says nothing.
    fn default() -> Self {
        Self::new(Layer::default(), true, Vec::new())
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scrubber").field("own", &self.rules.own.applications.len()).finish_non_exhaustive()
    }
}

// === impl Hit ===

impl Hit {
    /// What was done: `removed`, `replaced`, `masked` or `hashed`.
    pub fn done(&self) -> &'static str {
        self.done.as_str()
    }
}

/// Whether a payload is a list of many of its kind.
fn is_list(fields: &[(String, Json)]) -> bool {
    fields.iter().any(|(key, value)| key == LIST && matches!(value, Json::Array(_)))
}

/// Whether bytes that are no items may yet be read as such by somebody else. Escapes could spell anything.
fn may_hold_event(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    text.contains("\\u") || SCRUBBED.iter().any(|kind| text.contains(kind))
}

#[cfg(test)]
mod tests;
