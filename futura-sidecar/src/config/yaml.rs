//! YAML with bounds: duplicate keys are refused, aliases may not blow the document up, every place has its line and column.
//!
//! The parser limits how often aliases are followed, not how much text they bring, so the tree is built under a budget.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Location, Mapping, Value};

use super::{Place, Problem};

/// How large the document may be with all aliases written out: nodes and bytes of text, taken together.
const BUDGET: usize = 4 * 1024 * 1024;

/// What a node costs besides its text.
const NODE: usize = 16;

const TOO_LARGE: &str = "the document is too large with its aliases written out";

/// A way from the root to one place.
pub(crate) type Path = [Segment];

/// One step of a way: into a mapping or into a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// Builds the tree of one node and what is below it.
#[derive(Clone, Copy)]
struct Tree<'a> {
    left: &'a Cell<usize>,
}

/// Reads a mapping's key, which is text and was not there before.
struct Key<'a> {
    tree: Tree<'a>,
    before: &'a Mapping,
}

/// Walks to a place and fails there, which makes the parser tell where.
struct Locate<'a>(&'a Path);

/// Fails at the key that is looked for when it is the last step; tells otherwise whether it is on the way.
struct LocateKey<'a>(&'a Path);

/// Takes nothing.
struct Nothing;

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Value, Problem> {
    let left = Cell::new(BUDGET);
    let parsed = Tree { left: &left }.deserialize(serde_yaml::Deserializer::from_str(text));
    parsed.map_err(|error| {
        let place = error.location().map(Place::from);
        let message = error.to_string();
        // Where it is is told already.
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
        let message = match message {
            "repetition limit exceeded" => TOO_LARGE,
            "recursion limit exceeded" => "it is nested too deeply",
            text if text.contains("more than one document") => "more than one document: write one, without `---`",
            text => text,
        };
        Problem { place, key: String::new(), message: message.to_owned(), file: None }
    })
}

/// Where a path leads in the text; its nearest parent when there is nothing at its end.
pub(super) fn place_of(text: &str, path: &Path) -> Option<Place> {
    let place = |path| {
        let located = Locate(path).deserialize(serde_yaml::Deserializer::from_str(text));
        located.err().and_then(|error| error.location()).map(Place::from)
    };
    (0..=path.len()).rev().find_map(|end| place(&path[..end]))
}

/// The order of places in the document: of those that are wanted, and of all that they may be below.
pub(super) fn order(root: &Value, wanted: &HashSet<Vec<Segment>>) -> HashMap<Vec<Segment>, usize> {
    let wanted = wanted.iter().flat_map(|path| (0..=path.len()).map(|end| &path[..end])).collect();
    let mut order = HashMap::new();
    number(root, &[], &wanted, &mut order);
    order
}

/// Numbers a place and those below it. The document is nested no deeper than the parser follows.
fn number(node: &Value, path: &Path, wanted: &HashSet<&Path>, order: &mut HashMap<Vec<Segment>, usize>) {
    if !wanted.contains(path) {
        return;
    }
    let below = |segment: Segment| [path, &[segment]].concat();
    order.insert(path.to_vec(), order.len());
    match node {
        Value::Mapping(mapping) => mapping.iter().for_each(|(key, value)| {
            number(value, &below(Segment::from(key.as_str().unwrap_or_default())), wanted, order);
        }),
        Value::Sequence(values) => values.iter().enumerate().for_each(|(index, value)| {
            number(value, &below(Segment::Index(index)), wanted, order);
        }),
        _ => {}
    }
}

/// A place as people write it, such as `checks[0].url`.
pub(super) fn display(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Index(index) => text.push_str(&format!("[{index}]")),
            Segment::Key(key) if text.is_empty() => text.push_str(key),
            Segment::Key(key) => text.push_str(&format!(".{key}")),
        }
    }
    text
}

// === impl Place ===

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

// === impl Segment ===

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

// === impl Tree ===

impl Tree<'_> {
    fn spend<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes + NODE);
        self.left.set(left.ok_or_else(|| E::custom(TOO_LARGE))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("plain YAML without tags")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(0).map(|()| Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(0).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.spend(0).map(|()| Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.spend(0).map(|()| Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.spend(0).map(|()| Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value.len()).map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Sequence(values))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("tags such as `!name` mean nothing here: leave it out"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut mapping = Mapping::new();
        while let Some(key) = access.next_key_seed(Key { tree: self, before: &mapping })? {
            let value = access.next_value_seed(self)?;
            mapping.insert(Value::String(key), value);
        }
        Ok(Value::Mapping(mapping))
    }
}

// === impl Key ===

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key of plain text")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        self.tree.spend(key.len())?;
        if self.before.contains_key(key) {
            return Err(E::custom(format!("duplicate key `{key}`")));
        }
        Ok(key.to_owned())
    }
}

// === impl Locate ===

impl<'de> DeserializeSeed<'de> for Locate<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            [] => deserializer.deserialize_any(Nothing),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Locate<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a way down")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut position = 0;
        loop {
            let here = matches!(self.0.first(), Some(Segment::Index(index)) if *index == position);
            let more = if here {
                access.next_element_seed(Locate(&self.0[1..]))?.is_some()
            } else {
                access.next_element::<serde::de::IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            position += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(here) = access.next_key_seed(LocateKey(self.0))? {
            if here {
                access.next_value_seed(Locate(&self.0[1..]))?;
            } else {
                access.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

// === impl LocateKey ===

impl<'de> DeserializeSeed<'de> for LocateKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for LocateKey<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match self.0 {
            [Segment::Key(wanted)] if wanted == key => Err(E::custom("here")),
            [Segment::Key(wanted), ..] => Ok(wanted == key),
            _ => Ok(false),
        }
    }
}

// === impl Nothing ===

impl Visitor<'_> for Nothing {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nothing")
    }
}
