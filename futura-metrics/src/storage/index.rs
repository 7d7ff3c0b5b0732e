//! A hash table that only grows: found in without a lock, added to under one.
//!
//! Values live in a list of chunks that never move. Tables of positions point into it; when one is half full, the next, twice
//! as large, takes what comes after. A look-up goes through the tables in order, so what was there early is found first.

use std::array;

use super::sync::{
    AtomicU64, Mutex, OnceLock,
    Ordering::{Acquire, Release},
};

/// Slots of the first table and values of the first chunk.
const FIRST: usize = 8;

/// Doubling this often from [`FIRST`] makes room for eight million values.
const DOUBLINGS: usize = 20;

/// The positions of a table are the low half of its slots, the other half is the hash's.
const POSITION_BITS: u32 = 32;

pub(crate) struct Index<T> {
    chunks: [OnceLock<Box<[OnceLock<T>]>>; DOUBLINGS],
    tables: [OnceLock<Box<[AtomicU64]>>; DOUBLINGS],
    len: Mutex<usize>,
}

// === impl Index ===

impl<T> Index<T> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: array::from_fn(|_| OnceLock::new()),
            tables: array::from_fn(|_| OnceLock::new()),
            len: Mutex::new(0),
        }
    }

    /// The value with this hash that is the `same`.
    pub(crate) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&T> {
        self.tables.iter().map_while(OnceLock::get).find_map(|table| {
            let mut slots = probe(table, hash).map(|slot| slot.load(Acquire)).take_while(|slot| *slot != 0);
            slots.find_map(|slot| {
                let candidate =
                    (slot >> POSITION_BITS == hash >> POSITION_BITS).then(|| self.get(position_of(slot)))?;
                candidate.filter(|value| same(value))
            })
        })
    }

    /// The same as [`find`](Self::find), with the value of `make` added where there is none.
    pub(crate) fn find_or_insert(&self, hash: u64, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &T {
        let mut len = self.len.lock();
        if let Some(value) = self.find(hash, same) {
            return value;
        }
        let (chunk, offset) = locate(*len);
        let chunk = self.chunks[chunk].get_or_init(|| (0..FIRST << chunk).map(|_| OnceLock::new()).collect());
        // The value is there before the slot that leads to it.
        let value = chunk[offset].get_or_init(make);
        // Table and chunk of one number differ by the factor two that keeps a table half empty.
        let table = locate(*len).0;
        let table = self.tables[table].get_or_init(|| (0..(2 * FIRST) << table).map(|_| AtomicU64::new(0)).collect());
        let free =
            probe(table, hash).find(|slot| slot.load(Acquire) == 0).expect("a table is never more than half full");
        free.store((hash >> POSITION_BITS << POSITION_BITS) | (*len as u64 + 1), Release);
        *len += 1;
        value
    }

    /// All values, in the order in which they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().map_while(OnceLock::get).flatten().map_while(OnceLock::get)
    }

    pub(crate) fn len(&self) -> usize {
        *self.len.lock()
    }

    fn get(&self, position: usize) -> Option<&T> {
        let (chunk, offset) = locate(position);
        self.chunks[chunk].get()?[offset].get()
    }
}

/// The slots of a table in the order in which a hash takes them.
fn probe(table: &[AtomicU64], hash: u64) -> impl Iterator<Item = &AtomicU64> {
    let start = hash as usize;
    (0..table.len()).map(move |step| &table[start.wrapping_add(step) & (table.len() - 1)])
}

/// The position in a slot, which is one lower than what it holds: an empty slot is zero.
fn position_of(slot: u64) -> usize {
    (slot as u32 - 1) as usize
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
