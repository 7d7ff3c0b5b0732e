//! Which labels an expression has, followed from its selectors outward.

use std::collections::BTreeSet;

use promql_parser::{
    label::MatchOp,
    parser::{AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, value::ValueType},
};

use super::Catalogue;
use crate::promql::expression::{NAME, children, metric_name, selector, walk};

/// The labels of series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Those that are there.
    sure: BTreeSet<String>,
    /// Those that are there or not, as the target has them.
    maybe: BTreeSet<String>,
    /// Where there may be any others: those that were dropped.
    others: Option<BTreeSet<String>>,
}

// === impl Labels ===

impl Labels {
    /// The labels of an expression's series.
    pub fn of(expr: &Expr, catalogue: &Catalogue) -> Self {
        if let Some(selector) = selector(expr) {
            return metric_name(selector).map_or_else(Self::all, |name| catalogue.labels(name));
        }
        match expr {
            Expr::Paren(paren) => Self::of(&paren.expr, catalogue),
            Expr::Unary(unary) => Self::of(&unary.expr, catalogue),
            Expr::Subquery(subquery) => Self::of(&subquery.expr, catalogue),
            Expr::Aggregate(aggregate) => Self::of_aggregate(aggregate, catalogue),
            Expr::Call(call) => Self::of_call(call, catalogue),
            Expr::Binary(binary) => Self::of_binary(binary, catalogue),
            Expr::Extension(_) => Self::all(),
            _ => Self::default(),
        }
    }

    /// The labels that an expression groups by though they are not there any more.
    pub fn lost(expr: &Expr, catalogue: &Catalogue) -> Vec<String> {
        let mut lost = Vec::new();
        walk(expr, &mut |expr| {
            if let Expr::Aggregate(AggregateExpr { modifier: Some(LabelModifier::Include(by)), expr, .. }) = expr {
                let labels = Self::of(expr, catalogue);
                lost.extend(by.labels.iter().filter(|label| !labels.may(label)).cloned());
            }
        });
        lost
    }

    /// Any labels.
    pub(super) fn all() -> Self {
        Self { others: Some(BTreeSet::new()), ..Self::default() }
    }

    /// The labels of a metric's own, and those that its target may have.
    pub(super) fn of_series(
        own: impl IntoIterator<Item = String>,
        of_target: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { maybe: of_target.into_iter().collect(), ..Self::default() }.with(own)
    }

    fn of_aggregate(aggregate: &AggregateExpr, catalogue: &Catalogue) -> Self {
        let inner = Self::of(&aggregate.expr, catalogue);
        let operator = aggregate.op.to_string();
        if matches!(&*operator, "topk" | "bottomk" | "limitk" | "limit_ratio") {
            return inner;
        }
        let kept = match &aggregate.modifier {
            None => Self::default(),
            // What is grouped by is there, or that it is not is told of the grouping.
            Some(LabelModifier::Include(labels)) => Self::default().with(labels.labels.iter().cloned()),
            Some(LabelModifier::Exclude(labels)) => inner.without(&labels.labels),
        };
        match aggregate.param.as_deref() {
            Some(Expr::StringLiteral(label)) if operator == "count_values" => kept.with([label.val.clone()]),
            _ => kept,
        }
    }

    fn of_call(Call { func, args }: &Call, catalogue: &Catalogue) -> Self {
        let args: Vec<&Expr> = args.args.iter().map(AsRef::as_ref).collect();
        let series = args.iter().find(|arg| matches!(arg.value_type(), ValueType::Vector | ValueType::Matrix));
        let inner = series.map_or_else(Self::default, |series| Self::of(series, catalogue));
        match func.name {
            "absent" | "absent_over_time" => {
                let matchers = series.and_then(|series| selector(series)).map(|selector| &selector.matchers.matchers);
                let equal = matchers.into_iter().flatten().filter(|matcher| matcher.op == MatchOp::Equal);
                Self::default().with(equal.map(|matcher| matcher.name.clone()).filter(|name| name != NAME))
            }
            "histogram_quantile" | "histogram_fraction" => inner.without(&["le".to_owned()]),
            "label_replace" | "label_join" => match args.get(1) {
                Some(Expr::StringLiteral(label)) => inner.with([label.val.clone()]),
                _ => Self::all(),
            },
            "scalar" | "vector" => Self::default(),
            _ => inner,
        }
    }

    fn of_binary(binary: &BinaryExpr, catalogue: &Catalogue) -> Self {
        let [left, right] = [&binary.lhs, &binary.rhs].map(|side| Self::of(side, catalogue));
        if binary.lhs.value_type() == ValueType::Scalar {
            return right;
        }
        if binary.rhs.value_type() == ValueType::Scalar {
            return left;
        }
        let operator = binary.op.to_string();
        match &*operator {
            "or" => return left.union(right),
            "and" | "unless" => return left,
            _ => {}
        }
        let Some(modifier) = &binary.modifier else { return left };
        match (&modifier.card, &modifier.matching) {
            (VectorMatchCardinality::ManyToOne(extra), _) => left.with(extra.labels.iter().cloned()),
            (VectorMatchCardinality::OneToMany(extra), _) => right.with(extra.labels.iter().cloned()),
            (_, Some(LabelModifier::Include(labels))) => Self::default().with(labels.labels.iter().cloned()),
            (_, Some(LabelModifier::Exclude(labels))) => left.without(&labels.labels),
            _ => left,
        }
    }

    /// The labels that an expression's selectors may have, before anything is dropped.
    pub(super) fn at_first(expr: &Expr, catalogue: &Catalogue) -> Self {
        if selector(expr).is_some() {
            return Self::of(expr, catalogue);
        }
        let children = children(expr).into_iter().map(|child| Self::at_first(child, catalogue));
        children.reduce(Self::union).unwrap_or_default()
    }

    /// Whether the series may have this label.
    pub fn may(&self, label: &str) -> bool {
        self.known(label) || self.others.as_ref().is_some_and(|dropped| !dropped.contains(label))
    }

    /// Whether this label is one that the series are known to have, or to have as their target has it.
    pub fn known(&self, label: &str) -> bool {
        self.sure.contains(label) || self.maybe.contains(label)
    }

    /// Whether there may be labels that nothing is known of.
    pub fn is_open(&self) -> bool {
        self.others.is_some()
    }

    /// The labels that are known, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sure.union(&self.maybe).map(String::as_str)
    }

    /// The labels that these series have, and none of the others may have.
    pub(super) fn missing_in(&self, other: &Self) -> impl Iterator<Item = &str> {
        self.sure.iter().map(String::as_str).filter(|label| !other.may(label))
    }

    pub(super) fn without(mut self, names: &[String]) -> Self {
        self.sure.retain(|label| !names.contains(label));
        self.maybe.retain(|label| !names.contains(label));
        self.others.iter_mut().for_each(|dropped| dropped.extend(names.iter().cloned()));
        self
    }

    pub(super) fn with(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for name in names {
            self.maybe.remove(&name);
            self.sure.insert(name);
        }
        self
    }

    /// Those of series that are one or the other.
    pub(super) fn union(self, other: Self) -> Self {
        let others = match (&self.others, &other.others) {
            (Some(left), Some(right)) => Some(left.intersection(right).cloned().collect()),
            (Some(dropped), None) | (None, Some(dropped)) => Some(dropped.clone()),
            (None, None) => None,
        };
        let names = |labels: Self| labels.sure.into_iter().chain(labels.maybe);
        let sure: BTreeSet<_> = self.sure.intersection(&other.sure).cloned().collect();
        let maybe = names(self).chain(names(other)).filter(|label| !sure.contains(label)).collect();
        Self { sure, maybe, others }
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, Labels};

    fn surviving(expression: &str) -> String {
        let (expression, catalogue) = (promql_parser::parser::parse(expression).unwrap(), Catalogue::declared());
        let labels = Labels::of(&expression, &catalogue);
        let names = labels.names().collect::<Vec<_>>().join(" ");
        let open = if labels.is_open() { " …" } else { "" };
        let lost = Labels::lost(&expression, &catalogue);
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
            ("sum without (le) (unknown) or sum by (path) (http_requests_total)", "path …"),
        ] {
            assert_eq!(surviving(expression), expected, "{expression}");
        }
    }
}
