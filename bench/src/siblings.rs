//! The other programs of this workspace that the bench runs: built first, so that building is no part of measuring.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, ensure};

/// Counts allocations.
pub(crate) const ALLOCATIONS: Sibling = Sibling::new("futura-bench", "futura-bench-allocations");
/// Writes alert rules and dashboards.
pub(crate) const GENERATOR: Sibling = Sibling::new("futura-dashboards", "generate-dashboards");
/// Runs in the pod, as it is shipped.
pub(crate) const SIDECAR: Sibling = Sibling { shipped: true, ..Sibling::new("futura-sidecar", "futura-sidecar") };

/// A program and the package that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sibling {
    package: &'static str,
    name: &'static str,
    /// Whether it is built by `cargo xtask dist`, whatever this program is built by.
    shipped: bool,
}

/// The programs that a run needs, or why one is not there.
#[derive(Debug)]
pub(crate) struct Siblings(BTreeMap<Sibling, Result<PathBuf>>);

// === impl Sibling ===

impl Sibling {
    const fn new(package: &'static str, name: &'static str) -> Self {
        Self { package, name, shipped: false }
    }

    /// The program, after building it where `build` says so.
    fn prepare(self, build: bool) -> Result<PathBuf> {
        let arguments = self.build_arguments();
        if build {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let root =
                Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the manifest's folder lies in the workspace");
            let mut command = Command::new(cargo);
            // Cargo's progress goes to standard error, which is not the report.
            command.args(&arguments).current_dir(root).stdout(Stdio::null());
            // The cargo that runs this program tells it of its package. Build scripts that are told so, too, would be run anew.
            for (name, _) in env::vars_os().filter(|(name, _)| is_of_this_package(&name.to_string_lossy())) {
                command.env_remove(name);
            }
            let status = command.status();
            ensure!(status.context("cannot run cargo")?.success(), "`cargo {}` failed", arguments.join(" "));
        }
        let path = self.path()?;
        ensure!(path.is_file(), "not built: run `cargo {}`", arguments.join(" "));
        Ok(path)
    }

    fn build_arguments(self) -> Vec<&'static str> {
        if self.shipped {
            return vec!["xtask", "dist"];
        }
        let mut arguments = vec!["build", "--package", self.package, "--bin", self.name];
        if !cfg!(debug_assertions) {
            arguments.push("--release");
        }
        arguments
    }

    /// Where it lies: next to this program, or where a build lies that names what it is for.
    fn path(self) -> Result<PathBuf> {
        let own = env::current_exe().context("cannot find this program's own path")?;
        let name = format!("{}{}", self.name, env::consts::EXE_SUFFIX);
        if !self.shipped {
            return Ok(own.with_file_name(name));
        }
        let target = own.parent().and_then(Path::parent).context("this program lies in no build directory")?;
        Ok(target.join(env!("BENCH_HOST")).join("dist").join(name))
    }
}

fn is_of_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
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
        let missing = Sibling::new("nothing", "no-such-program");
        let siblings = Siblings::prepare([missing, missing], false);
        let error = siblings.path(missing).unwrap_err().to_string();
        assert!(error.starts_with("not built: run `cargo build --package nothing --bin no-such-program"), "{error}");
    }
}
