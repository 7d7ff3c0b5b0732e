//! A text in pieces: what is still there, and what a rule has put in the place of something. With Relay's remarks, which say
//! for the second where it is, so that it is not scrubbed again and Sentry's pages show what was removed.

use ring::hmac;

use super::rules::Rule;
use crate::errors::json::Json;

/// What was done to a text, as one letter in a remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It is gone.
    Removed,
    /// A fixed text stands for it.
    Replaced,
    /// A star stands for each character.
    Masked,
    /// Its hash stands for it.
    Hashed,
}

/// How a rule redacts what it finds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) enum Redaction {
    /// As `Remove`.
    #[default]
    Default,
    Remove,
    Replace(String),
    Mask,
    Hash,
}

/// A text that has been read with its remarks.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    /// What is searched: the text with one NUL for each piece that was redacted.
    text: String,
    /// The pieces, by the places of their NULs.
    pieces: Vec<(usize, Piece)>,
}

/// A piece that was redacted.
#[derive(Clone, Debug)]
struct Piece {
    /// What stands there now.
    text: String,
    rule: String,
    letter: String,
}

// === impl Done ===

impl Done {
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Removed => "x",
            Self::Replaced => "s",
            Self::Masked => "m",
            Self::Hashed => "p",
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Masked => "masked",
            Self::Hashed => "hashed",
        }
    }
}

// === impl Redaction ===

impl Redaction {
    pub(super) fn done(&self) -> Done {
        match self {
            Self::Default | Self::Remove => Done::Removed,
            Self::Replace(_) => Done::Replaced,
            Self::Mask => Done::Masked,
            Self::Hash => Done::Hashed,
        }
    }

    /// Whether something stays where a text was.
    pub(super) fn leaves_text(&self) -> bool {
        !matches!(self, Self::Default | Self::Remove)
    }

    fn apply(&self, text: &str) -> String {
        match self {
            Self::Default | Self::Remove => String::new(),
            Self::Replace(by) => by.clone(),
            Self::Mask => "*".repeat(text.chars().count()),
            Self::Hash => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"");
                hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
            }
        }
    }
}

// === impl Chunked ===

impl Chunked {
    /// Reads a text with its remarks. Those that do not fit it are left out, and what is under them is text again; so is,
    /// with `suspicious`, what does not look like the work of a rule.
    pub(super) fn split(text: &str, remarks: &[Json], suspicious: bool) -> Self {
        let mut ranges: Vec<_> = remarks.iter().filter_map(Remark::read).collect();
        ranges.sort_by_key(|remark| (remark.start, remark.end));
        let mut chunked = Self { text: String::with_capacity(text.len()), pieces: Vec::new() };
        let mut at = 0;
        for Remark { rule, letter, start, end } in ranges {
            let Some(covered) = text.get(start..end).filter(|_| start >= at) else { continue };
            if suspicious && !is_redacted(covered) {
                continue;
            }
            chunked.text.push_str(&text[at..start]);
            chunked.put(Piece { text: covered.to_owned(), rule: rule.to_owned(), letter: letter.to_owned() });
            at = end;
        }
        chunked.text.push_str(&text[at..]);
        chunked
    }

    fn put(&mut self, piece: Piece) {
        self.pieces.push((self.text.len(), piece));
        self.text.push('\0');
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text as it stands now, and its remarks.
    pub(super) fn join(self) -> (String, Vec<Json>) {
        let (mut text, mut remarks, mut at) = (String::with_capacity(self.text.len()), Vec::new(), 0);
        for (place, piece) in self.pieces {
            text.push_str(&self.text[at..place]);
            let start = text.len();
            text.push_str(&piece.text);
            let range = [start, text.len()].map(|at| Json::Number(at.to_string()));
            let [from, to] = range;
            remarks.push(Json::Array(vec![Json::String(piece.rule), Json::String(piece.letter), from, to]));
            at = place + 1;
        }
        text.push_str(&self.text[at..]);
        (text, remarks)
    }

    /// The same with what was found in [`text`](Self::text) redacted, in order; none where it makes no difference. A piece that
    /// was redacted before goes where what was found spans it.
    pub(super) fn redacted(&self, rule: &Rule, found: &[(usize, usize)]) -> Option<Self> {
        // Where all was redacted before nothing is left to do.
        if found.is_empty() || (self.text.len() == self.pieces.len() && !self.pieces.is_empty()) {
            return None;
        }
        let mut new = Self { text: String::with_capacity(self.text.len()), pieces: Vec::new() };
        let mut at = 0;
        for &(start, end) in found.iter().filter(|(start, end)| start <= end) {
            if start < at {
                continue;
            }
            new.keep(self, at, start);
            let text = rule.redaction.apply(&self.text[start..end]);
            new.put(Piece { text, rule: rule.origin.clone(), letter: rule.redaction.done().letter().to_owned() });
            at = end;
        }
        new.keep(self, at, self.text.len());
        (new.clone().join().0 != self.clone().join().0).then_some(new)
    }

    /// Takes over what another has between two places.
    fn keep(&mut self, other: &Self, mut at: usize, end: usize) {
        let first = other.pieces.partition_point(|(place, _)| *place < at);
        for (place, piece) in other.pieces[first..].iter().take_while(|(place, _)| *place < end) {
            self.text.push_str(&other.text[at..*place]);
            self.put(piece.clone());
            at = place + 1;
        }
        self.text.push_str(&other.text[at..end]);
    }
}

/// Whether a text can be what a rule left.
fn is_redacted(text: &str) -> bool {
    let named = text.len() <= 40 && text.starts_with('[') && text.ends_with(']');
    let hash = text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    named || hash || text == "Bearer [token]" || text == "..." || text.bytes().all(|byte| byte == b'*')
}

/// A remark that says where it is about.
struct Remark<'a> {
    rule: &'a str,
    letter: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Remark<'a> {
    fn read(remark: &'a Json) -> Option<Self> {
        let Json::Array(parts) = remark else { return None };
        let [rule, letter, start, end] = parts.as_slice() else { return None };
        let (start, end) = (start.as_index()?, end.as_index()?);
        Some(Self { rule: rule.as_str()?, letter: letter.as_str()?, start, end })
    }
}
