//! The folder of one run's databases, spools and configuration. It goes with the run, or, where that was killed, with the next.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// What the names of such folders begin with.
const PREFIX: &str = "state-";
/// The file that a run holds locked for as long as it lives.
const LOCK: &str = "lock";

/// An empty folder: what a run's pages show is then what this run did.
pub(super) struct State {
    folder: TempDir,
    _lock: File,
}

// === impl State ===

impl State {
    /// Makes one in `parent`, and removes those there whose runs are gone.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        // Until this one has its own lock, another run must not take it for abandoned.
        let starting = locked(parent)?;
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
                let path = entry.path();
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = locked(folder.path())?;
        drop(starting);
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn locked(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn is_abandoned(folder: &Path) -> bool {
    File::open(folder.join(LOCK)).map_or(true, |lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::State;

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_living_one_has_stays() {
        let parent = tempfile::tempdir().unwrap();
        let killed = parent.path().join("state-killed");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("lock"), "").unwrap();
        fs::create_dir(parent.path().join("logs")).unwrap();
        let living = State::new(parent.path()).unwrap();
        let other = State::new(parent.path()).unwrap();
        assert!(!killed.exists() && living.path().exists() && parent.path().join("logs").exists());
        let (living_path, other_path) = (living.path().to_owned(), other.path().to_owned());
        drop((living, other));
        assert!(!living_path.exists() && !other_path.exists());
    }
}
