//! What is in the spool: the envelopes that are to be sent, by category, and the segments that they are in.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{
    Entry, SEGMENT, SpoolLimits,
    dead::DeadLetters,
    entry_number, offset,
    queue::{Queue, Stored},
    recent::Recent,
    reservation::Reservation,
    room::Room,
    segment::{self, HEAD},
    segment_of,
};
use crate::errors::{
    envelope::{DEFAULT_CATEGORY, ERROR, HEAD_LIMIT, Head},
    metrics::ErrorsMetrics,
};

/// What the spool and its writer have in common.
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) state: Mutex<State>,
    /// Locks of their own: files are written under them.
    pub(super) recent: Mutex<Recent>,
    pub(super) dead: Mutex<DeadLetters>,
    pub(super) arrived: Notify,
    pub(super) metrics: ErrorsMetrics,
}

pub(super) struct State {
    /// By category, oldest first, what is to be sent.
    pub(super) queues: BTreeMap<&'static str, Queue>,
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    pub(super) room: Room,
}

/// A file of envelopes. It goes when none of them is needed.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// Whether it is of errors.
    errors: bool,
    bytes: u64,
    /// How many of its envelopes are still needed, those being written included.
    needed: u32,
}

// === impl Shared ===

impl Shared {
    /// A dead letter that is sent once more is no stranger.
    pub(super) fn forget_id(&self, entry: Entry) {
        let id = self.lock().queues.get_mut(entry.category).and_then(|queue| queue.take_id(entry.number));
        if let Some(id) = id {
            self.recent().remove(id);
        }
    }

    /// An envelope is needed no longer: its record says so, and its segment goes with the last of them.
    pub(super) fn settle(&self, entry: Entry) {
        let Some(stored) = self.lock().take_out(entry) else { return };
        let path = self.path(entry);
        let marked = segment::mark_done(&path, offset(entry.number));
        let kept = stored.id().map_or(Ok(()), |id| self.recent().keep(id));
        if let Err(error) = marked.and(kept) {
            tracing::warn!(path = %path.display(), %error, "it cannot be written down that an envelope was delivered, which may be sent again after a restart");
        }
        let mut state = self.lock();
        state.room.release(entry.category == ERROR, 1, 0);
        let gone = state.release(segment_of(entry.number));
        state.measure(&self.metrics);
        drop(state);
        if let Some(number) = gone {
            self.remove_segment(number);
        }
    }

    /// Removes the file of a segment that is needed no longer.
    pub(super) fn remove_segment(&self, number: u32) {
        let path = segment::path(&self.folder, number, SEGMENT);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a segment that is needed no longer cannot be removed");
        }
    }

    /// So many envelopes are durable and part of the spool.
    pub(super) fn arrived(&self, count: usize) {
        self.lock().measure(&self.metrics);
        self.metrics.received.add(count as u64);
        self.arrived.notify_one();
    }

    /// The file that an envelope is in.
    pub(super) fn path(&self, entry: Entry) -> PathBuf {
        segment::path(&self.folder, segment_of(entry.number), SEGMENT)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dead(&self) -> MutexGuard<'_, DeadLetters> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// That of an empty spool whose segments are numbered from `next_segment` on.
    pub(super) fn new(limits: SpoolLimits, next_segment: u32) -> Self {
        Self { queues: BTreeMap::new(), segments: BTreeMap::new(), next_segment, room: Room::new(limits) }
    }

    /// An envelope of a segment is durable and part of the spool.
    pub(super) fn arrive(&mut self, segment: u32, offset: u32, room: &mut Reservation) {
        room.keep();
        let length = u32::try_from(room.bytes - HEAD).expect("envelopes are bounded far below");
        let queue = self.queues.entry(room.category).or_default();
        queue.insert(entry_number(segment, offset), Stored::new(length, room.id));
    }

    /// An envelope of a segment has not become durable; its room is given back with the reservation. Returns the segment if it
    /// is needed no longer.
    pub(super) fn give_up(&mut self, number: u32, room: &Reservation) -> Option<u32> {
        self.segments.get_mut(&number)?.bytes -= room.bytes;
        self.release(number)
    }

    /// One envelope less is needed of a segment; returns it if that was the last.
    fn release(&mut self, number: u32) -> Option<u32> {
        let segment = self.segments.get_mut(&number)?;
        segment.needed -= 1;
        if segment.needed > 0 {
            return None;
        }
        let Segment { errors, bytes, .. } = self.segments.remove(&number)?;
        self.room.release(errors, 0, bytes);
        Some(number)
    }

    fn take_out(&mut self, entry: Entry) -> Option<Stored> {
        self.queues.get_mut(entry.category)?.remove(entry.number)
    }

    /// The oldest envelope of the lowest rank in the first category that is allowed and has one.
    pub(super) fn next(
        &self,
        allowed: impl Fn(&'static str) -> bool,
        rank: impl Fn(Entry) -> Option<u32>,
    ) -> Option<Entry> {
        self.errors_first()
            .filter(|(category, _)| allowed(category))
            .find_map(|(category, queue)| first(category, queue, &rank))
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<Entry> {
        let entry = |(category, queue): (&'static str, &Queue)| {
            queue.numbers().map(|number| Entry { number, category }).collect::<Vec<_>>()
        };
        self.errors_first().flat_map(entry).collect()
    }

    fn errors_first(&self) -> impl Iterator<Item = (&'static str, &Queue)> {
        let others = self.queues.iter().filter(|(category, _)| **category != ERROR);
        self.queues.get_key_value(ERROR).into_iter().chain(others).map(|(category, queue)| (*category, queue))
    }

    pub(super) fn stored(&self, entry: Entry) -> Option<Stored> {
        self.queues.get(entry.category)?.get(entry.number)
    }

    /// How many envelopes are to be sent.
    pub(super) fn count(&self) -> usize {
        self.queues.values().map(Queue::len).sum()
    }

    pub(super) fn measure(&self, metrics: &ErrorsMetrics) {
        metrics.spool_envelopes.set(self.count() as f64);
        metrics.spool_bytes.set(self.room.bytes() as f64);
    }

    pub(super) fn has_segment(&self, number: u32) -> bool {
        self.segments.contains_key(&number)
    }

    /// A number that no other segment has had.
    pub(super) fn new_segment(&mut self) -> u32 {
        let number = self.next_segment;
        self.next_segment = number.checked_add(1).expect("no disk has written so much");
        number
    }

    pub(super) fn begin_segment(&mut self, number: u32, errors: bool) {
        self.segments.insert(number, Segment { errors, bytes: 0, needed: 0 });
    }

    /// An envelope more is needed of a segment, which is why it stays.
    pub(super) fn grow_segment(&mut self, number: u32, room: &Reservation) {
        let segment = self.segments.get_mut(&number).expect("it was begun");
        segment.bytes += room.bytes;
        segment.needed += 1;
    }

    /// Takes over what a segment holds that is still needed.
    pub(super) fn take_over(&mut self, path: &Path, number: u32, recent: &mut Recent) -> io::Result<()> {
        self.next_segment = self.next_segment.max(number.saturating_add(1));
        let scan = segment::scan(path, HEAD_LIMIT)?;
        if scan.damaged > 0 {
            tracing::warn!(path = %path.display(), bytes = scan.damaged, "what was torn off or damaged is passed over");
        }
        let (mut bytes, mut needed, mut errors) = (0, 0, false);
        for found in &scan.records {
            bytes += HEAD + u64::from(found.length);
            if !found.live {
                continue;
            }
            // What cannot be read is found out when it is sent.
            let head = Head::parse(&found.start).ok();
            let id = head.as_ref().and_then(Head::known_by).map(|id| id.as_u128());
            id.into_iter().for_each(|id| recent.insert(id));
            let category = head.map_or(DEFAULT_CATEGORY, |head| head.category);
            let stored = Stored::new(found.length, id);
            self.queues.entry(category).or_default().insert(entry_number(number, found.offset), stored);
            self.room.take(category == ERROR, 1, 0);
            (needed, errors) = (needed + 1, category == ERROR);
        }
        if needed == 0 {
            return fs::remove_file(path);
        }
        self.room.take(errors, 0, bytes);
        self.segments.insert(number, Segment { errors, bytes, needed });
        Ok(())
    }
}

/// The oldest envelope of the lowest rank in a queue.
fn first(category: &'static str, queue: &Queue, rank: impl Fn(Entry) -> Option<u32>) -> Option<Entry> {
    let mut best: Option<(u32, Entry)> = None;
    for number in queue.numbers() {
        let entry = Entry { number, category };
        match rank(entry) {
            Some(0) => return Some(entry),
            Some(rank) if best.is_none_or(|(lowest, _)| rank < lowest) => best = Some((rank, entry)),
            _ => {}
        }
    }
    best.map(|(_, entry)| entry)
}
