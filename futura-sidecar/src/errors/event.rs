//! What an event says in few words, and by what it is the same as another.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{framing::Envelope, json::Json};

/// How much of a title is kept, in characters.
const TITLE_LIMIT: usize = 200;

/// How many frames of a stack tell one event from another: those of the innermost calls.
const FRAMES: usize = 5;

/// A number of digits of base 16 that are no word.
const HEX_RUN: usize = 8;

/// Events of one kind are the same but for their numbers.
pub(super) type Kind = [u8; 16];

/// An event of an envelope, in few words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) level: String,
    pub(super) title: String,
    pub(super) kind: Kind,
}

// === impl Outline ===

impl Outline {
    /// That of the first event in an envelope; none where there is none that can be read.
    pub(super) fn of(envelope: &[u8]) -> Option<Self> {
        let envelope = Envelope::parse(envelope);
        let item = envelope.items.iter().find(|item| item.kinds().any(|kind| kind == "event"))?;
        Some(Self::of_event(&Json::parse(item.payload).ok()?))
    }

    fn of_event(event: &Json) -> Self {
        let text = |key: &str| event.get(key).and_then(Json::as_str);
        let exceptions = exceptions(event);
        let title = match exceptions.last() {
            Some(exception) => exception_title(exception),
            None => message(event).or(text("transaction")).unwrap_or("an event without a message").to_owned(),
        };
        Self {
            level: text("level").unwrap_or("error").to_owned(),
            title: title.chars().take(TITLE_LIMIT).collect(),
            kind: kind(event, &exceptions),
        }
    }
}

/// The exceptions of an event, the outermost last: a list, or an object with one.
fn exceptions(event: &Json) -> Vec<&Json> {
    let exception = event.get("exception");
    match exception.and_then(|exception| exception.get("values")).or(exception) {
        Some(Json::Array(values)) => values.iter().filter(|value| **value != Json::Null).collect(),
        Some(value @ Json::Object(_)) => vec![value],
        _ => Vec::new(),
    }
}

fn exception_title(exception: &Json) -> String {
    let text = |key: &str| exception.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    match (text("type"), text("value")) {
        (Some(kind), Some(value)) => format!("{kind}: {value}"),
        (kind, value) => kind.or(value).unwrap_or("an exception without a name").to_owned(),
    }
}

/// What was logged; before what was filled in where that is told.
fn message(event: &Json) -> Option<&str> {
    ["logentry", "message"].into_iter().filter_map(|key| event.get(key)).find_map(|logged| {
        let said = ["message", "formatted"].into_iter().find_map(|key| logged.get(key)?.as_str());
        logged.as_str().or(said)
    })
}

/// By its fingerprint if the application gave one, by its exceptions' types and innermost frames, and else by its message.
fn kind(event: &Json, exceptions: &[&Json]) -> Kind {
    let mut told = String::new();
    let text = |value: &Json, key: &str| value.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let fingerprint: Vec<_> = match event.get("fingerprint") {
        Some(Json::Array(parts)) => parts.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    // Writing to a string does not fail.
    let _ = write!(told, "{fingerprint:?}");
    let is_default = |part: &&str| part.trim_matches(['{', '}', ' ']) == "default";
    if fingerprint.is_empty() || fingerprint.iter().any(is_default) {
        let _ = write!(told, "|{}|{}", text(event, "platform"), text(event, "logger"));
        for exception in exceptions {
            let frames = frames(exception);
            // Without a stack the value is all that tells one from another.
            let value = if frames.is_empty() { without_numbers(&text(exception, "value")) } else { String::new() };
            let _ = write!(told, "|{}|{value}|{frames:?}", text(exception, "type"));
        }
        if exceptions.is_empty() {
            let _ = write!(told, "|{}", without_numbers(message(event).unwrap_or_default()));
        }
    }
    *Sha256::digest(told).first_chunk().expect("a digest is longer")
}

/// The innermost frames, of the application's own code where it is told apart.
fn frames(exception: &Json) -> Vec<String> {
    let Some(Json::Array(frames)) = exception.get("stacktrace").and_then(|stack| stack.get("frames")) else {
        return Vec::new();
    };
    let is_own = |frame: &&Json| frame.get("in_app") == Some(&Json::Bool(true));
    let named = |frame: &Json| {
        let text = |key: &str| frame.get(key).and_then(Json::as_str).unwrap_or_default();
        let place = if text("module").is_empty() { text("filename") } else { text("module") };
        format!("{place}:{}", text("function"))
    };
    let own: Vec<_> = frames.iter().filter(is_own).collect();
    let told = if own.is_empty() { frames.iter().collect() } else { own };
    told.into_iter().rev().take(FRAMES).map(named).collect()
}

/// A text with `#` in the place of numbers and ids.
fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for word in text.split_inclusive(|character: char| !character.is_ascii_alphanumeric()) {
        let end = word.trim_end_matches(|character: char| !character.is_ascii_alphanumeric()).len();
        let (word, separator) = word.split_at(end);
        let is_id = word.len() >= HEX_RUN && word.chars().all(|character| character.is_ascii_hexdigit());
        let mut digits = false;
        for character in word.chars() {
            match is_id || character.is_ascii_digit() {
                true if digits => {}
                true => kept.push('#'),
                false => kept.push(character),
            }
            digits = is_id || character.is_ascii_digit();
        }
        kept.push_str(separator);
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Outline, without_numbers};

    fn outline(event: &Value) -> Outline {
        let event = event.to_string();
        let envelope = format!(
            "{{}}\n{{\"type\":\"session\"}}\n{{}}\n{{\"type\":\"event\",\"length\":{}}}\n{event}\n",
            event.len()
        );
        Outline::of(envelope.as_bytes()).expect("an event")
    }

    fn panic(value: &str, function: &str) -> Value {
        let frames = json!([
            { "function": "main", "module": "app", "in_app": true },
            { "function": function, "module": "app::orders", "in_app": true },
            { "function": "begin_unwind", "module": "std" },
        ]);
        json!({ "exception": { "values": [{ "type": "panic", "value": value, "stacktrace": { "frames": frames } }] } })
    }

    #[test]
    fn an_event_is_told_by_its_exception_or_its_message() {
        for (event, title) in [
            (panic("no seat 7", "reserve"), "panic: no seat 7"),
            (json!({ "exception": [{ "value": "late" }] }), "late"),
            (json!({ "exception": {} , "message": "said"}), "an exception without a name"),
            (json!({ "logentry": { "formatted": "order 7 failed" } }), "order 7 failed"),
            (json!({ "message": { "message": "order %s failed", "formatted": "order 7 failed" } }), "order %s failed"),
            (json!({ "message": 7, "transaction": "GET /events" }), "GET /events"),
            (json!({}), "an event without a message"),
        ] {
            assert_eq!(outline(&event).title, title, "{event}");
        }
        assert_eq!(outline(&json!({ "level": "warning" })).level, "warning");
        for no_event in ["", "{}", "{}\n{\"type\":\"event\"}\nno JSON", "{}\n{\"type\":\"transaction\"}\n{}"] {
            assert_eq!(Outline::of(no_event.as_bytes()), None, "{no_event}");
        }
    }

    #[test]
    fn events_are_of_one_kind_by_fingerprint_stack_or_message() {
        let same = |one: &Value, other: &Value| outline(one).kind == outline(other).kind;
        assert!(same(&panic("no seat 7", "reserve"), &panic("no row", "reserve")));
        assert!(!same(&panic("no seat 7", "reserve"), &panic("no seat 7", "pay")));
        let message = |text: &str| json!({ "message": text });
        assert!(same(&message("order 7 of 12 failed"), &message("order 81 of 3 failed")));
        assert!(!same(&message("order 7 failed"), &message("payment 7 failed")));
        let given = |fingerprint: Value, text: &str| json!({ "fingerprint": fingerprint, "message": text });
        assert!(same(&given(json!(["mine"]), "one"), &given(json!(["mine"]), "two")));
        assert!(!same(&given(json!(["mine"]), "one"), &given(json!(["other"]), "one")));
        assert!(!same(&given(json!(["{{ default }}", "a"]), "one"), &given(json!(["{{ default }}", "a"]), "two")));
    }

    #[test]
    fn numbers_and_ids_are_left_out() {
        for (text, kept) in [
            ("order 7 of 12", "order # of #"),
            ("user 550e8400-e29b-41d4-a716-446655440000!", "user #-e#b-#d#-a#-#!"),
            ("key deadbeefcafe gone", "key # gone"),
            ("café v2: feedback", "café v#: feedback"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(text), kept);
        }
    }
}
