//! What is wrong inside an expression: names, kinds, ranges, what is grouped by.

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector},
};

use super::{
    Catalogue, Findings, Labels, Lint, MetricKind, Options,
    catalogue::{RATES, is_text},
    joins,
};
use crate::promql::expression::{NAME, children, metric_name, selector, walk};

/// Functions of a range that make nothing of a counter.
const OF_GAUGES: [&str; 10] = [
    "delta",
    "idelta",
    "deriv",
    "predict_linear",
    "avg_over_time",
    "max_over_time",
    "min_over_time",
    "quantile_over_time",
    "stddev_over_time",
    "sum_over_time",
];

/// Checks one expression.
pub(super) struct ExpressionCheck<'a, 'b> {
    catalogue: &'a Catalogue,
    options: &'a Options,
    is_alert: bool,
    findings: &'a mut Findings<'b>,
}

/// What surrounds a part of an expression.
#[derive(Clone, Copy)]
struct Context {
    /// Whether its value counts, or only that it is there.
    value: bool,
    /// Whether something joined by `and` asks for a minimum of traffic.
    guarded: bool,
}

/// Whether an expression compares anything.
pub(super) fn compares(expr: &Expr) -> bool {
    let mut compares = false;
    walk(expr, &mut |expr| compares |= matches!(expr, Expr::Binary(binary) if binary.op.is_comparison_operator()));
    compares
}

/// What stands in parentheses, without them.
pub(super) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => bare(&paren.expr),
        _ => expr,
    }
}

/// The series that an expression only gives another name or other labels.
pub(super) fn alias(expr: &Expr) -> Option<&VectorSelector> {
    match bare(expr) {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::Call(call) if matches!(call.func.name, "label_replace" | "label_join") => alias(call.args.args.first()?),
        _ => None,
    }
}

/// The function that is called outermost, and its arguments.
pub(super) fn called(expr: &Expr) -> Option<(&'static str, Vec<&Expr>)> {
    match bare(expr) {
        Expr::Call(Call { func, args }) => Some((func.name, args.args.iter().map(AsRef::as_ref).collect())),
        _ => None,
    }
}

// === impl ExpressionCheck ===

impl<'a, 'b> ExpressionCheck<'a, 'b> {
    pub(super) fn new(
        catalogue: &'a Catalogue,
        options: &'a Options,
        is_alert: bool,
        findings: &'a mut Findings<'b>,
    ) -> Self {
        Self { catalogue, options, is_alert, findings }
    }

    pub(super) fn run(&mut self, expr: &Expr) {
        // A rule may record a counter under another name.
        let value = self.is_alert || alias(expr).is_none();
        self.visit(expr, Context { value, guarded: false });
    }

    fn visit(&mut self, expr: &Expr, context: Context) {
        if let Some(selector) = selector(expr) {
            self.selector(selector);
            if matches!(expr, Expr::VectorSelector(_)) && context.value {
                self.counter_as_value(selector);
            }
        }
        match expr {
            Expr::Call(call) => self.call(call, context),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, context),
            Expr::Binary(binary) => self.binary(binary, context),
            _ => children(expr).into_iter().for_each(|child| self.visit(child, context)),
        }
    }

    fn report(&mut self, lint: Lint, message: String) {
        self.findings.report(lint, message);
    }

    fn selector(&mut self, selector: &VectorSelector) {
        let name = metric_name(selector);
        if let Some(name) = name
            && !self.catalogue.is_known(name)
        {
            self.report(Lint::UnknownMetric, format!("there is no metric `{name}`"));
        }
        let labels = name.map_or_else(Labels::all, |name| self.catalogue.labels(name));
        for matcher in selector.matchers.matchers.iter().filter(|matcher| matcher.name != NAME) {
            if let Some(name) = name.filter(|_| !labels.may(&matcher.name)) {
                self.report(Lint::UnknownLabel, format!("`{name}` has no label `{}`", matcher.name));
            }
            self.pattern(matcher);
            self.bound(matcher);
            self.label_value(name, matcher);
        }
    }

    fn pattern(&mut self, matcher: &Matcher) {
        if !matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_)) {
            return;
        }
        let Matcher { op, name, value } = matcher;
        let anchored = value.starts_with('^') || (value.ends_with('$') && !value.ends_with(r"\$"));
        if anchored {
            self.report(Lint::LiteralRegex, format!("`{name}{op}\"{value}\"` has anchors, which it has anyway"));
        } else if is_text(value) {
            self.report(Lint::LiteralRegex, format!("`{name}{op}\"{value}\"` matches one text alone"));
        }
    }

    fn bound(&mut self, Matcher { op, name, value }: &Matcher) {
        let exact = matches!(op, MatchOp::Equal | MatchOp::NotEqual) && matches!(&**name, "le" | "quantile");
        if exact && value.trim_end_matches(".0").parse::<u64>().is_ok() {
            self.report(Lint::BoundLiteral, format!("`{name}{op}\"{value}\"` is one of two spellings"));
        }
    }

    fn label_value(&mut self, name: Option<&str>, matcher: &Matcher) {
        let Some(name) = name else { return };
        if let Some(text) = self.catalogue.never(name, matcher) {
            let values = self.catalogue.values(name, &matcher.name).join(", ");
            self.report(Lint::UnknownLabelValue, format!("`{}` is never `{text}`, but {values}", matcher.name));
        }
    }

    fn kind(&self, selector: &VectorSelector) -> MetricKind {
        metric_name(selector).map_or(MetricKind::Unknown, |name| self.catalogue.kind(name))
    }

    fn counter_as_value(&mut self, selector: &VectorSelector) {
        if self.kind(selector) == MetricKind::Counter {
            let name = metric_name(selector).unwrap_or_default();
            self.report(Lint::CounterWithoutRate, format!("the counter `{name}` is read as a value"));
        }
    }

    fn call(&mut self, call: &Call, context: Context) {
        let function = call.func.name;
        for arg in &call.args.args {
            let mut inner = context;
            match &**arg {
                Expr::MatrixSelector(matrix) => self.range(function, &matrix.vs, matrix.range),
                Expr::Subquery(subquery) if RATES.contains(&function) => {
                    let mut aggregates = false;
                    walk(&subquery.expr, &mut |expr| aggregates |= matches!(expr, Expr::Aggregate(_)));
                    if aggregates {
                        self.report(Lint::RateAfterSum, format!("{function}() is taken of an aggregate"));
                    }
                    inner.value = false;
                }
                _ => {}
            }
            if matches!(function, "absent" | "absent_over_time" | "timestamp") {
                inner.value = false;
            }
            self.visit(arg, inner);
        }
        if let ("histogram_quantile", [_, buckets]) = (function, &call.args.args[..]) {
            self.quantile(buckets);
        }
    }

    fn range(&mut self, function: &str, selector: &VectorSelector, range: std::time::Duration) {
        let name = metric_name(selector).unwrap_or_default().to_owned();
        match self.kind(selector) {
            MetricKind::Gauge if RATES.contains(&function) => {
                self.report(Lint::RateOfGauge, format!("{function}() is taken of the gauge `{name}`"));
            }
            MetricKind::Counter if OF_GAUGES.contains(&function) => {
                self.report(Lint::CounterWithoutRate, format!("{function}() is taken of the counter `{name}`"));
            }
            _ if RATES.contains(&function) && self.catalogue.is_aggregate(&name) => {
                let message = format!("{function}() is taken of `{name}`, which a rule records as an aggregate");
                self.report(Lint::RateAfterSum, message);
            }
            _ => {}
        }
        let samples = match function {
            "rate" | "increase" => 4,
            "irate" => 2,
            _ => 0,
        };
        let shortest = self.options.scrape_interval * samples;
        if range < shortest {
            let message = format!("{function}() looks back {range:?}, which is less than {shortest:?}");
            self.report(Lint::ShortRange, message);
        }
    }

    fn quantile(&mut self, buckets: &Expr) {
        let mut classic = false;
        walk(buckets, &mut |expr| {
            let name = selector(expr).and_then(metric_name);
            classic |= name.is_some_and(|name| name.ends_with("_bucket"));
        });
        if classic && !Labels::of(buckets, self.catalogue).may("le") {
            self.report(Lint::LeDropped, "histogram_quantile() gets buckets without their `le`".to_owned());
        }
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr, context: Context) {
        let operator = aggregate.op.to_string();
        // The first of each group is how a join picks one of several.
        let first = matches!(aggregate.param.as_deref(), Some(Expr::NumberLiteral(number)) if number.val == 1.0);
        if self.is_alert && !first && matches!(&*operator, "topk" | "bottomk") {
            self.report(Lint::TopkInAlert, format!("{operator}() picks other series from one time to the next"));
        }
        if let Some(LabelModifier::Include(labels)) = &aggregate.modifier {
            self.grouping(&labels.labels, &aggregate.expr, "grouped by");
        }
        let counts = matches!(&*operator, "count" | "group");
        let inner = Context { value: context.value && !counts, ..context };
        self.visit(&aggregate.expr, inner);
        aggregate.param.iter().for_each(|param| self.visit(param, inner));
    }

    /// The labels that something is grouped or matched by have to be there.
    fn grouping(&mut self, labels: &[String], expr: &Expr, what: &str) {
        let (has, had) = (Labels::of(expr, self.catalogue), Labels::at_first(expr, self.catalogue));
        for label in labels.iter().filter(|label| !has.may(label)) {
            if had.may(label) {
                self.report(Lint::GroupByDropped, format!("it is {what} `{label}`, which is dropped before"));
            } else {
                self.report(Lint::UnknownLabel, format!("it is {what} `{label}`, a label of none of its metrics"));
            }
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, context: Context) {
        let operator = binary.op.to_string();
        for (lint, message) in joins::check(binary, self.catalogue) {
            self.report(lint, message);
        }
        let (mut left, mut right) = (context, context);
        match &*operator {
            "and" => {
                right.value = false;
                left.guarded |= compares(&binary.rhs);
                right.guarded |= compares(&binary.lhs);
            }
            "unless" => right.value = false,
            "or" => self.rates_joined(binary),
            "/" if self.is_alert && !context.guarded => self.ratio(&binary.rhs),
            _ if binary.op.is_comparison_operator() => self.comparison(binary, &operator),
            _ => {}
        }
        // What `and` compares is a value all the same.
        right.value |= context.value && operator == "and" && compares(&binary.rhs);
        self.visit(&binary.lhs, left);
        self.visit(&binary.rhs, right);
    }

    fn ratio(&mut self, divisor: &Expr) {
        let (mut rates, mut clamped) = (false, false);
        walk(divisor, &mut |expr| {
            if let Some((function, _)) = called(expr) {
                rates |= RATES.contains(&function);
                clamped |= function == "clamp_min";
            }
        });
        if rates && !clamped && !compares(divisor) {
            self.report(Lint::UnguardedRatio, format!("it divides by `{divisor}`, which is zero without traffic"));
        }
    }

    fn rates_joined(&mut self, binary: &BinaryExpr) {
        let of_selector = |expr: &Expr| {
            called(expr).is_some_and(|(function, args)| {
                RATES.contains(&function) && args.iter().any(|arg| matches!(arg, Expr::MatrixSelector(_)))
            })
        };
        if of_selector(&binary.lhs) && of_selector(&binary.rhs) {
            self.report(Lint::RatesJoinedByOr, "where both rates have the same labels, the second is lost".to_owned());
        }
    }

    fn comparison(&mut self, binary: &BinaryExpr, operator: &str) {
        let Expr::NumberLiteral(number) = bare(&binary.rhs) else { return };
        let left = bare(&binary.lhs);
        if let Some(name) = selector(left).and_then(metric_name)
            && name.ends_with("_info")
            && operator == "=="
            && number.val == 0.0
        {
            self.report(Lint::InfoMetricIsZero, format!("`{name}` is never 0"));
        }
        let Some(("histogram_quantile", args)) = called(left) else { return };
        let mut bounds = Vec::new();
        args.iter().for_each(|arg| {
            walk(arg, &mut |expr| {
                let name = selector(expr).and_then(metric_name).unwrap_or_default();
                bounds.extend(self.catalogue.bounds(name));
            });
        });
        if !bounds.is_empty() && !bounds.contains(&number.val) {
            self.report(Lint::ThresholdBetweenBuckets, format!("{} is not a bound of the histogram", number.val));
        }
    }
}
