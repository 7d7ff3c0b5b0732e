//! Programs that tests run against, which `cargo xtask test` installs.

use std::{env, path::PathBuf};

/// A program on the PATH or where Debian keeps servers; a test that finds none says so and is skipped.
#[expect(clippy::print_stderr, reason = "a test that was skipped should say so")]
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()));
    if found.is_none() {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}
