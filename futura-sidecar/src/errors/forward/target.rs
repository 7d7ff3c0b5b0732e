//! An upstream as the forwarder sees it: what is on its way there, and when more may be.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::sender::{Attempt, Sender};
use crate::errors::{
    limits::Limits,
    spool::{Entry, Spool},
};

/// How many envelopes are on their way at once at the most.
pub(super) const WINDOW: usize = 16;

/// How many bytes of envelopes are on their way at once, unless one is larger.
const WINDOW_BYTES: u64 = 32 * 1024 * 1024;

/// An upstream that envelopes are sent to.
pub(super) struct Target {
    pub(super) sender: Sender,
    pub(super) limits: Limits,
    /// The envelopes that are on their way, and their lengths.
    pub(super) sending: BTreeMap<u64, u64>,
    /// How many may be.
    pub(super) window: usize,
    /// When a delivery failed for the last time: what had begun before may fail for the same cause.
    failed_at: Option<Instant>,
    /// What it will not take, which another may.
    pub(super) refused: BTreeSet<u64>,
}

// === impl Target ===

impl Target {
    pub(super) fn new(sender: Sender, limits: Limits) -> Self {
        let (sending, refused) = (BTreeMap::new(), BTreeSet::new());
        Self { sender, limits, sending, window: 1, failed_at: None, refused }
    }

    /// The envelope that is to be sent next, if one may be; not one that is `elsewhere`.
    pub(super) fn next(&self, spool: &Spool, now: Instant, elsewhere: impl Fn(Entry) -> bool) -> Option<Entry> {
        if self.sending.len() >= self.window {
            return None;
        }
        let free = |entry: Entry| {
            !self.sending.contains_key(&entry.number) && !self.refused.contains(&entry.number) && !elsewhere(entry)
        };
        let rank = |entry| free(entry).then(|| self.limits.rank(entry, now)).flatten();
        let entry = spool.next(|category| self.limits.allow(category, now), rank)?;
        let bytes = self.sending.values().sum::<u64>() + spool.length(entry);
        (self.sending.is_empty() || bytes <= WINDOW_BYTES).then_some(entry)
    }

    /// An attempt has ended. Tells whether it failed with another one, for a cause that is known already.
    pub(super) fn ended(&mut self, attempt: &Attempt) -> bool {
        self.sending.remove(&attempt.entry.number);
        if !attempt.outcome.is_upstreams() {
            return false;
        }
        self.window = 1;
        self.failed_at.replace(Instant::now()).is_some_and(|failed| attempt.began < failed)
    }

    /// An envelope is out of the spool.
    pub(super) fn forget(&mut self, entry: Entry) {
        self.limits.forget(entry);
        self.refused.remove(&entry.number);
    }
}
