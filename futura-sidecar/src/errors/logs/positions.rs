//! How far each file was read, over restarts. A file is known by its place on the disk and by how it begins, as places are given
//! to others when files go.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crc32fast::hash;
use serde::{Deserialize, Serialize};

/// By how many bytes of its beginning a file is known.
const BEGINNING: usize = 256;

/// How many positions are kept; those of the longest unread files go first.
const LIMIT: usize = 2_000;

/// A file's place on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// All positions, and the file that they are written to.
pub(super) struct Positions {
    path: PathBuf,
    known: BTreeMap<String, Position>,
    /// Counts changes, by which the oldest is found.
    clock: u64,
    changed: bool,
    is_new: bool,
}

/// How far a file was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    offset: u64,
    /// How much of its beginning is known, and the checksum of that.
    beginning: usize,
    checksum: u32,
    used: u64,
}

// === impl Identity ===

impl Identity {
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self == other
    }

    fn key(&self) -> String {
        format!("{}:{}", self.device, self.inode)
    }
}

// === impl Positions ===

impl Positions {
    /// Those that were written down; a file that cannot be read says nothing.
    pub(super) fn open(path: &Path) -> Self {
        let read = fs::read(path);
        let is_new = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let known: BTreeMap<String, Position> =
            read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let clock = known.values().map(|position| position.used).max().unwrap_or_default();
        Self { path: path.to_owned(), known, clock, changed: false, is_new }
    }

    /// Whether nothing was ever written down.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// How far a file was read; none where it is another one, or written anew.
    pub(super) fn of(&self, identity: &Identity, file: &File) -> Option<u64> {
        let position = self.known.get(&identity.key())?;
        let is_same = beginning(file, position.beginning) == Some(position.checksum);
        let fits = file.metadata().is_ok_and(|metadata| metadata.len() >= position.offset);
        (is_same && fits).then_some(position.offset)
    }

    pub(super) fn keep(&mut self, identity: &Identity, file: &File, offset: u64) {
        let key = identity.key();
        let known = self.known.get(&key);
        if known.is_some_and(|known| known.offset == offset && known.beginning == BEGINNING) {
            return;
        }
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let length = BEGINNING.min(usize::try_from(length).unwrap_or(BEGINNING));
        let Some(checksum) = beginning(file, length) else { return };
        if known.is_some_and(|known| (known.offset, known.beginning, known.checksum) == (offset, length, checksum)) {
            return;
        }
        self.clock += 1;
        self.known.insert(key, Position { offset, beginning: length, checksum, used: self.clock });
        self.changed = true;
        if self.known.len() > LIMIT {
            let oldest = self.known.iter().min_by_key(|(_, position)| position.used).map(|(key, _)| key.clone());
            oldest.map(|key| self.known.remove(&key));
        }
    }

    /// Writes them down, if they have changed.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if !self.changed && !self.is_new {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(&self.known)?)?;
        file.sync_data()?;
        fs::rename(&new, &self.path)?;
        (self.changed, self.is_new) = (false, false);
        Ok(())
    }
}

/// The checksum of a file's first bytes; none where it has fewer.
fn beginning(file: &File, length: usize) -> Option<u32> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(hash(&bytes))
}
