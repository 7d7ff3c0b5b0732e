//! Which labels an expression may have, followed from its selectors outward.

use std::collections::BTreeSet;

use promql_parser::{
    label::MatchOp,
    parser::{AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, value::ValueType},
};

use super::Catalogue;
use crate::promql::expression::{NAME, children, metric_name, selector};

/// The labels that series may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    /// These at most.
    Only(BTreeSet<String>),
    /// Any but these.
    AllBut(BTreeSet<String>),
}

// === impl Labels ===

impl Labels {
    pub(super) fn all() -> Self {
        Self::AllBut(BTreeSet::new())
    }

    fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// The labels of an expression's series.
    pub(super) fn of(expr: &Expr, catalogue: &Catalogue) -> Self {
        if let Some(selector) = selector(expr) {
            return metric_name(selector).map_or_else(Self::all, |name| catalogue.labels_of(name));
        }
        match expr {
            Expr::Paren(paren) => Self::of(&paren.expr, catalogue),
            Expr::Unary(unary) => Self::of(&unary.expr, catalogue),
            Expr::Subquery(subquery) => Self::of(&subquery.expr, catalogue),
            Expr::Aggregate(aggregate) => Self::of_aggregate(aggregate, catalogue),
            Expr::Call(call) => Self::of_call(call, catalogue),
            Expr::Binary(binary) => Self::of_binary(binary, catalogue),
            _ => Self::none(),
        }
    }

    fn of_aggregate(aggregate: &AggregateExpr, catalogue: &Catalogue) -> Self {
        let inner = Self::of(&aggregate.expr, catalogue);
        let operator = aggregate.op.to_string();
        if matches!(&*operator, "topk" | "bottomk" | "limitk" | "limit_ratio") {
            return inner;
        }
        let kept = match &aggregate.modifier {
            None => Self::none(),
            Some(LabelModifier::Include(labels)) => inner.kept(&labels.labels),
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
        let inner = series.map_or_else(Self::none, |series| Self::of(series, catalogue));
        match func.name {
            "absent" | "absent_over_time" => {
                let matchers = series.and_then(|series| selector(series)).map(|selector| &selector.matchers.matchers);
                let equal = matchers.into_iter().flatten().filter(|matcher| matcher.op == MatchOp::Equal);
                Self::Only(equal.map(|matcher| matcher.name.clone()).filter(|name| name != NAME).collect())
            }
            "histogram_quantile" | "histogram_fraction" => inner.without(&["le".to_owned()]),
            "label_replace" | "label_join" => match args.get(1) {
                Some(Expr::StringLiteral(label)) => inner.with([label.val.clone()]),
                _ => Self::all(),
            },
            "scalar" | "vector" => Self::none(),
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
            (_, Some(LabelModifier::Include(labels))) => left.kept(&labels.labels),
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
        children.reduce(Self::union).unwrap_or_else(Self::none)
    }

    /// Whether the series may have this label.
    pub(super) fn may(&self, label: &str) -> bool {
        match self {
            Self::Only(labels) => labels.contains(label),
            Self::AllBut(labels) => !labels.contains(label),
        }
    }

    /// The labels, where no others are possible.
    pub(super) fn exactly(self) -> Option<BTreeSet<String>> {
        match self {
            Self::Only(labels) => Some(labels),
            Self::AllBut(_) => None,
        }
    }

    pub(super) fn without(self, names: &[String]) -> Self {
        match self {
            Self::Only(labels) => Self::Only(labels.into_iter().filter(|label| !names.contains(label)).collect()),
            Self::AllBut(mut labels) => {
                labels.extend(names.iter().cloned());
                Self::AllBut(labels)
            }
        }
    }

    fn kept(&self, names: &[String]) -> Self {
        Self::Only(names.iter().filter(|name| self.may(name)).cloned().collect())
    }

    fn with(self, names: impl IntoIterator<Item = String>) -> Self {
        match self {
            Self::Only(mut labels) => {
                labels.extend(names);
                Self::Only(labels)
            }
            Self::AllBut(mut labels) => {
                for name in names {
                    labels.remove(&name);
                }
                Self::AllBut(labels)
            }
        }
    }

    fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(left), Self::Only(right)) => Self::Only(left.union(&right).cloned().collect()),
            (Self::AllBut(left), Self::AllBut(right)) => Self::AllBut(left.intersection(&right).cloned().collect()),
            (Self::AllBut(not), Self::Only(labels)) | (Self::Only(labels), Self::AllBut(not)) => {
                Self::AllBut(not.difference(&labels).cloned().collect())
            }
        }
    }
}
