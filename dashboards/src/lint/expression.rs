//! A query with its variables filled in, so that it parses, and yet told apart.

use std::{ptr, time::Duration};

use futura_alert_rules::promql::{children, metric_name, selector, walk};
use promql_parser::parser::{self, BinaryExpr, Expr, LabelModifier, VectorSelector};

use super::model::{Variable, text};

/// What `$__rate_interval` is filled in with: a duration that nobody writes, by which it is known again.
pub(super) const RATE_INTERVAL: Duration = Duration::from_secs(271);
/// What other variables are filled in with where a duration stands.
pub(super) const CHOSEN: Duration = Duration::from_secs(269);

/// A place of a query where series are selected.
pub(super) struct Use<'e> {
    pub(super) selector: &'e VectorSelector,
    /// The metric's name, if it is written out.
    pub(super) name: Option<&'e str>,
    /// The range that is selected, if it is one.
    pub(super) range: Option<Duration>,
    /// The functions and aggregations around it, the innermost last.
    pub(super) within: Vec<String>,
    /// The labels by which it is joined with series that are selected by them.
    pub(super) joined: Vec<&'e str>,
}

/// What stands for a variable in a text or as a name.
pub(super) fn placeholder(variable: &str) -> String {
    format!("__{variable}__")
}

/// Whether a name may have a variable in it, so that nothing can be said of it.
pub(super) fn has_placeholder(name: &str) -> bool {
    name.contains("__")
}

/// The names of the variables that a text uses, in each of the ways to write one: `$name`, `${name:format}`, `[[name]]`.
pub(super) fn variables_of(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((start, length, name)) = next_variable(rest) {
        names.push(name);
        rest = &rest[start + length..];
    }
    names
}

/// The next variable of a text: where it begins, how long it is, and its name.
fn next_variable(text: &str) -> Option<(usize, usize, &str)> {
    let name_of = |text: &str| {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let length = text.find(|character| !is_part(character)).unwrap_or(text.len());
        // `$1` is a group of a regular expression.
        let is_name = length > 0 && !text.starts_with(|character: char| character.is_ascii_digit());
        is_name.then_some(length)
    };
    text.char_indices().find_map(|(start, _)| {
        let here = &text[start..];
        if let Some(inner) = here.strip_prefix("${") {
            let (length, end) = (name_of(inner)?, inner.find('}')?);
            return Some((start, end + 3, &inner[..length]));
        }
        if let Some(inner) = here.strip_prefix("[[") {
            let (length, end) = (name_of(inner)?, inner.find("]]")?);
            return Some((start, end + 4, &inner[..length]));
        }
        let inner = here.strip_prefix('$')?;
        let length = name_of(inner)?;
        Some((start, length + 1, &inner[..length]))
    })
}

/// What a query asks, its variables filled in; none where that hangs on what a viewer chooses.
pub(super) fn parse(query: &str, variables: &[Variable<'_>]) -> Option<Result<Expr, String>> {
    let (filled, is_sure) = fill(query, variables);
    match parser::parse(&filled) {
        Err(_) if !is_sure => None,
        parsed => Some(parsed),
    }
}

/// The query with its variables filled in, and whether it is one whatever is chosen.
fn fill(query: &str, variables: &[Variable<'_>]) -> (String, bool) {
    let (mut filled, mut is_sure, mut rest) = (String::new(), true, query);
    while let Some((start, length, name)) = next_variable(rest) {
        filled.push_str(&rest[..start]);
        let (stands_in_text, stands_in_range) = (is_in_text(&filled), is_in_range(&filled));
        let known = variables.iter().find(|variable| variable.name == name);
        let value = match name {
            "__rate_interval" => seconds(RATE_INTERVAL),
            _ if stands_in_text => placeholder(name),
            "__interval" | "__range" => seconds(CHOSEN),
            _ if name.starts_with("__") => "300".to_owned(),
            _ if stands_in_range || known.is_some_and(|variable| variable.kind == "interval") => seconds(CHOSEN),
            _ => {
                is_sure = false;
                let current = known.map(|variable| text(&variable.json["current"]["value"]));
                let current = current.filter(|value| !value.is_empty() && !value.starts_with('$'));
                current.map_or_else(|| placeholder(name), str::to_owned)
            }
        };
        filled.push_str(&value);
        rest = &rest[start + length..];
    }
    filled.push_str(rest);
    (filled, is_sure)
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

/// Whether what follows stands in quotes.
fn is_in_text(before: &str) -> bool {
    let mut quote = None;
    let mut characters = before.chars();
    while let Some(character) = characters.next() {
        match quote {
            Some('"' | '\'') if character == '\\' => drop(characters.next()),
            Some(open) if character == open => quote = None,
            None if matches!(character, '"' | '\'' | '`') => quote = Some(character),
            _ => {}
        }
    }
    quote.is_some()
}

/// Whether what follows stands in square brackets.
fn is_in_range(before: &str) -> bool {
    before.rfind('[').is_some_and(|open| !before[open..].contains(']'))
}

/// Every place of an expression where series are selected.
pub(super) fn uses(expression: &Expr) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    collect(expression, &mut Vec::new(), &mut Vec::new(), &mut uses);
    uses
}

fn collect<'e>(expression: &'e Expr, within: &mut Vec<String>, joined: &mut Vec<&'e str>, uses: &mut Vec<Use<'e>>) {
    if let Some(selector) = selector(expression) {
        let range = if let Expr::MatrixSelector(matrix) = expression { Some(matrix.range) } else { None };
        let (within, joined) = (within.clone(), joined.clone());
        uses.push(Use { selector, name: metric_name(selector), range, within, joined });
    }
    let function = match expression {
        Expr::Call(call) => Some(call.func.name.to_owned()),
        Expr::Aggregate(aggregate) => Some(aggregate.op.to_string()),
        _ => None,
    };
    let (depth, joins) = (within.len(), joined.len());
    within.extend(function);
    for child in children(expression) {
        if let Expr::Binary(binary) = expression {
            let other = if ptr::eq(child, &*binary.lhs) { &binary.rhs } else { &binary.lhs };
            joined.extend(joined_by(binary).iter().map(String::as_str).filter(|label| matches(other, label)));
        }
        collect(child, within, joined, uses);
        joined.truncate(joins);
    }
    within.truncate(depth);
}

/// The labels that the sides of an operator have to share, where it names them.
fn joined_by(binary: &BinaryExpr) -> &[String] {
    match binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()) {
        Some(LabelModifier::Include(labels)) if binary.op.to_string() != "or" => &labels.labels,
        _ => &[],
    }
}

/// Whether an expression selects series by this label.
fn matches(expression: &Expr, label: &str) -> bool {
    let mut matches = false;
    walk(expression, &mut |expression| {
        let matchers = selector(expression).into_iter().flat_map(|selector| &selector.matchers.matchers);
        matches |= matchers.into_iter().any(|matcher| matcher.name == label);
    });
    matches
}

/// Whether an expression has this number in it.
pub(super) fn has_number(expression: &Expr, number: f64) -> bool {
    let mut has = false;
    walk(expression, &mut |expression| {
        let literal = if let Expr::NumberLiteral(literal) = expression { Some(literal.val) } else { None };
        has |= literal.is_some_and(|literal| (literal - number).abs() <= f64::EPSILON * number.abs());
    });
    has
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::{fill, uses, variables_of};

    #[test]
    fn variables_are_found_in_every_spelling() {
        assert_eq!(variables_of("$a ${b:regex} [[c]] $1 $ ${__field.name}"), ["a", "b", "c", "__field"]);
    }

    #[test]
    fn what_is_filled_in_fits_where_it_stands() {
        let (filled, is_sure) = fill(r#"rate(a{b=~"$b",c="[$c"}[$__rate_interval]) + rate(d[${e}]) / $__range_s"#, &[]);
        assert_snapshot!(filled, @r#"rate(a{b=~"__b__",c="[__c__"}[271s]) + rate(d[269s]) / 300"#);
        assert!(is_sure);
        assert_eq!(fill("topk($n, up)", &[]), ("topk(__n__, up)".to_owned(), false));
    }

    #[test]
    fn the_functions_around_a_selector_are_known() {
        let expression = promql_parser::parser::parse("sum by (a) (rate(b[5m])) / on () group_left () max(c)").unwrap();
        let found = uses(&expression).into_iter().map(|found| (found.name.unwrap().to_owned(), found.within));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [("b".to_owned(), vec!["sum".to_owned(), "rate".to_owned()]), ("c".to_owned(), vec!["max".to_owned()]),]
        );
    }
}
