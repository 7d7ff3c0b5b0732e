//! A hash table that only grows: found in without a lock, added to under one.
//!
//! Values never move. The newest table leads to all of them, so that a look-up probes one, however many there have been; when it
//! is half full, the next, twice as large, is filled before it is shown. A reader that still looks into the one before finds
//! what was there when it came.

use std::{array, sync::Arc};

use super::sync::{
    AtomicUsize, Mutex, OnceLock,
    Ordering::{Acquire, Release},
};

/// Slots of the first table and values of the first chunk.
const FIRST: usize = 8;

/// Doubling this often from [`FIRST`] makes room for eight million values.
const DOUBLINGS: usize = 20;

pub(crate) struct Index<T> {
    tables: [OnceLock<Table<T>>; DOUBLINGS],
    /// Which of the tables is asked.
    newest: AtomicUsize,
    /// All values in the order in which they were added.
    chunks: [OnceLock<Table<T>>; DOUBLINGS],
    len: Mutex<usize>,
}

type Table<T> = Box<[OnceLock<Arc<Entry<T>>>]>;

struct Entry<T> {
    hash: u64,
    value: T,
}

// === impl Index ===

impl<T> Index<T> {
    pub(crate) fn new() -> Self {
        Self {
            tables: array::from_fn(|_| OnceLock::new()),
            newest: AtomicUsize::new(0),
            chunks: array::from_fn(|_| OnceLock::new()),
            len: Mutex::new(0),
        }
    }

    /// The value with this hash that is the `same`.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&T> {
        let table = self.tables[self.newest.load(Acquire)].get()?;
        let mut entries = probe(table, hash).map_while(OnceLock::get);
        entries.find(|entry| same(&entry.value)).map(|entry| &entry.value)
    }

    /// The value at the first place that the hash leads to: as a rule, the one that was added with it.
    #[inline]
    pub(crate) fn first(&self, hash: u64) -> Option<&T> {
        let table = self.tables[self.newest.load(Acquire)].get()?;
        table.get(hash as usize & (table.len() - 1))?.get().map(|entry| &entry.value)
    }

    /// The same as [`find`](Self::find), with the value of `make` added where there is none.
    pub(crate) fn find_or_insert(&self, hash: u64, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &T {
        let mut len = self.len.lock();
        if let Some(value) = self.find(hash, same) {
            return value;
        }
        let (chunk, offset) = locate(*len);
        let chunk = self.chunks[chunk].get_or_init(|| empty(FIRST << chunk));
        let entry = chunk[offset].get_or_init(|| Arc::new(Entry { hash, value: make() }));
        // Table and chunk of one number differ by the factor two that keeps a table half empty.
        let newest = locate(*len).0;
        let table = self.tables[newest].get_or_init(|| {
            let table = empty((2 * FIRST) << newest);
            self.entries().for_each(|entry| place(&table, entry));
            table
        });
        place(table, entry);
        self.newest.store(newest, Release);
        *len += 1;
        &entry.value
    }

    /// All values, in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries().map(|entry| &entry.value)
    }

    pub(crate) fn len(&self) -> usize {
        *self.len.lock()
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry<T>>> {
        self.chunks.iter().map_while(OnceLock::get).flatten().map_while(OnceLock::get)
    }
}

fn empty<T>(len: usize) -> Table<T> {
    (0..len).map(|_| OnceLock::new()).collect()
}

/// Puts an entry where a reader looks for it, unless it is there.
fn place<T>(table: &Table<T>, entry: &Arc<Entry<T>>) {
    let taken = |slot: &OnceLock<Arc<Entry<T>>>| slot.get().is_some_and(|other| !Arc::ptr_eq(other, entry));
    let mut free = probe(table, entry.hash).skip_while(|slot| taken(slot));
    free.next().expect("a table is never more than half full").get_or_init(|| Arc::clone(entry));
}

/// The slots of a table in the order in which a hash takes them.
#[inline]
fn probe<S>(table: &[S], hash: u64) -> impl Iterator<Item = &S> {
    let start = hash as usize;
    (0..table.len()).map(move |step| &table[start.wrapping_add(step) & (table.len() - 1)])
}

/// The chunk of a position and its place there: chunks of 8, 16, 32, …
fn locate(position: usize) -> (usize, usize) {
    let shifted = position + FIRST;
    let chunk = (shifted / FIRST).ilog2() as usize;
    (chunk, shifted - (FIRST << chunk))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{collections::HashSet, thread};

    use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};

    use super::{Index, locate};

    #[test]
    fn positions_fill_chunks_that_double() {
        let places: Vec<_> = [0, 7, 8, 23, 24, 55, 56].map(locate).into();
        assert_eq!(places, [(0, 0), (0, 7), (1, 0), (1, 15), (2, 0), (2, 31), (3, 0)]);
    }

    proptest! {
        #[test]
        fn holds_each_value_once_in_order_of_birth_whatever_collides(values in vec(any::<u16>(), 0..2_000), bits in 0_u32..64) {
            let index = Index::new();
            let hash = |value: u16| (u64::from(value).wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> bits;
            let mut seen = HashSet::new();
            let mut expected = Vec::new();
            for value in values {
                prop_assert_eq!(index.find(hash(value), |other| *other == value).is_some(), !seen.insert(value));
                index.find_or_insert(hash(value), |other| *other == value, || { expected.push(value); value });
            }
            prop_assert_eq!(index.iter().copied().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn threads_agree_on_one_value() {
        let index = Index::<(u64, usize)>::new();
        let insert = |thread: usize| {
            let number = |value: u64| index.find_or_insert(value, |(other, _)| *other == value, || (value, thread)).1;
            (0..5_000).map(number).collect::<Vec<_>>()
        };
        let found = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || insert(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(found.iter().all(|other| *other == found[0]));
        assert_eq!(index.iter().count(), 5_000);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use loom::{sync::Arc, thread};

    use super::Index;

    /// Under every interleaving: what a reader finds is whole, and what one has inserted another finds.
    #[test]
    fn a_reader_finds_a_value_whole_or_not_at_all() {
        loom::model(|| {
            let index = Arc::new(Index::<(u64, u64)>::new());
            // The same low bits: both want the same slot of the table.
            let hashes = [1 << 32, 2 << 32];
            let writers = hashes.map(|hash| {
                let index = Arc::clone(&index);
                thread::spawn(move || index.find_or_insert(hash, |value| value.0 == hash, || (hash, !hash)).1)
            });
            for hash in hashes {
                if let Some(value) = index.find(hash, |value| value.0 == hash) {
                    assert_eq!(*value, (hash, !hash));
                }
            }
            for (writer, hash) in writers.into_iter().zip(hashes) {
                assert_eq!(writer.join().unwrap(), !hash);
                assert!(index.find(hash, |value| value.0 == hash).is_some());
            }
        });
    }
}
