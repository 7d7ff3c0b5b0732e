//! Which labels an expression has, as types: a tuple of labels once aggregated, [`Scraped`] before.
//!
//! "Has this label" is a trait with an index that the compiler finds by itself, so that a label set is a plain tuple
//! and nobody writes the index.

use std::{fmt, marker::PhantomData};

use futura_metrics::{
    label,
    spec::{Label, LabelSet},
};

label! {
    /// The service that was scraped, a label that Prometheus attaches to every series of a target.
    pub enum Service: "service";
}

label! {
    /// The scrape job, a label that Prometheus attaches to every series of a target.
    pub enum Job: "job";
}

label! {
    /// The address that was scraped, a label that Prometheus attaches to every series of a target.
    pub enum Instance: "instance";
}

/// The labels of series as scraped: the metric's own and the target's.
#[derive(Debug)]
pub struct Scraped<L>(PhantomData<fn() -> L>);

/// A label that Prometheus attaches at the scrape.
pub trait TargetLabel: Label {}

/// The label set has the label `T`; `Index` says where and is inferred.
#[diagnostic::on_unimplemented(message = "the expression does not have the label `{T}`", label = "no label `{T}` here")]
pub trait Contains<T, Index> {}

/// Every label of this tuple is in `Set`; `Indices` say where and are inferred.
#[diagnostic::on_unimplemented(
    message = "the labels `{Self}` are not all in `{Set}`",
    label = "grouping by a label that the expression does not have"
)]
pub trait SubsetOf<Set, Indices>: LabelSet {}

/// Series that have the label `T`, scraped or recorded; `Index` says where and is inferred.
pub trait Labeled<T, Index>: fmt::Display {}

/// What an aggregation keeps: made by [`by`] and [`all`].
#[derive(Debug)]
pub struct By<G>(PhantomData<fn() -> G>);

/// Names a label, to match it or to write its value.
#[derive(Debug)]
pub struct LabelRef<T>(PhantomData<fn() -> T>);

/// A condition on one label of a selector.
#[derive(Debug)]
pub struct Matcher<T> {
    text: String,
    label: PhantomData<fn() -> T>,
}

/// Keeps the labels of the tuple `G`.
pub const fn by<G: LabelSet>() -> By<G> {
    By(PhantomData)
}

/// Keeps no label: the aggregate of all series.
pub const fn all() -> By<()> {
    By(PhantomData)
}

/// Names the label `T`.
pub const fn label<T: Label>() -> LabelRef<T> {
    LabelRef(PhantomData)
}

impl TargetLabel for Service {}
impl TargetLabel for Job {}
impl TargetLabel for Instance {}

/// Where a tuple has its first, second, … label.
#[derive(Debug)]
pub struct At<const INDEX: usize>;

/// Where scraped series have a label of the metric itself.
#[derive(Debug)]
pub struct OfMetric<Index>(PhantomData<fn() -> Index>);

/// Where scraped series have a label of the target.
#[derive(Debug)]
pub struct OfTarget;

impl<T, L: Contains<T, Index>, Index> Contains<T, OfMetric<Index>> for Scraped<L> {}
impl<L> Contains<Service, OfTarget> for Scraped<L> {}
impl<L> Contains<Job, OfTarget> for Scraped<L> {}
impl<L> Contains<Instance, OfTarget> for Scraped<L> {}

macro_rules! contains {
    ($($label:ident $index:literal),+) => {
        contains!(@each ($($label),+) $($label $index),+);
    };
    (@each $labels:tt $($label:ident $index:literal),+) => {
        $(contains!(@one $labels $label $index);)+
    };
    (@one ($($labels:ident),+) $label:ident $index:literal) => {
        impl<$($labels),+> Contains<$label, At<$index>> for ($($labels,)+) {}
    };
}

contains!(A 0);
contains!(A 0, B 1);
contains!(A 0, B 1, C 2);
contains!(A 0, B 1, C 2, D 3);
contains!(A 0, B 1, C 2, D 3, E 4);

macro_rules! subset {
    ($($label:ident $index:ident),*) => {
        impl<Set, $($label: Label, $index),*> SubsetOf<Set, ($($index,)*)> for ($($label,)*)
        where
            $(Set: Contains<$label, $index>),*
        {}
    };
}

subset!();
subset!(A IndexA);
subset!(A IndexA, B IndexB);
subset!(A IndexA, B IndexB, C IndexC);
subset!(A IndexA, B IndexB, C IndexC, D IndexD);
subset!(A IndexA, B IndexB, C IndexC, D IndexD, E IndexE);

// === impl By ===

impl<G> Clone for By<G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for By<G> {}

impl<G: LabelSet> By<G> {
    /// The clause between the aggregation's name and its operand, `extra` being kept besides.
    pub(super) fn clause(extra: &[&str]) -> String {
        let names = [G::NAMES, extra].concat();
        if names.is_empty() { String::new() } else { format!(" by ({}) ", names.join(", ")) }
    }
}

// === impl LabelRef ===

impl<T: Label> LabelRef<T> {
    /// The label has this value.
    pub fn eq(self, value: T::Value<'_>) -> Matcher<T> {
        Matcher::new("=", T::text(value))
    }

    /// The label has another value than this, or none.
    pub fn ne(self, value: T::Value<'_>) -> Matcher<T> {
        Matcher::new("!=", T::text(value))
    }

    /// The label has one of these values.
    pub fn any_of(self, values: &[T::Value<'_>]) -> Matcher<T> {
        Matcher::new("=~", &values.iter().map(|value| escape_regex(T::text(*value))).collect::<Vec<_>>().join("|"))
    }

    /// The label has none of these values.
    pub fn none_of(self, values: &[T::Value<'_>]) -> Matcher<T> {
        Matcher::new("!~", &values.iter().map(|value| escape_regex(T::text(*value))).collect::<Vec<_>>().join("|"))
    }

    /// The whole value matches this regular expression; a closed label takes [`any_of`](Self::any_of) instead.
    pub fn matches(self, regex: &str) -> Matcher<T> {
        const { assert!(T::VALUES.is_empty(), "name the values of a closed label with any_of") };
        Matcher::new("=~", regex)
    }

    /// The whole value does not match this regular expression; a closed label takes [`none_of`](Self::none_of) instead.
    pub fn not_matching(self, regex: &str) -> Matcher<T> {
        const { assert!(T::VALUES.is_empty(), "name the values of a closed label with none_of") };
        Matcher::new("!~", regex)
    }
}

// === impl Matcher ===

impl<T: Label> Matcher<T> {
    fn new(operator: &str, value: &str) -> Self {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        Self { text: format!(r#"{}{operator}"{value}""#, T::NAME), label: PhantomData }
    }
}

impl<T> fmt::Display for Matcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
