//! A family: the series of one metric, found by their label values.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    marker::PhantomData,
    sync::Arc,
};

use hashbrown::{DefaultHashBuilder, HashSet};
use parking_lot::Mutex;

use super::{Counter, Metric, index::Index};
use crate::{
    exposition::{Layout, render_series},
    spec::{Descriptor, LabelSet},
};

/// The value that stands for all newcomers of an open label that has as many values as it may.
pub const FOLDED: &str = "_other";

/// How many values an open label of one family takes from [`Family::with`] before newcomers fold.
pub const OPEN_LABEL_LIMIT: usize = 1_000;

/// How many series [`Family::with`] makes of one family before every open label of a newcomer folds.
pub const FAMILY_LIMIT: usize = 10_000;

/// All series of one metric with labels.
///
/// Where the values are known in advance, look a series up once with [`with`](Family::with) and keep a clone of it.
pub struct Family<M: Metric, L> {
    inner: Arc<FamilyInner<M>>,
    labels: PhantomData<fn() -> L>,
}

pub(crate) struct FamilyInner<M: Metric> {
    descriptor: Descriptor,
    shape: M::Shape,
    layout: Layout,
    hasher: DefaultHashBuilder,
    series: Index<Series<M>>,
    /// One for each label, in use where the label is open.
    open: Vec<OpenLabel>,
}

pub(crate) struct Series<M> {
    pub(crate) values: Box<[Box<str>]>,
    /// What is the series' own in its lines of text, escaped once.
    pub(crate) text: Box<str>,
    pub(crate) metric: M,
}

/// The values that an open label has taken, and how often one more was folded.
#[derive(Default)]
struct OpenLabel {
    taken: Mutex<HashSet<Box<str>>>,
    folded: Option<Counter>,
}

// === impl Family ===

impl<M: Metric, L: LabelSet> Family<M, L> {
    /// `folded` counts, for each open label, the values that were folded.
    pub(crate) fn new(descriptor: Descriptor, folded: impl Fn(&'static str) -> Counter) -> Self {
        let family = Self { inner: Arc::new(FamilyInner::new(descriptor, folded)), labels: PhantomData };
        family.inner.fill_closed_set();
        family
    }

    /// The series with these label values, born at zero when it is new.
    ///
    /// An open label takes [`OPEN_LABEL_LIMIT`] values this way; one more becomes [`FOLDED`] in that label alone, so that
    /// whoever chooses the values cannot exhaust memory, nor hide what else the series tells. Several open labels together
    /// make [`FAMILY_LIMIT`] series.
    ///
    /// A clone of it is a handle to keep.
    pub fn with(&self, values: L::Values<'_>) -> &M {
        self.inner.with(L::texts(values).as_ref())
    }

    /// The series with these label values, which the program knows from the start: they never fold.
    pub fn declare(&self, values: L::Values<'_>) -> &M {
        self.inner.declare(L::texts(values).as_ref())
    }

    pub(crate) fn inner(&self) -> Arc<FamilyInner<M>> {
        Arc::clone(&self.inner)
    }
}

impl<M: Metric, L> Clone for Family<M, L> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), labels: PhantomData }
    }
}

impl<M: Metric, L> fmt::Debug for Family<M, L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Family").field(&self.inner.descriptor.name).finish()
    }
}

// === impl FamilyInner ===

impl<M: Metric> FamilyInner<M> {
    fn new(descriptor: Descriptor, folded: impl Fn(&'static str) -> Counter) -> Self {
        let labels = descriptor.label_names.iter().zip(descriptor.label_values);
        let open = labels.map(|(name, values)| OpenLabel {
            taken: Mutex::default(),
            folded: values.is_empty().then(|| folded(name)),
        });
        Self {
            shape: M::shape(&descriptor),
            layout: Layout::new(&descriptor),
            hasher: DefaultHashBuilder::default(),
            series: Index::new(),
            open: open.collect(),
            descriptor,
        }
    }

    /// Gives every combination of a wholly closed label set its series, so that `rate` sees the first increment.
    fn fill_closed_set(&self) {
        let sets = self.descriptor.label_values;
        if sets.iter().any(|set| set.is_empty()) {
            return;
        }
        let combinations: usize = sets.iter().map(|set| set.len()).product();
        for number in 0..combinations {
            let mut rest = number;
            let pick = |set: &&'static [&'static str]| {
                let value = set[rest % set.len()];
                rest /= set.len();
                value
            };
            self.declare(&sets.iter().map(pick).collect::<Vec<_>>());
        }
    }

    fn with(&self, values: &[&str]) -> &M {
        let hash = self.hash(values);
        match self.series.find(hash, |series| series.has(values)) {
            Some(series) => &series.metric,
            None => self.declare(&self.admit(values)),
        }
    }

    fn declare(&self, values: &[&str]) -> &M {
        let series = self.series.find_or_insert(
            self.hash(values),
            |series| series.has(values),
            || {
                for (label, value) in self.open.iter().zip(values) {
                    label.taken.lock().insert(Box::from(*value));
                }
                Series {
                    values: values.iter().map(|value| Box::from(*value)).collect(),
                    text: render_series(&self.descriptor, values),
                    metric: M::create(&self.shape),
                }
            },
        );
        &series.metric
    }

    /// The values with those folded that their label has no room for.
    fn admit<'a>(&self, values: &[&'a str]) -> Vec<&'a str> {
        let full = self.series.len() >= FAMILY_LIMIT;
        let labels = self.open.iter().zip(values).enumerate();
        let admitted = labels.map(|(position, (label, value))| {
            let Some(folded) = &label.folded else { return *value };
            let taken = label.taken.lock();
            if !full && (taken.len() < OPEN_LABEL_LIMIT || taken.contains(*value)) {
                return *value;
            }
            if folded.get() == 0 {
                let (metric, label) = (self.descriptor.name, self.descriptor.label_names[position]);
                tracing::warn!(
                    metric,
                    label,
                    limit = OPEN_LABEL_LIMIT,
                    "a label has too many values; newcomers become `{FOLDED}`"
                );
            }
            folded.inc();
            FOLDED
        });
        admitted.collect()
    }

    fn hash(&self, values: &[&str]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        // A str hashes with an end mark, so ("ab", "c") and ("a", "bc") differ.
        values.iter().for_each(|value| value.hash(&mut hasher));
        hasher.finish()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// The series, in order of birth.
    pub(crate) fn series(&self) -> impl Iterator<Item = &Series<M>> {
        self.series.iter()
    }
}

// === impl Series ===

impl<M> Series<M> {
    fn has(&self, values: &[&str]) -> bool {
        self.values.iter().map(AsRef::as_ref).eq(values.iter().copied())
    }
}
