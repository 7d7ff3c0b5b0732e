//! An envelope as its lines and payloads, over the bytes themselves: what is not changed leaves as it came.
//!
//! Reading never fails. What cannot be framed is the `rest`, and whoever looks for events has to look there too.

use super::json::Json;

/// An envelope, in pieces that make up all of it.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// The first line, with its end.
    header: &'a [u8],
    pub(super) items: Vec<Item<'a>>,
    /// What follows the last item that could be framed; nothing or empty lines in an envelope that is right.
    pub(super) rest: &'a [u8],
}

/// One item of an envelope.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// The line of the header, without its end.
    line: &'a [u8],
    header: Json,
    pub(super) payload: &'a [u8],
    /// Whether a newline follows the payload, which the last item may do without.
    ended: bool,
    change: Change,
}

/// What becomes of an item.
#[derive(Debug)]
enum Change {
    None,
    Payload(Vec<u8>),
    Removed,
}

// === impl Envelope ===

impl<'a> Envelope<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let (header, mut rest) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => bytes.split_at(end + 1),
            None => (bytes, &[][..]),
        };
        let mut items = Vec::new();
        while let Some((item, after)) = Item::parse(rest) {
            items.push(item);
            rest = after;
        }
        Self { header, items, rest }
    }

    /// Whether all of it is lines and payloads.
    pub(super) fn is_framed(&self) -> bool {
        self.rest.iter().all(u8::is_ascii_whitespace)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        for item in &self.items {
            item.write(&mut bytes);
        }
        bytes.extend_from_slice(self.rest);
        bytes
    }
}

// === impl Item ===

impl<'a> Item<'a> {
    /// The first item of `bytes` and what follows it; none where there is none, or none that can be framed.
    fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (line, body) = (&bytes[..end], &bytes[end + 1..]);
        let header = Json::parse(line).ok().filter(|header| matches!(header, Json::Object(_)))?;
        let length = match header.get("length") {
            None | Some(Json::Null) => body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len()),
            Some(length) => length.as_index().filter(|length| *length <= body.len())?,
        };
        let (payload, after) = body.split_at(length);
        let (ended, after) = match after.split_first() {
            None => (false, after),
            Some((b'\n', after)) => (true, after),
            Some(_) => return None,
        };
        Some((Self { line, header, payload, ended, change: Change::None }, after))
    }

    /// The types that the header gives: one, unless a key comes twice, of which readers take the first or the last.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &str> {
        let fields: &[(String, Json)] = if let Json::Object(fields) = &self.header { fields } else { &[] };
        fields.iter().filter(|(key, _)| key == "type").filter_map(|(_, kind)| kind.as_str())
    }

    pub(super) fn replace(&mut self, payload: Vec<u8>) {
        self.change = Change::Payload(payload);
    }

    pub(super) fn remove(&mut self) {
        self.change = Change::Removed;
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let payload = match &self.change {
            Change::None => self.payload,
            Change::Payload(payload) => payload,
            Change::Removed => return,
        };
        match (&self.change, &self.header) {
            (Change::Payload(payload), Json::Object(fields)) if self.header.get("length").is_some() => {
                let mut fields = fields.clone();
                for (_, length) in fields.iter_mut().filter(|(key, value)| key == "length" && *value != Json::Null) {
                    *length = Json::Number(payload.len().to_string());
                }
                bytes.extend_from_slice(Json::Object(fields).render().as_bytes());
            }
            _ => bytes.extend_from_slice(self.line),
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(payload);
        if self.ended {
            bytes.push(b'\n');
        }
    }
}
