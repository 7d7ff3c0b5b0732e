//! Files that a configuration includes, by path or pattern.

use std::{
    io,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, glob_with};

/// How many files one configuration includes.
const FILES_LIMIT: usize = 1000;

/// How names are matched: as a shell does, which leaves hidden files out.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that patterns name, relative to `folder`: each once, in the order of the patterns and of their names.
///
/// # Errors
/// When a pattern is none, names no file though it is a plain path, or there are too many.
pub(super) fn files(patterns: &[String], folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for pattern in patterns {
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("include `{pattern}`: {why}"));
        let whole = folder.join(pattern);
        let whole = whole.to_str().ok_or_else(|| wrong("the folder's name is not UTF-8".to_owned()))?;
        let paths = glob_with(whole, OPTIONS).map_err(|error| wrong(error.msg.to_owned()))?;
        let found: Vec<PathBuf> = paths.filter_map(Result::ok).filter(|path| path.is_file()).collect();
        let plain = !pattern.contains(['*', '?', '[']);
        if found.is_empty() && plain {
            return Err(wrong("there is no such file".to_owned()));
        }
        files.extend(found.into_iter().filter(|path| !files.contains(path)).collect::<Vec<_>>());
        if files.len() > FILES_LIMIT {
            return Err(wrong(format!("more than {FILES_LIMIT} files are too many")));
        }
    }
    Ok(files)
}
