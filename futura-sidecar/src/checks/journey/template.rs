//! Texts with `{{name}}` in them, which stands for a value that is known when the text is used.

use std::{collections::BTreeMap, fmt};

/// A text and the names in it. It may hold secrets, and so does not print.
#[derive(Clone)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone)]
enum Part {
    Text(String),
    Name(String),
}

// === impl Template ===

impl Template {
    /// Reads a text in which only names of `known` may stand.
    pub(super) fn read(text: &str, known: &[String]) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or("`{{` without a closing `}}`")?;
            let name = name(inside.trim())?;
            if !known.iter().any(|known| known == name) {
                let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                return Err(format!("nothing before it gives `{name}` a value; known are {}", names.join(", ")));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// Whether every name in it has a value.
    pub(super) fn is_known(&self, known: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)) || known.contains_key(part.text()))
    }

    /// The text with the values in the places of the names.
    pub(super) fn fill(&self, known: &BTreeMap<String, String>) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Name(name) => known.get(name).map(String::as_str).unwrap_or_default(),
        });
        filled.collect()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Template")
    }
}

// === impl Part ===

impl Part {
    fn text(&self) -> &str {
        let (Self::Text(text) | Self::Name(text)) = self;
        text
    }
}

/// A name that a value may have.
pub(super) fn name(text: &str) -> Result<&str, String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let right = !text.is_empty() && text.len() <= 100 && text.chars().all(plain);
    if right { Ok(text) } else { Err(format!("`{text}` is no name of a value: write letters, digits and `_`")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Template;

    #[test]
    fn names_stand_for_values_once() {
        let known = ["a".to_owned(), "b_1".to_owned()];
        let values = BTreeMap::from([("a".to_owned(), "{{b_1}}".to_owned())]);
        for (text, filled, complete) in [
            ("", "", true),
            ("x{{a}}y{{ a }}", "x{{b_1}}y{{b_1}}", true),
            ("{{b_1}}}", "}", false),
            ("{ a } {a}", "{ a } {a}", true),
        ] {
            let template = Template::read(text, &known).expect("a template");
            assert_eq!((template.fill(&values).as_str(), template.is_known(&values)), (filled, complete), "{text}");
        }
    }

    #[test]
    fn what_nothing_gives_a_value_is_told() {
        for (text, part) in [
            ("{{c}}", "nothing before it gives `c` a value; known are `a`"),
            ("{{a", "closing"),
            ("{{}}", "no name"),
            ("{{a b}}", "no name"),
        ] {
            let message = Template::read(text, &["a".to_owned()]).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
