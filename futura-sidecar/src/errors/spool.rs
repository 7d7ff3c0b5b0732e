//! Envelopes on disk, in segments that are written one envelope after the other, bounded by count and by bytes.
//!
//! A quarter of the room is for errors alone: what the upstream limits, such as transactions, must not turn them away.
//! Errors have segments of their own, so that others that have to wait keep no disk from them.
//!
//! An envelope counts as received once it is synced; those that come at the same time share one sync. A crash at any step
//! leaves whole records, which the next start takes over, and perhaps a torn one, which it passes over.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use futura_metrics::specs::errors::{DropReason, RejectReason};
use tokio::sync::Notify;
use uuid::Uuid;

use self::{dead::DeadLetters, draft::Reservation, recent::Recent, room::Room, segment::HEAD, writer::Writer};
use super::{
    envelope::{DEFAULT_CATEGORY, ERROR, HEAD_LIMIT, Head},
    metrics::ErrorsMetrics,
};
use crate::history::milliseconds;

pub(super) use self::draft::Draft;
pub use self::inspect::{Selection, SpoolFolder, SpooledEnvelope};

mod dead;
mod draft;
mod inspect;
mod recent;
mod room;
mod segment;
mod writer;

/// How a segment's file ends.
const SEGMENT: &str = "segment";

/// How the file of a segment ends that is not whole yet.
const TEMPORARY: &str = "tmp";

/// How much a spool may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpoolLimits {
    pub(super) envelopes: usize,
    pub(super) bytes: u64,
}

/// Why the spool did not take or give an envelope.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It holds as much as it may.
    #[error("the spool is full")]
    Full,
    /// Another process has it open.
    #[error("the spool `{}` is in use by another process", folder.display())]
    InUse {
        /// The spool's folder.
        folder: PathBuf,
    },
    /// The file system does not do its part.
    #[error("the spool `{}` cannot be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The spool of one sidecar. It is locked: no two processes can have it open.
pub(super) struct Spool {
    shared: Arc<Shared>,
    writer: Writer,
    _lock: File,
}

/// An envelope in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it is: a segment, and a place in it.
    pub(super) number: u64,
    pub(super) category: &'static str,
}

/// What became of an envelope that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    New,
    /// An event of this id is or was in the spool.
    Known,
}

/// What the spool and its writer have in common.
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    arrived: Notify,
    metrics: ErrorsMetrics,
}

struct State {
    /// By category, oldest first, what is to be sent.
    queues: BTreeMap<&'static str, BTreeMap<u64, Stored>>,
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    room: Room,
    recent: Recent,
    dead: DeadLetters,
}

/// An envelope that is to be sent.
#[derive(Clone, Copy)]
struct Stored {
    length: u32,
    /// Of an event, by which it is known when it comes again.
    id: Option<u128>,
}

/// A file of envelopes. It goes when none of them is needed.
#[derive(Clone, Copy)]
struct Segment {
    /// Whether it is of errors.
    errors: bool,
    bytes: u64,
    /// How many of its envelopes are still needed, those being written included.
    needed: u32,
}

// === impl Spool ===

impl Spool {
    /// Opens the folder, made where it is not there; drops what was not written to its end and takes over the rest.
    pub(super) fn open(folder: &Path, limits: SpoolLimits, metrics: ErrorsMetrics) -> Result<Self, SpoolError> {
        // Envelopes hold personal data: the folder is for its owner alone.
        let create = |name| DirBuilder::new().recursive(true).mode(0o700).create(folder.join(name));
        let created = create("dead").and_then(|()| create("incoming"));
        created.and_then(|()| sync_folder(&folder.join(".."))).map_err(failed(folder))?;
        let lock = lock(folder)?;
        let path = folder.join("recent");
        let recent = Recent::open(&path).map_err(failed(&path))?;
        let path = folder.join("dead");
        let dead = DeadLetters::open(&path, limits, metrics.clone()).map_err(failed(&path))?;
        let mut state = State {
            queues: BTreeMap::new(),
            segments: BTreeMap::new(),
            next_segment: 0,
            room: Room::new(limits),
            recent,
            dead,
        };
        for (path, _) in numbered(folder, TEMPORARY)? {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        for (path, number) in segments(folder)? {
            state.next_segment = state.next_segment.max(number.saturating_add(1));
            state.take_over(&path, number).map_err(failed(&path))?;
        }
        metrics.spool_limit_envelopes.set(limits.envelopes as f64);
        metrics.spool_limit_bytes.set(limits.bytes as f64);
        let (folder, state) = (folder.to_owned(), Mutex::new(state));
        let shared = Arc::new(Shared { folder, state, arrived: Notify::new(), metrics });
        shared.measure(&shared.lock());
        let writer = Writer::start(Arc::clone(&shared)).map_err(failed(&shared.folder))?;
        let spool = Self { shared, writer, _lock: lock };
        let (envelopes, bytes) = spool.size();
        spool.shared.metrics.recovered.add(envelopes as u64);
        if envelopes > 0 {
            tracing::info!(envelopes, bytes, "envelopes wait in the spool");
        }
        Ok(spool)
    }

    /// Begins to take an envelope of a category. By its id an event is known when it comes again.
    pub(super) fn begin(&self, category: &'static str, id: Option<Uuid>) -> Result<Draft, SpoolError> {
        if !self.shared.lock().room.take_within(category == ERROR, 1, HEAD) {
            return Err(SpoolError::Full);
        }
        Ok(Draft::new(Arc::clone(&self.shared), self.writer.clone(), category, id.map(|id| id.as_u128())))
    }

    /// The oldest envelope of the lowest rank in the first category that is allowed and has one: errors, then the others.
    /// One without a rank is passed over.
    pub(super) fn next(
        &self,
        allowed: impl Fn(&'static str) -> bool,
        rank: impl Fn(Entry) -> Option<u32>,
    ) -> Option<Entry> {
        let state = self.shared.lock();
        let errors = state.queues.get_key_value(ERROR);
        let others = state.queues.iter().filter(|(category, _)| **category != ERROR);
        let mut open = errors.into_iter().chain(others).filter(|(category, _)| allowed(category));
        open.find_map(|(category, queue)| first(category, queue, &rank))
    }

    /// Waits until an envelope has arrived since the last wait.
    pub(super) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// How many envelopes there are, and how many bytes they and what is in segments with them take.
    pub(super) fn size(&self) -> (usize, u64) {
        let state = self.shared.lock();
        (state.queues.values().map(BTreeMap::len).sum(), state.room.bytes())
    }

    /// All envelopes, errors first and then by category, oldest first.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<Entry> {
        let state = self.shared.lock();
        let (errors, others): (Vec<_>, Vec<_>) = state.queues.iter().partition(|(category, _)| **category == ERROR);
        let queues = errors.into_iter().chain(others);
        queues.flat_map(|(category, queue)| queue.keys().map(|number| Entry { number: *number, category })).collect()
    }

    /// An envelope's length in bytes.
    pub(super) fn length(&self, entry: Entry) -> u64 {
        let state = self.shared.lock();
        let stored = state.queues.get(entry.category).and_then(|queue| queue.get(&entry.number));
        stored.map_or(0, |stored| stored.length.into())
    }

    /// Reads an envelope. This blocks.
    pub(super) fn read(&self, entry: Entry) -> io::Result<Vec<u8>> {
        segment::read(&self.shared.path(entry), offset(entry.number)).map(|(envelope, _)| envelope)
    }

    /// Forgets an envelope that was delivered. This blocks.
    pub(super) fn remove(&self, entry: Entry) {
        self.shared.settle(entry);
    }

    /// Puts an envelope that will never be delivered among the dead letters, of which the oldest make room. This blocks.
    pub(super) fn bury(&self, entry: Entry, reason: DropReason) {
        match self.read(entry) {
            Ok(envelope) => self.shared.lock().dead.add(entry.number, reason, &envelope),
            Err(error) => tracing::warn!(%error, "an envelope cannot be read and is no dead letter either"),
        }
        self.shared.forget_id(entry);
        self.shared.settle(entry);
    }
}

/// The oldest envelope of the lowest rank in a queue.
fn first(category: &'static str, queue: &BTreeMap<u64, Stored>, rank: impl Fn(Entry) -> Option<u32>) -> Option<Entry> {
    let mut best: Option<(u32, Entry)> = None;
    for number in queue.keys() {
        let entry = Entry { number: *number, category };
        match rank(entry) {
            Some(0) => return Some(entry),
            Some(rank) if best.is_none_or(|(lowest, _)| rank < lowest) => best = Some((rank, entry)),
            _ => {}
        }
    }
    best.map(|(_, entry)| entry)
}

// === impl Shared ===

impl Shared {
    /// A dead letter that is sent once more is no stranger.
    fn forget_id(&self, entry: Entry) {
        let mut state = self.lock();
        let stored = state.queues.get_mut(entry.category).and_then(|queue| queue.get_mut(&entry.number));
        if let Some(id) = stored.and_then(|stored| stored.id.take()) {
            state.recent.remove(id);
        }
    }

    /// An envelope is needed no longer: its record says so, and its segment goes with the last of them.
    fn settle(&self, entry: Entry) {
        let mut state = self.lock();
        let Some(stored) = state.queues.get_mut(entry.category).and_then(|queue| queue.remove(&entry.number)) else {
            return;
        };
        let kept = stored.id.map_or(Ok(()), |id| state.recent.keep(id));
        let path = self.path(entry);
        let marked = kept.and_then(|()| segment::mark_done(&path, offset(entry.number)));
        if let Err(error) = marked {
            tracing::warn!(path = %path.display(), %error, "an envelope cannot be marked as delivered and will be sent again after a restart");
        }
        state.room.release(entry.category == ERROR, 1, 0);
        self.release(&mut state, segment_of(entry.number));
    }

    /// One envelope less is needed of a segment.
    fn release(&self, state: &mut State, number: u32) {
        let Some(segment) = state.segments.get_mut(&number) else { return };
        segment.needed -= 1;
        if segment.needed == 0 {
            let Segment { errors, bytes, .. } = *segment;
            state.segments.remove(&number);
            state.room.release(errors, 0, bytes);
            let path = segment::path(&self.folder, number, SEGMENT);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a segment that is needed no longer cannot be removed");
            }
        }
        self.measure(state);
    }

    /// An envelope of a segment is durable and part of the spool.
    fn arrive(&self, state: &mut State, segment: u32, offset: u32, room: &mut Reservation) {
        room.stays = true;
        let length = u32::try_from(room.bytes - HEAD).expect("envelopes are bounded far below");
        let queue = state.queues.entry(room.category).or_default();
        queue.insert(entry_number(segment, offset), Stored { length, id: room.id });
        self.measure(state);
        self.metrics.received.inc();
        self.arrived.notify_one();
    }

    /// An envelope of a segment has not become durable; its room is given back with the reservation.
    fn give_up(&self, state: &mut State, number: u32, room: &Reservation) {
        if let Some(segment) = state.segments.get_mut(&number) {
            segment.bytes -= room.bytes;
        }
        self.release(state, number);
    }

    /// The file that an envelope is in.
    fn path(&self, entry: Entry) -> PathBuf {
        segment::path(&self.folder, segment_of(entry.number), SEGMENT)
    }

    fn measure(&self, state: &State) {
        self.metrics.spool_envelopes.set(state.queues.values().map(BTreeMap::len).sum::<usize>() as f64);
        self.metrics.spool_bytes.set(state.room.bytes() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// A number that no other segment has had.
    fn new_segment(&mut self) -> u32 {
        let number = self.next_segment;
        self.next_segment = number.checked_add(1).expect("no disk has written so much");
        number
    }

    fn begin_segment(&mut self, number: u32, errors: bool) {
        self.segments.insert(number, Segment { errors, bytes: 0, needed: 0 });
    }

    /// An envelope more is needed of a segment, which is why it stays.
    fn grow_segment(&mut self, number: u32, room: &Reservation) {
        let segment = self.segments.get_mut(&number).expect("it was begun");
        segment.bytes += room.bytes;
        segment.needed += 1;
    }

    /// Takes over what a segment holds that is still needed.
    fn take_over(&mut self, path: &Path, number: u32) -> io::Result<()> {
        let scan = segment::scan(path, HEAD_LIMIT)?;
        if scan.damaged > 0 {
            tracing::warn!(path = %path.display(), bytes = scan.damaged, "what was torn off or damaged is passed over");
        }
        let (mut bytes, mut needed, mut errors) = (0, 0, false);
        for found in &scan.records {
            bytes += HEAD + u64::from(found.length);
            // What cannot be read is found out when it is sent.
            let head = Head::parse(&found.start).ok();
            let id = head.as_ref().and_then(Head::known_by).map(|id| id.as_u128());
            id.map(|id| self.recent.insert(id));
            if found.live {
                let category = head.map_or(DEFAULT_CATEGORY, |head| head.category);
                let stored = Stored { length: found.length, id };
                self.queues.entry(category).or_default().insert(entry_number(number, found.offset), stored);
                self.room.take(category == ERROR, 1, 0);
                (needed, errors) = (needed + 1, category == ERROR);
            }
        }
        if needed == 0 {
            return fs::remove_file(path);
        }
        self.room.take(errors, 0, bytes);
        self.segments.insert(number, Segment { errors, bytes, needed });
        Ok(())
    }
}

// === impl SpoolError ===

impl SpoolError {
    /// How an envelope counts that was not taken for this reason.
    pub(super) fn reason(&self) -> RejectReason {
        match self {
            Self::Full => RejectReason::SpoolFull,
            Self::InUse { .. } | Self::Io { .. } => RejectReason::SpoolError,
        }
    }
}

fn entry_number(segment: u32, offset: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(offset)
}

fn segment_of(number: u64) -> u32 {
    (number >> 32) as u32
}

fn offset(number: u64) -> u32 {
    (number & u64::from(u32::MAX)) as u32
}

fn now_ms() -> u64 {
    milliseconds(SystemTime::now())
}

fn lock(folder: &Path) -> Result<File, SpoolError> {
    let path = folder.join("lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

/// The segments of a folder in their order.
fn segments(folder: &Path) -> Result<Vec<(PathBuf, u32)>, SpoolError> {
    numbered(folder, SEGMENT)
}

/// The files of a folder that end so and have a number, in its order; what else is there is not ours.
fn numbered(folder: &Path, extension: &str) -> Result<Vec<(PathBuf, u32)>, SpoolError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let number: Option<u32> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|end| end == extension)) {
            files.push((path, number));
        }
    }
    files.sort_by_key(|(_, number)| *number);
    Ok(files)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SpoolError {
    move |source| SpoolError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
