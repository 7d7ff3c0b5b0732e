//! The generated files, judged by the tools of those who read them in production.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::check;
use crate::{cargo, process};

/// How long a tool may take.
const TOOL_LIMIT: Duration = Duration::from_secs(120);

/// promtool accepts the rules and passes their tests; amtool accepts the configuration of Alertmanager.
pub(super) async fn accepted_by_prometheus() -> Result<()> {
    let generated = cargo::root().join("alert-rules/generated");
    let rules = yaml_files(&generated.join("prometheus"))?;
    let tests = yaml_files(&generated.join("prometheus/tests"))?;
    check("promtool accepts the rules", tool("promtool", &["check", "rules", "--lint=all", "--lint-fatal"], &rules))
        .await?;
    check("promtool passes the rules' tests", tool("promtool", &["test", "rules"], &tests)).await?;
    let configuration = yaml_files(&generated.join("alertmanager"))?;
    check("amtool accepts the configuration", tool("amtool", &["check-config"], &configuration)).await
}

/// The YAML files that lie in this folder, of which there must be some.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} holds no YAML file", folder.display());
    files.sort();
    Ok(files)
}

async fn tool(program: &str, arguments: &[&str], files: &[PathBuf]) -> Result<()> {
    let mut command = process::command(program);
    command.args(arguments).args(files);
    let output = process::output(command, Stdio::piped(), TOOL_LIMIT).await?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{program} says:\n{}", String::from_utf8_lossy(&said).trim());
    Ok(())
}
