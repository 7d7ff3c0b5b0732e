//! Cargo, as the commands use it: always at the workspace's root, with the cargo that runs this program.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::process;

/// How long a build may take: a cold one in release mode is slow on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(45 * 60);

/// Which of cargo's profiles to build with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// The programs that a build made, by name.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<String, PathBuf>);

// === impl Programs ===

impl Programs {
    pub(crate) fn path(&self, name: &str) -> Result<&Path> {
        self.0.get(name).map(PathBuf::as_path).with_context(|| format!("the build made no program `{name}`"))
    }

    fn from_messages(messages: &str) -> Self {
        let programs =
            messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(|message| {
                let executable = PathBuf::from(message["executable"].as_str()?);
                Some((message["target"]["name"].as_str()?.to_owned(), executable))
            });
        Self(programs.collect())
    }
}

/// `cargo` with these arguments, at the workspace's root.
pub(crate) fn command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = process::command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // The cargo that runs this program tells it of its package. A build script that is told so, too, would be run anew, and
    // all that depends on it built again, after each build that was started by hand.
    let of_this_package = |name: &&OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in env::vars_os().filter(|(name, _)| of_this_package(&name)) {
        command.env_remove(name);
    }
    command
}

/// Builds the programs of these packages; cargo's own progress is shown as it comes.
pub(crate) async fn build(packages: &[&str], profile: Profile) -> Result<Programs> {
    let mut command = command(["build", "--bins", "--message-format", "json-render-diagnostics"]);
    match profile {
        // All packages together always ask for the same features of their dependencies: nothing is built twice.
        // The bench's peers are nobody's but the bench's.
        Profile::Dev => command.args(["--workspace", "--exclude", "futura-bench"]),
        Profile::Release => command.arg("--release").args(packages.iter().flat_map(|package| ["--package", package])),
    };
    let output = process::output(command, Stdio::inherit(), BUILD_LIMIT).await?;
    ensure!(output.status.success(), "the build of {} failed", packages.join(", "));
    Ok(Programs::from_messages(&String::from_utf8_lossy(&output.stdout)))
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the manifest's folder lies in the workspace")
}

/// A folder of ours in the build directory, made if need be: what it holds may be thrown away.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = root().join(target).join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::Programs;
    use std::path::Path;

    #[test]
    fn programs_are_read_from_the_messages_of_a_build() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"demo"},"executable":"/build/demo"}
            {"reason":"compiler-artifact","target":{"name":"library"},"executable":null}
            {"reason":"build-finished","success":true}"#;
        let programs = Programs::from_messages(messages);
        assert_eq!(programs.path("demo").unwrap(), Path::new("/build/demo"));
        assert!(programs.path("library").is_err());
    }
}
