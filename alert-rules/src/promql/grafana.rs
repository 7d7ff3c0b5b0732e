//! What Grafana puts into a query before it asks: its macros and the dashboard's variables.

const MACROS: [(&str, &str); 5] =
    [("$__rate_interval", "5m"), ("$__interval", "1m"), ("$__range_s", "3600"), ("$__range", "1h"), ("$__all", ".*")];

/// The query as it may be asked outside Grafana: macros as of a panel of an hour, and every variable with all its values.
///
/// ```
/// use futura_alert_rules::promql::filled;
/// assert_eq!(filled(r#"rate(x{a=~"$service",b="${pod}"}[$__rate_interval])"#), r#"rate(x{a=~".*",b=~".*"}[5m])"#);
/// ```
pub fn filled(query: &str) -> String {
    let query = MACROS.iter().fold(query.to_owned(), |text, (name, value)| text.replace(name, value));
    let mut filled = String::with_capacity(query.len());
    let mut rest = query.as_str();
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        match variable(from) {
            Some(length) => {
                filled.push_str(before);
                // All values are a pattern, which `=` would take by the letter.
                if filled.ends_with("=\"") {
                    filled.truncate(filled.len() - 1);
                    filled.push_str("~\"");
                }
                filled.push_str(".*");
                rest = &from[length..];
            }
            None => {
                filled.push_str(before);
                filled.push('$');
                rest = &from[1..];
            }
        }
    }
    filled + rest
}

/// How long the variable is that `text` begins with: `$name`, `${name}` or `${name:format}`.
fn variable(text: &str) -> Option<usize> {
    let name = |text: &str| {
        let end = text.find(|character: char| character != '_' && !character.is_ascii_alphanumeric());
        let end = end.unwrap_or(text.len());
        text.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic()).then_some(end)
    };
    match text[1..].strip_prefix('{') {
        None => name(&text[1..]).map(|length| length + 1),
        Some(inner) => {
            let after = &inner[name(inner)?..];
            let format = after.strip_prefix(':').unwrap_or(after);
            let end = format.trim_start_matches(|character: char| character.is_ascii_alphabetic()).strip_prefix('}')?;
            Some(text.len() - end.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn macros_and_variables_are_filled_in_and_all_else_is_kept() {
        for (query, expected) in [
            ("sum(x)", "sum(x)"),
            ("increase(x[$__range])", "increase(x[1h])"),
            (r#"x{a="$a"}"#, r#"x{a=~".*"}"#),
            (r#"x{a=~"$a",b!~"${b:regex}"}"#, r#"x{a=~".*",b!~".*"}"#),
            (r#"x{a=~"5..$"}"#, r#"x{a=~"5..$"}"#),
            (r#"x{a=~"${"}"#, r#"x{a=~"${"}"#),
            (r#"x{a=~"${A"}"#, r#"x{a=~"${A"}"#),
            (r#"x{a=~"${a:raw}|b"} > ${b}"#, r#"x{a=~".*|b"} > .*"#),
        ] {
            assert_eq!(filled(query), expected);
        }
    }
}
