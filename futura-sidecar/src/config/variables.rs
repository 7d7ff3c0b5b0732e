//! `${NAME}` in string values: the value of an environment variable, or an error that names it.
//!
//! `${NAME:-text}` stands for `text` where the variable is unset or empty, `${file:/path}` for what is in a file, without the
//! ends of lines after it; `$${` is a plain `${`.

use std::{fs::File, io::Read};

use serde_yaml::Value;

use super::yaml::Segment;

/// How large a file that stands for a value may be, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// Replaces every reference below `root`; returns where which one could not be.
pub(super) fn expand(root: &mut Value, variable: &impl Fn(&str) -> Option<String>) -> Vec<(Vec<Segment>, String)> {
    let mut problems = Vec::new();
    walk(root, &mut Vec::new(), variable, &mut problems);
    problems
}

fn walk(
    value: &mut Value,
    path: &mut Vec<Segment>,
    variable: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<(Vec<Segment>, String)>,
) {
    let mut descend = |segment: Segment, value: &mut Value| {
        path.push(segment);
        walk(value, path, variable, problems);
        path.pop();
    };
    match value {
        Value::Sequence(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                descend(Segment::Index(index), value);
            }
        }
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                descend(Segment::from(key.as_str().unwrap_or_default()), value);
            }
        }
        Value::String(text) if text.contains("${") => match replace(text, variable) {
            Ok(replaced) => *text = replaced,
            Err(message) => problems.push((path.clone(), message)),
        },
        _ => {}
    }
}

fn replace(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            replaced.push_str(before);
            replaced.push_str("${");
            rest = reference;
            continue;
        }
        replaced.push_str(before);
        if reference.starts_with(|first: char| first.is_ascii_digit()) {
            // No variable has such a name: it is a group of a regular expression.
            replaced.push_str("${");
            rest = reference;
            continue;
        }
        let end = reference.find('}').ok_or("`${` without a closing `}`; write `$${` for the characters themselves")?;
        replaced.push_str(&resolve(&reference[..end], variable)?);
        rest = &reference[end + 1..];
    }
    replaced.push_str(rest);
    Ok(replaced)
}

fn resolve(reference: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        return read(path).map_err(|why| format!("the file `{path}` cannot stand for a value: {why}"));
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let valid = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.is_empty() || !name.chars().all(valid) {
        return Err(format!("`${{{reference}}}` is not a reference such as `${{NAME}}` or `${{NAME:-default}}`"));
    }
    match (variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment variable `{name}` is not set: set it, or write `${{{name}:-default}}`"))
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(format!("it is larger than {FILE_LIMIT} bytes"));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::replace;

    fn check(text: &str, expect: Result<&str, &str>) {
        let variable = |name: &str| match name {
            "HOST" => Some("example.org".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        match (replace(text, &variable), expect) {
            (Ok(replaced), Ok(expected)) => assert_eq!(replaced, expected, "{text}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn references_become_values_once() {
        check("http://${HOST}/${HOST}", Ok("http://example.org/example.org"));
        check("[${EMPTY}]", Ok("[]"));
        check("${EMPTY:-x}${GONE:-y:-z}${HOST:-n}", Ok("xy:-zexample.org"));
        check("${GONE:-}", Ok(""));
        check("$HOST $5 ${1}${HOST} $${HOST} $", Ok("$HOST $5 ${1}example.org ${HOST} $"));
        // A value is data: what it holds is not expanded again.
        check("${NESTED}", Ok("${HOST}"));
    }

    #[test]
    fn unset_and_malformed_references_are_named() {
        check("${GONE}", Err("`GONE` is not set"));
        check("${HOST", Err("without a closing"));
        check("${}", Err("is not a reference"));
        check("${A B}", Err("is not a reference"));
    }

    #[test]
    fn a_file_stands_for_what_is_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        let reference = format!("Bearer ${{file:{}}}!", file.display());
        check(&reference, Err("No such file"));
        std::fs::write(&file, "${HOST} t0ken\r\n\n").expect("a file");
        check(&reference, Ok("Bearer ${HOST} t0ken!"));
        std::fs::write(&file, [0xff]).expect("a file");
        check(&reference, Err("UTF-8"));
        std::fs::write(&file, vec![b'a'; 65 * 1024]).expect("a file");
        check(&reference, Err("larger than"));
        check("${file:}", Err("cannot stand for a value"));
    }
}
