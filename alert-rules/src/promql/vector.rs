//! Expressions with a value.

use std::{fmt, marker::PhantomData, ops};

use futura_metrics::spec::LabelSet;

use super::{
    By, Quantity, SubsetOf,
    condition::{Comparison, Condition, Threshold},
};

/// An expression: a value for each combination of the labels `L`.
#[derive(Debug)]
pub struct Vector<L> {
    text: String,
    /// Whether `text` has an operator outermost, so that it needs parentheses as an operand.
    binary: bool,
    quantity: Quantity,
    /// The bounds of the histogram that the value was estimated from; empty if it was not.
    bounds: &'static [f64],
    labels: PhantomData<fn() -> L>,
}

// === impl Vector ===

impl<L> Vector<L> {
    pub(super) fn call(text: String, quantity: Quantity) -> Self {
        Self { text, binary: false, quantity, bounds: &[], labels: PhantomData }
    }

    pub(super) fn until_now(self) -> Self {
        let text = format!("time() - {}", self.into_operand());
        Self { text, binary: true, quantity: Quantity::Seconds, bounds: &[], labels: PhantomData }
    }

    pub(super) fn minus_now(self) -> Self {
        let text = format!("{} - time()", self.into_operand());
        Self { text, binary: true, quantity: Quantity::Seconds, bounds: &[], labels: PhantomData }
    }

    pub(super) fn with_bounds(self, bounds: &'static [f64]) -> Self {
        Self { bounds, ..self }
    }

    fn binary<R: fmt::Display>(self, operator: &str, right: R, quantity: Quantity) -> Self {
        let text = format!("{} {operator} {right}", self.into_operand());
        Self { text, binary: true, quantity, bounds: &[], labels: PhantomData }
    }

    pub(super) fn into_operand(self) -> String {
        if self.binary { format!("({})", self.text) } else { self.text }
    }

    /// What the value measures.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// Says what the value measures where that depends on a label and the declaration cannot know.
    pub fn measured_in(self, quantity: Quantity) -> Self {
        Self { quantity, ..self }
    }

    /// The sum by the labels of `by`.
    pub fn sum<G: SubsetOf<L, Indices>, Indices>(self, _by: By<G>) -> Vector<G> {
        let quantity = self.quantity.sum();
        self.aggregate("sum", quantity)
    }

    /// The highest value by the labels of `by`.
    pub fn max<G: SubsetOf<L, Indices>, Indices>(self, _by: By<G>) -> Vector<G> {
        let quantity = self.quantity;
        self.aggregate("max", quantity)
    }

    /// The lowest value by the labels of `by`.
    pub fn min<G: SubsetOf<L, Indices>, Indices>(self, _by: By<G>) -> Vector<G> {
        let quantity = self.quantity;
        self.aggregate("min", quantity)
    }

    /// The average by the labels of `by`.
    pub fn avg<G: SubsetOf<L, Indices>, Indices>(self, _by: By<G>) -> Vector<G> {
        let quantity = self.quantity;
        self.aggregate("avg", quantity)
    }

    /// The number of series by the labels of `by`.
    pub fn count<G: SubsetOf<L, Indices>, Indices>(self, _by: By<G>) -> Vector<G> {
        self.aggregate("count", Quantity::Count)
    }

    fn aggregate<G: LabelSet>(self, function: &str, quantity: Quantity) -> Vector<G> {
        Vector::call(format!("{function}{}({})", By::<G>::clause(&[]), self.text), quantity)
    }

    /// This as a share of `whole`; where `whole` is zero there is no value, so that no alert fires on nothing.
    ///
    /// # Panics
    /// When the two measure different things.
    pub fn ratio_to(self, whole: Self) -> Self {
        self.must_measure(&whole);
        let guarded = format!("({} > 0)", whole.into_operand());
        self.binary("/", guarded, Quantity::Ratio)
    }

    /// This where it is zero or more: what is not a number, as a quantile of nothing is, has no value then.
    pub fn not_negative(self) -> Self {
        let quantity = self.quantity;
        self.binary(">=", 0, quantity)
    }

    /// This, and `other` for the labels for which this has no value.
    ///
    /// # Panics
    /// When the two measure different things.
    pub fn otherwise(self, other: Self) -> Self {
        self.must_measure(&other);
        let quantity = self.quantity;
        self.binary("or", other.into_operand(), quantity)
    }

    /// Zero where this has no series and `other` has one: what was never counted did not happen.
    ///
    /// # Panics
    /// When the two measure different things.
    pub fn or_zero_where(self, other: Self) -> Self {
        self.must_measure(&other);
        let (quantity, zero) = (self.quantity, other * 0.0);
        self.binary("or", zero.into_operand(), quantity)
    }

    /// The rest of a share: 1 less this.
    ///
    /// # Panics
    /// When the value is no share.
    pub fn complement(self) -> Self {
        assert!(self.quantity == Quantity::Ratio, "only a share has a rest: `{self}`");
        let text = format!("1 - {}", self.into_operand());
        Self { text, binary: true, quantity: Quantity::Ratio, bounds: &[], labels: PhantomData }
    }

    /// This value, a share, wherever there is a series.
    pub fn constant_ratio(self, value: f64) -> Self {
        let zero = self * 0.0;
        zero.binary("+", value, Quantity::Ratio)
    }

    fn must_measure(&self, other: &Self) {
        let (left, right) = (self.quantity, other.quantity);
        assert!(left == right, "{left:?} and {right:?} do not mix: `{self}`, `{other}`");
    }

    /// Holds where the value is above `threshold`.
    pub fn above(self, threshold: f64) -> Condition<L> {
        self.compare(Comparison::Above, threshold)
    }

    /// Holds where the value is below `threshold`.
    pub fn below(self, threshold: f64) -> Condition<L> {
        self.compare(Comparison::Below, threshold)
    }

    /// Holds where the value is exactly `value`: for states, and for counts that did not move.
    pub fn equal_to(self, value: f64) -> Condition<L> {
        self.compare(Comparison::Equal, value)
    }

    fn compare(self, comparison: Comparison, value: f64) -> Condition<L> {
        let (quantity, bounds) = (self.quantity, self.bounds);
        Condition::new(self.into_operand(), Threshold { comparison, value, quantity, bounds })
    }
}

impl Vector<()> {
    /// Zero where there is no series at all: what was never counted did not happen.
    pub fn or_zero(self) -> Self {
        let quantity = self.quantity;
        self.binary("or", "vector(0)", quantity)
    }

    /// Holds, with value 1, when there is no series at all.
    pub fn absent(self) -> Condition<()> {
        let (quantity, bounds) = (Quantity::State, &[][..]);
        let threshold = Threshold { comparison: Comparison::Absent, value: 1.0, quantity, bounds };
        Condition::of_absence(self.text, threshold)
    }
}

impl<L> ops::Add for Vector<L> {
    type Output = Self;

    /// # Panics
    /// When the two measure different things.
    fn add(self, other: Self) -> Self {
        self.must_measure(&other);
        let quantity = self.quantity;
        self.binary("+", other.into_operand(), quantity)
    }
}

impl<L> ops::Sub for Vector<L> {
    type Output = Self;

    /// # Panics
    /// When the two measure different things.
    fn sub(self, other: Self) -> Self {
        self.must_measure(&other);
        let quantity = self.quantity;
        self.binary("-", other.into_operand(), quantity)
    }
}

impl<L> ops::Mul<f64> for Vector<L> {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        let quantity = self.quantity;
        self.binary("*", factor, quantity)
    }
}

impl<L> ops::Div<f64> for Vector<L> {
    type Output = Self;

    fn div(self, divisor: f64) -> Self {
        let quantity = self.quantity;
        self.binary("/", divisor, quantity)
    }
}

impl<L> Clone for Vector<L> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), ..*self }
    }
}

impl<L> fmt::Display for Vector<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
