//! What an answer over HTTP has to be like.

use std::{fmt, ops::RangeInclusive, time::Duration};

use futura_metrics::specs::checks::Reason;
use http::HeaderName;
use regex::bytes::Regex;
use serde_json::Value as Json;
use serde_yaml::Value;

use super::{Answer, JsonPath};
use crate::{
    checks::pattern::{literal, pattern},
    config::{Section, form},
    network::Failure,
};

/// How much of a value that was found is shown.
const SHOWN: usize = 60;

/// What an answer has to be like. Headers, body and JSON are looked at where the status is right.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// The statuses that are right, each a code or a class: `200`, `2xx` or `[2xx, 304]`. Default `2xx`.
    pub status: Vec<RangeInclusive<u16>>,
    /// Headers that have to be there, each with a regular expression that one of its values matches. Default none.
    pub(crate) headers_match: Vec<(HeaderName, Regex)>,
    /// Headers that must not be there. Default none.
    pub headers_absent: Vec<HeaderName>,
    /// A text that the body holds, within the bytes that are read of it. Default none.
    pub body_contains: Option<Regex>,
    /// A regular expression that matches in the body, within the bytes that are read of it. Default none.
    pub body_matches: Option<Regex>,
    /// What stands in a body of JSON, by path. Default nothing.
    pub(crate) json: Vec<(JsonPath, Json)>,
    /// Regular expressions that match what stands in a body of JSON, by path. Default none.
    pub(crate) json_matches: Vec<(JsonPath, Regex)>,
    /// How long a right answer may take, from the first look at the name to the last byte. Default as long as the check.
    pub latency_limit: Option<Duration>,
}

/// Writes ranges as they are configured.
struct Statuses<'a>(&'a [RangeInclusive<u16>]);

// === impl Expectations ===

impl Expectations {
    /// Reads what is expected among the other keys of a check or a step.
    pub(crate) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let status = section.or("status", statuses, vec![200..=299]);
        let headers_match = section.or("headers_match", |value| pairs(value, header_name, pattern), Vec::new());
        let headers_absent = section.or("headers_absent", absent, Vec::new());
        let body_contains = section.or("body_contains", |value| literal(value).map(Some), None);
        let body_matches = section.or("body_matches", |value| pattern(value).map(Some), None);
        let json = section.or("json", |value| pairs(value, path, json), Vec::new());
        let json_matches = section.or("json_matches", |value| pairs(value, path, pattern), Vec::new());
        let latency_limit = section.or("latency_limit", |value| form::duration(value).map(Some), None);
        Some(Self {
            status: status?,
            headers_match: headers_match?,
            headers_absent: headers_absent?,
            body_contains: body_contains?,
            body_matches: body_matches?,
            json: json?,
            json_matches: json_matches?,
            latency_limit: latency_limit?,
        })
    }

    pub(crate) fn judge(&self, answer: &Answer) -> Result<(), Failure> {
        let status = answer.status;
        if !self.status.iter().any(|range| range.contains(&status.as_u16())) {
            let why = if answer.stayed { ": the headers do not go to another origin" } else { "" };
            let expected = Statuses(&self.status);
            return Err(Failure::new(Reason::Status, format!("status {status}, expected {expected}{why}")));
        }
        self.judge_headers(answer)?;
        self.judge_body(&answer.body)?;
        self.judge_json(&answer.body)?;
        match self.latency_limit {
            Some(limit) if answer.took > limit => {
                let message = format!("the answer took {:?}, more than {limit:?}", answer.took);
                Err(Failure::new(Reason::Latency, message))
            }
            _ => Ok(()),
        }
    }

    fn judge_headers(&self, answer: &Answer) -> Result<(), Failure> {
        for (name, pattern) in &self.headers_match {
            let mut values = answer.headers.get_all(name).iter();
            if !values.any(|value| pattern.is_match(value.as_bytes())) {
                let what = if answer.headers.contains_key(name) { "does not match" } else { "is missing, expected" };
                return Err(Failure::new(Reason::Header, format!("the header `{name}` {what} `{pattern}`")));
            }
        }
        match self.headers_absent.iter().find(|name| answer.headers.contains_key(*name)) {
            Some(name) => Err(Failure::new(Reason::Header, format!("the header `{name}` is there"))),
            None => Ok(()),
        }
    }

    fn judge_body(&self, body: &[u8]) -> Result<(), Failure> {
        let patterns = [(&self.body_contains, "contain the text"), (&self.body_matches, "match the pattern")];
        for (pattern, what) in patterns {
            if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(body)) {
                return Err(Failure::new(Reason::Body, format!("the body of {} bytes does not {what}", body.len())));
            }
        }
        Ok(())
    }

    fn judge_json(&self, body: &[u8]) -> Result<(), Failure> {
        if self.json.is_empty() && self.json_matches.is_empty() {
            return Ok(());
        }
        let document = document(body)?;
        for (path, expected) in &self.json {
            let found = path.find(&document);
            if !found.is_some_and(|found| same(found, expected)) {
                return Err(Failure::new(Reason::Body, format!("{path} is {}, expected {expected}", shown(found))));
            }
        }
        for (path, pattern) in &self.json_matches {
            let found = path.find(&document);
            if !found.is_some_and(|found| pattern.is_match(text(found).as_bytes())) {
                return Err(Failure::new(
                    Reason::Body,
                    format!("{path} is {}, which does not match `{pattern}`", shown(found)),
                ));
            }
        }
        Ok(())
    }
}

/// A body as JSON.
pub(crate) fn document(body: &[u8]) -> Result<Json, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(Reason::Body, format!("the body is no JSON: {error}")))
}

/// A value as text, a text without its quotes.
pub(crate) fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Numbers are the same if their values are, be they written with a point or not.
fn same(found: &Json, expected: &Json) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => found == expected,
        _ => found == expected,
    }
}

fn shown(found: Option<&Json>) -> String {
    found.map_or_else(|| "not there".to_owned(), |found| found.to_string().chars().take(SHOWN).collect())
}

/// A mapping as pairs, each side of its form.
fn pairs<K, V>(
    value: &Value,
    key: impl Fn(&str) -> Result<K, String>,
    form: impl Fn(&Value) -> Result<V, String>,
) -> Result<Vec<(K, V)>, String> {
    let Value::Mapping(mapping) = value else { return Err(format!("{} is no mapping", form::shown(value))) };
    mapping.iter().map(|(name, value)| Ok((key(&form::text(name)?)?, form(value)?))).collect()
}

fn path(text: &str) -> Result<JsonPath, String> {
    text.to_owned().try_into()
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header's name"))
}

fn absent(value: &Value) -> Result<Vec<HeaderName>, String> {
    let Value::Sequence(values) = value else { return Err(format!("{} is no list of headers", form::shown(value))) };
    values.iter().map(|value| header_name(&form::text(value)?)).collect()
}

/// What has to stand somewhere: a text, a number, `true`, `false` or `null`.
fn json(value: &Value) -> Result<Json, String> {
    match value {
        Value::Sequence(_) | Value::Mapping(_) => {
            Err("only a single value is compared: name the path to it".to_owned())
        }
        value => serde_json::to_value(value).map_err(|_| format!("{} is no value of JSON", form::shown(value))),
    }
}

fn statuses(value: &Value) -> Result<Vec<RangeInclusive<u16>>, String> {
    let read = match value {
        Value::Sequence(values) if !values.is_empty() => values.iter().map(status).collect(),
        value => status(value).map(|range| vec![range]),
    };
    read.ok_or_else(|| "no status: write one such as `200`, a class such as `2xx`, or a list of them".to_owned())
}

fn status(value: &Value) -> Option<RangeInclusive<u16>> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(class * 100..=class * 100 + 99);
    }
    let code = text.parse().ok().filter(|code| (100..=599).contains(code))?;
    Some(code..=code)
}

// === impl Statuses ===

impl fmt::Display for Statuses<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            match range.start() == range.end() {
                true => write!(formatter, "{separator}{}", range.start())?,
                false => write!(formatter, "{separator}{}xx", range.start() / 100)?,
            }
        }
        Ok(())
    }
}
