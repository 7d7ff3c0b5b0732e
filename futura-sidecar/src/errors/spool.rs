//! Envelopes on disk, in segments that are written one envelope after the other, bounded by count and by bytes.
//!
//! A quarter of the room is for errors alone: what the upstream limits, such as transactions, must not turn them away.
//! Errors have segments of their own, so that others that have to wait keep no disk from them.
//!
//! An envelope counts as received once it is synced; those that come at the same time share one sync. A crash at any step
//! leaves whole records, which the next start takes over, and perhaps a torn one, which it passes over.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use futura_metrics::specs::errors::{DropReason, RejectReason};
use tokio::sync::Notify;
use uuid::Uuid;

use self::{
    dead::DeadLetters,
    recent::Recent,
    reservation::Reservation,
    state::{Shared, State},
    writer::Writer,
};
use super::metrics::ErrorsMetrics;
use crate::history::milliseconds;

pub use self::inspect::{Selection, SpoolFolder, SpooledEnvelope};

mod dead;
mod inspect;
mod queue;
mod recent;
mod reservation;
mod room;
mod segment;
mod state;
mod writer;

/// How a segment's file ends.
const SEGMENT: &str = "segment";

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
        let mut recent = Recent::open(&path).map_err(failed(&path))?;
        let path = folder.join("dead");
        let dead = DeadLetters::open(&path, limits, metrics.clone()).map_err(failed(&path))?;
        // Dead letters are named by where they were: no other envelope is ever there.
        let next_segment = segment_after(&folder.join("dead"))?.max(segment_after(&folder.join("incoming"))?);
        let mut state = State::new(limits, next_segment);
        for (path, number) in segments(folder)? {
            state.take_over(&path, number, &mut recent).map_err(failed(&path))?;
        }
        metrics.spool_limit_envelopes.set(limits.envelopes as f64);
        metrics.spool_limit_bytes.set(limits.bytes as f64);
        let (folder, state, recent) = (folder.to_owned(), Mutex::new(state), Mutex::new(recent));
        let shared = Shared { folder, state, recent, dead: Mutex::new(dead), arrived: Notify::new(), metrics };
        let shared = Arc::new(shared);
        shared.lock().measure(&shared.metrics);
        let writer = Writer::start(Arc::clone(&shared)).map_err(failed(&shared.folder))?;
        let spool = Self { shared, writer, _lock: lock };
        let (envelopes, bytes) = spool.size();
        spool.shared.metrics.recovered.add(envelopes as u64);
        if envelopes > 0 {
            tracing::info!(envelopes, bytes, "envelopes wait in the spool");
        }
        Ok(spool)
    }

    /// Makes an envelope of a category durable and part of the spool, unless it is known: by its id an event is.
    pub(super) async fn put(
        &self,
        category: &'static str,
        id: Option<Uuid>,
        envelope: Vec<u8>,
    ) -> Result<Taken, SpoolError> {
        let id = id.map(|id| id.as_u128());
        let room = Reservation::take(&self.shared, category, id, envelope.len()).ok_or(SpoolError::Full)?;
        self.writer.append(room, envelope).await
    }

    /// The oldest envelope of the lowest rank in the first category that is allowed and has one: errors, then the others.
    /// One without a rank is passed over.
    pub(super) fn next(
        &self,
        allowed: impl Fn(&'static str) -> bool,
        rank: impl Fn(Entry) -> Option<u32>,
    ) -> Option<Entry> {
        self.shared.lock().next(allowed, rank)
    }

    /// Waits until an envelope has arrived since the last wait.
    pub(super) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// How many envelopes there are, and how many bytes they and what is in segments with them take.
    pub(super) fn size(&self) -> (usize, u64) {
        let state = self.shared.lock();
        (state.count(), state.room.bytes())
    }

    /// All envelopes, errors first and then by category, oldest first.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.shared.lock().entries()
    }

    /// An envelope's length in bytes.
    pub(super) fn length(&self, entry: Entry) -> u64 {
        self.shared.lock().stored(entry).map_or(0, |stored| stored.length.into())
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
    ///
    /// # Errors
    /// When it cannot be written there; then it stays where it is.
    pub(super) fn bury(&self, entry: Entry, reason: DropReason) -> io::Result<()> {
        match self.read(entry) {
            Ok(envelope) => self.shared.dead().add(entry.number, reason, &envelope)?,
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) => {
                tracing::error!(%error, "an envelope that is damaged or gone is given up");
            }
            Err(error) => return Err(error),
        }
        self.shared.forget_id(entry);
        self.shared.settle(entry);
        Ok(())
    }

    /// The folder that others put envelopes into.
    pub(super) fn incoming(&self) -> PathBuf {
        self.shared.folder.join("incoming")
    }

    /// Counts the dead letters, of which some may have been replayed or deleted from outside. This blocks.
    pub(super) fn count_dead(&self) {
        self.shared.dead().look();
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

/// The segments of a folder in their order; what else is there is not ours.
fn segments(folder: &Path) -> Result<Vec<(PathBuf, u32)>, SpoolError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let number: Option<u32> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|end| end == SEGMENT)) {
            segments.push((path, number));
        }
    }
    segments.sort_unstable_by_key(|(_, number)| *number);
    Ok(segments)
}

/// The number after those of all segments that envelopes in the files of a folder came from.
fn segment_after(folder: &Path) -> Result<u32, SpoolError> {
    let mut next = 0;
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let name = entry.map_err(failed(folder))?.file_name().to_string_lossy().into_owned();
        let number = name.split(['-', '.']).next().and_then(|number| number.parse().ok());
        next = next.max(number.map_or(0, |number| segment_of(number).saturating_add(1)));
    }
    Ok(next)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(path: &Path) -> impl Fn(io::Error) -> SpoolError {
    move |source| SpoolError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
