//! How much room there is, and for what.

use super::SpoolLimits;

/// What is taken of a spool's room.
#[derive(Debug)]
pub(super) struct Room {
    limits: SpoolLimits,
    all: Amount,
    /// What those take that are no errors.
    others: Amount,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    envelopes: usize,
    bytes: u64,
}

// === impl Room ===

impl Room {
    pub(super) fn new(limits: SpoolLimits) -> Self {
        Self { limits, all: Amount::default(), others: Amount::default() }
    }

    /// Takes room unless that would go past the limits: all of it, or for others than errors three quarters.
    pub(super) fn take_within(&mut self, errors: bool, envelopes: usize, bytes: u64) -> bool {
        let fits = |taken: Amount, limits: SpoolLimits| {
            taken.envelopes + envelopes <= limits.envelopes && taken.bytes + bytes <= limits.bytes
        };
        let room = fits(self.all, self.limits) && (errors || fits(self.others, self.limits.without_reserve()));
        if room {
            self.take(errors, envelopes, bytes);
        }
        room
    }

    pub(super) fn take(&mut self, errors: bool, envelopes: usize, bytes: u64) {
        self.change(errors, |taken| {
            taken.envelopes += envelopes;
            taken.bytes += bytes;
        });
    }

    pub(super) fn release(&mut self, errors: bool, envelopes: usize, bytes: u64) {
        self.change(errors, |taken| {
            taken.envelopes -= envelopes;
            taken.bytes -= bytes;
        });
    }

    pub(super) fn bytes(&self) -> u64 {
        self.all.bytes
    }

    fn change(&mut self, errors: bool, change: impl Fn(&mut Amount)) {
        change(&mut self.all);
        if !errors {
            change(&mut self.others);
        }
    }
}

// === impl SpoolLimits ===

impl SpoolLimits {
    /// What all but errors may take: three quarters, and at least one envelope.
    fn without_reserve(self) -> Self {
        Self { envelopes: self.envelopes - self.envelopes / 4, bytes: self.bytes - self.bytes / 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, SpoolLimits};

    #[test]
    fn a_quarter_is_reserved_for_errors_in_count_and_in_bytes() {
        let mut room = Room::new(SpoolLimits { envelopes: 8, bytes: 100 });
        assert!(room.take_within(false, 6, 0) && !room.take_within(false, 1, 0));
        assert!(room.take_within(true, 2, 0) && !room.take_within(true, 1, 0));
        assert!(room.take_within(false, 0, 75) && !room.take_within(false, 0, 1));
        assert!(!room.take_within(true, 0, 26) && room.take_within(true, 0, 25));
        room.release(false, 1, 75);
        assert!(room.take_within(false, 1, 70));
        assert_eq!(room.bytes(), 95);
    }

    #[test]
    fn one_envelope_is_room_for_any_category() {
        assert!(Room::new(SpoolLimits { envelopes: 1, bytes: 1 }).take_within(false, 1, 1));
    }
}
