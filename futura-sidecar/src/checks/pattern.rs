//! Regular expressions of the configuration, bounded in size.

use regex::bytes::{Regex, RegexBuilder};
use serde_yaml::Value;

use crate::config::form;

/// How large a compiled pattern may be, in bytes.
const SIZE_LIMIT: usize = 1024 * 1024;

/// A regular expression.
pub(crate) fn pattern(value: &Value) -> Result<Regex, String> {
    compile(&form::text(value)?)
}

/// A text that is looked for as it stands.
pub(crate) fn literal(value: &Value) -> Result<Regex, String> {
    compile(&regex::escape(&form::text(value)?))
}

fn compile(pattern: &str) -> Result<Regex, String> {
    // A pattern's syntax error draws an arrow over several lines; the last one says it.
    let message = |error: regex::Error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.').to_owned()
    };
    let built = RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build();
    built.map_err(|error| format!("not a regular expression: {}", message(error)))
}
