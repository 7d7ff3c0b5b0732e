//! What is removed from an event before it leaves the process: secrets and personal data, by the names of fields and by what
//! texts look like.

use std::{collections::HashSet, fmt, sync::LazyLock};

use regex::{Captures, Regex};
use sentry::protocol::{Event, Map, Stacktrace, Value};

/// Stands for a value whose name says that it is secret.
const FILTERED: &str = "[Filtered]";

/// What stays of a text that a rule applies to.
type Replacement = Box<dyn Fn(&Captures<'_>) -> String + Send + Sync>;

/// Removes secrets and personal data from events: passwords, tokens, keys, cookies, `Authorization`, e-mail addresses, numbers of
/// cards, users in URLs, and the names of home folders. What is allowed stays, and rules can be added.
///
/// ```
/// use futura_metrics::telemetry::Scrubber;
///
/// let scrubber = Scrubber::default().allow("token_count").replace(r"\bTK-\d+\b", "[order]").expect("a pattern");
/// assert_eq!(scrubber.text("TK-7 of jane@example.org, password=hunter2"), "[order] of [email], password=[secret]");
/// ```
pub struct Scrubber {
    allowed: HashSet<String>,
    added: Vec<(Regex, String)>,
}

/// A rule that is always there.
struct Rule {
    pattern: Regex,
    replace: Replacement,
}

/// Names, in small letters, whose values are secret wherever they stand.
static SECRET_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|cookie|credential|session[_-]?id|csrf|xsrf",
    )
});

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(rules);

/// Compiles the rules ahead of need, for which the first event would wait.
pub(super) fn prepare() {
    LazyLock::force(&RULES);
    LazyLock::force(&SECRET_NAME);
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the tests compile it")
}

fn rules() -> Vec<Rule> {
    let rule = |text: &str, replace: &'static str| Rule {
        pattern: pattern(text),
        replace: Box::new(move |found| {
            let mut replaced = String::new();
            found.expand(replace, &mut replaced);
            replaced
        }),
    };
    let card =
        |found: &Captures<'_>| if holds_card(&found[0]) { "[creditcard]".to_owned() } else { found[0].to_owned() };
    vec![
        rule(r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\z)", "$1[key]$2"),
        rule(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@'\x22]+@", "$1[auth]@"),
        rule(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}", "$1 [secret]"),
        rule(
            r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|AKIA[A-Z0-9]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)",
            "[token]",
        ),
        rule(
            r#"(?i)\b([\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|cookie|credential|session[_-]?id)[\w-]*\\?["']?\s*[=:]\s*\\?["']?)(?:\[[a-z]+\]|[^\s"'&,;}\\`]+)"#,
            "$1[secret]",
        ),
        rule(r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}", "[email]"),
        Rule { pattern: pattern(r"\b\d(?:[ -]?\d){12,60}\b"), replace: Box::new(card) },
        rule(r"(/home/|/Users/|[A-Za-z]:\\Users\\)[^/\\\s:]+", "$1[user]"),
    ]
}

/// Whether groups of digits hold the number of a card, with others before and after them.
fn holds_card(text: &str) -> bool {
    let groups: Vec<&str> = text.split([' ', '-']).collect();
    (0..groups.len()).any(|first| (first..groups.len()).any(|last| is_card(&groups[first..=last].concat())))
}

/// Whether digits are the number of a card, by its length and its last digit (Luhn).
fn is_card(digits: &str) -> bool {
    // Cards begin with 2 to 6; times in nanoseconds begin with 1.
    if !(13..=19).contains(&digits.len()) || !digits.starts_with(['2', '3', '4', '5', '6']) {
        return false;
    }
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let digits = digits.chars().rev().filter_map(|character| character.to_digit(10)).enumerate();
    let sum: u32 = digits.map(|(place, digit)| if place.is_multiple_of(2) { digit } else { doubled(digit) }).sum();
    sum.is_multiple_of(10)
}

// === impl Scrubber ===

impl Scrubber {
    /// Leaves the values of fields of this name alone.
    pub fn allow(mut self, name: &str) -> Self {
        self.allowed.insert(name.to_ascii_lowercase());
        self
    }

    /// Puts `replacement` in the place of what a regular expression finds in any text; `$1` is its first group.
    ///
    /// # Errors
    /// When the expression is none.
    pub fn replace(mut self, expression: &str, replacement: &str) -> Result<Self, regex::Error> {
        self.added.push((Regex::new(expression)?, replacement.to_owned()));
        Ok(self)
    }

    /// A text without what is secret or personal in it.
    pub fn text(&self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for (pattern, replacement) in &self.added {
            scrubbed = pattern.replace_all(&scrubbed, replacement.as_str()).into_owned();
        }
        for Rule { pattern, replace } in RULES.iter() {
            if pattern.is_match(&scrubbed) {
                scrubbed = pattern.replace_all(&scrubbed, replace).into_owned();
            }
        }
        scrubbed
    }

    pub(super) fn event(&self, event: &mut Event<'static>) {
        let texts = [&mut event.message, &mut event.transaction, &mut event.culprit];
        texts.into_iter().flatten().for_each(|text| self.in_place(text));
        if let Some(entry) = &mut event.logentry {
            self.in_place(&mut entry.message);
            entry.params.iter_mut().for_each(|param| self.value(param));
        }
        for exception in &mut event.exception.values {
            exception.value.iter_mut().for_each(|text| self.in_place(text));
            let stacks = [&mut exception.stacktrace, &mut exception.raw_stacktrace];
            stacks.into_iter().flatten().for_each(|stack| self.stack(stack));
        }
        event.stacktrace.iter_mut().for_each(|stack| self.stack(stack));
        event
            .threads
            .values
            .iter_mut()
            .filter_map(|thread| thread.stacktrace.as_mut())
            .for_each(|stack| self.stack(stack));
        for breadcrumb in &mut event.breadcrumbs.values {
            breadcrumb.message.iter_mut().for_each(|text| self.in_place(text));
            self.map(&mut breadcrumb.data);
        }
        self.texts(&mut event.tags);
        self.map(&mut event.extra);
        if let Some(user) = &mut event.user {
            (user.email, user.ip_address) = (user.email.take().map(|_| "[email]".to_owned()), None);
            user.username.iter_mut().for_each(|text| self.in_place(text));
            self.map(&mut user.other);
        }
        if let Some(request) = &mut event.request {
            request.url = request.url.take().and_then(|url| self.text(url.as_str()).parse().ok());
            request.cookies = request.cookies.take().map(|_| FILTERED.to_owned());
            [&mut request.data, &mut request.query_string].into_iter().flatten().for_each(|text| self.in_place(text));
            self.texts(&mut request.headers);
            self.texts(&mut request.env);
        }
    }

    fn stack(&self, stack: &mut Stacktrace) {
        for frame in &mut stack.frames {
            let paths = [&mut frame.filename, &mut frame.abs_path];
            paths.into_iter().flatten().for_each(|path| self.in_place(path));
            self.map(&mut frame.vars);
        }
    }

    fn map(&self, fields: &mut Map<String, Value>) {
        for (name, value) in fields {
            if self.is_secret(name) { *value = FILTERED.into() } else { self.value(value) }
        }
    }

    fn texts(&self, fields: &mut Map<String, String>) {
        for (name, text) in fields {
            if self.is_secret(name) { *text = FILTERED.to_owned() } else { self.in_place(text) }
        }
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.in_place(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.is_secret(name) { *value = FILTERED.into() } else { self.value(value) }
                }
            }
            Value::Number(number) if is_card(&number.to_string()) => {
                *value = "[creditcard]".into();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn is_secret(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        SECRET_NAME.is_match(&name) && !self.allowed.contains(&name)
    }

    fn in_place(&self, text: &mut String) {
        *text = self.text(text);
    }
}

impl Default for Scrubber {
    /// Removes what is removed without a rule of one's own.
    fn default() -> Self {
        Self { allowed: HashSet::new(), added: Vec::new() }
    }
}

impl Clone for Scrubber {
    fn clone(&self) -> Self {
        Self { allowed: self.allowed.clone(), added: self.added.clone() }
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scrubber").field("allowed", &self.allowed).field("added", &self.added.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::any, prop_assert, proptest, sample::select};
    use sentry::protocol::{Breadcrumb, Event, Exception, Frame, Request, Stacktrace, User};
    use serde_json::json;

    use super::Scrubber;

    const SECRETS: [&str; 10] = [
        "jane@example.org",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "Bearer 0123456789abcdef",
        "password=hunter2",
        "\"api_key\": \"hunter2\"",
        "postgres://app:hunter2@db:5432/x",
        "/home/jane/app",
    ];

    /// What must not be seen of each of them.
    const SEEN: [&str; 7] = ["jane", "1111", "ghp_", "eyJ", "0123456789", "hunter2", "app:"];

    #[test]
    fn texts_keep_what_is_no_secret() {
        let scrubber = Scrubber::default();
        for kept in [
            "order 7 of 12 failed after 1700000000123456789 ns",
            "trace 4c79f60c11214eb38604f4ae0781bfb2",
            "unexpected token: `}` at line 3",
            "https://shop.example.org/events/7?page=2",
            "the password is too short",
            "core::result::unwrap_failed at src/main.rs:12:5",
            "react@18.2.0",
        ] {
            assert_eq!(scrubber.text(kept), kept);
        }
    }

    #[test]
    fn nothing_secret_is_left_of_an_event() {
        let everywhere = SECRETS.join(" and ");
        let fields =
            json!({ "note": everywhere, "nested": [{ "password": "hunter2", "card": 4_111_111_111_111_111_u64 }] });
        let frame = Frame {
            abs_path: Some("/home/jane/src/main.rs".to_owned()),
            vars: [("token".to_owned(), json!("hunter2"))].into(),
            ..Frame::default()
        };
        let mut event = Event {
            message: Some(everywhere.clone()),
            exception: vec![Exception {
                value: Some(everywhere.clone()),
                stacktrace: Some(Stacktrace { frames: vec![frame], ..Stacktrace::default() }),
                ..Exception::default()
            }]
            .into(),
            breadcrumbs: vec![Breadcrumb { message: Some(everywhere.clone()), ..Breadcrumb::default() }].into(),
            tags: [("note".to_owned(), everywhere.clone()), ("x-api-key".to_owned(), "hunter2".to_owned())].into(),
            extra: [("fields".to_owned(), fields)].into(),
            user: Some(User { email: Some("jane@example.org".to_owned()), ..User::default() }),
            request: Some(Request {
                url: "http://app:hunter2@shop/?token=hunter2".parse().ok(),
                cookies: Some("theme=hunter2".to_owned()),
                headers: [("Authorization".to_owned(), "hunter2".to_owned())].into(),
                ..Request::default()
            }),
            ..Event::default()
        };
        Scrubber::default().event(&mut event);
        let text = serde_json::to_string(&event).expect("JSON");
        for seen in SEEN {
            assert!(!text.contains(seen), "{seen} in {text}");
        }
    }

    #[test]
    fn what_is_allowed_stays() {
        let mut event = Event { extra: [("token_count".to_owned(), json!(7))].into(), ..Event::default() };
        Scrubber::default().allow("token_count").event(&mut event);
        assert_eq!(event.extra["token_count"], 7);
        Scrubber::default().event(&mut event);
        assert_eq!(event.extra["token_count"], "[Filtered]");
        assert!(Scrubber::default().replace("(", "").is_err());
    }

    proptest! {
        #[test]
        fn a_planted_secret_never_leaves(before in "[ -~]{0,30}", secret in select(SECRETS.to_vec()), after in "[ -~]{0,30}", glued in any::<bool>()) {
            let space = if glued { "\n" } else { " " };
            let scrubbed = Scrubber::default().text(&format!("{before}{space}{secret}{space}{after}"));
            prop_assert!(!scrubbed.contains(secret), "{scrubbed}");
            prop_assert!(!scrubbed.contains("hunter2") || before.contains("hunter2") || after.contains("hunter2"), "{scrubbed}");
        }
    }
}
