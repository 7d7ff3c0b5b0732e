//! What can be wrong, and what to do about it.

use std::time::Duration;

use crate::promql::{InvalidExpression, duration_text};

/// Something wrong with the alerts.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// Two alerts have one name.
    #[error("alert `{0}` is declared twice")]
    DuplicateName(&'static str),
    /// Two alerts fire at the same time.
    #[error("alerts `{0}` and `{1}` have one condition: keep one of them")]
    SameCondition(&'static str, &'static str),
    /// A warning comes later than the page that it should spare.
    #[error("alert `{warning}` only warns, but from a worse value than `{critical}` pages: swap the thresholds")]
    WarningAfterPage {
        /// The warning.
        warning: &'static str,
        /// The critical alert.
        critical: &'static str,
    },
    /// More alerts wake people than people can know.
    #[error("{count} alerts are critical, of which there may be {budget}: make a warning of one that can wait")]
    TooManyPages {
        /// How many there are.
        count: usize,
        /// How many there may be.
        budget: usize,
    },
    /// An expression is not PromQL.
    #[error("alert `{alert}`")]
    Expression {
        /// The alert.
        alert: &'static str,
        /// What Prometheus would say.
        #[source]
        source: InvalidExpression,
    },
    /// A window holds too few scrapes to tell a rate.
    #[error(
        "alert `{alert}`: the window {} holds fewer than four scrapes, which come every {}: scrape more often and say so \
         in `scrape_interval`",
        duration_text(*window),
        duration_text(*scrape_interval)
    )]
    ShortWindow {
        /// The alert.
        alert: &'static str,
        /// Its window.
        window: Duration,
        /// How often targets are scraped.
        scrape_interval: Duration,
    },
    /// A ratio or an absence fires at once, on a value that one bad scrape makes.
    #[error("alert `{0}` asks for a ratio or for what is missing and fires at once: let it last, or look back an hour")]
    Hasty(&'static str),
    /// An average that must also last comes late twice.
    #[error("alert `{0}` averages over time and must last besides: leave one of them out")]
    SmoothedTwice(&'static str),
    /// A number of bytes or cores that only fits machines of one size.
    #[error("alert `{0}` compares an amount of a resource: compare its share of the limit")]
    AbsoluteThreshold(&'static str),
    /// The threshold lies between two buckets of the histogram, where a quantile is a guess.
    #[error("alert `{alert}`: {threshold} is not a bucket bound of the histogram, which are {}", list(bounds))]
    ThresholdBetweenBuckets {
        /// The alert.
        alert: &'static str,
        /// Its threshold.
        threshold: f64,
        /// The bounds.
        bounds: &'static [f64],
    },
    /// Neither the expression nor the rule says what is affected, or both do.
    #[error("alert `{0}` must get its label `service` either from its expression or from its definition")]
    ServiceLabel(&'static str),
    /// No example shows that the alert fires.
    #[error("alert `{0}` has no example under which it fires")]
    NeverFires(&'static str),
    /// No example shows series under which the alert never fires.
    #[error("alert `{0}` has no example under which it stays silent")]
    NeverSilent(&'static str),
    /// No example shows that the alert ends.
    #[error("alert `{0}` has no example under which it is resolved")]
    NeverResolved(&'static str),
    /// No example shows what the alert makes of missing series.
    #[error("alert `{0}` has a value without series but no example without series")]
    NeverWithoutData(&'static str),
    /// No example shows what the alert makes of a process that starts anew.
    #[error("alert `{0}` reads counters but has no silent example in which one counts, to begin again at zero")]
    NeverRestarts(&'static str),
    /// The name does not read like one.
    #[error("alert `{0}` must have a name of words that begin with a capital, such as `HighErrorRate`")]
    Name(&'static str),
    /// The summary is the same for all that it may concern.
    #[error("alert `{alert}`: the summary names none of the labels that tell one from the other: {}", labels.join(", "))]
    SummaryNamesNothing {
        /// The alert.
        alert: &'static str,
        /// The labels that its expression keeps.
        labels: &'static [&'static str],
    },
    /// The runbook leaves a section empty.
    #[error("the runbook of `{alert}` has no {section}")]
    IncompleteRunbook {
        /// The alert.
        alert: &'static str,
        /// What is missing.
        section: &'static str,
    },
    /// The runbook points to an alert that does not exist.
    #[error("the runbook of `{alert}` names `{related}`, which is no other alert")]
    UnknownRelated {
        /// The alert.
        alert: &'static str,
        /// What its runbook names.
        related: &'static str,
    },
}

fn list(bounds: &[f64]) -> String {
    bounds.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}
