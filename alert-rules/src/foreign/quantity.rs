//! What an expression's value measures, followed from the metrics through its functions.

use promql_parser::parser::{AggregateExpr, BinaryExpr, Call, Expr, value::ValueType};

use super::Catalogue;
use crate::promql::{
    Quantity,
    expression::{metric_name, selector, walk},
};

/// What an expression's value measures, where that follows from the metrics.
pub fn of(expr: &Expr, catalogue: &Catalogue) -> Option<Quantity> {
    if let Some(selector) = selector(expr) {
        return catalogue.quantity(metric_name(selector)?);
    }
    match expr {
        Expr::Paren(paren) => of(&paren.expr, catalogue),
        Expr::Subquery(subquery) => of(&subquery.expr, catalogue),
        Expr::Aggregate(aggregate) => of_aggregate(aggregate, catalogue),
        Expr::Binary(binary) => of_binary(binary, catalogue),
        Expr::Call(call) => of_call(call, catalogue),
        _ => None,
    }
}

/// What a metric of this name measures, by the unit that names end in.
pub(super) fn of_name(name: &str) -> Option<Quantity> {
    let parts = ["_total", "_bucket", "_count", "_sum"];
    let name = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    let units = [
        ("_seconds", Quantity::Seconds),
        ("_bytes", Quantity::Bytes),
        ("_ratio", Quantity::Ratio),
        ("_info", Quantity::State),
    ];
    units.into_iter().find_map(|(unit, quantity)| name.ends_with(unit).then_some(quantity))
}

fn of_aggregate(aggregate: &AggregateExpr, catalogue: &Catalogue) -> Option<Quantity> {
    match &*aggregate.op.to_string() {
        "sum" => of(&aggregate.expr, catalogue).map(Quantity::sum),
        "min" | "max" | "avg" | "quantile" | "topk" | "bottomk" => of(&aggregate.expr, catalogue),
        "count" => Some(Quantity::Count),
        _ => None,
    }
}

fn of_binary(binary: &BinaryExpr, catalogue: &Catalogue) -> Option<Quantity> {
    let (left, right) = (of(&binary.lhs, catalogue), of(&binary.rhs, catalogue));
    let [left_is_scalar, right_is_scalar] =
        [&binary.lhs, &binary.rhs].map(|side| side.value_type() == ValueType::Scalar);
    match &*binary.op.to_string() {
        "/" if right_is_scalar => None,
        "/" => ratio(left?, right?),
        "+" | "-" if left == right || right_is_scalar => left,
        "+" | "-" if left_is_scalar => right,
        // Joined with an info metric a value stays what it is.
        "*" if right == Some(Quantity::State) => left,
        // Of a factor nothing is known, so one side may tell less than the other.
        "or" => left.or(right),
        "and" | "unless" => left,
        _ if binary.op.is_comparison_operator() && !binary.return_bool() => left,
        _ => None,
    }
}

fn of_call(call: &Call, catalogue: &Catalogue) -> Option<Quantity> {
    let is_series = |arg: &&Expr| matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix);
    let series = call.args.args.iter().map(AsRef::as_ref).rev().find(is_series)?;
    match call.func.name {
        "rate" | "irate" | "deriv" => of(series, catalogue).map(Quantity::rate),
        "increase" | "delta" | "idelta" | "predict_linear" | "avg_over_time" | "max_over_time" | "min_over_time"
        | "last_over_time" | "quantile_over_time" | "abs" | "ceil" | "clamp" | "clamp_max" | "clamp_min" | "floor"
        | "label_join" | "label_replace" | "round" | "sort" | "sort_desc" => of(series, catalogue),
        "changes" | "count_over_time" | "resets" => Some(Quantity::Count),
        "histogram_quantile" => of_histogram(series, catalogue),
        "timestamp" => Some(Quantity::Seconds),
        _ => None,
    }
}

/// What the histogram measures whose buckets are in this expression.
fn of_histogram(expr: &Expr, catalogue: &Catalogue) -> Option<Quantity> {
    let mut first = None;
    walk(expr, &mut |expr| first = first.or_else(|| selector(expr).and_then(metric_name)));
    catalogue.observed(first?)
}

fn ratio(left: Quantity, right: Quantity) -> Option<Quantity> {
    match (left, right) {
        (left, right) if left == right => Some(Quantity::Ratio),
        (Quantity::Cores, Quantity::PerSecond) => Some(Quantity::Seconds),
        (Quantity::BytesPerSecond, Quantity::PerSecond) => Some(Quantity::Bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, Quantity, of};

    #[test]
    fn what_a_value_measures_is_followed_through_functions_and_joins() {
        for (expression, expected) in [
            ("rate(http_requests_total[5m])", Some(Quantity::PerSecond)),
            ("rate(process_cpu_seconds_total[5m])", Some(Quantity::Cores)),
            (
                "rate(http_request_duration_seconds_sum[5m]) / rate(http_request_duration_seconds_count[5m])",
                Some(Quantity::Seconds),
            ),
            ("histogram_quantile(0.9, rate(http_request_duration_seconds_bucket[5m]))", Some(Quantity::Seconds)),
            ("process_open_fds / process_max_fds", Some(Quantity::Ratio)),
            ("1 - process_open_fds / process_max_fds > 0.5", Some(Quantity::Ratio)),
            ("sum(process_resident_memory_bytes)", Some(Quantity::Bytes)),
            ("process_resident_memory_bytes * 2", None),
            ("process_resident_memory_bytes * on (job) group_left (version) build_info", Some(Quantity::Bytes)),
            ("time() - process_start_time_seconds", Some(Quantity::Seconds)),
            ("histogram_quantile(0.9, rate(foreign_size_bytes_bucket[5m]))", Some(Quantity::Bytes)),
            ("increase(foreign_size_bytes_count[5m])", Some(Quantity::Count)),
            ("foreign_queue_count", None),
        ] {
            let parsed = promql_parser::parser::parse(expression).unwrap();
            assert_eq!(of(&parsed, &Catalogue::declared()), expected, "{expression}");
        }
    }
}
