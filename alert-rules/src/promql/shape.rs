//! What an expression is made of, read back from its text: what lints judge and examples are derived from.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

use super::{InvalidExpression, parse};

/// What an expression is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// How far back its ranges reach.
    pub(crate) windows: BTreeSet<Duration>,
    /// The functions that it calls.
    pub(crate) functions: BTreeSet<String>,
    /// Whether it divides one vector by another.
    pub(crate) has_ratio: bool,
    selections: Vec<Selection>,
}

/// The series that one selector asks for.
#[derive(Clone, Debug)]
struct Selection {
    metric: String,
    matchers: Vec<Matcher>,
}

// === impl Shape ===

impl Shape {
    pub(crate) fn of(expression: &str) -> Result<Self, InvalidExpression> {
        let mut shape = Self::default();
        let Ok(_) = walk_expr(&mut shape, &parse(expression)?);
        Ok(shape)
    }

    /// Whether it asks how counters grew.
    pub(crate) fn reads_counters(&self) -> bool {
        ["rate", "increase"].iter().any(|function| self.functions.contains(*function))
    }

    /// Whether it makes something of series that are missing.
    pub(crate) fn falls_back(&self) -> bool {
        self.answers_without_data() && !self.selections.is_empty()
    }

    /// Whether it has a value though there are no series.
    pub(crate) fn answers_without_data(&self) -> bool {
        ["absent", "vector"].iter().any(|function| self.functions.contains(*function))
    }

    /// The labels that it picks series by.
    pub(crate) fn matched_labels(&self) -> BTreeSet<&str> {
        let matchers = self.selections.iter().flat_map(|selection| &selection.matchers);
        matchers.map(|matcher| matcher.name.as_str()).collect()
    }

    /// A value of the label that keeps a series out which a selector takes as it is; none if no selector takes it.
    pub(crate) fn value_left_out(&self, metric: &str, label: &str, value: &str) -> Option<String> {
        let selections = self.selections.iter().filter(|selection| selection.metric == metric);
        let mut matchers = selections.flat_map(|selection| &selection.matchers).filter(|matcher| matcher.name == label);
        let matcher = matchers.find(|matcher| matcher.is_match(value))?;
        Some(match &matcher.op {
            MatchOp::Equal | MatchOp::Re(_) => format!("not-{value}"),
            MatchOp::NotEqual => matcher.value.clone(),
            MatchOp::NotRe(_) => matcher.value.split('|').next().unwrap_or_default().to_owned(),
        })
    }

    fn select(&mut self, selector: &VectorSelector) {
        let metric = selector.name.clone().unwrap_or_default();
        self.selections.push(Selection { metric, matchers: selector.matchers.matchers.clone() });
    }
}

impl ExprVisitor for Shape {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        match expression {
            Expr::VectorSelector(selector) => self.select(selector),
            Expr::MatrixSelector(matrix) => {
                self.windows.insert(matrix.range);
                self.select(&matrix.vs);
            }
            Expr::Call(call) => {
                self.functions.insert(call.func.name.to_string());
            }
            Expr::Binary(binary) => {
                let constant = matches!(*binary.rhs, Expr::NumberLiteral(_));
                self.has_ratio |= binary.op.to_string() == "/" && !constant;
            }
            _ => {}
        }
        Ok(true)
    }
}
