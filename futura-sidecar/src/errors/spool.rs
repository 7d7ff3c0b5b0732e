//! Envelopes on disk, one file each, in the order of their arrival, bounded by count and by bytes.
//!
//! A quarter of the room is for errors alone: what the upstream limits, such as transactions, must not turn them away.
//!
//! A file is written under a temporary name, synced, renamed, and its folder synced; after that it counts as received. A
//! crash at any step leaves a temporary file, which the next start removes, or a complete envelope.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futura_metrics::specs::errors::DropReason;
use tokio::{io::AsyncWriteExt, sync::Notify, task::spawn_blocking};

use super::{
    envelope::{ERROR, HEAD_LIMIT, Head},
    metrics::ErrorsMetrics,
};

const ENVELOPE: &str = "envelope";
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
    folder: PathBuf,
    limits: SpoolLimits,
    state: Mutex<State>,
    arrived: Notify,
    metrics: ErrorsMetrics,
    _lock: File,
}

/// An envelope in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) category: &'static str,
}

/// An envelope that is being written. Dropped without [`commit`](Draft::commit) it leaves nothing behind.
pub(super) struct Draft {
    spool: Arc<Spool>,
    number: u64,
    category: &'static str,
    file: Option<tokio::fs::File>,
    bytes: u64,
    committed: bool,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Stored>,
    dead: BTreeMap<u64, u64>,
    next: u64,
    /// What envelopes take, those being written included.
    all: Taken,
    /// What those take that are no errors.
    others: Taken,
}

/// An amount of room.
#[derive(Clone, Copy, Default)]
struct Taken {
    envelopes: usize,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Stored {
    bytes: u64,
    category: &'static str,
}

// === impl SpoolLimits ===

impl SpoolLimits {
    /// What all but errors may take: three quarters, and at least one envelope.
    fn without_reserve(self) -> Self {
        Self { envelopes: self.envelopes - self.envelopes / 4, bytes: self.bytes - self.bytes / 4 }
    }
}

// === impl Spool ===

impl Spool {
    /// Opens the folder, made where it is not there; drops what was not written to its end and takes over the rest.
    pub(super) fn open(folder: &Path, limits: SpoolLimits, metrics: ErrorsMetrics) -> Result<Self, SpoolError> {
        // Envelopes hold personal data: the folder is for its owner alone.
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder.join("dead"));
        created.and_then(|()| sync_folder(&folder.join(".."))).map_err(failed(folder))?;
        let lock = lock(folder)?;
        let mut state = State::default();
        for (path, number, bytes) in files(folder)? {
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                fs::remove_file(&path).map_err(failed(&path))?;
                continue;
            }
            // What cannot be read now is found out when it is sent.
            let category = head(&path).map_or("default", |head| head.category);
            state.entries.insert(number, Stored { bytes, category });
            state.take(category, 1, bytes);
        }
        state.dead = files(&folder.join("dead"))?.into_iter().map(|(_, number, bytes)| (number, bytes)).collect();
        let newest = state.entries.last_key_value().map(|(number, _)| *number);
        state.next = newest.max(state.dead.last_key_value().map(|(number, _)| *number)).map_or(0, |number| number + 1);
        let Taken { envelopes, bytes } = state.all;
        if envelopes > 0 {
            tracing::info!(envelopes, bytes, "envelopes wait in the spool");
        }
        metrics.spool_limit_envelopes.set(limits.envelopes as f64);
        metrics.spool_limit_bytes.set(limits.bytes as f64);
        let (state, folder) = (Mutex::new(state), folder.to_owned());
        let spool = Self { folder, limits, state, arrived: Notify::new(), metrics, _lock: lock };
        spool.measure(&spool.lock());
        Ok(spool)
    }

    /// Begins to write an envelope of a category.
    pub(super) async fn begin(self: &Arc<Self>, category: &'static str) -> Result<Draft, SpoolError> {
        let mut draft = {
            let mut state = self.lock();
            if !state.take_within(self.limits, category, 1, 0) {
                return Err(SpoolError::Full);
            }
            let number = state.next;
            state.next += 1;
            Draft { spool: Arc::clone(self), number, category, file: None, bytes: 0, committed: false }
        };
        // The draft goes along: if nobody waits for it any more, the file goes when it is there.
        let opened = spawn_blocking(move || {
            let path = draft.spool.path(draft.number, TEMPORARY);
            let file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed(&path))?;
            draft.file = Some(tokio::fs::File::from_std(file));
            Ok(draft)
        });
        opened.await.unwrap_or_else(|error| Err(failed(&self.folder)(io::Error::other(error))))
    }

    /// The oldest envelope of the lowest rank that there is; one without a rank is passed over.
    pub(super) fn next(&self, rank: impl Fn(Entry) -> Option<u32>) -> Option<Entry> {
        let state = self.lock();
        let mut best: Option<(u32, Entry)> = None;
        for (number, stored) in &state.entries {
            let entry = Entry { number: *number, category: stored.category };
            match rank(entry) {
                Some(0) => return Some(entry),
                Some(rank) if best.is_none_or(|(lowest, _)| rank < lowest) => best = Some((rank, entry)),
                _ => {}
            }
        }
        best.map(|(_, entry)| entry)
    }

    /// Waits until an envelope has arrived since the last wait.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How many envelopes there are, and how many bytes they take.
    pub(super) fn size(&self) -> (usize, u64) {
        let state = self.lock();
        (state.entries.len(), state.all.bytes)
    }

    /// Where an envelope's bytes are.
    pub(super) fn file(&self, entry: Entry) -> PathBuf {
        self.path(entry.number, ENVELOPE)
    }

    /// Forgets an envelope that was delivered.
    pub(super) fn remove(&self, entry: Entry) {
        let path = self.file(entry);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a delivered envelope cannot be removed and will be sent again after a restart");
        }
        self.forget(entry);
    }

    /// Puts an envelope that will never be delivered among the dead letters, of which the oldest make room.
    pub(super) fn bury(&self, entry: Entry) {
        let path = self.file(entry);
        let Some(stored) = self.forget(entry) else { return };
        if let Err(error) = fs::rename(&path, self.dead(entry.number)) {
            tracing::warn!(path = %path.display(), %error, "an envelope cannot be kept as a dead letter");
            return;
        }
        let mut state = self.lock();
        state.dead.insert(entry.number, stored.bytes);
        let too_many = |dead: &BTreeMap<u64, u64>| {
            dead.len() > self.limits.envelopes || dead.values().sum::<u64>() > self.limits.bytes
        };
        while too_many(&state.dead) {
            let Some((number, bytes)) = state.dead.pop_first() else { break };
            self.metrics.evicted.inc();
            match fs::remove_file(self.dead(number)) {
                Ok(()) => tracing::warn!(number, bytes, "`dead` is full: its oldest envelope was deleted"),
                Err(error) => tracing::warn!(number, %error, "an old dead letter cannot be removed"),
            }
        }
        self.measure(&state);
    }

    fn forget(&self, entry: Entry) -> Option<Stored> {
        let mut state = self.lock();
        let stored = state.entries.remove(&entry.number)?;
        state.release(stored.category, 1, stored.bytes);
        self.measure(&state);
        Some(stored)
    }

    fn measure(&self, state: &State) {
        self.metrics.spool_envelopes.set(state.entries.len() as f64);
        self.metrics.spool_bytes.set(state.all.bytes as f64);
        self.metrics.dead_envelopes.set(state.dead.len() as f64);
    }

    /// Twenty digits hold every number, so that names sort as numbers do.
    fn path(&self, number: u64, extension: &str) -> PathBuf {
        self.folder.join(format!("{number:020}.{extension}"))
    }

    fn dead(&self, number: u64) -> PathBuf {
        self.folder.join("dead").join(format!("{number:020}.{ENVELOPE}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Takes room unless that would go past the limits.
    fn take_within(&mut self, limits: SpoolLimits, category: &str, envelopes: usize, bytes: u64) -> bool {
        let fits = |taken: Taken, limits: SpoolLimits| {
            taken.envelopes + envelopes <= limits.envelopes && taken.bytes + bytes <= limits.bytes
        };
        let room = fits(self.all, limits) && (category == ERROR || fits(self.others, limits.without_reserve()));
        if room {
            self.take(category, envelopes, bytes);
        }
        room
    }

    fn take(&mut self, category: &str, envelopes: usize, bytes: u64) {
        self.change(category, |taken| {
            taken.envelopes += envelopes;
            taken.bytes += bytes;
        });
    }

    fn release(&mut self, category: &str, envelopes: usize, bytes: u64) {
        self.change(category, |taken| {
            taken.envelopes -= envelopes;
            taken.bytes -= bytes;
        });
    }

    fn change(&mut self, category: &str, change: impl Fn(&mut Taken)) {
        change(&mut self.all);
        if category != ERROR {
            change(&mut self.others);
        }
    }
}

// === impl Draft ===

impl Draft {
    /// Adds to the envelope, within the spool's limit.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let length = bytes.len() as u64;
        if !self.spool.lock().take_within(self.spool.limits, self.category, 0, length) {
            return Err(SpoolError::Full);
        }
        self.bytes += length;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).await.map_err(failed(&self.spool.folder))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn category(&self) -> &'static str {
        self.category
    }

    /// Makes the envelope durable and part of the spool.
    ///
    /// It is done whole or not at all, even if nobody waits for it any more.
    pub(super) async fn commit(mut self) -> Result<(), SpoolError> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.flush().await.map_err(failed(&self.spool.folder))?;
        let file = file.into_std().await;
        let folder = self.spool.folder.clone();
        let durable = spawn_blocking(move || self.store(&file));
        durable.await.unwrap_or_else(|error| Err(failed(&folder)(io::Error::other(error))))
    }

    fn store(mut self, file: &File) -> Result<(), SpoolError> {
        let spool = Arc::clone(&self.spool);
        let (temporary, path) = (spool.path(self.number, TEMPORARY), spool.path(self.number, ENVELOPE));
        file.sync_all().map_err(failed(&temporary))?;
        fs::rename(&temporary, &path).map_err(failed(&temporary))?;
        if let Err(error) = sync_folder(&spool.folder) {
            // It may not be there after a crash, so it must not be taken for received.
            let _ = fs::remove_file(&path);
            return Err(failed(&spool.folder)(error));
        }
        self.committed = true;
        let mut state = spool.lock();
        state.entries.insert(self.number, Stored { bytes: self.bytes, category: self.category });
        spool.measure(&state);
        drop(state);
        spool.metrics.received.inc();
        spool.arrived.notify_one();
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        // It may not have come into being; otherwise the next start removes it.
        let _ = fs::remove_file(self.spool.path(self.number, TEMPORARY));
        self.spool.lock().release(self.category, 1, self.bytes);
    }
}

// === impl SpoolError ===

impl SpoolError {
    /// How an envelope counts that was not taken for this reason.
    pub(super) fn reason(&self) -> DropReason {
        match self {
            Self::Full => DropReason::SpoolFull,
            Self::InUse { .. } | Self::Io { .. } => DropReason::SpoolError,
        }
    }
}

/// Reads the beginning of an envelope.
pub(super) fn head(path: &Path) -> io::Result<Head> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD_LIMIT as u64).read_to_end(&mut bytes)?;
    Head::parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
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

/// The envelopes and temporary files of a folder, with their numbers and sizes; what else is there is not ours.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64, u64)>, SpoolError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        // A number that leaves no room for others is none of ours.
        let number =
            path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).filter(|number| *number < u64::MAX / 2);
        let ours = path.extension().is_some_and(|extension| extension == ENVELOPE || extension == TEMPORARY);
        if let (Some(number), true) = (number, ours) {
            let bytes = entry.metadata().map_err(failed(&path))?.len();
            files.push((path, number, bytes));
        }
    }
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
