//! The way from the top of an event to one of its parts, as selectors see it and as people read it.

use std::fmt;

use super::schema::{Pii, Role};
use crate::errors::json::Json;

/// JSON's types, in Relay's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    String,
    Number,
    Bool,
    Array,
    Object,
    Null,
}

/// One step of a way, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    /// The step before, none at the top.
    pub(super) parent: Option<&'a Step<'a>>,
    /// The key in a mapping; empty in a list.
    pub(super) key: &'a str,
    /// The place in a list.
    pub(super) index: Option<usize>,
    pub(super) kind: Kind,
    pub(super) role: Option<Role>,
    pub(super) pii: Pii,
}

// === impl Kind ===

impl Kind {
    pub(super) fn of(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Number(_) => Self::Number,
            Json::String(_) => Self::String,
            Json::Array(_) => Self::Array,
            Json::Object(_) => Self::Object,
        }
    }
}

// === impl Step ===

impl<'a> Step<'a> {
    /// The key by which rules go: attributes of logs and spans have theirs around `{"value": …}`.
    pub(super) fn rule_key(&self) -> &'a str {
        let attribute = self.parent.filter(|parent| {
            self.key == "value" && parent.parent.is_some_and(|attributes| attributes.key == "attributes")
        });
        attribute.map_or(self.key, |attribute| attribute.key)
    }
}

impl fmt::Display for Step<'_> {
    /// The way as a selector would have it: keys with dots between, in quotes where need be.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(formatter, "{parent}.")?;
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        // Digits alone are a place in a list.
        let word = self.key.bytes().all(plain) && !self.key.bytes().all(|byte| byte.is_ascii_digit());
        match self.index {
            Some(index) => write!(formatter, "{index}"),
            None if word => formatter.write_str(self.key),
            None => write!(formatter, "'{}'", self.key.replace('\'', "''")),
        }
    }
}
