//! The walk through an event: each part is shown to the rules that apply where it is.

use super::{
    Hit,
    chunks::{Chunked, Done},
    defaults,
    meta::Meta,
    path::{Kind, Step},
    rules::{Rule, Verdict},
    schema::{Area, List, Pii, Place, Role},
    selector::Selector,
};
use crate::errors::json::Json;

/// How long a text may be, in bytes; a longer one goes as a whole, as nobody can say how long searching it takes.
const TEXT_LIMIT: usize = 256 * 1024;

/// How long a key is that is searched for secrets, in bytes.
const KEY_LENGTH: usize = 12;

/// The name of that rule in remarks.
const LIMIT_RULE: &str = "!limit";

/// The rule by which a `_meta` goes that is none.
const INVALID_RULE: &str = "!invalid";

/// Where an event tells what was done to it.
const META: &str = "_meta";

/// Which rules apply where, in order.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) applications: Vec<(Selector, Vec<Rule>)>,
    /// Where they reach.
    pub(super) reach: Reach,
}

/// Where the rules of a layer reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where Relay has rules reach.
    #[default]
    Relay,
    /// Everywhere but what tells events, traces, programs and their parts apart.
    Open,
    /// Everywhere.
    All,
}

/// One walk through one event.
pub(super) struct Walk<'a> {
    /// What the configuration says.
    pub(super) own: &'a Layer,
    /// What is done anyway.
    pub(super) defaults: &'a [Layer],
    /// Where it is not.
    pub(super) allow: &'a [Selector],
    pub(super) hits: Vec<Hit>,
}

// === impl Walk ===

impl Walk<'_> {
    /// Scrubs an event, or a log, and writes down in its `_meta` what was done.
    pub(super) fn event(&mut self, event: &mut Json, area: Area) {
        let Json::Object(fields) = event else {
            // A text alone is no event, but what it says may be as bad.
            return self.child("", event, &mut Meta::default(), None, Area::Free, false);
        };
        let mut meta = self.take_meta(fields);
        let log =
            Step { parent: None, key: "log", index: None, kind: Kind::Object, role: Some(Role::Log), pii: Pii::No };
        let parent = Some(&log).filter(|_| area == Area::Log);
        self.fields(fields, &mut meta, parent, area, false);
        self.meta(&mut meta);
        match fields.iter_mut().find(|(key, _)| key == META) {
            Some((_, json)) => *json = meta.into_json(),
            None if !meta.is_empty() => fields.push((META.to_owned(), meta.into_json())),
            None => {}
        }
    }

    /// Takes `_meta` out of an event and leaves one place for it, if it had any. What is none goes.
    fn take_meta(&mut self, fields: &mut Vec<(String, Json)>) -> Meta {
        let Some(last) = fields.iter().rposition(|(key, _)| key == META) else { return Meta::default() };
        let (meta, whole) = Meta::read(std::mem::take(&mut fields[last].1));
        let number = fields.len();
        let mut index = 0..;
        fields.retain(|(key, _)| index.next() == Some(last) || key != META);
        if !self.defaults.is_empty() && (!whole || fields.len() < number) {
            self.hits.push(Hit { path: META.to_owned(), rule: INVALID_RULE.to_owned(), done: Done::Removed });
        }
        meta
    }

    fn fields(
        &mut self,
        fields: &mut [(String, Json)],
        meta: &mut Meta,
        parent: Option<&Step<'_>>,
        area: Area,
        allowed: bool,
    ) {
        let formatted = fields.iter().any(|(key, value)| key == "formatted" && *value != Json::Null);
        for (key, value) in fields {
            if parent.is_none_or(|parent| parent.role == Some(Role::Log)) && key == META {
                continue;
            }
            let entry = Step {
                parent,
                key: "logentry",
                index: None,
                kind: Kind::Object,
                role: Some(Role::LogEntry),
                pii: Pii::No,
            };
            if !allowed {
                self.key(key, parent);
            }
            meta.with_below(key, |meta| match (area, key.as_str(), &value) {
                // Old SDKs write the entry's text alone, or its template as the only text.
                (Area::Event, "message", Json::String(_)) => {
                    self.child("formatted", value, meta, Some(&entry), Area::LogEntry, allowed);
                }
                (Area::Event, "message", _) => self.child("logentry", value, meta, parent, area, allowed),
                (Area::LogEntry, "message", Json::String(_)) if !formatted => {
                    self.child("formatted", value, meta, parent, area, allowed);
                }
                _ => self.child(key, value, meta, parent, area, allowed),
            });
        }
    }

    /// Scrubs a key by what the defaults find in texts; what is too short for a secret is most keys.
    fn key(&mut self, key: &mut String, parent: Option<&Step<'_>>) {
        if key.len() < KEY_LENGTH && !key.contains('@') {
            return;
        }
        let step = Step { parent, key: "", index: None, kind: Kind::String, role: None, pii: Pii::No };
        for layer in self.defaults {
            self.apply(layer, &step, key, &mut Meta::default());
        }
    }

    /// Scrubs what a key of a mapping holds.
    fn child(
        &mut self,
        key: &str,
        value: &mut Json,
        meta: &mut Meta,
        parent: Option<&Step<'_>>,
        area: Area,
        allowed: bool,
    ) {
        let place = match (area, &*value) {
            (Area::Contexts, context) => Area::context(context.get("type").and_then(Json::as_str).unwrap_or(key)),
            // An exception without the list around it.
            (Area::Event, Json::Object(_)) if value.get("values").is_none() => match area.child(key) {
                Place { area: Area::Values(List::Exceptions), .. } => Area::List(List::Exceptions).child(""),
                place => place,
            },
            _ => area.child(key),
        };
        let kind = if place.pairs && matches!(value, Json::Array(_)) { Kind::Object } else { Kind::of(value) };
        let step = Step { parent, key, index: None, kind, role: place.role, pii: place.pii };
        self.node(&step, place, value, meta, allowed);
    }

    fn node(&mut self, step: &Step<'_>, place: Place, value: &mut Json, meta: &mut Meta, allowed: bool) {
        let allowed = allowed || self.allow.iter().any(|selector| selector.matches(&Step { pii: Pii::Yes, ..*step }));
        self.original(step, meta, allowed);
        match value {
            Json::Null | Json::Bool(_) => return,
            Json::String(text) => match self.text(step, text, meta, allowed) {
                true => *value = Json::Null,
                false => return,
            },
            _ if self.goes(step, value, meta, allowed) => *value = Json::Null,
            _ => {}
        }
        match value {
            Json::Object(fields) => self.fields(fields, meta, Some(step), place.area, allowed),
            Json::Array(values) => self.list(step, place, values, meta, allowed),
            _ => {}
        }
    }

    fn list(&mut self, step: &Step<'_>, place: Place, values: &mut [Json], meta: &mut Meta, allowed: bool) {
        let within =
            Step { parent: Some(step), key: "values", index: None, kind: Kind::Array, role: None, pii: Pii::No };
        let (parent, area) = match place.area {
            Area::Values(list) => (&within, Area::List(list)),
            area => (step, area),
        };
        let keyed = values.iter().all(|value| pair(value).is_some());
        for (index, value) in values.iter_mut().enumerate() {
            meta.with_below(&index.to_string(), |meta| {
                if let Json::Array(parts) = &mut *value
                    && let [Json::String(key), value] = parts.as_mut_slice()
                    && (keyed || place.pairs)
                {
                    return meta.with_below("1", |meta| self.child(key, value, meta, Some(parent), area, allowed));
                }
                let place = area.child("");
                let (kind, parent) = (Kind::of(value), Some(parent));
                let step = Step { parent, key: "", index: Some(index), kind, role: place.role, pii: place.pii };
                self.node(&step, place, value, meta, allowed);
            });
        }
    }

    /// Whether a part that is no text goes as a whole.
    fn goes(&mut self, step: &Step<'_>, value: &Json, meta: &mut Meta, allowed: bool) -> bool {
        let defaults = if allowed { &[] } else { self.defaults };
        let rules = [self.own].into_iter().chain(defaults).flat_map(|layer| layer.rules(step));
        let number = if let Json::Number(number) = value { number } else { "" };
        let removes = |rule: &&Rule| rule.judge(step.rule_key()) == Verdict::Removes;
        let rule = { rules }.find(removes).map(|rule| rule.origin.clone());
        // A card's number is one without quotes as well.
        let card = !allowed && !self.defaults.is_empty() && defaults::is_card_number(number);
        let Some(rule) = rule.or_else(|| card.then(|| "@creditcard:filter".to_owned())) else { return false };
        meta.set_removed(&rule);
        self.hits.push(Hit { path: step.to_string(), rule, done: Done::Removed });
        true
    }

    /// Scrubs a text; says whether it goes as a whole.
    fn text(&mut self, step: &Step<'_>, text: &mut String, meta: &mut Meta, allowed: bool) -> bool {
        if matches!(text.as_str(), "" | "true" | "false" | "null" | "undefined") {
            return false;
        }
        if text.len() > TEXT_LIMIT {
            meta.set_removed(LIMIT_RULE);
            self.hits.push(Hit { path: step.to_string(), rule: LIMIT_RULE.to_owned(), done: Done::Removed });
            return true;
        }
        // Of a path the rules of the configuration leave the file's name, by which frames are told apart.
        let at = if step.role == Some(Role::Path) { text.rfind(['/', '\\']).unwrap_or_default() } else { text.len() };
        let name = text.split_off(at);
        match (self.apply(self.own, step, text, meta), name.is_empty()) {
            (true, true) => return true,
            (true, false) => text.replace_range(.., name.trim_start_matches(['/', '\\'])),
            (false, _) => text.push_str(&name),
        }
        let defaults = self.defaults;
        !allowed && defaults.iter().any(|layer| self.apply(layer, step, text, meta))
    }

    /// Applies the rules of a layer to a text; says whether it goes as a whole.
    fn apply(&mut self, layer: &Layer, step: &Step<'_>, text: &mut String, meta: &mut Meta) -> bool {
        let (mut chunked, mut changed, mut removed) = (None, false, false);
        let rules = if text.is_empty() { Vec::new() } else { layer.rules(step) };
        for rule in rules {
            let suspicious = !std::ptr::eq(layer, self.own);
            let chunks = chunked.get_or_insert_with(|| Chunked::split(text, meta.remarks(), suspicious));
            let done = match rule.judge_text(step.rule_key(), chunks.text()) {
                Verdict::Keeps => continue,
                Verdict::Removes => {
                    removed = true;
                    Done::Removed
                }
                Verdict::Redacts(found) => {
                    let Some(redacted) = chunks.redacted(rule, &found) else { continue };
                    (*chunks, changed) = (redacted, true);
                    rule.redaction.done()
                }
            };
            self.hits.push(Hit { path: step.to_string(), rule: rule.origin.clone(), done });
            if removed {
                break;
            }
        }
        if let Some(chunks) = chunked.filter(|_| changed) {
            let length = text.chars().count();
            let remarks;
            (*text, remarks) = chunks.join();
            meta.set_remarks(remarks, length);
        }
        if removed && let Some(hit) = self.hits.last() {
            meta.set_removed(&hit.rule);
        }
        removed
    }

    /// Scrubs the value that Sentry found to be invalid, as if it stood in the event.
    fn original(&mut self, step: &Step<'_>, meta: &mut Meta, allowed: bool) {
        let Some(Json::String(text)) = meta.original_mut() else { return };
        let mut text = std::mem::take(text);
        if self.text(&Step { kind: Kind::String, ..*step }, &mut text, &mut Meta::default(), allowed) {
            text.clear();
        }
        if let Some(original) = meta.original_mut() {
            *original = Json::String(text);
        }
    }

    /// Scrubs what `_meta` itself says, which is of no place that rules of the configuration could name.
    fn meta(&mut self, meta: &mut Meta) {
        if self.defaults.is_empty() {
            return;
        }
        meta.each_own(&mut |value| self.child("_meta", value, &mut Meta::default(), None, Area::Free, false));
    }
}

fn pair(value: &Json) -> Option<&str> {
    let Json::Array(parts) = value else { return None };
    let [Json::String(key), _] = parts.as_slice() else { return None };
    Some(key)
}

// === impl Layer ===

impl Layer {
    fn rules(&self, step: &Step<'_>) -> Vec<&Rule> {
        let reaches = match self.reach {
            Reach::Relay => step.pii != Pii::No,
            Reach::Open => !defaults::is_identifier(step),
            Reach::All => true,
        };
        if !reaches {
            return Vec::new();
        }
        let pii = if self.reach == Reach::Relay { step.pii } else { Pii::Yes };
        let step = Step { pii, ..*step };
        let applied = self.applications.iter().filter(|(selector, _)| selector.matches(&step));
        applied.flat_map(|(_, rules)| rules).collect()
    }
}
