//! Examples of an alert: series under which it fires and under which it stays silent.
//!
//! Series and labels are typed by the metrics' declarations; time runs in minutes, a sample a minute. From these
//! examples come the files for `promtool test rules`, and further ones that follow from them.

use std::{borrow::Cow, marker::PhantomData, time::Duration};

use futura_metrics::spec::{HistogramSpec, Kind, LabelSet, Spec};

pub use self::{course::Course, samples::Samples};
use crate::promql::{TargetLabel, Threshold, le_text};

mod course;
pub(crate) mod derived;
mod samples;

/// What happens to some series, and what the alert makes of it.
#[derive(Debug)]
pub struct Example<L> {
    told: Told,
    labels: PhantomData<fn() -> L>,
}

/// How an example is told.
#[derive(Debug)]
enum Told {
    /// With what happens, and when.
    Stated(Scenario),
    /// With the series in which the alert finds a value.
    AtThreshold { labels: Vec<(&'static str, String)>, series: fn(Course) -> Vec<Series> },
}

/// What an alert is that an example tries.
pub(crate) struct Tried<'a> {
    pub(crate) threshold: Threshold,
    pub(crate) expression: &'a str,
    pub(crate) lasts: Duration,
}

/// The samples of one metric's series: one for a counter or gauge, one a bucket and its count for a histogram.
#[derive(Clone, Debug)]
pub struct Series {
    lines: Vec<Line>,
    in_proportion: bool,
}

/// An example without its types.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: Cow<'static, str>,
    pub(crate) series: Vec<Series>,
    pub(crate) moments: Vec<Moment>,
}

/// What the alert does at one time; no firing means that it is silent.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) minute: u64,
    pub(crate) firing: Vec<Firing>,
}

/// The labels that the expression gives an alert that fires, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Firing {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

#[derive(Clone, Debug)]
struct Line {
    name: String,
    counter: bool,
    labels: Vec<(&'static str, String)>,
    samples: Samples,
}

/// The series of a counter or gauge that has these labels.
pub fn series<S: Spec>(spec: S, labels: <S::Labels as LabelSet>::Values<'_>, samples: Samples) -> Series {
    let descriptor = spec.describe();
    let (name, counter) = (descriptor.name.to_owned(), descriptor.kind == Kind::Counter);
    let lines = vec![Line { name, counter, labels: named::<S::Labels>(labels), samples }];
    Series { lines, in_proportion: false }
}

/// The buckets and the count of a histogram of which every observation is above the bound before `bound` and at most `bound`.
///
/// # Panics
/// When `bound` is not one of the histogram's.
pub fn observations<L: LabelSet>(
    spec: HistogramSpec<L>,
    labels: L::Values<'_>,
    bound: f64,
    samples: &Samples,
) -> Series {
    let descriptor = spec.descriptor();
    assert!(descriptor.bounds.contains(&bound), "{} has no bucket {bound}", descriptor.name);
    let lines = descriptor.bounds.iter().copied().chain([f64::INFINITY]).map(|le| {
        let mut labels = named::<L>(labels);
        labels.push(("le", le_text(le)));
        let samples = if le < bound { samples.flattened() } else { samples.clone() };
        Line { name: format!("{}_bucket", descriptor.name), counter: true, labels, samples }
    });
    let (name, labels) = (format!("{}_count", descriptor.name), named::<L>(labels));
    let count = Line { name, counter: true, labels, samples: samples.clone() };
    Series { lines: lines.chain([count]).collect(), in_proportion: false }
}

fn named<L: LabelSet>(values: L::Values<'_>) -> Vec<(&'static str, String)> {
    let texts = L::texts(values);
    L::NAMES.iter().copied().zip(texts.as_ref().iter().map(|text| (*text).to_owned())).collect()
}

// === impl Example ===

impl<L: LabelSet> Example<L> {
    /// Says what happens; `name` completes "the alert, when …".
    pub fn when(name: &'static str, series: impl IntoIterator<Item = Series>) -> Self {
        let scenario = Scenario { name: name.into(), series: series.into_iter().collect(), moments: Vec::new() };
        Self { told: Told::Stated(scenario), labels: PhantomData }
    }

    /// Says in which series the alert finds a value, of which the rest follows: that it fires with these labels once the value
    /// has been a little beyond the threshold for long enough, and no sooner; that it ends when the value comes back; and that
    /// it stays silent while the value is a little short of it.
    ///
    /// The series get those of the labels that are not the metric's, as a target gives them.
    pub fn at_threshold(labels: L::Values<'_>, series: fn(Course) -> Vec<Series>) -> Self {
        Self { told: Told::AtThreshold { labels: named::<L>(labels), series }, labels: PhantomData }
    }

    /// The alert fires at this minute with these labels and this value.
    ///
    /// # Panics
    /// When the example is one [`at_threshold`](Self::at_threshold), which knows its moments.
    pub fn fires_at(mut self, minute: u64, labels: L::Values<'_>, value: f64) -> Self {
        let (firing, moments) = (Firing { labels: named::<L>(labels), value }, self.moments());
        match moments.last_mut() {
            Some(moment) if moment.minute == minute => moment.firing.push(firing),
            _ => moments.push(Moment { minute, firing: vec![firing] }),
        }
        self
    }

    /// The alert is silent at this minute.
    ///
    /// # Panics
    /// When the example is one [`at_threshold`](Self::at_threshold), which knows its moments.
    pub fn silent_at(mut self, minute: u64) -> Self {
        self.moments().push(Moment { minute, firing: Vec::new() });
        self
    }

    fn moments(&mut self) -> &mut Vec<Moment> {
        match &mut self.told {
            Told::Stated(scenario) => &mut scenario.moments,
            Told::AtThreshold { .. } => panic!("an example at the threshold knows its moments: leave this one out"),
        }
    }

    pub(crate) fn into_scenarios(self, tried: &Tried<'_>) -> Vec<Scenario> {
        match self.told {
            Told::Stated(scenario) => vec![scenario],
            Told::AtThreshold { labels, series } => course::scenarios(tried, &labels, series),
        }
    }
}

// === impl Series ===

impl Series {
    /// The series comes from a target with this label.
    pub fn target<T: TargetLabel>(mut self, value: T::Value<'_>) -> Self {
        for line in &mut self.lines {
            line.labels.push((T::NAME, T::text(value).to_owned()));
        }
        self
    }

    /// Its values follow the alert's threshold where a site sets another: with twice the threshold they are twice as
    /// high, and so is the value of the expression.
    pub fn in_proportion(mut self) -> Self {
        self.in_proportion = true;
        self
    }

    /// Each series and its samples, as promtool writes them.
    pub(crate) fn notation(&self) -> impl Iterator<Item = (String, String)> {
        self.lines.iter().map(|line| {
            let labels: Vec<_> = line.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let selector =
                if labels.is_empty() { line.name.clone() } else { format!("{}{{{}}}", line.name, labels.join(",")) };
            (selector, line.samples.notation())
        })
    }
}
