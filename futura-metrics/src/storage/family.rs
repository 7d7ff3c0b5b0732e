//! A family: the series of one metric, found by their label values.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use hashbrown::HashSet;
use parking_lot::Mutex;

use super::{
    Counter, Metric,
    index::Index,
    text::{Ends, TextHasher},
};
use crate::{
    exposition::{Layout, render_series},
    spec::{Descriptor, LabelSet, pack, without_number},
};

/// The value that stands for all newcomers of an open label that has as many values as it may.
pub const FOLDED: &str = "_other";

/// How many values an open label of one family takes from [`Family::with`] before newcomers fold.
pub const OPEN_LABEL_LIMIT: usize = 1_000;

/// The longest value, in bytes, that an open label takes from [`Family::with`] before it folds.
pub const OPEN_VALUE_LIMIT: usize = 1_024;

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
    hasher: TextHasher,
    series: Index<Series<M>>,
    /// One for each label, in use where the label is open.
    open: Vec<OpenLabel>,
    /// Which labels' values are told apart by numbers.
    numbered: &'static [bool],
}

pub(crate) struct Series<M> {
    key: Key,
    pub(crate) values: Box<[Box<str>]>,
    /// What is the series' own in its lines of text, escaped once.
    pub(crate) text: Box<str>,
    pub(crate) metric: M,
    removed: AtomicBool,
}

/// What tells most series from all others of their family: the numbers of their values, and the ends of the first text that
/// has no number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    numbers: u64,
    ends: Ends,
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
        let family = Self { inner: Arc::new(FamilyInner::new(descriptor, L::NUMBERED, folded)), labels: PhantomData };
        family.inner.fill_closed_set();
        family
    }

    /// The series with these label values, born at zero when it is new.
    ///
    /// An open label takes [`OPEN_LABEL_LIMIT`] values this way, each of up to [`OPEN_VALUE_LIMIT`] bytes; another becomes
    /// [`FOLDED`] in that label alone, so that whoever chooses the values cannot exhaust memory, nor hide what else the series
    /// tells. Several open labels together make [`FAMILY_LIMIT`] series.
    ///
    /// A clone of it is a handle to keep.
    pub fn with(&self, values: L::Values<'_>) -> &M {
        let (numbers, texts) = L::key(values);
        match self.inner.find_at_once(L::NUMBERED, numbers, texts.as_ref()) {
            Some(series) => series.revived(),
            None => self.find_or_admit(values),
        }
    }

    /// What is not found at once: out of the way, so that the rest keeps to its registers.
    #[inline(never)]
    fn find_or_admit(&self, values: L::Values<'_>) -> &M {
        let (numbers, texts) = L::key(values);
        match self.inner.find(L::NUMBERED, numbers, texts.as_ref()) {
            Some(series) => series.revived(),
            None => self.inner.admit(numbers, L::texts(values).as_ref()),
        }
    }

    /// The series with these label values, which the program knows from the start: they never fold.
    pub fn declare(&self, values: L::Values<'_>) -> &M {
        self.inner.declare(L::key(values).0, L::texts(values).as_ref())
    }

    /// Leaves the series with these label values out of the exposition, if there is one, until it is asked for again; it then
    /// goes on from where it was.
    ///
    /// Its room is kept, so names that never come back still count towards the limits.
    pub fn remove(&self, values: L::Values<'_>) {
        let (numbers, texts) = L::key(values);
        if let Some(series) = self.inner.find(L::NUMBERED, numbers, texts.as_ref()) {
            series.removed.store(true, Relaxed);
        }
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
    fn new(descriptor: Descriptor, numbered: &'static [bool], folded: impl Fn(&'static str) -> Counter) -> Self {
        let labels = descriptor.label_names.iter().zip(descriptor.label_values);
        let open = labels.map(|(name, values)| OpenLabel {
            taken: Mutex::default(),
            folded: values.is_empty().then(|| folded(name)),
        });
        Self {
            shape: M::shape(&descriptor),
            layout: Layout::new(&descriptor),
            hasher: TextHasher::new(),
            series: Index::new(),
            open: open.collect(),
            numbered,
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
                let place = rest % set.len();
                rest /= set.len();
                place
            };
            let places: Vec<usize> = sets.iter().map(pick).collect();
            let texts: Vec<&str> = sets.iter().zip(&places).map(|(set, place)| set[*place]).collect();
            let numbers = places.iter().zip(self.numbered);
            let numbers = numbers.map(|(place, numbered)| if *numbered { *place as u16 + 1 } else { 0 });
            self.declare(pack(numbers), &texts);
        }
    }

    /// The same as [`find`](Self::find) where the key says all and the series is where its hash leads, as it nearly always is.
    ///
    /// What it does with `numbered` is settled when it is compiled into its caller.
    #[inline]
    fn find_at_once(&self, numbered: &[bool], numbers: u64, texts: &[&str]) -> Option<&Series<M>> {
        let key = Key::new(numbered, numbers, texts);
        if !key.says_all(numbered) {
            return None;
        }
        self.series.first(self.hash(numbered, numbers, texts)).filter(|series| series.key == key)
    }

    /// The series with these numbers, and with these texts where there is no number.
    #[inline]
    fn find(&self, numbered: &[bool], numbers: u64, texts: &[&str]) -> Option<&Series<M>> {
        let key = Key::new(numbered, numbers, texts);
        self.series.find(self.hash(numbered, numbers, texts), |series| series.has(numbered, key, texts))
    }

    fn declare(&self, numbers: u64, texts: &[&str]) -> &M {
        let key = Key::new(self.numbered, numbers, texts);
        let series = self.series.find_or_insert(
            self.hash(self.numbered, numbers, texts),
            |series| series.has(self.numbered, key, texts),
            || {
                for (label, text) in self.open.iter().zip(texts) {
                    label.taken.lock().insert(Box::from(*text));
                }
                Series {
                    key,
                    values: texts.iter().map(|text| Box::from(*text)).collect(),
                    text: render_series(&self.descriptor, texts),
                    metric: M::create(&self.shape),
                    removed: AtomicBool::new(false),
                }
            },
        );
        series.revived()
    }

    /// A newcomer's series, with those values folded that their label has no room for.
    #[cold]
    fn admit(&self, mut numbers: u64, texts: &[&str]) -> &M {
        let full = self.series.len() >= FAMILY_LIMIT;
        let mut admitted = texts.to_vec();
        for (place, (label, text)) in self.open.iter().zip(texts).enumerate() {
            let Some(folded) = &label.folded else { continue };
            let taken = label.taken.lock();
            let fits = text.len() <= OPEN_VALUE_LIMIT && !full;
            if fits && (taken.len() < OPEN_LABEL_LIMIT || taken.contains(*text)) {
                continue;
            }
            if folded.get() == 0 {
                let (metric, label) = (self.descriptor.name, self.descriptor.label_names[place]);
                tracing::warn!(
                    metric,
                    label,
                    limit = OPEN_LABEL_LIMIT,
                    longest = OPEN_VALUE_LIMIT,
                    "a label has too many values, or one too long; such newcomers become `{FOLDED}`"
                );
            }
            folded.inc();
            numbers = without_number(numbers, place);
            admitted[place] = FOLDED;
        }
        self.declare(numbers, &admitted)
    }

    #[inline]
    fn hash(&self, numbered: &[bool], numbers: u64, texts: &[&str]) -> u64 {
        let open = texts.iter().zip(numbered).filter(|(_, numbered)| !**numbered);
        let state = open.fold(self.hasher.begin(numbers), |state, (text, _)| self.hasher.add(state, text));
        if numbered.contains(&false) { state } else { self.hasher.end(state) }
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

    /// The series that are exposed, in order of birth.
    pub(crate) fn series(&self) -> impl Iterator<Item = &Series<M>> {
        self.series.iter().filter(|series| !series.removed.load(Relaxed))
    }
}

// === impl Series ===

impl<M> Series<M> {
    #[inline]
    fn has(&self, numbered: &[bool], key: Key, texts: &[&str]) -> bool {
        let mut texts = numbered.iter().zip(&self.values).zip(texts);
        self.key == key && (key.says_all(numbered) || texts.all(|((numbered, own), text)| *numbered || **own == **text))
    }

    #[inline]
    fn revived(&self) -> &M {
        if self.removed.load(Relaxed) {
            self.removed.store(false, Relaxed);
        }
        &self.metric
    }
}

// === impl Key ===

impl Key {
    #[inline]
    fn new(numbered: &[bool], numbers: u64, texts: &[&str]) -> Self {
        let open = texts.iter().zip(numbered).find(|(_, numbered)| !**numbered);
        Self { numbers, ends: open.map_or_else(Ends::default, |(text, _)| Ends::of(text)) }
    }

    /// Whether it is all that there is to know of the values.
    #[inline]
    fn says_all(&self, numbered: &[bool]) -> bool {
        numbered.iter().filter(|numbered| !**numbered).count() <= 1 && self.ends.are_all()
    }
}
