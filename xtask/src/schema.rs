//! The generated dashboards, judged by the types of Grafana's own package.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{cargo, install, process};

/// Every dashboard holds only what Grafana reads.
pub(crate) async fn run() -> Result<()> {
    let folder = cargo::root().join("dashboards/generated");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} holds no dashboard", folder.display());
    files.sort();
    let mut command = process::command("node");
    command.current_dir(install::grafana_schema().await?).arg("check.mjs").args(files);
    process::run("the judgement by Grafana's types", command).await
}
