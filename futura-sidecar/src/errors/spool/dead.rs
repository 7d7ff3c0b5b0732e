//! Dead letters: envelopes that will not be delivered, a file each, named by their reason. The oldest make room.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use futura_metrics::specs::errors::DropReason;

use super::{SpoolLimits, segment};
use crate::errors::metrics::ErrorsMetrics;

/// How a dead letter's file ends.
const ENVELOPE: &str = "envelope";

/// The dead letters of a spool.
pub(super) struct DeadLetters {
    folder: PathBuf,
    limits: SpoolLimits,
    letters: BTreeMap<PathBuf, u64>,
    metrics: ErrorsMetrics,
}

// === impl DeadLetters ===

impl DeadLetters {
    pub(super) fn open(folder: &Path, limits: SpoolLimits, metrics: ErrorsMetrics) -> io::Result<Self> {
        let mut letters = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == ENVELOPE) {
                letters.insert(entry.path(), entry.metadata()?.len());
            }
        }
        metrics.dead_envelopes.set(letters.len() as f64);
        Ok(Self { folder: folder.to_owned(), limits, letters, metrics })
    }

    /// Keeps an envelope. Twenty digits hold every number, so that names sort as numbers do.
    pub(super) fn add(&mut self, number: u64, reason: DropReason, envelope: &[u8]) {
        let path = self.folder.join(format!("{number:020}-{}.{ENVELOPE}", reason.as_str()));
        let written = segment::create(&path).and_then(|mut file| {
            file.write_all(envelope)?;
            file.sync_data()
        });
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "an envelope cannot be kept as a dead letter");
            return;
        }
        self.letters.insert(path, envelope.len() as u64);
        while self.letters.len() > self.limits.envelopes || self.letters.values().sum::<u64>() > self.limits.bytes {
            let Some((path, bytes)) = self.letters.pop_first() else { break };
            self.metrics.evicted.inc();
            match fs::remove_file(&path) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), bytes, "`dead` is full: its oldest envelope was deleted");
                }
                Err(error) => tracing::warn!(path = %path.display(), %error, "an old dead letter cannot be removed"),
            }
        }
        self.metrics.dead_envelopes.set(self.letters.len() as f64);
    }
}
