//! Hashes and compares texts of a few dozen bytes, as the values of labels are, in a few instructions.
//!
//! The first and the last eight bytes are all of a text of up to sixteen, so that most are told apart without a loop or a call.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

/// 2^64 by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of a word.
const WORD: usize = 8;

/// Hashes by keys that nobody outside knows, so that whoever chooses the texts cannot make them meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextHasher {
    keys: [u64; 2],
}

/// The words at both ends of a text and its length in bytes, which together are all of a short one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    first: u64,
    last: u64,
    len: usize,
}

// === impl TextHasher ===

impl TextHasher {
    pub(crate) fn new() -> Self {
        let random = DefaultHashBuilder::default();
        Self { keys: [random.hash_one(0), random.hash_one(1)] }
    }

    /// What a hash begins with.
    #[inline]
    pub(crate) fn begin(self, number: u64) -> u64 {
        // Spread over all bits, so that a number and a text do not make up for each other.
        (self.keys[0] ^ number).wrapping_mul(SPREAD)
    }

    /// Adds a text to what was hashed before it.
    #[inline]
    pub(crate) fn add(self, state: u64, text: &str) -> u64 {
        let ends = Ends::of(text);
        let state = if ends.are_all() { state } else { self.add_middle(state, text.as_bytes()) };
        mix(ends.first ^ state, ends.last ^ self.keys[1] ^ ends.len as u64)
    }

    /// Ends a hash that no text was added to.
    #[inline]
    pub(crate) fn end(self, state: u64) -> u64 {
        mix(state, self.keys[1])
    }

    /// What lies between the ends; the last word may overlap the one before.
    #[inline(never)]
    fn add_middle(self, state: u64, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes[WORD..bytes.len() - WORD].as_chunks();
        let overlapping = (!rest.is_empty()).then(|| &bytes[bytes.len() - 2 * WORD..]);
        let words = words.iter().chain(overlapping.and_then(<[u8]>::first_chunk));
        words.fold(state, |state, word| mix(u64::from_le_bytes(*word) ^ state, self.keys[1]))
    }
}

// === impl Ends ===

impl Ends {
    #[inline]
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => Self::of_short(bytes),
        };
        Self { first, last, len: bytes.len() }
    }

    /// Whether nothing lies between them.
    #[inline]
    pub(crate) fn are_all(&self) -> bool {
        self.len <= 2 * WORD
    }

    /// Those of a text that is shorter than a word.
    fn of_short(bytes: &[u8]) -> (u64, u64) {
        match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()),
            _ => bytes.iter().fold((0, 0), |(first, last), byte| (first << 8 | u64::from(*byte), last)),
        }
    }
}

/// Both halves of a product, turned so that the middle comes first: there all bits of both numbers have met.
#[inline]
fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64 ^ (product >> u64::BITS) as u64).rotate_right(u64::BITS / 2)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest};

    use super::{Ends, TextHasher};

    proptest! {
        #[test]
        fn texts_are_the_same_when_all_their_bytes_are(bytes in vec(0_u8..3, 0..40), change in any::<u8>(), place in 0_usize..40) {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let mut other = bytes;
            if let Some(byte) = other.get_mut(place) {
                *byte = change % 3;
            }
            let other = String::from_utf8(other).unwrap();
            prop_assert!(!Ends::of(&text).are_all() || (Ends::of(&text) == Ends::of(&other)) == (text == other));
            let hasher = TextHasher::new();
            // Of so few texts no two meet in 64 bits.
            prop_assert_eq!(hasher.add(hasher.begin(7), &text) == hasher.add(hasher.begin(7), &other), text == other);
        }
    }

    #[test]
    fn texts_that_follow_one_another_are_spread_over_a_small_table() {
        let hasher = TextHasher::new();
        for prefix in ["", "/", "/events/", "/organizations/{organization}/items-"] {
            let hash = |number: u64| hasher.add(hasher.begin(number % 4), &format!("{prefix}{number}"));
            let slots: HashSet<_> = (0..512).map(|number| hash(number) % 1_024).collect();
            // By chance it is 403 of 512, give or take nine.
            assert!(slots.len() > 340, "{prefix}: {}", slots.len());
        }
    }
}
