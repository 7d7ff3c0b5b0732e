//! The folder of a spool that the sidecar looks through for whole envelopes, a file each.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

/// How many files may be there, ours and others': no sidecar may come for days.
const LIMIT: usize = 20_000;

/// After so many files they are counted anew, as the sidecar takes them away.
const COUNT_AFTER: usize = 500;

pub(super) struct Folder {
    path: PathBuf,
    written: AtomicU64,
    /// How many may be written until they are counted.
    room: AtomicUsize,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("it has {LIMIT} files already")]
    Full,
    #[error(transparent)]
    Io(#[from] io::Error),
}

// === impl Folder ===

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: AtomicU64::new(0), room: AtomicUsize::new(0) }
    }

    /// Writes an envelope, under its name only when it is whole; durable when `synced`.
    pub(super) fn put(&self, envelope: &[u8], synced: bool) -> Result<(), FolderError> {
        self.take_room()?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = self.written.fetch_add(1, Relaxed);
        // Names sort by time; a letter in front tells them from the numbers that the sidecar gives.
        let name = format!("app-{:020}-{}-{number:06}", since.as_nanos(), process::id());
        let (new, whole) = (self.path.join(format!("{name}.new")), self.path.join(format!("{name}.envelope")));
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(envelope)?;
            if synced {
                file.sync_data()?;
            }
            fs::rename(&new, &whole)?;
            if synced { File::open(&self.path)?.sync_all() } else { Ok(()) }
        };
        written().map_err(|error| {
            let _ = fs::remove_file(&new);
            FolderError::Io(error)
        })
    }

    fn take_room(&self) -> Result<(), FolderError> {
        if self.room.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(1)).is_ok() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let room = LIMIT.saturating_sub(fs::read_dir(&self.path)?.count()).min(COUNT_AFTER);
        // One of them is taken here.
        self.room.store(room.saturating_sub(1), Relaxed);
        if room == 0 { Err(FolderError::Full) } else { Ok(()) }
    }
}
