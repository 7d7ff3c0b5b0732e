//! Atomics that many threads add to: one set of cells until threads collide on it, then one set for each shard.
//!
//! A cold series costs no more than its cells; a hot one scales with the cores. Nothing is ever moved between sets, so a
//! reader that adds them up never sees a total fall.

use std::{
    num::NonZero,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// Collisions after which a series is given shards: a few are chance, and a busy series reaches this within milliseconds.
const COLLISIONS: u32 = 16;

/// The most shards: beyond it, threads share without harm.
const MAX_SHARDS: usize = 8;

/// What one cache line holds, twice: processors fetch lines in pairs.
const WORDS_PER_LINE: usize = 16;

/// Cells `base`, and shards of as many cells once they are worth it.
#[derive(Debug)]
pub(super) struct Sharded<B> {
    base: B,
    collisions: AtomicU32,
    shards: OnceLock<Box<[Shard]>>,
}

/// One shard's cells, alone on their cache lines.
#[derive(Debug)]
struct Shard(Box<[AtomicU64]>);

// === impl Sharded ===

impl<B: AsRef<[AtomicU64]>> Sharded<B> {
    pub(super) fn new(base: B) -> Self {
        Self { base, collisions: AtomicU32::new(0), shards: OnceLock::new() }
    }

    /// Adds to one cell.
    pub(super) fn add(&self, cell: usize, amount: u64) {
        self.add_all([(cell, amount)]);
    }

    /// Adds to several cells of one set.
    pub(super) fn add_all<const N: usize>(&self, amounts: [(usize, u64); N]) {
        if let Some(shards) = self.shards.get() {
            let Shard(cells) = &shards[shard_of_thread() % shards.len()];
            for (cell, amount) in amounts {
                cells[cell].fetch_add(amount, Relaxed);
            }
            return;
        }
        for (cell, amount) in amounts {
            self.add_to_base(cell, amount);
        }
    }

    /// The total of one cell over all sets.
    pub(super) fn total(&self, cell: usize) -> u64 {
        let shards = self.shards.get().map_or(&[][..], |shards| shards);
        let sharded = shards.iter().map(|Shard(cells)| cells[cell].load(Relaxed));
        sharded.fold(self.base.as_ref()[cell].load(Relaxed), u64::wrapping_add)
    }

    /// The totals of all cells but the last, which is what a histogram keeps its sum in.
    pub(super) fn totals_but_last(&self, totals: &mut Vec<u64>) {
        let base = self.base.as_ref();
        totals.clear();
        totals.extend(base[..base.len() - 1].iter().map(|cell| cell.load(Relaxed)));
        for Shard(cells) in self.shards.get().into_iter().flatten() {
            for (total, cell) in totals.iter_mut().zip(cells) {
                *total = total.wrapping_add(cell.load(Relaxed));
            }
        }
    }

    /// Raises a cell that is never added to.
    pub(super) fn raise(&self, cell: usize, total: u64) {
        self.base.as_ref()[cell].fetch_max(total, Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.base.as_ref().len()
    }

    fn add_to_base(&self, cell: usize, amount: u64) {
        let cell = &self.base.as_ref()[cell];
        let before = cell.load(Relaxed);
        // An exchange that fails has met another thread, which a plain addition would not tell.
        if cell.compare_exchange(before, before.wrapping_add(amount), Relaxed, Relaxed).is_err() {
            cell.fetch_add(amount, Relaxed);
            self.collide();
        }
    }

    #[cold]
    fn collide(&self) {
        if self.collisions.fetch_add(1, Relaxed) == COLLISIONS {
            self.shards.get_or_init(|| (0..shard_count()).map(|_| Shard::new(self.len())).collect());
        }
    }
}

// === impl Shard ===

impl Shard {
    /// Two lines more than the cells need, so that no other allocation shares a line with them.
    fn new(cells: usize) -> Self {
        let words = (cells + WORDS_PER_LINE).next_multiple_of(WORDS_PER_LINE);
        Self((0..words).map(|_| AtomicU64::new(0)).collect())
    }
}

fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        threads.next_power_of_two().min(MAX_SHARDS)
    })
}

/// A number that spreads threads over shards.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = NEXT.fetch_add(1, Relaxed);
    }
    SHARD.with(|shard| *shard)
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU64, thread};

    use super::Sharded;

    #[test]
    fn nothing_is_lost_while_threads_collide_and_a_reader_never_sees_a_total_fall() {
        const ADDITIONS: u64 = 200_000;
        let sharded = Sharded::new([AtomicU64::new(0), AtomicU64::new(0)]);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ADDITIONS).for_each(|_| sharded.add_all([(0, 1), (1, 3)])));
            }
            let mut last = 0;
            while last < 4 * ADDITIONS {
                let total = sharded.total(0);
                assert!(total >= last, "{total} after {last}");
                last = total;
            }
        });
        assert_eq!((sharded.total(0), sharded.total(1)), (4 * ADDITIONS, 12 * ADDITIONS));
    }

    #[test]
    fn a_series_of_one_thread_stays_without_shards() {
        let sharded = Sharded::new([AtomicU64::new(0)]);
        (0..100_000).for_each(|_| sharded.add(0, 1));
        assert!(sharded.shards.get().is_none());
        assert_eq!(sharded.total(0), 100_000);
    }
}
