//! The part `_meta` of an event: a tree along the event's own, with remarks on what was removed where.

use std::collections::BTreeMap;

use super::chunks::Done;
use crate::errors::json::Json;

/// What `_meta` says of one part of an event and of those below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Meta {
    own: Vec<(String, Json)>,
    below: BTreeMap<String, Meta>,
}

// === impl Meta ===

impl Meta {
    /// Reads it, and says whether that was all of it: what is of no such form is left out.
    pub(super) fn read(json: Json) -> (Self, bool) {
        let Json::Object(fields) = json else { return (Self::default(), false) };
        let (mut meta, mut whole) = (Self::default(), true);
        for (key, value) in fields {
            match value {
                Json::Object(own) if key.is_empty() => meta.own = own,
                _ if key.is_empty() => whole = false,
                below => {
                    let (below, all) = Self::read(below);
                    whole &= all && meta.below.insert(key, below).is_none();
                }
            }
        }
        (meta, whole)
    }

    pub(super) fn into_json(self) -> Json {
        let own = Some((String::new(), Json::Object(self.own))).filter(|(_, own)| *own != Json::Object(Vec::new()));
        let below = self.below.into_iter().map(|(key, meta)| (key, meta.into_json()));
        Json::Object(own.into_iter().chain(below).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.below.is_empty()
    }

    /// Works on what is said of a part below, be it nothing yet.
    pub(super) fn with_below<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let mut below = self.below.remove(key).unwrap_or_default();
        let done = work(&mut below);
        if !below.is_empty() {
            self.below.insert(key.to_owned(), below);
        }
        done
    }

    pub(super) fn remarks(&self) -> &[Json] {
        let remarks = self.own.iter().find(|(name, _)| name == "rem");
        if let Some((_, Json::Array(remarks))) = remarks { remarks } else { &[] }
    }

    /// Has a text that was `length` characters long have these remarks alone.
    pub(super) fn set_remarks(&mut self, remarks: Vec<Json>, length: usize) {
        self.own.retain(|(name, _)| name != "rem");
        if !remarks.is_empty() {
            self.own.insert(0, ("rem".to_owned(), Json::Array(remarks)));
        }
        if self.own.iter().all(|(name, _)| name != "len") {
            self.own.push(("len".to_owned(), Json::Number(length.to_string())));
        }
    }

    /// Remarks that all of the part is gone.
    pub(super) fn set_removed(&mut self, rule: &str) {
        let remark = Json::Array(vec![Json::String(rule.to_owned()), Json::String(Done::Removed.letter().to_owned())]);
        match self.own.iter_mut().find(|(name, _)| name == "rem") {
            Some((_, Json::Array(remarks))) => remarks.push(remark),
            Some((_, remarks)) => *remarks = Json::Array(vec![remark]),
            None => self.own.insert(0, ("rem".to_owned(), Json::Array(vec![remark]))),
        }
    }

    /// The value that Sentry keeps here when the event's own was not valid.
    pub(super) fn original_mut(&mut self) -> Option<&mut Json> {
        self.own.iter_mut().find(|(name, _)| name == "val").map(|(_, value)| value)
    }

    /// Works on each value that is said here, which may be of the event; remarks are not.
    pub(super) fn each_own(&mut self, work: &mut impl FnMut(&mut Json)) {
        self.own
            .iter_mut()
            .filter(|(name, _)| !matches!(name.as_str(), "rem" | "len"))
            .for_each(|(_, value)| work(value));
        self.below.values_mut().for_each(|below| below.each_own(work));
    }
}
