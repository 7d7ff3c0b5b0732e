//! Series as they were scraped: what may be asked of them depends on the metric's kind.

use std::{fmt, marker::PhantomData};

use futura_metrics::spec::{CounterSpec, Descriptor, GaugeSpec, HistogramSpec, LabelSet};

use super::{By, Contains, Labeled, Matcher, Quantity, Scraped, SubsetOf, Vector, Window};

/// The kind of a counter: it has a rate.
#[derive(Clone, Copy, Debug)]
pub enum Counter {}

/// The kind of a gauge: it has a value.
#[derive(Clone, Copy, Debug)]
pub enum Gauge {}

/// The kind of a histogram: it has quantiles.
#[derive(Clone, Copy, Debug)]
pub enum Histogram {}

/// The series of one metric that its matchers let through.
#[derive(Debug)]
pub struct Selector<K, L> {
    name: String,
    matchers: Vec<String>,
    quantity: Quantity,
    bounds: &'static [f64],
    kind: PhantomData<fn() -> (K, L)>,
}

/// The rates of a histogram's buckets; an aggregation keeps their `le`.
#[derive(Debug)]
pub struct Buckets<L> {
    text: String,
    quantity: Quantity,
    bounds: &'static [f64],
    labels: PhantomData<fn() -> L>,
}

/// Selects the series of a counter.
pub fn counter<L: LabelSet>(spec: CounterSpec<L>) -> Selector<Counter, L> {
    Selector::new(&spec.descriptor())
}

/// Selects the series of a gauge.
pub fn gauge<L: LabelSet>(spec: GaugeSpec<L>) -> Selector<Gauge, L> {
    Selector::new(&spec.descriptor())
}

/// Selects the series of a histogram.
pub fn histogram<L: LabelSet>(spec: HistogramSpec<L>) -> Selector<Histogram, L> {
    Selector::new(&spec.descriptor())
}

/// A bucket bound as every version of Prometheus stores it: whole numbers with a decimal, `1.0`.
///
/// That is what our exposition writes and what Prometheus 3 makes of any other spelling, so one literal fits both.
pub fn le_text(bound: f64) -> String {
    if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") }
}

// === impl Selector ===

impl<K, L> Selector<K, L> {
    fn new(descriptor: &Descriptor) -> Self {
        Self {
            name: descriptor.name.to_owned(),
            matchers: Vec::new(),
            quantity: descriptor.unit.into(),
            bounds: descriptor.bounds,
            kind: PhantomData,
        }
    }

    /// Lets through only the series that `matcher` holds for: of a label of the metric or of the target.
    #[expect(clippy::needless_pass_by_value, reason = "a matcher is written in place and used once")]
    pub fn only<T, Index>(mut self, matcher: Matcher<T>) -> Self
    where
        Scraped<L>: Contains<T, Index>,
    {
        self.matchers.push(matcher.to_string());
        self
    }

    fn over(&self, function: &str, window: Window, quantity: Quantity) -> Vector<Scraped<L>> {
        Vector::call(format!("{function}({self}[{window}])"), quantity)
    }
}

impl<L> Selector<Counter, L> {
    /// The growth per second, averaged over `window`.
    pub fn rate(&self, window: Window) -> Vector<Scraped<L>> {
        self.over("rate", window, self.quantity.rate())
    }

    /// The growth over `window`.
    pub fn increase(&self, window: Window) -> Vector<Scraped<L>> {
        self.over("increase", window, self.quantity)
    }
}

impl<L> Selector<Gauge, L> {
    /// The value now.
    pub fn value(&self) -> Vector<Scraped<L>> {
        Vector::call(self.to_string(), self.quantity)
    }

    /// How long ago the time is that the gauge holds.
    pub fn age(&self) -> Vector<Scraped<L>> {
        self.value().until_now()
    }

    /// How far off the time is that the gauge holds; negative once it is past.
    pub fn time_left(&self) -> Vector<Scraped<L>> {
        self.value().minus_now()
    }

    /// The average value over `window`.
    pub fn avg_over_time(&self, window: Window) -> Vector<Scraped<L>> {
        self.over("avg_over_time", window, self.quantity)
    }

    /// The highest value over `window`.
    pub fn max_over_time(&self, window: Window) -> Vector<Scraped<L>> {
        self.over("max_over_time", window, self.quantity)
    }

    /// The lowest value over `window`.
    pub fn min_over_time(&self, window: Window) -> Vector<Scraped<L>> {
        self.over("min_over_time", window, self.quantity)
    }
}

impl<L: LabelSet> Selector<Histogram, L> {
    /// The rates of the buckets over `window`, to take a quantile of.
    pub fn rate(&self, window: Window) -> Buckets<Scraped<L>> {
        let buckets = self.part("_bucket", Quantity::Count);
        let text = format!("rate({buckets}[{window}])");
        Buckets { text, quantity: self.quantity, bounds: self.bounds, labels: PhantomData }
    }

    /// How many values were observed.
    pub fn observations(&self) -> Selector<Counter, L> {
        self.part("_count", Quantity::Count)
    }

    /// The sum of the values observed.
    pub fn sum(&self) -> Selector<Counter, L> {
        self.part("_sum", self.quantity)
    }

    /// How many of the values observed were at most `bound`.
    ///
    /// # Panics
    /// When `bound` is not one of the histogram's: its buckets could not tell.
    pub fn within(&self, bound: f64) -> Selector<Counter, L> {
        assert!(self.bounds.contains(&bound), "{} has no bucket {bound}", self.name);
        let mut bucket = self.part("_bucket", Quantity::Count);
        bucket.matchers.push(format!(r#"le="{}""#, le_text(bound)));
        bucket
    }

    fn part(&self, suffix: &str, quantity: Quantity) -> Selector<Counter, L> {
        let name = [self.name.as_str(), suffix].concat();
        Selector { name, matchers: self.matchers.clone(), quantity, bounds: self.bounds, kind: PhantomData }
    }
}

impl<K, L> Clone for Selector<K, L> {
    fn clone(&self) -> Self {
        let (name, matchers) = (self.name.clone(), self.matchers.clone());
        Self { name, matchers, quantity: self.quantity, bounds: self.bounds, kind: PhantomData }
    }
}

impl<K, L> fmt::Display for Selector<K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.matchers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", self.matchers.join(",")) }
    }
}

impl<K, L, T, Index> Labeled<T, Index> for Selector<K, L> where Scraped<L>: Contains<T, Index> {}

// === impl Buckets ===

impl<L> Buckets<L> {
    /// Adds up the buckets by the labels of `by`.
    pub fn sum<G: SubsetOf<L, Indices>, Indices>(self, _by: By<G>) -> Buckets<G> {
        let text = format!("sum{}({})", By::<G>::clause(&["le"]), self.text);
        Buckets { text, quantity: self.quantity, bounds: self.bounds, labels: PhantomData }
    }

    /// The value that the share `quantile` of all observations does not exceed.
    ///
    /// # Panics
    /// When `quantile` is not between 0 and 1.
    pub fn quantile(self, quantile: f64) -> Vector<L> {
        assert!((0.0..=1.0).contains(&quantile), "a quantile is between 0 and 1");
        Vector::call(format!("histogram_quantile({quantile}, {})", self.text), self.quantity).with_bounds(self.bounds)
    }
}
