//! The envelopes of a category in the order of their numbers. They come at the end and leave near the beginning, and a spool
//! may hold hundreds of thousands: each takes a few words here.

use std::collections::VecDeque;

/// An envelope that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) length: u32,
    /// The id of an event, by which it is known when it comes again; zeros where there is none. In bytes, which need no
    /// alignment.
    id: [u8; 16],
}

/// Stands for the length of what has left between others.
const GONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<(u64, Stored)>,
    /// How many of them have not left.
    len: usize,
}

// === impl Stored ===

impl Stored {
    pub(super) fn new(length: u32, id: Option<u128>) -> Self {
        Self { length, id: id.unwrap_or_default().to_le_bytes() }
    }

    pub(super) fn id(&self) -> Option<u128> {
        Some(u128::from_le_bytes(self.id)).filter(|id| *id != 0)
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, number: u64, stored: Stored) {
        if self.entries.back().is_none_or(|(last, _)| *last < number) {
            self.entries.push_back((number, stored));
            self.len += 1;
            return;
        }
        match self.entries.binary_search_by_key(&number, |(other, _)| *other) {
            Ok(place) => {
                let before = std::mem::replace(&mut self.entries[place].1, stored);
                self.len += usize::from(before.length == GONE);
            }
            Err(place) => {
                self.entries.insert(place, (number, stored));
                self.len += 1;
            }
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<Stored> {
        self.place(number).map(|place| self.entries[place].1)
    }

    /// Takes the id of an envelope, which it has no more then.
    pub(super) fn take_id(&mut self, number: u64) -> Option<u128> {
        let place = self.place(number)?;
        let stored = &mut self.entries[place].1;
        let id = stored.id();
        stored.id = [0; 16];
        id
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Stored> {
        let place = self.place(number)?;
        let stored = std::mem::replace(&mut self.entries[place].1, Stored::new(GONE, None));
        self.len -= 1;
        while self.entries.front().is_some_and(|(_, stored)| stored.length == GONE) {
            self.entries.pop_front();
        }
        // What waits for long at the beginning keeps no room for what has left behind it.
        if self.entries.len() > 2 * self.len + 64 {
            self.entries.retain(|(_, stored)| stored.length != GONE);
        }
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(2 * self.entries.len());
        }
        Some(stored)
    }

    /// Lowest first.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().filter(|(_, stored)| stored.length != GONE).map(|(number, _)| *number)
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = self.entries.binary_search_by_key(&number, |(other, _)| *other).ok()?;
        Some(place).filter(|place| self.entries[*place].1.length != GONE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};

    use super::{Queue, Stored};

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(steps in vec((any::<bool>(), 0_u64..40, any::<u16>()), 0..300)) {
            let (mut queue, mut map) = (Queue::default(), BTreeMap::new());
            for (removes, number, length) in steps {
                let stored = Stored::new(length.into(), (length % 2 == 0).then_some(u128::from(length) + 1));
                if removes {
                    prop_assert_eq!(queue.remove(number), map.remove(&number));
                } else {
                    queue.insert(number, stored);
                    map.insert(number, stored);
                }
                prop_assert_eq!(queue.len(), map.len());
                prop_assert_eq!(queue.get(number), map.get(&number).copied());
                prop_assert_eq!(queue.numbers().collect::<Vec<_>>(), map.keys().copied().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_id_is_taken_once() {
        let mut queue = Queue::default();
        queue.insert(7, Stored::new(3, Some(9)));
        assert_eq!((queue.take_id(7), queue.take_id(7), queue.take_id(8)), (Some(9), None, None));
        assert_eq!(queue.get(7), Some(Stored::new(3, None)));
    }

    #[test]
    fn one_that_waits_for_long_costs_no_more_than_itself() {
        let mut queue = Queue::default();
        queue.insert(0, Stored::new(1, None));
        for number in 1..100_000 {
            queue.insert(number, Stored::new(1, None));
            queue.remove(number);
        }
        assert!(queue.entries.capacity() < 1_000, "{}", queue.entries.capacity());
    }
}
