//! A folder of generated files: compared with the disk, and written so that no reader ever sees half of a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process,
};

use futura_alert_rules::{GeneratedFile, MARK};

use super::{Drift, GenerateError};

/// How far into a file its mark may stand: a resource says what it is and how it is called before it describes itself.
const MARK_LINES: usize = 8;

/// The generated files that belong into one folder.
pub(super) struct Tree {
    root: PathBuf,
    /// Folders of the root that hold nothing but generated files, now or at another time.
    folders: &'static [&'static str],
    files: BTreeMap<PathBuf, String>,
}

/// A file written beside its place, to be put there at once; removed again if it is not.
struct Staged<'a> {
    temporary: PathBuf,
    target: &'a Path,
}

/// Puts right what differs; nothing is replaced or removed before everything is staged.
pub(super) fn write(trees: &[Tree], drift: &[Drift]) -> Result<(), GenerateError> {
    let mut staged = Vec::new();
    let mut leftovers = Vec::new();
    for drift in drift {
        match drift {
            Drift::Stale(path) | Drift::Missing(path) => {
                let contents = trees.iter().find_map(|tree| tree.files.get(path)).expect("what differs is generated");
                staged.push(Staged::write(path, contents).map_err(|source| failed(path, source))?);
            }
            Drift::Leftover(path) => leftovers.push(path),
        }
    }
    for staged in staged {
        fs::rename(&staged.temporary, staged.target).map_err(|source| failed(staged.target, source))?;
    }
    for path in leftovers {
        fs::remove_file(path).map_err(|source| failed(path, source))?;
    }
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> GenerateError {
    GenerateError::Write { path: path.to_owned(), source }
}

fn unreadable(path: &Path, source: io::Error) -> GenerateError {
    GenerateError::Read { path: path.to_owned(), source }
}

/// Whether this is the content of a generated file.
fn is_marked(contents: &[u8]) -> bool {
    let mut lines = contents.split(|byte| *byte == b'\n').take(MARK_LINES);
    lines.any(|line| line.windows(MARK.len()).any(|window| window == MARK.as_bytes()))
}

// === impl Tree ===

impl Tree {
    pub(super) fn new(
        root: PathBuf,
        folders: &'static [&'static str],
        generated: Vec<GeneratedFile>,
    ) -> Result<Self, GenerateError> {
        let mut files = BTreeMap::new();
        for file in generated {
            let path = root.join(file.path);
            if files.insert(path.clone(), file.contents).is_some() {
                return Err(GenerateError::Twice { path });
            }
        }
        Ok(Self { root, folders, files })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// What on disk differs from these files.
    pub(super) fn compare(&self) -> Result<Vec<Drift>, GenerateError> {
        let mut drift = Vec::new();
        for (path, contents) in &self.files {
            match fs::read(path) {
                Ok(found) if found == contents.as_bytes() => {}
                Ok(found) if is_marked(&found) => drift.push(Drift::Stale(path.clone())),
                Ok(_) => return Err(GenerateError::Foreign { path: path.clone() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => drift.push(Drift::Missing(path.clone())),
                Err(source) => return Err(unreadable(path, source)),
            }
        }
        drift.extend(self.leftovers()?.into_iter().map(Drift::Leftover));
        Ok(drift)
    }

    /// Marked files that are not among these, in the folders that these are in or could be in, and below.
    ///
    /// The root itself is not searched deeper: with `--out` it may hold anything.
    fn leftovers(&self) -> Result<Vec<PathBuf>, GenerateError> {
        let mut leftovers = Vec::new();
        let relative = self.files.keys().filter_map(|path| path.strip_prefix(&self.root).ok());
        let below = relative.filter(|path| path.components().count() > 1).filter_map(|path| path.components().next());
        let mut below: BTreeSet<PathBuf> = below.map(|folder| self.root.join(folder)).collect();
        below.extend(self.folders.iter().map(|folder| self.root.join(folder)));
        self.search(&self.root, false, &mut leftovers)?;
        for folder in below {
            self.search(&folder, true, &mut leftovers)?;
        }
        leftovers.sort_unstable();
        Ok(leftovers)
    }

    fn search(&self, folder: &Path, deep: bool, leftovers: &mut Vec<PathBuf>) -> Result<(), GenerateError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|source| unreadable(folder, source))?,
        };
        for entry in entries {
            let entry = entry.map_err(|source| unreadable(folder, source))?;
            let path = entry.path();
            // Links are neither followed nor removed.
            let kind = entry.file_type().map_err(|source| unreadable(&path, source))?;
            if kind.is_dir() && deep {
                self.search(&path, true, leftovers)?;
            } else if kind.is_file() && !self.files.contains_key(&path) {
                let contents = fs::read(&path).map_err(|source| unreadable(&path, source))?;
                leftovers.extend(is_marked(&contents).then_some(path));
            }
        }
        Ok(())
    }
}

// === impl Staged ===

impl<'a> Staged<'a> {
    fn write(target: &'a Path, contents: &str) -> io::Result<Self> {
        let folder = target.parent().expect("a generated file is in a folder");
        let name = target.file_name().expect("a generated file has a name");
        fs::create_dir_all(folder)?;
        let temporary = folder.join(format!(".{}.{}", name.display(), process::id()));
        let staged = Self { temporary, target };
        fs::write(&staged.temporary, contents)?;
        Ok(staged)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Once put in place it is gone from here, and that is no failure.
        let _ = fs::remove_file(&self.temporary);
    }
}
