//! Dead letters: envelopes that will not be delivered, a file each, named by their reason. The oldest make room.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futura_metrics::specs::errors::DropReason;

use super::{SpoolLimits, segment};
use crate::{
    errors::{ENVELOPE, metrics::ErrorsMetrics},
    history::milliseconds,
};

/// A dead letter, as its file tells of it.
pub(super) struct DeadLetter {
    pub(super) path: PathBuf,
    pub(super) reason: String,
    pub(super) since_ms: u64,
    pub(super) bytes: u64,
}

/// The dead letters of a spool.
pub(super) struct DeadLetters {
    folder: PathBuf,
    limits: SpoolLimits,
    letters: BTreeMap<PathBuf, u64>,
    bytes: u64,
    /// When the folder had changed last when it was read: to read it costs more the more there is.
    seen: Option<SystemTime>,
    metrics: ErrorsMetrics,
}

// === impl DeadLetters ===

impl DeadLetters {
    pub(super) fn open(folder: &Path, limits: SpoolLimits, metrics: ErrorsMetrics) -> io::Result<Self> {
        let (folder, letters) = (folder.to_owned(), BTreeMap::new());
        let mut dead = Self { folder, limits, letters, bytes: 0, seen: None, metrics };
        dead.read()?;
        Ok(dead)
    }

    /// Sees what has been replayed or deleted from outside.
    pub(super) fn look(&mut self) {
        if let Err(error) = self.read() {
            tracing::warn!(folder = %self.folder.display(), %error, "the dead letters cannot be counted");
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let changed = fs::metadata(&self.folder)?.modified().ok();
        if changed.is_some() && changed == self.seen {
            return Ok(());
        }
        self.letters = list(&self.folder)?.into_iter().map(|letter| (letter.path, letter.bytes)).collect();
        self.bytes = self.letters.values().sum();
        self.metrics.dead_envelopes.set(self.letters.len() as f64);
        // Two changes at once may have one time.
        self.seen = changed.filter(|changed| changed.elapsed().is_ok_and(|age| age > Duration::from_secs(1)));
        Ok(())
    }

    /// Keeps an envelope. Twenty digits hold every number, so that names sort as numbers do.
    pub(super) fn add(&mut self, number: u64, reason: DropReason, envelope: &[u8]) -> io::Result<()> {
        let path = self.folder.join(format!("{number:020}-{}.{ENVELOPE}", reason.as_str()));
        let mut file = segment::create(&path)?;
        if let Err(error) = file.write_all(envelope).and_then(|()| file.sync_data()) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.bytes += envelope.len() as u64;
        self.letters.insert(path, envelope.len() as u64);
        while self.letters.len() > self.limits.envelopes || self.bytes > self.limits.bytes {
            let Some((path, bytes)) = self.letters.pop_first() else { break };
            self.bytes -= bytes;
            match fs::remove_file(&path) {
                Ok(()) => {
                    self.metrics.evicted.inc();
                    tracing::warn!(path = %path.display(), bytes, "`dead` is full: its oldest envelope was deleted");
                }
                // It was replayed or deleted from outside.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "an old dead letter cannot be removed"),
            }
        }
        self.metrics.dead_envelopes.set(self.letters.len() as f64);
        Ok(())
    }
}

/// The dead letters of a folder, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if let (Some((_, reason)), true) = (stem.split_once('-'), path.extension().is_some_and(|end| end == ENVELOPE)) {
            let (reason, since_ms) = (reason.to_owned(), milliseconds(metadata.modified()?));
            letters.push(DeadLetter { path, reason, since_ms, bytes: metadata.len() });
        }
    }
    letters.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(letters)
}
