//! Expressions that are only texts: what they read, told from their syntax.

use std::collections::BTreeSet;

use promql_parser::{
    label::MatchOp,
    parser::{
        BinaryExpr, Call, Expr, ParenExpr, VectorSelector,
        token::{T_LOR, TokenType},
    },
};

use super::{InvalidExpression, parse};

/// The name of a metric, as the label that it is.
pub(crate) const NAME: &str = "__name__";

/// Series that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selected {
    /// The metric's name, where the selector has one.
    pub metric: Option<String>,
    /// The selector, without range and offset.
    pub text: String,
}

// === impl Selected ===

impl Selected {
    /// Whether it lets series through whose label `name` has this value.
    pub fn admits(&self, name: &str, value: &str) -> bool {
        let parsed = parse(&self.text);
        let matchers = parsed.iter().filter_map(selector).flat_map(|selector| &selector.matchers.matchers);
        matchers.filter(|matcher| matcher.name == name).all(|matcher| matcher.is_match(value))
    }
}

/// The series that an expression reads, each selector once.
///
/// # Errors
/// When it is not PromQL.
pub fn selectors(expression: &str) -> Result<BTreeSet<Selected>, InvalidExpression> {
    let mut found = BTreeSet::new();
    walk(&parse(expression)?, &mut |expr| {
        if let Some(selector) = selector(expr) {
            let plain = VectorSelector { offset: None, at: None, ..selector.clone() };
            found.insert(Selected { metric: metric_name(selector).map(str::to_owned), text: plain.to_string() });
        }
    });
    Ok(found)
}

/// The names of the metrics that an expression reads, as they are on the wire: of a histogram those of its parts.
///
/// # Errors
/// When it is not PromQL.
pub fn metric_names(expression: &str) -> Result<BTreeSet<String>, InvalidExpression> {
    Ok(selectors(expression)?.into_iter().filter_map(|selected| selected.metric).collect())
}

/// The expression without what stands in for series that are not there: of `x or vector(0)`, `x`.
///
/// # Errors
/// When it is not PromQL.
pub fn without_fallback(expression: &str) -> Result<String, InvalidExpression> {
    let parsed = parse(expression)?;
    let mut inner = &parsed;
    loop {
        match inner {
            Expr::Paren(ParenExpr { expr }) => inner = expr,
            Expr::Binary(BinaryExpr { op, lhs, rhs, .. }) if *op == TokenType::new(T_LOR) && is_constant(rhs) => {
                return Ok(lhs.to_string());
            }
            _ => return Ok(expression.to_owned()),
        }
    }
}

/// Whether an expression reads no series.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    let mut reads = false;
    walk(expr, &mut |expr| reads |= selector(expr).is_some());
    !reads
}

/// Visits an expression and all that it is made of, from outside in.
pub fn walk<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr)) {
    visit(expr);
    for child in children(expr) {
        walk(child, visit);
    }
}

/// What an expression is made of.
pub fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(aggregate) => aggregate.param.iter().map(AsRef::as_ref).chain([&*aggregate.expr]).collect(),
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(Call { args, .. }) => args.args.iter().map(AsRef::as_ref).collect(),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => Vec::new(),
    }
}

/// The selector that an expression is, with or without a range.
pub fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

/// The name of the metric that a selector names, in front of its matchers or among them.
pub fn metric_name(selector: &VectorSelector) -> Option<&str> {
    let matchers = &selector.matchers.matchers;
    let named = matchers.iter().find(|matcher| matcher.name == NAME && matcher.op == MatchOp::Equal);
    selector.name.as_deref().or(named.map(|matcher| matcher.value.as_str()))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::{metric_names, selectors, without_fallback};

    #[test]
    fn every_series_that_is_read_is_found_once() {
        let expression = r#"
            histogram_quantile(0.9, sum by (le) (rate(a_bucket{x="1"}[5m] offset 1h))) > 1
            and on () topk(scalar(b), max_over_time((a_bucket{x="1"} - c)[1h:])) unless {__name__="d"}"#;
        let texts: Vec<_> = selectors(expression).unwrap().into_iter().map(|selected| selected.text).collect();
        assert_snapshot!(texts.join("\n"), @r#"
        a_bucket{x="1"}
        b
        c
        {__name__="d"}
        "#);
        assert_eq!(metric_names(expression).unwrap().into_iter().collect::<String>(), "a_bucketbcd");
        assert!(selectors("sum(").is_err());
    }

    #[test]
    fn a_selector_lets_through_what_its_matchers_of_the_label_do() {
        let admits = |selector: &str, value: &str| {
            selectors(selector).unwrap().iter().all(|selected| selected.admits("slo", value))
        };
        assert!(admits("x", "a") && admits(r#"x{slo="a"}"#, "a") && admits(r#"x{slo=~"a|b",y="1"}"#, "b"));
        assert!(!admits(r#"x{slo="a"}"#, "b") && !admits(r#"x{slo=~".*",slo!="b"}"#, "b"));
    }

    #[test]
    fn a_fallback_is_taken_off_and_nothing_else() {
        for (expression, without) in [
            ("sum(x) or vector(0)", "sum(x)"),
            ("((sum(x)) or vector(0))", "(sum(x))"),
            ("x or y", "x or y"),
            ("x  >  1", "x  >  1"),
        ] {
            assert_eq!(without_fallback(expression).unwrap(), without);
        }
    }
}
