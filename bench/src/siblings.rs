//! The other programs of this workspace that the bench runs: built first, so that building is no part of measuring.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, ensure};

/// Counts allocations.
pub(crate) const ALLOCATIONS: Sibling = Sibling { package: "futura-bench", name: "futura-bench-allocations" };
/// Writes alert rules and dashboards.
pub(crate) const GENERATOR: Sibling = Sibling { package: "futura-dashboards", name: "generate-dashboards" };
/// Runs in the pod.
pub(crate) const SIDECAR: Sibling = Sibling { package: "futura-sidecar", name: "futura-sidecar" };

/// A program and the package that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sibling {
    package: &'static str,
    name: &'static str,
}

/// The programs that a run needs, or why one is not there.
#[derive(Debug)]
pub(crate) struct Siblings(BTreeMap<Sibling, Result<PathBuf>>);

// === impl Sibling ===

impl Sibling {
    /// The program as it lies next to this one, after building it where `build` says so.
    fn prepare(self, build: bool) -> Result<PathBuf> {
        let mut arguments = vec!["build", "--package", self.package, "--bin", self.name];
        if !cfg!(debug_assertions) {
            arguments.push("--release");
        }
        if build {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let root =
                Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the manifest's folder lies in the workspace");
            // Cargo's progress goes to standard error, which is not the report.
            let status = Command::new(cargo).args(&arguments).current_dir(root).stdout(Stdio::null()).status();
            ensure!(status.context("cannot run cargo")?.success(), "`cargo {}` failed", arguments.join(" "));
        }
        let own = env::current_exe().context("cannot find this program's own path")?;
        let path = own.with_file_name(format!("{}{}", self.name, env::consts::EXE_SUFFIX));
        ensure!(path.is_file(), "not built: run `cargo {}`", arguments.join(" "));
        Ok(path)
    }
}

// === impl Siblings ===

impl Siblings {
    pub(crate) fn prepare(needed: impl IntoIterator<Item = Sibling>, build: bool) -> Self {
        let mut siblings = BTreeMap::new();
        for sibling in needed {
            siblings.entry(sibling).or_insert_with(|| sibling.prepare(build));
        }
        Self(siblings)
    }

    pub(crate) fn path(&self, sibling: Sibling) -> Result<&Path> {
        let path = self.0.get(&sibling).with_context(|| format!("{} is not needed", sibling.name))?;
        path.as_deref().map_err(|error| anyhow!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Sibling, Siblings};

    #[test]
    fn a_program_that_is_not_there_is_told_with_the_way_to_get_it() {
        let missing = Sibling { package: "nothing", name: "no-such-program" };
        let siblings = Siblings::prepare([missing, missing], false);
        let error = siblings.path(missing).unwrap_err().to_string();
        assert!(error.starts_with("not built: run `cargo build --package nothing --bin no-such-program"), "{error}");
    }
}
