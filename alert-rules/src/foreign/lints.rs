//! What is looked for: each lint with its name, how bad it is, and the way out.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth a look.
    Warning,
    /// The rule does not do what it says.
    Error,
}

macro_rules! lints {
    ($($(#[doc = $doc:literal])+ $lint:ident: $level:ident, $name:literal, $remedy:literal;)+) => {
        /// What is looked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Lint {
            $($(#[doc = $doc])+ $lint,)+
        }

        impl Lint {
            /// Every lint.
            pub const ALL: &'static [Self] = &[$(Self::$lint),+];

            /// The name, to disable it by.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$lint => $name),+
                }
            }

            /// How bad it is.
            pub const fn level(self) -> Level {
                match self {
                    $(Self::$lint => Level::$level),+
                }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$lint => $remedy),+
                }
            }
        }
    };
}

lints! {
    /// The expression is not PromQL.
    Syntax: Error, "syntax", "repair the expression: Prometheus refuses the whole file";
    /// No metric of this name exists.
    UnknownMetric: Error, "unknown-metric", "name a metric of the catalogue, or give the catalogue that has this one";
    /// The metric has no such label.
    UnknownLabel: Error, "unknown-label", "name a label of the metric, or a label of the target by --target-label";
    /// The label never has this value.
    UnknownLabelValue: Error, "unknown-label-value", "name one of the values that the label has";
    /// A counter is read as a value.
    CounterWithoutRate: Error, "counter-without-rate", "take rate() or increase(): a counter starts at zero with its process";
    /// The rate of what goes up and down.
    RateOfGauge: Error, "rate-of-gauge", "take delta(), deriv() or the value itself: a fall of a gauge counts as a restart";
    /// The rate of a sum of counters.
    RateAfterSum: Error, "rate-after-sum", "take the rate first and sum after: the restart of one counter makes the sum fall";
    /// A range that may hold too few samples.
    ShortRange: Warning, "short-range", "let the range be at least four scrape intervals, so that one lost scrape leaves no gap";
    /// Grouping by a label that an inner aggregation dropped.
    GroupByDropped: Error, "group-by-dropped", "keep the label in the inner aggregation";
    /// The sides of an operator have no labels to match by.
    JoinLabels: Error, "join-labels", "give both sides the labels that they are matched by, with by (…) and on (…)";
    /// A quantile of buckets without bounds.
    LeDropped: Error, "le-dropped", "keep `le` in the aggregation";
    /// A quantile is compared with what no bucket ends at.
    ThresholdBetweenBuckets: Warning, "threshold-between-buckets", "compare with a bound of the histogram: between two bounds a quantile is a guess";
    /// A division by what may be zero.
    UnguardedRatio: Warning, "unguarded-ratio", "let the divisor be `> 0`, or join `and` a minimum of traffic";
    /// A regular expression that matches one text.
    LiteralRegex: Warning, "literal-regex", "take `=` or `!=`, and no anchors: an expression is matched as a whole";
    /// A bound that not every Prometheus writes so.
    BoundLiteral: Warning, "bound-literal", "match both spellings, as in `le=~\"1|1[.]0\"`: Prometheus 3 writes whole numbers as `1.0`";
    /// An alert that fires whenever there is data.
    NoThreshold: Warning, "no-threshold", "compare the value with a threshold";
    /// An alert on a list whose members come and go.
    TopkInAlert: Warning, "topk-in-alert", "compare each series with a threshold: members that come and go restart `for`";
    /// An info metric is compared with zero.
    InfoMetricIsZero: Error, "info-metric-is-zero", "take absent() or `unless`: an info metric is 1 or not there";
    /// Of two rates joined by `or` the second is lost.
    RatesJoinedByOr: Warning, "rates-joined-by-or", "add them, or match both by one selector: `or` keeps the left of two series with the same labels";
    /// A text uses a label that the expression does not have.
    DroppedLabel: Error, "dropped-label", "keep the label in the expression, or leave it out of the text, where it is empty";
    /// A label that changes with each evaluation.
    ValueInLabel: Error, "value-in-label", "put the value into an annotation: each new value is a new alert";
    /// An alert on a missing series that fires at once.
    MissingFor: Warning, "missing-for", "give it `for`: at each restart of Prometheus series are missing for a moment";
    /// Smoothing and `for` both delay an alert.
    SmoothedFor: Warning, "smoothed-for", "leave out one of the two: an average over time that lasts delays the alert twice";
    /// An alert without severity.
    MissingSeverity: Warning, "missing-severity", "add the label `severity`, which routes go by";
    /// An alert that does not say what is wrong or what to do.
    MissingAnnotation: Warning, "missing-annotation", "add `summary`, and `runbook_url` with what to do";
    /// Two rules are the same.
    DuplicateRule: Error, "duplicate-rule", "remove one of them";
    /// A recorded name does not tell what it holds.
    RecordName: Warning, "record-name", "name it `level:metric:operations`, so that nobody takes it for a metric";
    /// A recorded name says other labels than there are.
    RecordLevel: Warning, "record-level", "begin the name with labels that the expression keeps, joined by `_`";
    /// A rule reads what its group records after it.
    RecordOrder: Warning, "record-order", "move that record above this rule: a group is evaluated in order, so it reads the value of the time before";
    /// Two alerts that are one to Alertmanager.
    SameIdentity: Warning, "same-identity", "give them names or labels of their own: where both fire, one takes the other's place";
    /// A text writes the value in another unit than it has.
    HumanizeUnit: Warning, "humanize-unit", "write shares with humanizePercentage, seconds with humanizeDuration or humanizeTimestamp, bytes with humanize1024";
    /// A group is evaluated so seldom that what it records is gone in between.
    LongInterval: Warning, "long-interval", "evaluate it every five minutes or more often: a sample counts for five minutes, and then there is none";
    /// A comment disables what does not exist.
    UnknownLint: Warning, "unknown-lint", "see `futura-sidecar lint --list` for the names";
}

// === impl Lint ===

impl Lint {
    /// The lint of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|lint| lint.name() == name)
    }
}

// === impl Level ===

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}
