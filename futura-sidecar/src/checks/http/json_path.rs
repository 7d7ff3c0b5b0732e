//! Paths into JSON, such as `$.services.redis[0]['state']`: the singular queries of RFC 9535, which find one value or none.

use std::fmt;

use serde_json::Value;

/// Where a value stands in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Counted from the end where it is negative.
    Element(i64),
}

// === impl JsonPath ===

impl TryFrom<String> for JsonPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("`{text}` is no path to one value, {what}: write one such as `$.services.redis[0]['state']`")
        };
        let mut rest = text.strip_prefix('$').ok_or_else(|| wrong("it does not begin with `$`"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| wrong(&format!("`{rest}` leads nowhere")))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { steps, text })
    }
}

impl JsonPath {
    /// The value that stands there.
    pub(crate) fn find<'value>(&self, document: &'value Value) -> Option<&'value Value> {
        self.steps.iter().try_fold(document, |value, step| match step {
            Step::Member(name) => value.as_object()?.get(name),
            Step::Element(index) => {
                let values = value.as_array()?;
                let from_end = || values.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
                values.get(usize::try_from(*index).ok().or_else(from_end)?)
            }
        })
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The first step of what is left, and the rest.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let plain = |character: char| character == '_' || character.is_alphanumeric();
        let (name, rest) = name.split_at(end);
        let right = name.starts_with(|first: char| plain(first) && !first.is_ascii_digit()) && name.chars().all(plain);
        return right.then(|| (Step::Member(name.to_owned()), rest));
    }
    let inner = text.strip_prefix('[')?;
    if let Some(quote) = inner.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        let (name, rest) = inner[1..].split_once(quote)?;
        // An escape would need more than this; no name of a member that is checked has one.
        return (!name.contains('\\')).then_some((Step::Member(name.to_owned()), rest.strip_prefix(']')?));
    }
    let (index, rest) = inner.split_once(']')?;
    Some((Step::Element(index.parse().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::JsonPath;

    #[test]
    fn a_path_leads_to_one_value_or_none() {
        let document = json!({ "a": { "b c": [1, { "d": null }], "ü_1": true }, "": 5 });
        for (path, found) in [
            ("$", Some(&document)),
            ("$.a['b c'][0]", Some(&json!(1))),
            ("$[\"a\"][\"b c\"][-1].d", Some(&json!(null))),
            ("$.a.ü_1", Some(&json!(true))),
            ("$['']", Some(&json!(5))),
            ("$.a['b c'][2]", None),
            ("$.a['b c'][-3]", None),
            ("$.a.b", None),
            ("$[0]", None),
            ("$.a.ü_1.x", None),
        ] {
            let read = JsonPath::try_from(path.to_owned()).expect("a path");
            assert_eq!((read.find(&document), read.to_string().as_str()), (found, path));
        }
    }

    #[test]
    fn what_is_no_path_to_one_value_is_told() {
        for path in
            ["", "a", "$.", "$..a", "$.*", "$[*]", "$[", "$['a", "$[a]", "$.a b", "$[0:2]", "$.0", "$['a\\'']", "$a"]
        {
            let message = JsonPath::try_from(path.to_owned()).expect_err(path);
            assert!(message.contains("no path to one value"), "{message}");
        }
    }
}
