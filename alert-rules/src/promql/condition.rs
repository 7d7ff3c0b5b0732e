//! Conditions: expressions compared with a threshold, which a site may set otherwise.

use std::{fmt, marker::PhantomData};

use super::Quantity;

/// An expression that has a value only where something holds.
#[derive(Debug)]
pub struct Condition<L> {
    compared: Compared,
    labels: PhantomData<fn() -> L>,
}

/// What a condition compares its value with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// On which side it holds.
    pub comparison: Comparison,
    /// The value compared with.
    pub value: f64,
    /// What the value measures.
    pub quantity: Quantity,
    /// The bounds of the histogram that the compared value was estimated from; empty if it was not.
    pub bounds: &'static [f64],
}

/// On which side of its threshold a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `<`
    Below,
    /// `==`
    Equal,
    /// Compares nothing: it holds while there are no series.
    Absent,
    /// Compares nothing: it always holds.
    Always,
}

/// A condition without its types.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compared {
    /// What is compared, in parentheses where it needs them.
    subject: String,
    /// What must have a value for the condition to be judged: the subject, and those that are joined to it.
    subjects: Vec<String>,
    threshold: Threshold,
    /// What is joined to it, by which operator.
    joined: Vec<(&'static str, String)>,
}

/// Holds at any time, with value 1: it proves that rules are evaluated and that alerts arrive.
pub fn always() -> Condition<()> {
    let threshold = Threshold { comparison: Comparison::Always, value: 1.0, quantity: Quantity::State, bounds: &[] };
    Condition::new("vector(1)".to_owned(), threshold)
}

// === impl Comparison ===

impl Comparison {
    const fn operator(self) -> Option<&'static str> {
        match self {
            Self::Above => Some(">"),
            Self::Below => Some("<"),
            Self::Equal => Some("=="),
            Self::Absent | Self::Always => None,
        }
    }
}

// === impl Threshold ===

impl Threshold {
    /// Whether it is a limit that one may set higher or lower: not a state, and not a certain number.
    pub fn is_limit(&self) -> bool {
        matches!(self.comparison, Comparison::Above | Comparison::Below) && self.quantity != Quantity::State
    }
}

// === impl Condition ===

impl<L> Condition<L> {
    pub(super) fn new(subject: String, threshold: Threshold) -> Self {
        assert!(threshold.value.is_finite(), "a threshold is a finite number");
        let subjects = vec![subject.clone()];
        Self { compared: Compared { subject, subjects, threshold, joined: Vec::new() }, labels: PhantomData }
    }

    pub(super) fn of_absence(subject: String, threshold: Threshold) -> Self {
        let mut condition = Self::new(format!("absent({subject})"), threshold);
        condition.compared.subjects = vec![subject];
        condition
    }

    /// What the value is compared with; of conditions joined, that of the first.
    pub fn threshold(&self) -> Threshold {
        self.compared.threshold
    }

    /// Holds where both hold, with the value of this one.
    pub fn and(mut self, other: Self) -> Self {
        self.compared.subjects.extend_from_slice(&other.compared.subjects);
        self.join("and", other)
    }

    /// Holds where either holds, with the value of this one if both do.
    pub fn or(mut self, other: Self) -> Self {
        self.compared.subjects.extend_from_slice(&other.compared.subjects);
        self.join("or", other)
    }

    /// Holds where this one holds and `other` does not, which may well have no value.
    pub fn unless(self, other: Self) -> Self {
        self.join("unless", other)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a condition is written in place and used once")]
    fn join(mut self, operator: &'static str, other: Self) -> Self {
        let right = other.compared.operand();
        self.compared.joined.push((operator, right));
        self
    }

    pub(crate) fn into_compared(self) -> Compared {
        self.compared
    }
}

impl<L> Clone for Condition<L> {
    fn clone(&self) -> Self {
        Self { compared: self.compared.clone(), labels: PhantomData }
    }
}

impl<L> fmt::Display for Condition<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.compared.fmt(f)
    }
}

// === impl Compared ===

impl Compared {
    pub(crate) fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// What has a value whether the condition holds or not.
    pub(crate) fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// The same with another threshold.
    pub(crate) fn with_threshold(&self, value: f64) -> Self {
        Self { threshold: Threshold { value, ..self.threshold }, ..self.clone() }
    }

    /// Whether `other` is this but for the threshold's value.
    pub(crate) fn differs_in_threshold_alone(&self, other: &Self) -> bool {
        self.with_threshold(other.threshold.value) == *other && self != other
    }

    fn operand(&self) -> String {
        let binary = self.threshold.comparison.operator().is_some() || !self.joined.is_empty();
        if binary { format!("({self})") } else { self.to_string() }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = self.threshold.comparison.operator();
        let mut text = self.subject.clone();
        if let Some(operator) = operator {
            text = format!("{text} {operator} {}", self.threshold.value);
        }
        for (place, (joint, right)) in self.joined.iter().enumerate() {
            let binary = operator.is_some() || place > 0;
            text = if binary { format!("({text}) {joint} {right}") } else { format!("{text} {joint} {right}") };
        }
        f.write_str(&text)
    }
}
