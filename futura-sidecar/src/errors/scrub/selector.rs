//! Selectors: where in an event rules apply, as Relay writes them, such as `$http.headers.* && !'user-agent'`.

use std::{iter, str::FromStr};

use super::{
    path::{Kind, Step},
    schema::{Pii, Role},
};

/// How deep parentheses may be nested.
const DEPTH_LIMIT: usize = 16;

/// How long a selector may be, in bytes. Relay's own for the cookies of sessions is of 3,000.
const LENGTH_LIMIT: usize = 16 * 1024;

/// A selector. The order is the one that Relay applies them in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Selector {
    And(Vec<Selector>),
    Or(Vec<Selector>),
    Not(Box<Selector>),
    Path(Vec<Part>),
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Type(Type),
    Index(usize),
    Key(String),
    /// `*`: any one step.
    Any,
    /// `**`: one step or more.
    Deep,
}

/// What stands behind a `$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    Kind(Kind),
    Role(Role),
    /// A type of Relay's that has nothing here.
    Nothing,
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{selector}` is no selector: {reason}")]
pub(super) struct SelectorError {
    selector: String,
    reason: String,
}

struct Parser<'a> {
    rest: &'a str,
}

// === impl Selector ===

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let wrong = |reason: String| SelectorError { selector: text.chars().take(100).collect(), reason };
        if text.len() > LENGTH_LIMIT {
            return Err(wrong(format!("it is longer than {LENGTH_LIMIT} bytes")));
        }
        let mut parser = Parser { rest: text };
        let selector = parser.or(0).map_err(wrong)?;
        parser.rest = parser.rest.trim_start();
        match parser.rest.chars().next() {
            Some(character) => Err(wrong(format!("`{character}` is out of place: quote keys such as 'my key'"))),
            None => Ok(selector),
        }
    }
}

impl Selector {
    /// Whether it selects what the step leads to.
    pub(super) fn matches(&self, step: &Step<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|selector| selector.matches(step)),
            Self::Or(any) => any.iter().any(|selector| selector.matches(step)),
            Self::Not(selector) => !selector.matches(step),
            Self::Path(parts) => (step.pii == Pii::Yes || names(parts)) && ends(parts, Some(step)),
        }
    }
}

/// Whether a path says what it wants: by `**` and by types nothing is named.
fn names(parts: &[Part]) -> bool {
    !parts.contains(&Part::Deep) && !matches!(parts.last(), Some(Part::Type(_)))
}

/// Whether the last steps are what the parts say.
fn ends(parts: &[Part], step: Option<&Step<'_>>) -> bool {
    let (Some((part, parts)), Some(step)) = (parts.split_last(), step) else { return parts.is_empty() };
    match part {
        // There is one `**` at most, so this looks at each step a few times and no more.
        Part::Deep => {
            parts.is_empty()
                || iter::successors(step.parent, |above| above.parent).any(|above| ends(parts, Some(above)))
        }
        _ => part.matches(step) && ends(parts, step.parent),
    }
}

// === impl Part ===

impl Part {
    fn matches(&self, step: &Step<'_>) -> bool {
        match self {
            Self::Type(Type::Kind(kind)) => step.kind == *kind,
            Self::Type(Type::Role(role)) => step.role == Some(*role),
            Self::Type(Type::Nothing) => false,
            Self::Index(index) => step.index == Some(*index),
            Self::Key(key) => step.index.is_none() && step.key.eq_ignore_ascii_case(key),
            Self::Any | Self::Deep => true,
        }
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn or(&mut self, depth: usize) -> Result<Selector, String> {
        let mut any = vec![self.and(depth)?];
        while self.take("||") {
            any.push(self.and(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Selector::Or(any) })
    }

    fn and(&mut self, depth: usize) -> Result<Selector, String> {
        let mut all = vec![self.not(depth)?];
        while self.take("&&") {
            all.push(self.not(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Selector::And(all) })
    }

    fn not(&mut self, depth: usize) -> Result<Selector, String> {
        if self.take("!") || self.take("~") {
            return Ok(Selector::Not(Box::new(self.one(depth)?)));
        }
        self.one(depth)
    }

    fn one(&mut self, depth: usize) -> Result<Selector, String> {
        if !self.take("(") {
            return self.path();
        }
        if depth == DEPTH_LIMIT {
            return Err(format!("parentheses are nested more than {DEPTH_LIMIT} deep"));
        }
        let inner = self.or(depth + 1)?;
        if self.take(")") { Ok(inner) } else { Err("a `)` is missing".to_owned()) }
    }

    fn path(&mut self) -> Result<Selector, String> {
        self.rest = self.rest.trim_start();
        let mut parts = vec![self.part()?];
        while let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            parts.push(self.part()?);
        }
        if parts.iter().filter(|part| **part == Part::Deep).count() > 1 {
            return Err("there may be one `**` in a path".to_owned());
        }
        if parts == [Part::Any] {
            return Err("`*` alone selects nothing in particular: write `**` for everything".to_owned());
        }
        Ok(Selector::Path(parts))
    }

    fn part(&mut self) -> Result<Part, String> {
        if let Some(rest) = self.rest.strip_prefix("**") {
            self.rest = rest;
            return Ok(Part::Deep);
        }
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            return Ok(Part::Any);
        }
        if let Some(rest) = self.rest.strip_prefix('\'') {
            self.rest = rest;
            return self.quoted();
        }
        if let Some(rest) = self.rest.strip_prefix('$') {
            self.rest = rest;
            let name = self.word();
            return Type::named(name).map(Part::Type).ok_or_else(|| format!("there is no type `${name}`"));
        }
        match self.word() {
            "" => Err("a key is missing, such as in `extra.key`".to_owned()),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map(Part::Index).map_err(|_| format!("`{digits}` is too large"))
            }
            word => Ok(Part::Key(word.to_owned())),
        }
    }

    fn word(&mut self) -> &str {
        let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        let end = self.rest.find(|character| !allowed(character)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A key in quotes, of which the first is taken; two in a row are one in the key.
    fn quoted(&mut self) -> Result<Part, String> {
        let mut key = String::new();
        loop {
            let Some((before, after)) = self.rest.split_once('\'') else {
                return Err("a closing `'` is missing".to_owned());
            };
            key.push_str(before);
            self.rest = after;
            match after.strip_prefix('\'') {
                Some(after) => {
                    key.push('\'');
                    self.rest = after;
                }
                None if key.is_empty() => return Err("a key may not be empty".to_owned()),
                None => return Ok(Part::Key(key)),
            }
        }
    }
}

// === impl Type ===

impl Type {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::Kind(Kind::String),
            "number" => Self::Kind(Kind::Number),
            "bool" | "boolean" => Self::Kind(Kind::Bool),
            "array" => Self::Kind(Kind::Array),
            "object" => Self::Kind(Kind::Object),
            "exception" | "error" => Self::Role(Role::Exception),
            "stacktrace" => Self::Role(Role::Stacktrace),
            "frame" => Self::Role(Role::Frame),
            "request" | "http" => Self::Role(Role::Request),
            "user" => Self::Role(Role::User),
            "logentry" => Self::Role(Role::LogEntry),
            "message" => Self::Role(Role::Message),
            "thread" => Self::Role(Role::Thread),
            "breadcrumb" => Self::Role(Role::Breadcrumb),
            "span" => Self::Role(Role::Span),
            "sdk" => Self::Role(Role::Sdk),
            "log" => Self::Role(Role::Log),
            "datetime" | "event" | "attachments" | "replay" | "minidump" | "heap_memory" | "stack_memory"
            | "binary" => Self::Nothing,
            _ => return None,
        })
    }
}
