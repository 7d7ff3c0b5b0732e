//! Typed PromQL over the declared metrics.
//!
//! An expression starts at a metric's declaration and carries in its type what it is and which labels it still has; its
//! [`Quantity`] says what its value measures. So what cannot mean anything does not compile:
//!
//! ```
//! use futura_alert_rules::promql::{Service, Window, by, counter, label};
//! use futura_metrics::specs::http::{HTTP_REQUESTS_TOTAL, Path, Status};
//!
//! let errors = counter(HTTP_REQUESTS_TOTAL).only(label::<Status>().matches("5..")).rate(Window::minutes(5));
//! let by_route = errors.sum(by::<(Service, Path)>());
//! assert_eq!(
//!     by_route.above(10.0).to_string(),
//!     r#"sum by (service, path) (rate(http_requests_total{status=~"5.."}[5m])) > 10"#,
//! );
//! ```
//!
//! A gauge has no rate, whatever its name ends in:
//!
//! ```compile_fail,E0599
//! use futura_alert_rules::promql::{Window, gauge};
//! use futura_metrics::specs::business::TICKETS_ACTIVE_TOTAL;
//! gauge(TICKETS_ACTIVE_TOTAL).rate(Window::minutes(5));
//! ```
//!
//! A counter has no quantile:
//!
//! ```compile_fail,E0599
//! use futura_alert_rules::promql::{Window, counter};
//! use futura_metrics::specs::business::ORDERS_CREATED_TOTAL;
//! counter(ORDERS_CREATED_TOTAL).rate(Window::minutes(5)).quantile(0.95);
//! ```
//!
//! A label that the metric never had cannot be matched:
//!
//! ```compile_fail,E0277
//! use futura_alert_rules::promql::{counter, label};
//! use futura_metrics::specs::{business::ORDERS_CREATED_TOTAL, http::Status};
//! counter(ORDERS_CREATED_TOTAL).only(label::<Status>().eq(500));
//! ```
//!
//! A label that an aggregation dropped is gone:
//!
//! ```compile_fail,E0277
//! use futura_alert_rules::promql::{Window, by, counter};
//! use futura_metrics::specs::http::{HTTP_REQUESTS_TOTAL, Method, Path};
//! let by_method = counter(HTTP_REQUESTS_TOTAL).rate(Window::minutes(5)).sum(by::<(Method,)>());
//! by_method.sum(by::<(Path,)>());
//! ```
//!
//! Expressions with different labels do not join:
//!
//! ```compile_fail,E0308
//! use futura_alert_rules::promql::{Service, Window, all, by, counter};
//! use futura_metrics::specs::http::HTTP_REQUESTS_TOTAL;
//! let requests = counter(HTTP_REQUESTS_TOTAL).rate(Window::minutes(5));
//! requests.clone().sum(by::<(Service,)>()).ratio_to(requests.sum(all()));
//! ```

use std::{fmt, time::Duration};

use promql_parser::parser::{self, Expr};

pub(crate) use self::{condition::Compared, shape::Shape};
pub use self::{
    condition::{Comparison, Condition, Threshold, always},
    expression::{Selected, children, metric_name, metric_names, selector, selectors, walk, without_fallback},
    grafana::filled,
    labels::{
        By, Contains, Instance, Job, LabelRef, Labeled, Matcher, Scraped, Service, SubsetOf, TargetLabel, all, by,
        label,
    },
    quantity::Quantity,
    recorded::{Recorded, RecordedSpec, recorded},
    selector::{Buckets, Counter, Gauge, Histogram, Selector, counter, gauge, histogram, le_text},
    vector::Vector,
};

mod condition;
pub(crate) mod expression;
mod grafana;
mod labels;
mod quantity;
mod recorded;
mod selector;
mod shape;
mod vector;

/// How far back a range reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// This long.
    Fixed(Duration),
    /// As long as suits the panel: Grafana's `$__rate_interval`, at least four scrapes.
    RateInterval,
}

/// An expression that Prometheus would refuse.
#[derive(Debug, thiserror::Error)]
#[error("`{expression}` is not PromQL: {reason}")]
pub struct InvalidExpression {
    expression: String,
    reason: String,
}

/// Parses `expression` as Prometheus does, after filling in Grafana's macros.
pub fn validate(expression: &str) -> Result<(), InvalidExpression> {
    parse(expression).map(drop)
}

/// The expression that Prometheus reads in `expression`, after filling in Grafana's macros.
pub(crate) fn parse(expression: &str) -> Result<Expr, InvalidExpression> {
    let invalid = |reason| InvalidExpression { expression: expression.to_owned(), reason };
    parser::parse(&filled(expression)).map_err(invalid)
}

/// A duration as Prometheus writes it: `5m`, `1h30m`, `3d`, `0s`.
pub(crate) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a duration as Prometheus writes it: days, hours, minutes and seconds in this order, each at most once.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0_u64;
    for (unit, length) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((count, after)) = rest.split_once(unit) {
            let count = count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse::<u64>().ok())??;
            seconds = seconds.checked_add(count.checked_mul(length)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(Duration::from_secs(seconds))
}

// === impl InvalidExpression ===

impl InvalidExpression {
    /// What Prometheus would say.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

// === impl Window ===

impl Window {
    /// A window of this many minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::Fixed(Duration::from_secs(minutes * 60))
    }

    /// A window of this many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// A window of this many days.
    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(duration) => f.write_str(&duration_text(*duration)),
            Self::RateInterval => f.write_str("$__rate_interval"),
        }
    }
}

#[cfg(test)]
mod tests;
