//! Regular expressions as Go reads them (RE2), searched in bodies of any length within bounded memory.

use std::{fmt, sync::Arc};

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::{
    Anchored,
    hybrid::{
        LazyStateID,
        dfa::{Cache, DFA},
    },
    nfa::thompson,
    util::{start, syntax},
};
use serde_yaml::Value;

use crate::config::form;

/// How large a compiled pattern may be, in bytes.
const SIZE_LIMIT: usize = 1024 * 1024;

/// How much memory one search may take, in bytes; beyond it what was learnt of the pattern is learnt again.
const CACHE_LIMIT: usize = 128 * 1024;

/// A pattern that is searched in a body as it arrives, without keeping it.
#[derive(Clone)]
pub(crate) struct BodyPattern {
    text: String,
    dfa: Arc<DFA>,
}

/// A search under way.
pub(crate) struct Search<'a> {
    dfa: &'a DFA,
    cache: Cache,
    state: LazyStateID,
    found: bool,
}

/// A pattern for text that is at hand, as Go reads it.
pub(crate) fn pattern(value: &Value) -> Result<Regex, String> {
    let built = RegexBuilder::new(&translate(&form::text(value)?)).size_limit(SIZE_LIMIT).build();
    built.map_err(|error| wrong(&error.to_string()))
}

/// A pattern for a body, as Go reads it.
pub(crate) fn body_pattern(value: &Value) -> Result<BodyPattern, String> {
    let text = form::text(value)?;
    let dfa = DFA::builder()
        .configure(DFA::config().cache_capacity(CACHE_LIMIT).skip_cache_capacity_check(true))
        // A body may be of any bytes.
        .syntax(syntax::Config::new().utf8(false))
        .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(SIZE_LIMIT)))
        .build(&translate(&text))
        .map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            wrong(&cause.to_string())
        })?;
    Ok(BodyPattern { text, dfa: Arc::new(dfa) })
}

/// A pattern's syntax error draws an arrow over several lines; the last one says it.
fn wrong(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", last.trim_start_matches("error: ").trim_end_matches('.'))
}

/// Writes out what means ASCII alone in Go: `\d`, `\s`, `\w` and `\b`.
fn translate(pattern: &str) -> String {
    let (mut translated, mut in_class) = (String::with_capacity(pattern.len()), false);
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match (characters.next(), in_class) {
                (Some('d'), _) => translated.push_str(if in_class { "0-9" } else { "[0-9]" }),
                (Some('w'), _) => translated.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                (Some('s'), _) => translated.push_str(if in_class { r"\t\n\f\r\x20" } else { r"[\t\n\f\r\x20]" }),
                (Some('D'), _) => translated.push_str("[^0-9]"),
                (Some('W'), _) => translated.push_str("[^0-9A-Za-z_]"),
                (Some('S'), _) => translated.push_str(r"[^\t\n\f\r\x20]"),
                (Some(boundary @ ('b' | 'B')), false) => translated.push_str(&format!(r"(?-u:\{boundary})")),
                (Some('Q'), false) => {
                    let quoted: String = characters.by_ref().collect();
                    let (text, rest) = quoted.split_once(r"\E").unwrap_or((&quoted, ""));
                    return translated + &regex::escape(text) + &translate(rest);
                }
                (Some(other), _) => translated.extend(['\\', other]),
                (None, _) => translated.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                translated.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    translated.push('^');
                }
                // A bracket that comes first is one of the class.
                if characters.next_if_eq(&']').is_some() {
                    translated.push_str(r"\]");
                }
            }
            // Classes have no operators in Go.
            '[' if characters.peek() != Some(&':') => translated.push_str(r"\["),
            '&' | '~' if in_class => translated.extend(['\\', character]),
            '[' => {
                // `[:alpha:]` and its like.
                translated.push('[');
                for inner in characters.by_ref() {
                    translated.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            ']' => {
                in_class = false;
                translated.push(']');
            }
            other => translated.push(other),
        }
    }
    translated
}

// === impl BodyPattern ===

impl BodyPattern {
    pub(crate) fn search(&self) -> Search<'_> {
        let mut cache = self.dfa.create_cache();
        let start = self.dfa.start_state(&mut cache, &start::Config::new().anchored(Anchored::No));
        // It fails for what this pattern has been built without: quitting at certain bytes.
        let (state, found) = start.map_or((LazyStateID::default(), true), |state| (state, false));
        Search { dfa: &self.dfa, cache, state, found }
    }
}

impl fmt::Display for BodyPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for BodyPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.text)
    }
}

// === impl Search ===

impl Search<'_> {
    /// Goes on with the next bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.found {
                return;
            }
            // What a state says of a match comes one byte late.
            match self.dfa.next_state(&mut self.cache, self.state, *byte) {
                Ok(state) => self.state = state,
                Err(_) => return,
            }
            self.found = self.state.is_match();
        }
    }

    /// Whether the pattern matched somewhere, now that the body has ended.
    pub(crate) fn finish(mut self) -> bool {
        self.found || self.dfa.next_eoi_state(&mut self.cache, self.state).is_ok_and(|state| state.is_match())
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, body_pattern, pattern};

    fn matches(text: &str, body: &[u8]) -> bool {
        let value = Value::String(text.to_owned());
        let (whole, streamed) = (pattern(&value).expect("a pattern"), body_pattern(&value).expect("a pattern"));
        let found = whole.is_match(body);
        for size in [1, 2, 7, 1000] {
            let mut search = streamed.search();
            body.chunks(size).for_each(|chunk| search.feed(chunk));
            assert_eq!(search.finish(), found, "`{text}` in pieces of {size}");
        }
        found
    }

    #[test]
    fn a_body_in_pieces_matches_as_a_whole() {
        for (text, body, expected) in [
            ("foo", "a foo b", true),
            ("^foo$", "foo", true),
            ("^foo$", "foo\n", false),
            ("(?m)^b$", "a\nb\nc", true),
            ("", "", true),
            ("x$", "yyyx", true),
            ("o{3,}", "foo", false),
            ("(?i)STATUS: *ok", "status:  OK!", true),
            ("(?s)a.*z", "a\nz", true),
            ("a.*z", "a\nz", false),
            (r"\bword\b", "a word.", true),
            (r"\bword\b", "swords", false),
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\d.]+$", "1.2", true),
            (r"^[^\s]+$", "a\u{a0}b", true),
            (r"[[:alpha:]]+9", "ab9", true),
            (r"^[]a]+$", "]a]", true),
            (r"^[a&&b]+$", "&a", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"^.$", "é", true),
        ] {
            assert_eq!(matches(text, body.as_bytes()), expected, "`{text}` in {body:?}");
        }
        assert!(matches("a", b"\xff\xfea"));
    }

    #[test]
    fn what_is_no_pattern_is_told_in_a_line() {
        for text in ["(a", "a{1000}{1000}{1000}"] {
            let error = body_pattern(&Value::String(text.to_owned())).expect_err("no pattern");
            assert!(error.starts_with("not a regular expression") && !error.contains('\n'), "{error}");
        }
    }
}
