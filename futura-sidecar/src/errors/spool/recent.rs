//! The ids of the last events: one that comes again, because its first acknowledgement was lost, is not kept twice.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// How many ids are remembered.
const REMEMBERED: usize = 16 * 1024;

/// How long an id is, in bytes.
const ID: usize = 16;

/// The ids that are remembered, and the file that has those of events that were delivered.
#[derive(Debug)]
pub(super) struct Recent {
    /// Whether the event of an id is durable; else it is being written.
    known: HashMap<u128, bool>,
    order: VecDeque<u128>,
    path: PathBuf,
    file: File,
    /// How many ids the file has.
    kept: usize,
}

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    /// The event of this id is being written, and may come to nothing.
    Pending,
    Known,
}

// === impl Recent ===

impl Recent {
    /// Reads the end of the file, which is shortened to what is remembered.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let ids = read(path)?;
        let file = write(path, &ids)?;
        let mut recent =
            Self { known: HashMap::new(), order: VecDeque::new(), path: path.to_owned(), file, kept: ids.len() };
        for id in ids {
            recent.insert(id);
        }
        Ok(recent)
    }

    /// Takes an id for an event that is being written, if it is new.
    pub(super) fn begin(&mut self, id: u128) -> Standing {
        match self.known.get(&id) {
            None => {
                self.remember(id, false);
                Standing::New
            }
            Some(false) => Standing::Pending,
            Some(true) => Standing::Known,
        }
    }

    /// The event of an id is durable.
    pub(super) fn confirm(&mut self, id: u128) {
        if let Some(durable) = self.known.get_mut(&id) {
            *durable = true;
        }
    }

    /// Remembers an event that is durable.
    pub(super) fn insert(&mut self, id: u128) {
        self.remember(id, true);
    }

    /// Forgets an id, of an event that was not kept after all.
    pub(super) fn remove(&mut self, id: u128) {
        if self.known.remove(&id).is_some() {
            self.order.retain(|known| *known != id);
        }
    }

    /// Has an id outlive the process, as its event leaves the spool.
    pub(super) fn keep(&mut self, id: u128) -> io::Result<()> {
        if self.kept >= 2 * REMEMBERED {
            let ids: Vec<_> = read(&self.path)?;
            self.file = write(&self.path, &ids)?;
            self.kept = ids.len();
        }
        if let Err(error) = self.file.write_all(&id.to_le_bytes()) {
            // A part of an id would shift all that follow.
            let _ = self.file.set_len((self.kept * ID) as u64);
            return Err(error);
        }
        self.kept += 1;
        Ok(())
    }

    fn remember(&mut self, id: u128, durable: bool) {
        if self.known.insert(id, durable).is_none() {
            self.order.push_back(id);
            if self.order.len() > REMEMBERED {
                self.order.pop_front().map(|oldest| self.known.remove(&oldest));
            }
        }
    }
}

/// The last ids of a file, without the rest of a torn write.
fn read(path: &Path) -> io::Result<Vec<u128>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let count = file.metadata()?.len() / ID as u64;
    file.seek(SeekFrom::Start(count.saturating_sub(REMEMBERED as u64) * ID as u64))?;
    let mut bytes = Vec::new();
    file.take((REMEMBERED * ID) as u64).read_to_end(&mut bytes)?;
    Ok(bytes.chunks_exact(ID).filter_map(|id| id.try_into().ok().map(u128::from_le_bytes)).collect())
}

/// Writes a file of these ids alone, which can be appended to.
fn write(path: &Path, ids: &[u128]) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>())?;
    fs::rename(&new, path)?;
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;

    use super::{REMEMBERED, Recent, Standing};

    #[test]
    fn the_last_ids_are_remembered_over_restarts_in_a_file_that_is_bounded() {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("recent");
        let mut recent = Recent::open(&path).expect("a file");
        for id in 0..3 * REMEMBERED as u128 {
            recent.insert(id);
            recent.keep(id).expect("a file");
        }
        assert!(fs::metadata(&path).expect("a file").len() <= 16 * 2 * REMEMBERED as u64);
        let mut bytes = fs::read(&path).expect("a file");
        bytes.extend([1, 2, 3]);
        fs::write(&path, bytes).expect("a file");
        let oldest = 2 * REMEMBERED as u128;
        let mut recent = Recent::open(&path).expect("a file");
        assert_eq!((recent.begin(oldest), recent.begin(oldest - 1)), (Standing::Known, Standing::New));
        assert_eq!(fs::metadata(&path).expect("a file").len(), 16 * REMEMBERED as u64);
    }

    #[test]
    fn an_event_is_known_once_it_is_durable() {
        let folder = tempdir().expect("a folder");
        let mut recent = Recent::open(&folder.path().join("recent")).expect("a file");
        assert_eq!((recent.begin(1), recent.begin(1)), (Standing::New, Standing::Pending));
        recent.confirm(1);
        assert_eq!(recent.begin(1), Standing::Known);
        recent.remove(1);
        assert_eq!(recent.begin(1), Standing::New);
    }
}
