//! A family: the series of one metric, found by their label values.

use super::Metric;
use crate::{
    exposition::{Layout, render_series},
    spec::{Descriptor, LabelSet},
};
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::RwLock;
use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
};

/// All series of one metric with labels.
///
/// Resolve a series once with [`with`](Family::with) and keep the handle where the values are known in advance.
pub struct Family<M, L> {
    inner: Arc<FamilyInner<M>>,
    labels: PhantomData<fn() -> L>,
}

pub(crate) struct FamilyInner<M> {
    descriptor: Descriptor,
    layout: Layout,
    hasher: DefaultHashBuilder,
    state: RwLock<State<M>>,
}

struct State<M> {
    /// In order of birth, which is the order of exposition.
    series: Vec<Series<M>>,
    index: HashTable<usize>,
}

struct Series<M> {
    values: Box<[Box<str>]>,
    /// What is the series' own in its lines, escaped once.
    text: Box<str>,
    metric: M,
}

// === impl Family ===

impl<M: Metric, L: LabelSet> Family<M, L> {
    pub(crate) fn new(descriptor: Descriptor) -> Self {
        let family = Self { inner: Arc::new(FamilyInner::new(descriptor)), labels: PhantomData };
        family.inner.fill_closed_set();
        family
    }

    /// The series with these label values, born at zero when it is new.
    pub fn with(&self, values: L::Values<'_>) -> M {
        self.inner.with(L::texts(values).as_ref())
    }

    pub(crate) fn inner(&self) -> Arc<FamilyInner<M>> {
        Arc::clone(&self.inner)
    }
}

impl<M, L> Clone for Family<M, L> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), labels: PhantomData }
    }
}

impl<M, L> fmt::Debug for Family<M, L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Family").field(&self.inner.descriptor.name).finish()
    }
}

// === impl FamilyInner ===

impl<M: Metric> FamilyInner<M> {
    fn new(descriptor: Descriptor) -> Self {
        let state = State { series: Vec::new(), index: HashTable::new() };
        let layout = Layout::new(&descriptor);
        Self { descriptor, layout, hasher: DefaultHashBuilder::default(), state: RwLock::new(state) }
    }

    /// Gives every combination of a wholly closed label set its series, so that `rate` sees the first increment.
    fn fill_closed_set(&self) {
        let sets = self.descriptor.label_values;
        if sets.iter().any(|set| set.is_empty()) {
            return;
        }
        let combinations: usize = sets.iter().map(|set| set.len()).product();
        for mut number in 0..combinations {
            let values: Vec<&str> = sets
                .iter()
                .map(|set| {
                    let value = set[number % set.len()];
                    number /= set.len();
                    value
                })
                .collect();
            self.with(&values);
        }
    }

    fn with(&self, values: &[&str]) -> M {
        let hash = self.hash(values);
        if let Some(metric) = self.state.read().find(hash, values) {
            return metric.clone();
        }
        let mut state = self.state.write();
        if let Some(metric) = state.find(hash, values) {
            return metric.clone();
        }
        let metric = M::create(&self.descriptor);
        let series = Series {
            values: values.iter().map(|value| Box::from(*value)).collect(),
            text: render_series(&self.descriptor, values),
            metric: metric.clone(),
        };
        let State { series: all, index } = &mut *state;
        all.push(series);
        index.insert_unique(hash, all.len() - 1, |position| self.hash(&all[*position].values));
        metric
    }

    fn hash<S: AsRef<str>>(&self, values: &[S]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        // A str hashes with an end mark, so ("ab", "c") and ("a", "bc") differ.
        values.iter().for_each(|value| value.as_ref().hash(&mut hasher));
        hasher.finish()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Visits the own text and the handle of each series.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&str, &M)) {
        self.state.read().series.iter().for_each(|series| visit(&series.text, &series.metric));
    }
}

// === impl State ===

impl<M> State<M> {
    fn find(&self, hash: u64, values: &[&str]) -> Option<&M> {
        let same =
            |position: &usize| self.series[*position].values.iter().map(AsRef::as_ref).eq(values.iter().copied());
        self.index.find(hash, same).map(|position| &self.series[*position].metric)
    }
}
