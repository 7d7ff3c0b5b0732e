//! The dashboards in both of Grafana's models, judged by the types of Grafana's own package.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    cargo::{self, Profile},
    install, process,
};

/// Every dashboard holds only what Grafana reads: those that are committed, and the same written as resources.
pub(crate) async fn run() -> Result<()> {
    let written = cargo::scratch("dashboards-v2")?;
    let programs = cargo::build(&["futura-dashboards"], Profile::Dev).await?;
    let mut generate = process::command(programs.path("generate-dashboards")?);
    generate.args(["--format", "v2", "--out"]).arg(&written);
    process::run("generate-dashboards --format v2", generate).await?;
    let mut files = json_files(&cargo::root().join("dashboards/generated"))?;
    files.extend(json_files(&written.join("dashboards/v2"))?);
    let mut command = process::command("node");
    command.current_dir(install::grafana_schema().await?).arg("check.mjs").args(files);
    process::run("the judgement by Grafana's types", command).await
}

/// The JSON files that lie in this folder, of which there must be some.
fn json_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} holds no dashboard", folder.display());
    files.sort();
    Ok(files)
}
