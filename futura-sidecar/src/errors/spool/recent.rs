//! The ids of the last events: one that comes again, because its first acknowledgement was lost, is not kept twice.

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// How many ids are remembered.
const REMEMBERED: usize = 16 * 1024;

/// How long an id is, in bytes.
const ID: usize = 16;

/// The ids that are remembered, and the file that has those of events that left the spool.
#[derive(Debug)]
pub(super) struct Recent {
    known: HashSet<u128>,
    order: VecDeque<u128>,
    file: File,
}

// === impl Recent ===

impl Recent {
    /// Reads the file, which is shortened to what is remembered.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let skipped = (bytes.len() / ID).saturating_sub(REMEMBERED);
        let ids = bytes.chunks_exact(ID).skip(skipped).filter_map(|id| id.try_into().ok().map(u128::from_le_bytes));
        let new = path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        // The rest of a torn write is dropped with it.
        file.write_all(&ids.clone().flat_map(u128::to_le_bytes).collect::<Vec<_>>())?;
        fs::rename(&new, path)?;
        let mut recent = Self { known: HashSet::new(), order: VecDeque::new(), file };
        for id in ids {
            recent.insert(id);
        }
        Ok(recent)
    }

    /// Remembers an id; tells whether it is new.
    pub(super) fn insert(&mut self, id: u128) -> bool {
        let new = self.known.insert(id);
        if new {
            self.order.push_back(id);
            if self.order.len() > REMEMBERED {
                self.order.pop_front().map(|oldest| self.known.remove(&oldest));
            }
        }
        new
    }

    /// Forgets an id, of an event that was not kept after all.
    pub(super) fn remove(&mut self, id: u128) {
        if self.known.remove(&id) {
            self.order.retain(|known| *known != id);
        }
    }

    /// Has an id outlive the process, as its event leaves the spool.
    pub(super) fn keep(&mut self, id: u128) -> io::Result<()> {
        self.file.write_all(&id.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::{REMEMBERED, Recent};

    #[test]
    fn the_last_ids_are_remembered_over_restarts() {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("recent");
        let mut recent = Recent::open(&path).expect("a file");
        for id in 0..REMEMBERED as u128 + 10 {
            assert!(recent.insert(id));
            recent.keep(id).expect("a file");
        }
        assert!(!recent.insert(10) && recent.insert(9));
        let mut bytes = fs::read(&path).expect("a file");
        bytes.extend([1, 2, 3]);
        fs::write(&path, bytes).expect("a file");
        let mut recent = Recent::open(&path).expect("a file");
        assert!(!recent.insert(10) && recent.insert(9));
        assert_eq!(fs::metadata(&path).expect("a file").len(), 16 * REMEMBERED as u64);
        recent.remove(11);
        assert!(recent.insert(11));
    }
}
