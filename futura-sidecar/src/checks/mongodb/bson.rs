//! BSON as far as a check needs it: flat commands are written, and answers are looked through.
//!
//! <https://bsonspec.org/spec.html>

/// A value of a command.
#[derive(Clone, Copy)]
pub(super) enum Element<'a> {
    Int32(i32),
    Text(&'a str),
    Binary(&'a [u8]),
}

/// A document that somebody else wrote: what does not fit is as if it were not there.
#[derive(Clone, Copy)]
pub(super) struct Document<'a>(&'a [u8]);

/// The kind of a value, and its bytes.
type Value<'a> = (u8, &'a [u8]);

/// Kinds of values that are looked at.
mod kind {
    pub(super) const DOUBLE: u8 = 0x01;
    pub(super) const TEXT: u8 = 0x02;
    pub(super) const DOCUMENT: u8 = 0x03;
    pub(super) const BINARY: u8 = 0x05;
    pub(super) const BOOL: u8 = 0x08;
    pub(super) const INT32: u8 = 0x10;
    pub(super) const INT64: u8 = 0x12;
}

/// Writes a document.
pub(super) fn document(elements: &[(&str, Element<'_>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, element) in elements {
        let (kind, value) = match element {
            Element::Int32(number) => (kind::INT32, number.to_le_bytes().to_vec()),
            Element::Text(text) => (kind::TEXT, [&length(text.len() + 1)[..], text.as_bytes(), b"\0"].concat()),
            Element::Binary(bytes) => (kind::BINARY, [&length(bytes.len())[..], b"\0", bytes].concat()),
        };
        body.push(kind);
        body.extend_from_slice(key.as_bytes());
        body.push(0);
        body.extend_from_slice(&value);
    }
    [&length(body.len() + 5)[..], &body, b"\0"].concat()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("commands are short").to_le_bytes()
}

// === impl Document ===

impl<'a> Document<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn document(self, key: &str) -> Option<Self> {
        self.find(key).filter(|(kind, _)| *kind == kind::DOCUMENT).map(|(_, bytes)| Self(bytes))
    }

    pub(super) fn text(self, key: &str) -> Option<String> {
        let (_, bytes) = self.find(key).filter(|(kind, _)| *kind == kind::TEXT)?;
        Some(String::from_utf8_lossy(bytes.get(4..)?).trim_end_matches('\0').to_owned())
    }

    pub(super) fn binary(self, key: &str) -> Option<&'a [u8]> {
        let (_, bytes) = self.find(key).filter(|(kind, _)| *kind == kind::BINARY)?;
        bytes.get(5..)
    }

    pub(super) fn flag(self, key: &str) -> Option<bool> {
        self.find(key).filter(|(kind, _)| *kind == kind::BOOL).map(|(_, bytes)| bytes == [1])
    }

    /// A number of whichever kind.
    pub(super) fn number(self, key: &str) -> Option<f64> {
        let (kind, bytes) = self.find(key)?;
        match kind {
            kind::DOUBLE => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            kind::INT32 => Some(f64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
            kind::INT64 => Some(i64::from_le_bytes(bytes.try_into().ok()?) as f64),
            _ => None,
        }
    }

    fn find(self, wanted: &str) -> Option<Value<'a>> {
        let mut rest = self.0.get(4..)?;
        loop {
            let (kind, after) = rest.split_first()?;
            let end = after.iter().position(|byte| *byte == 0)?;
            let (key, value) = (&after[..end], &after[end + 1..]);
            let (value, next) = value.split_at_checked(size(*kind, value)?)?;
            if key == wanted.as_bytes() {
                return Some((*kind, value));
            }
            rest = next;
        }
    }
}

/// How many bytes a value has; none of a kind that is not known, after which nothing can be read.
fn size(kind: u8, value: &[u8]) -> Option<usize> {
    let told = || usize::try_from(i32::from_le_bytes(*value.first_chunk()?)).ok();
    let text = |value: &[u8]| value.iter().position(|byte| *byte == 0).map(|end| end + 1);
    match kind {
        kind::DOCUMENT | 0x04 | 0x0f => told(),
        kind::TEXT | 0x0d | 0x0e => told()?.checked_add(4),
        kind::BINARY => told()?.checked_add(5),
        0x0c => told()?.checked_add(16),
        kind::DOUBLE | kind::INT64 | 0x09 | 0x11 => Some(8),
        kind::INT32 => Some(4),
        kind::BOOL => Some(1),
        0x07 => Some(12),
        0x13 => Some(16),
        0x0b => {
            let pattern = text(value)?;
            Some(pattern + text(value.get(pattern..)?)?)
        }
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Document, Element, document};

    #[test]
    fn what_is_written_is_found() {
        let bytes = document(&[
            ("ping", Element::Int32(-7)),
            ("payload", Element::Binary(b"a\0b")),
            ("$db", Element::Text("admin")),
        ]);
        let read = Document::of(&bytes);
        assert_eq!((read.number("ping"), read.binary("payload")), (Some(-7.0), Some(&b"a\0b"[..])));
        assert_eq!((read.text("$db").as_deref(), read.text("ping"), read.number("gone")), (Some("admin"), None, None));
        assert_eq!(usize::try_from(u32::from_le_bytes(*bytes.first_chunk().expect("4"))).expect("fits"), bytes.len());
    }

    #[test]
    fn values_of_other_kinds_are_passed_by() {
        // An array, a date, a regular expression and NULL before the number that is looked for.
        let bytes =
            b"\0\0\0\0\x04a\0\x05\0\0\0\0\x09d\0\0\0\0\0\0\0\0\0\x0br\0x\0i\0\x0an\0\x12l\0\x2a\0\0\0\0\0\0\0\0";
        assert_eq!(Document::of(bytes).number("l"), Some(42.0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let read = Document::of(&bytes);
            let _ = (read.number("a"), read.text(""), read.binary("b"), read.flag("c"));
            let _ = read.document("").map(|inner| inner.number(""));
        }
    }
}
