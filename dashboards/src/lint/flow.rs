//! Which labels an expression still has, and what its value measures, followed through its functions.

use std::collections::BTreeSet;

use futura_alert_rules::promql::Quantity;
use promql_parser::{
    label::MatchOp,
    parser::{AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector},
};

use super::catalogue::{Catalogue, Part, Series};

/// The labels that the series of an expression have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) names: BTreeSet<String>,
    /// Whether there may be others.
    pub(super) open: bool,
}

/// The labels of an expression; aggregations by a label that is not there go to `lost`.
pub(super) fn labels(expression: &Expr, catalogue: &Catalogue, lost: &mut Vec<String>) -> Labels {
    match expression {
        Expr::VectorSelector(selector) => selected(selector, catalogue),
        Expr::MatrixSelector(matrix) => selected(&matrix.vs, catalogue),
        Expr::Paren(inner) => labels(&inner.expr, catalogue, lost),
        Expr::Unary(inner) => labels(&inner.expr, catalogue, lost),
        Expr::Subquery(inner) => labels(&inner.expr, catalogue, lost),
        Expr::Aggregate(aggregate) => aggregated(aggregate, catalogue, lost),
        Expr::Binary(binary) => joined(binary, catalogue, lost),
        Expr::Call(call) => called(call, catalogue, lost),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Labels::default(),
        Expr::Extension(_) => Labels { names: BTreeSet::new(), open: true },
    }
}

fn selected(selector: &VectorSelector, catalogue: &Catalogue) -> Labels {
    let series = selector.name.as_deref().map_or(Series::Unknown, |name| catalogue.series(name));
    let Series::Of(metric, part) = series else { return Labels { names: BTreeSet::new(), open: true } };
    let Some(own) = &metric.labels else { return Labels { names: BTreeSet::new(), open: true } };
    let mut names: BTreeSet<_> = own.iter().map(|label| label.name.clone()).collect();
    names.extend(catalogue.target_labels.iter().cloned());
    names.extend((part == Part::Bucket).then(|| "le".to_owned()));
    Labels { names, open: false }
}

fn aggregated(aggregate: &AggregateExpr, catalogue: &Catalogue, lost: &mut Vec<String>) -> Labels {
    let inner = labels(&aggregate.expr, catalogue, lost);
    if ["topk", "bottomk", "limitk", "limit_ratio"].contains(&aggregate.op.to_string().as_str()) {
        return inner;
    }
    let mut kept = match &aggregate.modifier {
        None => Labels::default(),
        Some(LabelModifier::Include(by)) => {
            lost.extend(by.labels.iter().filter(|label| !inner.has(label)).cloned());
            Labels { names: by.labels.iter().cloned().collect(), open: false }
        }
        Some(LabelModifier::Exclude(without)) => inner.without(&without.labels),
    };
    if let Some(Expr::StringLiteral(label)) = aggregate.param.as_deref() {
        kept.names.insert(label.val.clone());
    }
    kept
}

fn joined(binary: &BinaryExpr, catalogue: &Catalogue, lost: &mut Vec<String>) -> Labels {
    let left = labels(&binary.lhs, catalogue, lost);
    let right = labels(&binary.rhs, catalogue, lost);
    let operator = binary.op.to_string();
    match operator.as_str() {
        "and" | "unless" => return left,
        "or" => return left.with(right),
        _ => {}
    }
    if is_scalar(&binary.lhs) {
        return right;
    }
    let Some(modifier) = &binary.modifier else { return left };
    match (&modifier.card, &modifier.matching) {
        (VectorMatchCardinality::ManyToOne(extra), _) => left.and(&extra.labels),
        (VectorMatchCardinality::OneToMany(extra), _) => right.and(&extra.labels),
        (_, Some(LabelModifier::Include(on))) => Labels { names: on.labels.iter().cloned().collect(), open: false },
        (_, Some(LabelModifier::Exclude(ignoring))) => left.without(&ignoring.labels),
        (_, None) => left,
    }
}

fn called(call: &Call, catalogue: &Catalogue, lost: &mut Vec<String>) -> Labels {
    let arguments = &call.args.args;
    match call.func.name {
        "absent" | "absent_over_time" => {
            let selector = arguments.first().map(AsRef::as_ref);
            let selector = match selector {
                Some(Expr::VectorSelector(selector)) => Some(selector),
                Some(Expr::MatrixSelector(matrix)) => Some(&matrix.vs),
                _ => None,
            };
            let matchers = selector.into_iter().flat_map(|selector| &selector.matchers.matchers);
            let equal = matchers.filter(|matcher| matcher.op == MatchOp::Equal).map(|matcher| matcher.name.clone());
            return Labels { names: equal.collect(), open: false };
        }
        "scalar" | "time" | "vector" | "pi" => return Labels::default(),
        _ => {}
    }
    let vector = arguments.iter().find(|argument| !is_scalar(argument));
    let mut labels = vector.map_or_else(Labels::default, |vector| labels(vector, catalogue, lost));
    match call.func.name {
        "histogram_quantile" => drop(labels.names.remove("le")),
        "label_join" | "label_replace" => {
            if let Some(Expr::StringLiteral(label)) = arguments.get(1).map(AsRef::as_ref) {
                labels.names.insert(label.val.clone());
            }
        }
        _ => {}
    }
    labels
}

fn is_scalar(expression: &Expr) -> bool {
    match expression {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
        Expr::Paren(inner) => is_scalar(&inner.expr),
        Expr::Unary(inner) => is_scalar(&inner.expr),
        Expr::Binary(binary) => is_scalar(&binary.lhs) && is_scalar(&binary.rhs),
        Expr::Call(call) => matches!(call.func.name, "scalar" | "time" | "pi"),
        _ => false,
    }
}

/// What an expression's value measures, where that follows from the metrics.
pub(super) fn quantity(expression: &Expr, catalogue: &Catalogue) -> Option<Quantity> {
    match expression {
        Expr::VectorSelector(selector) => of_series(selector, catalogue),
        Expr::MatrixSelector(matrix) => of_series(&matrix.vs, catalogue),
        Expr::Paren(inner) => quantity(&inner.expr, catalogue),
        Expr::Aggregate(aggregate) => match aggregate.op.to_string().as_str() {
            "sum" | "min" | "max" | "avg" | "quantile" | "topk" | "bottomk" => quantity(&aggregate.expr, catalogue),
            "count" => Some(Quantity::Count),
            _ => None,
        },
        Expr::Binary(binary) => {
            let (left, right) = (quantity(&binary.lhs, catalogue), quantity(&binary.rhs, catalogue));
            match binary.op.to_string().as_str() {
                "/" if is_scalar(&binary.rhs) => None,
                "/" => ratio(left?, right?),
                "+" | "-" if left == right => left,
                // Of a factor nothing is known, so one side may tell less than the other.
                "or" => left.or(right),
                "and" | "unless" | ">" | "<" | ">=" | "<=" | "==" | "!=" => left,
                _ => None,
            }
        }
        Expr::Call(call) => {
            let argument = call.args.args.iter().rev().find(|argument| !is_scalar(argument))?;
            let inner = quantity(argument, catalogue)?;
            match call.func.name {
                "rate" | "irate" => Some(rate(inner)),
                "increase" | "delta" | "avg_over_time" | "max_over_time" | "min_over_time" | "last_over_time"
                | "quantile_over_time" | "sort" | "sort_desc" => Some(inner),
                "histogram_quantile" => of_histogram(argument, catalogue),
                _ => None,
            }
        }
        _ => None,
    }
}

fn of_series(selector: &VectorSelector, catalogue: &Catalogue) -> Option<Quantity> {
    match catalogue.series(selector.name.as_deref()?) {
        Series::Of(_, Part::Bucket | Part::Count) => Some(Quantity::Count),
        Series::Of(metric, _) => metric.unit.map(Quantity::from),
        Series::Unknown | Series::Missing => None,
    }
}

/// What the histogram measures whose buckets are in this expression.
fn of_histogram(expression: &Expr, catalogue: &Catalogue) -> Option<Quantity> {
    let uses = super::expression::uses(expression);
    let name = uses.first()?.selector.name.as_deref()?;
    match catalogue.series(name) {
        Series::Of(metric, _) => metric.unit.map(Quantity::from),
        Series::Unknown | Series::Missing => None,
    }
}

fn rate(quantity: Quantity) -> Quantity {
    match quantity {
        Quantity::Seconds => Quantity::Cores,
        Quantity::Bytes => Quantity::BytesPerSecond,
        _ => Quantity::PerSecond,
    }
}

fn ratio(left: Quantity, right: Quantity) -> Option<Quantity> {
    match (left, right) {
        (left, right) if left == right => Some(Quantity::Ratio),
        (Quantity::Cores, Quantity::PerSecond) => Some(Quantity::Seconds),
        (Quantity::BytesPerSecond, Quantity::PerSecond) => Some(Quantity::Bytes),
        _ => None,
    }
}

// === impl Labels ===

impl Labels {
    pub(super) fn has(&self, label: &str) -> bool {
        self.open || self.names.contains(label)
    }

    fn without(mut self, labels: &[String]) -> Self {
        self.names.retain(|name| !labels.contains(name));
        self
    }

    fn and(mut self, labels: &[String]) -> Self {
        self.names.extend(labels.iter().cloned());
        self
    }

    fn with(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.open |= other.open;
        self
    }
}

#[cfg(test)]
mod tests {
    use futura_alert_rules::promql::Quantity;

    use super::{Catalogue, labels, quantity};

    fn surviving(expression: &str) -> String {
        let expression = promql_parser::parser::parse(expression).unwrap();
        let mut lost = Vec::new();
        let labels = labels(&expression, &Catalogue::declared(&[]), &mut lost);
        let names = labels.names.into_iter().collect::<Vec<_>>().join(" ");
        let open = if labels.open { " …" } else { "" };
        let lost = if lost.is_empty() { String::new() } else { format!(" lost {}", lost.join(" ")) };
        format!("{names}{open}{lost}")
    }

    #[test]
    fn labels_are_followed_through_functions_and_joins() {
        for (expression, expected) in [
            ("circuit_breaker_state", "breaker instance job service"),
            ("sum by (path, method) (rate(http_requests_total[5m]))", "method path"),
            ("sum without (instance, job) (event_bus_messages_published_total)", "service"),
            ("sum(up)", ""),
            ("sum by (path) (sum by (method) (http_requests_total))", "path lost path"),
            ("histogram_quantile(0.9, sum by (le, path) (rate(http_request_duration_seconds_bucket[5m])))", "path"),
            ("2 * sum by (path) (http_requests_total)", "path"),
            ("sum by (path) (http_requests_total) / on (path) group_left (x) max by (path, x) (unknown)", "path x"),
            ("sum by (path, x) (unknown) / on (path) max by (path) (http_requests_total)", "path"),
            ("label_replace(sum(up), \"to\", \"$1\", \"job\", \"(.*)\")", "to"),
            ("absent(up{job=\"a\", instance=~\"b\"})", "job"),
            ("topk(3, circuit_breaker_state)", "breaker instance job service"),
            ("count_values(\"state\", circuit_breaker_state)", "state"),
            ("level:unknown:rate5m", " …"),
        ] {
            assert_eq!(surviving(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_a_value_measures_is_followed_too() {
        for (expression, expected) in [
            ("rate(http_requests_total[5m])", Some(Quantity::PerSecond)),
            ("rate(process_cpu_seconds_total[5m])", Some(Quantity::Cores)),
            (
                "rate(http_request_duration_seconds_sum[5m]) / rate(http_request_duration_seconds_count[5m])",
                Some(Quantity::Seconds),
            ),
            ("histogram_quantile(0.9, rate(http_request_duration_seconds_bucket[5m]))", Some(Quantity::Seconds)),
            ("process_open_fds / process_max_fds", Some(Quantity::Ratio)),
            ("sum(process_resident_memory_bytes)", Some(Quantity::Bytes)),
            ("process_resident_memory_bytes * 2", None),
        ] {
            let parsed = promql_parser::parser::parse(expression).unwrap();
            assert_eq!(quantity(&parsed, &Catalogue::declared(&[])), expected, "{expression}");
        }
    }
}
