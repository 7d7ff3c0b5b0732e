//! What a record of a log says: whether it is of an error, and the event that it becomes.

use std::{path::Path, sync::LazyLock};

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{positions::Identity, record::Record};
use crate::errors::envelope::derived_id;

/// How far into a line its level is looked for, in bytes.
const LEVEL_WITHIN: usize = 120;

/// A level as loggers write it: in capitals, in brackets, or by its key.
static LEVEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?x)\b(?:ERROR|FATAL|CRITICAL|SEVERE|PANIC|EMERG|ALERT)\b | \[(?:error|fatal|crit|alert|emerg)\] | \b(?:level|lvl|severity)="?(?:error|fatal|critical|panic)\b | ^E[0-9]{4}\s"#,
    )
});

/// What runtimes write when a program fails.
static FAILURE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:Traceback \(most recent call last\)|panic: |fatal error: |Exception in thread |Uncaught |Unhandled |thread '.*' panicked at )",
    )
});

/// What lines begin with that are records of their own: a time, a level, or an object.
static BEGINNING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:\[?\d{4}[-/]\d\d[-/]\d\d|\[?\d\d:\d\d:\d\d|[A-Z]{4,8}\b[ :]|[IWEF]\d{4} |\{|time=|level=)")
});

/// The line that names an error: its type, and what it says.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^(?:Exception in thread "[^"]*" |Uncaught |Unhandled )?([A-Za-z_$][\w.$]*(?:Error|Exception|Exit|Interrupt|Warning|Failure)): ?(.*)$"#,
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the tests compile it")
}

/// Whether a text is of an error.
pub(super) fn is_error(text: &str) -> bool {
    let start = &text[..text.floor_char_boundary(LEVEL_WITHIN)];
    let line = start.lines().next().unwrap_or_default();
    LEVEL.is_match(line) || FAILURE.is_match(line)
}

/// Whether a line is a record of its own, whatever is before it.
pub(super) fn begins_record(line: &str) -> bool {
    BEGINNING.is_match(line)
}

/// The event of a record; none where it is of no error.
pub(super) fn of(record: &Record, path: &Path, identity: &Identity) -> Option<Value> {
    let fields = match serde_json::from_str(&record.text) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let mut event = match &fields {
        Some(fields) => of_fields(fields)?,
        None if is_error(&record.text) => of_text(&record.text),
        None => return None,
    };
    let told = json!(["futura-log", identity.device, identity.inode, record.offset, record.text]);
    event["event_id"] = json!(derived_id(&told).simple());
    event["platform"] = json!("other");
    event["tags"] = json!({ "log": path.file_name().map(|name| name.to_string_lossy()) });
    event["extra"]["log_path"] = json!(path);
    Some(event)
}

fn of_text(text: &str) -> Value {
    let first = text.lines().next().unwrap_or_default();
    let mut event = json!({ "level": "error", "logentry": { "formatted": first }, "extra": {} });
    if let Some(exception) = exception(text) {
        event["exception"] = json!({ "values": [exception] });
    }
    if text.contains('\n') {
        event["extra"]["record"] = json!(text);
    }
    event
}

/// Of a record in JSON, as the usual loggers write it.
fn of_fields(fields: &Map<String, Value>) -> Option<Value> {
    let text = |keys: &[&str]| keys.iter().find_map(|key| fields.get(*key)?.as_str());
    let level = level(fields)?;
    let nested = fields.get("fields").and_then(|nested| nested.get("message")).and_then(Value::as_str);
    let message = text(&["message", "msg", "event", "log"]).or(nested);
    let stack = text(&["stack", "stack_trace", "stacktrace", "exc_info", "exception", "traceback", "backtrace"]);
    let failure = text(&["error", "err"]).or(stack);
    let extra: Map<_, _> = fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut event = json!({
        "level": level,
        "logentry": { "formatted": message.or(failure).unwrap_or("an error without a message") },
        "logger": text(&["logger", "target", "logger_name", "name"]),
        "extra": extra,
    });
    if let Some(timestamp) = text(&["timestamp", "time", "ts", "@timestamp"]) {
        event["timestamp"] = json!(timestamp);
    }
    if let Some(exception) = stack.and_then(exception) {
        event["exception"] = json!({ "values": [exception] });
    }
    if let Some(trace) = trace(fields) {
        event["contexts"] = json!({ "trace": trace });
    }
    Some(event)
}

/// The level where it is that of an error.
fn level(fields: &Map<String, Value>) -> Option<&'static str> {
    let level = ["level", "severity", "levelname", "lvl"].iter().find_map(|key| fields.get(*key))?;
    match level {
        // As pino and Bunyan number them.
        Value::Number(number) => match number.as_u64()? {
            60.. => Some("fatal"),
            50..60 => Some("error"),
            _ => None,
        },
        Value::String(name) => match name.to_ascii_lowercase().as_str() {
            "error" | "err" | "severe" => Some("error"),
            "fatal" | "critical" | "crit" | "panic" | "dpanic" | "alert" | "emerg" | "emergency" => Some("fatal"),
            _ => None,
        },
        _ => None,
    }
}

/// The trace that a record belongs to, as OpenTelemetry has it.
fn trace(fields: &Map<String, Value>) -> Option<Value> {
    let nested = fields.get("span").and_then(Value::as_object);
    let hex = |keys: [&str; 2], length: usize| {
        let find =
            |fields: &Map<String, Value>| keys.iter().find_map(|key| fields.get(*key)?.as_str().map(str::to_owned));
        let is_hex = |text: &String| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        find(fields).or_else(|| nested.and_then(find)).filter(is_hex)
    };
    Some(json!({ "trace_id": hex(["trace_id", "traceId"], 32)?, "span_id": hex(["span_id", "spanId"], 16)? }))
}

/// The error that a stack trace is of, by the line that names it: the last one in Python, the first elsewhere.
fn exception(text: &str) -> Option<Value> {
    if let Some((_, after)) = text.split_once("' panicked at ") {
        let mut lines = after.lines();
        let place = lines.next().unwrap_or_default().trim_end_matches(':');
        return Some(json!({ "type": "panic", "value": lines.next().unwrap_or(place) }));
    }
    if let Some(said) = text.strip_prefix("panic: ") {
        return Some(json!({ "type": "panic", "value": said.lines().next() }));
    }
    let is_python = text.contains("Traceback (most recent call last)");
    let mut named = text.lines().filter(|line| !line.starts_with([' ', '\t'])).filter_map(|line| NAMED.captures(line));
    let named = if is_python { named.next_back() } else { named.next() }?;
    Some(json!({ "type": named[1], "value": named[2] }))
}
