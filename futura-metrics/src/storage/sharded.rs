//! Cells that many threads add to, nearly all of them without a locked instruction.
//!
//! The first thread that adds to a series owns its first cells: it loads and stores, which no other does. The others share a
//! second set by atomic additions, and where they come often each gets cells of its own, the first thread too. A cold series so
//! costs little more than its cells, and a hot one scales with the cores. Nothing is ever moved from one set to another, so a
//! reader that adds them up never sees a total fall.

use std::{num::NonZero, ops::Range, sync::LazyLock, thread};

use super::{
    sync::{AtomicU32, AtomicU64, OnceLock, Ordering::Relaxed},
    thread_number::{self, ThreadNumber},
};

/// When the sharing threads have come so often, each is given cells of its own.
const BUSY: u32 = if cfg!(loom) { 0 } else { 1 << 16 };

/// In place of the number of an owner that was sent away; no thread has it.
const RETIRED: u32 = u32::MAX;

const MIN_SHARDS: usize = 16;
const MAX_SHARDS: usize = 128;

/// What one cache line holds, twice: processors fetch lines in pairs.
const WORDS_PER_LINE: usize = 16;

/// How many threads may have cells of their own in one series, a power of two: some times as many as run at once, as a number
/// that leads to the cells of a thread which rests, or has ended, leads to none.
static SHARDS: LazyLock<usize> = LazyLock::new(|| {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    (4 * threads).next_power_of_two().clamp(MIN_SHARDS, MAX_SHARDS)
});

/// A set of cells for each thread that is worth one.
#[derive(Debug)]
pub(super) struct Sharded<B> {
    first: Owned<B>,
    others: OnceLock<Box<Others>>,
}

/// Cells that one thread alone adds to.
#[derive(Debug)]
struct Owned<B> {
    /// The number of the thread; zero while there is none, [`RETIRED`] when there is none any more.
    owner: AtomicU32,
    cells: B,
}

/// The cells of all threads but the first.
#[derive(Debug)]
struct Others {
    shared: Padded,
    /// How often a thread came to the shared cells.
    additions: AtomicU32,
    shards: OnceLock<Box<[Shard]>>,
}

/// The cells of the one thread whose number leads to them.
type Shard = OnceLock<Box<Alone<Owned<Padded>>>>;

/// Cells with a line before and behind them that nobody uses.
#[derive(Debug)]
struct Padded(Box<[AtomicU64]>);

/// A value that shares its lines with no other.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

// === impl Sharded ===

impl<B: AsRef<[AtomicU64]>> Sharded<B> {
    pub(super) fn new(cells: B) -> Self {
        Self { first: Owned::new(cells), others: OnceLock::new() }
    }

    /// Adds to one cell.
    pub(super) fn add(&self, cell: usize, amount: u64) {
        self.add_all([(cell, amount)]);
    }

    /// Adds to several cells of one set.
    #[inline]
    pub(super) fn add_all<const N: usize>(&self, amounts: [(usize, u64); N]) {
        if !self.try_add_all(amounts) {
            self.add_all_elsewhere(amounts);
        }
    }

    /// The same where this thread owns the first cells, as it does until others come often; else nothing is added.
    #[inline]
    #[must_use]
    pub(super) fn try_add_all<const N: usize>(&self, amounts: [(usize, u64); N]) -> bool {
        let is_owner = thread_number::current().is_some_and(|thread| self.first.is_of(thread));
        if is_owner {
            self.first.add_all(amounts);
        }
        is_owner
    }

    /// The same where it does not, or is the first to come.
    #[inline(never)]
    pub(super) fn add_all_elsewhere<const N: usize>(&self, amounts: [(usize, u64); N]) {
        self.add_all_elsewhere_as(thread_number::current(), amounts);
    }

    fn add_all_elsewhere_as<const N: usize>(&self, thread: Option<ThreadNumber>, amounts: [(usize, u64); N]) {
        match thread {
            Some(thread) if self.first.is_of(thread) || self.first.claim(thread) => self.first.add_all(amounts),
            _ => {
                let others = self.others.get_or_init(|| Box::new(Others::new(self.len())));
                if others.add_all(thread, amounts) {
                    // All threads look here for whose the cells are: were they written any more, they would fetch the line anew.
                    self.first.retire();
                }
            }
        }
    }

    /// The total of some cells over all sets.
    pub(super) fn total(&self, run: Range<usize>) -> u64 {
        let total = |cells: &[AtomicU64]| cells.iter().fold(0, |sum: u64, cell| sum.wrapping_add(cell.load(Relaxed)));
        let first = total(&self.first.cells.as_ref()[run.clone()]);
        self.other_sets().map(|cells| total(&cells[run.clone()])).fold(first, u64::wrapping_add)
    }

    /// The totals of all cells but the last, which is what a histogram keeps its sum in.
    pub(super) fn totals_but_last(&self, totals: &mut Vec<u64>) {
        let first = self.first.cells.as_ref();
        totals.clear();
        totals.extend(first[..first.len() - 1].iter().map(|cell| cell.load(Relaxed)));
        for cells in self.other_sets() {
            for (total, cell) in totals.iter_mut().zip(cells) {
                *total = total.wrapping_add(cell.load(Relaxed));
            }
        }
    }

    /// Raises a cell that is never added to.
    pub(super) fn raise(&self, cell: usize, total: u64) {
        self.first.cells.as_ref()[cell].fetch_max(total, Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.first.cells.as_ref().len()
    }

    fn other_sets(&self) -> impl Iterator<Item = &[AtomicU64]> {
        self.others.get().into_iter().flat_map(|others| others.sets())
    }
}

// === impl Owned ===

impl<B: AsRef<[AtomicU64]>> Owned<B> {
    fn new(cells: B) -> Self {
        Self { owner: AtomicU32::new(0), cells }
    }

    fn is_of(&self, thread: ThreadNumber) -> bool {
        self.owner.load(Relaxed) == thread.get()
    }

    /// Sends the owner away; what it has counted stays. An addition that it is at may still come.
    fn retire(&self) {
        self.owner.store(RETIRED, Relaxed);
    }

    fn claim(&self, thread: ThreadNumber) -> bool {
        // An exchange would take the line from the owner even where it fails.
        self.owner.load(Relaxed) == 0 && self.owner.compare_exchange(0, thread.get(), Relaxed, Relaxed).is_ok()
    }

    /// Only for the owner: between load and store no other thread stores.
    fn add_all<const N: usize>(&self, amounts: [(usize, u64); N]) {
        for (cell, amount) in amounts {
            let cell = &self.cells.as_ref()[cell];
            cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
        }
    }
}

// === impl Others ===

impl Others {
    fn new(len: usize) -> Self {
        Self { shared: Padded::new(len), additions: AtomicU32::new(0), shards: OnceLock::new() }
    }

    /// Tells whether threads have come often from now on.
    fn add_all<const N: usize>(&self, thread: Option<ThreadNumber>, amounts: [(usize, u64); N]) -> bool {
        if let Some(own) = thread.and_then(|thread| self.own_cells(thread)) {
            own.add_all(amounts);
            return false;
        }
        for (cell, amount) in amounts {
            self.shared.as_ref()[cell].fetch_add(amount, Relaxed);
        }
        let busy = self.additions.fetch_add(1, Relaxed) == BUSY;
        if busy {
            self.shards.get_or_init(|| (0..*SHARDS).map(|_| Shard::new()).collect());
        }
        busy
    }

    /// The thread's own cells, where there are any and none that lives has a number that leads to the same.
    fn own_cells(&self, thread: ThreadNumber) -> Option<&Owned<Padded>> {
        let shards = self.shards.get()?;
        let len = self.shared.as_ref().len();
        let shard = shards[thread.get() as usize & (shards.len() - 1)]
            .get_or_init(|| Box::new(Alone(Owned::new(Padded::new(len)))));
        (shard.0.is_of(thread) || shard.0.claim(thread)).then_some(&shard.0)
    }

    fn sets(&self) -> impl Iterator<Item = &[AtomicU64]> {
        let shards = self.shards.get().into_iter().flatten().filter_map(OnceLock::get);
        shards.map(|shard| shard.0.cells.as_ref()).chain([self.shared.as_ref()])
    }
}

// === impl Padded ===

impl Padded {
    fn new(len: usize) -> Self {
        Self((0..len + 2 * WORDS_PER_LINE).map(|_| AtomicU64::new(0)).collect())
    }
}

impl AsRef<[AtomicU64]> for Padded {
    fn as_ref(&self) -> &[AtomicU64] {
        &self.0[WORDS_PER_LINE..self.0.len() - WORDS_PER_LINE]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        sync::{Arc, Barrier, atomic::AtomicU64},
        thread,
    };

    use super::Sharded;

    #[test]
    fn nothing_is_lost_while_threads_meet_and_a_reader_never_sees_a_total_fall() {
        const ADDITIONS: u64 = 200_000;
        let sharded = Sharded::new([AtomicU64::new(0), AtomicU64::new(0)]);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ADDITIONS).for_each(|_| sharded.add_all([(0, 1), (1, 3)])));
            }
            let mut last = 0;
            while last < 4 * ADDITIONS {
                let total = sharded.total(0..1);
                assert!(total >= last, "{total} after {last}");
                last = total;
            }
        });
        assert_eq!((sharded.total(0..1), sharded.total(1..2)), (4 * ADDITIONS, 12 * ADDITIONS));
        let others = sharded.others.get().expect("three threads are not the first");
        assert!(others.shards.get().is_some(), "they came often");
    }

    #[test]
    fn nothing_is_lost_where_threads_end_and_others_take_their_numbers() {
        const THREADS: u64 = 500;
        let sharded = Arc::new(Sharded::new([AtomicU64::new(0)]));
        let start = Arc::new(Barrier::new(2));
        for _ in 0..THREADS / 2 {
            let pair = [(); 2].map(|()| {
                let (sharded, start) = (Arc::clone(&sharded), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    (0..1_000).for_each(|_| sharded.add(0, 1));
                })
            });
            pair.into_iter().for_each(|thread| thread.join().unwrap());
        }
        assert_eq!(sharded.total(0..1), THREADS * 1_000);
    }

    #[test]
    fn a_series_of_one_thread_stays_with_its_first_cells() {
        let sharded = Sharded::new([AtomicU64::new(0)]);
        (0..100_000).for_each(|_| sharded.add(0, 1));
        assert!(sharded.others.get().is_none());
        assert_eq!(sharded.total(0..1), 100_000);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::{sync::Arc, thread};

    use super::{AtomicU64, Sharded, ThreadNumber};

    /// Under every interleaving: these threads add so many times each, while a reader looks twice.
    fn nothing_is_lost_and_no_total_falls<const THREADS: usize>(adders: [(Option<ThreadNumber>, u64); THREADS]) {
        loom::model(move || {
            let sharded = Arc::new(Sharded::new([AtomicU64::new(0)]));
            let adding = adders.map(|(number, times)| {
                let sharded = Arc::clone(&sharded);
                thread::spawn(move || (0..times).for_each(|_| sharded.add_all_elsewhere_as(number, [(0, 1)])))
            });
            let first = sharded.total(0..1);
            let second = sharded.total(0..1);
            assert!(first <= second);
            for thread in adding {
                thread.join().unwrap();
            }
            assert_eq!(sharded.total(0..1), adders.iter().map(|(_, times)| times).sum());
        });
    }

    #[test]
    fn a_first_thread_and_one_that_sends_it_away_lose_nothing() {
        nothing_is_lost_and_no_total_falls([(ThreadNumber::new(1), 3), (ThreadNumber::new(2), 3)]);
    }

    #[test]
    fn a_first_thread_and_one_without_a_number_lose_nothing() {
        nothing_is_lost_and_no_total_falls([(ThreadNumber::new(1), 3), (None, 3)]);
    }
}
