//! Writes every generated file, or checks that those on disk are up to date.
//!
//! Everything is rendered and validated before the first byte is written; every file is staged before the first is
//! put in place; and a file without our mark is never touched.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futura_alert_rules::{GeneratedFile, Site, kubernetes::KubernetesError, output::OutputError, site::SiteError};

use self::tree::Tree;
use crate::{
    catalogue::CatalogueError,
    output::{Format, Output},
    provisioning::{self, ProvisioningArgs},
    reference,
};

pub use self::{command::main, site::SiteArgs};

pub mod command;
mod site;
mod tree;

/// Where dashboards and what goes with them lie, in one model or the other: what is written in one leaves nothing of the other.
const DASHBOARD_FOLDERS: [&str; 3] = ["kubernetes", "provisioning", "v2"];

/// What to generate, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// Write below DIR, into `DIR/alert-rules` and `DIR/dashboards`, instead of the workspace's `generated` folders and METRICS.md
    #[arg(long, value_name = "DIR", required_if_eq("format", "v2"))]
    pub out: Option<PathBuf>,
    /// Write nothing; fail and name each file that is stale, missing or left over. It compares with what the other options
    /// generate, so repeat those that the files were written with
    #[arg(long)]
    pub check: bool,
    /// For which installation.
    #[command(flatten)]
    pub site: SiteArgs,
    /// What Grafana is told besides the dashboards.
    #[command(flatten)]
    pub provisioning: ProvisioningArgs,
    /// In which of Grafana's models to write dashboards; with --out
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Files that were written, new or changed.
    pub written: usize,
    /// Files that were as they should be.
    pub unchanged: usize,
    /// Files that are no longer generated and were removed.
    pub removed: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// How a file on disk differs from what is generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It says something else.
    Stale(PathBuf),
    /// It is not there.
    Missing(PathBuf),
    /// It was generated once and no longer is.
    Leftover(PathBuf),
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// There is no workspace to write to.
    #[error("neither this folder nor one above it holds `alert-rules` and `dashboards`: pass --out DIR")]
    NoWorkspace,
    /// The file of settings cannot be taken.
    #[error("cannot use {}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SiteError,
    },
    /// The alerts are not fit to be written.
    #[error("cannot generate the alert rules")]
    Rules(#[from] OutputError),
    /// The dashboards are not fit to be written.
    #[error("cannot generate the dashboards")]
    Dashboards(#[from] CatalogueError),
    /// What Grafana and Kubernetes read could not be written as YAML.
    #[error("cannot write the provisioning as YAML")]
    Provisioning(#[from] KubernetesError),
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written or removed.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file stands where a generated one belongs.
    #[error("{} was not generated: move it out of the way", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// Two generated files have one name.
    #[error("{} would be written twice: give areas, objectives and dashboards names of their own", path.display())]
    Twice {
        /// Which.
        path: PathBuf,
    },
    /// Files on disk are not what is generated; a line each.
    #[error("{}", drift_text(drift, options.as_deref()))]
    Drift {
        /// How they differ.
        drift: Vec<Drift>,
        /// The options that decide what is generated, as on a command line, where there are any.
        options: Option<String>,
    },
}

/// Generates everything, as `args` say.
///
/// With `check`, files that differ are a [`GenerateError::Drift`].
pub fn run(args: &GenerateArgs) -> Result<Report, GenerateError> {
    let start = Instant::now();
    let site = args.site.site()?;
    let [rules, mut dashboards] = Output::platform(&site).format(args.format).files()?;
    if args.format == Format::Classic {
        dashboards.extend(provisioning::files(&dashboards, &site, &args.provisioning)?);
    }
    let trees = match &args.out {
        Some(out) => below(out, [rules, dashboards])?,
        None => {
            let current = env::current_dir().map_err(|source| GenerateError::Read { path: ".".into(), source })?;
            let root = workspace(&current)?;
            let generated = |member: &str| root.join(member).join("generated");
            vec![
                Tree::new(generated("alert-rules"), &[], rules)?,
                Tree::new(generated("dashboards"), &DASHBOARD_FOLDERS, dashboards)?,
                Tree::new(root.join("futura-metrics"), &[], vec![reference::file(&site)?])?,
            ]
        }
    };
    if args.check { check(&trees, Some(args.options(&site)), start) } else { write(&trees, start) }
}

/// Writes rules and dashboards into a folder that is not our workspace.
pub(crate) fn write_below(
    folder: &Path,
    files: [Vec<GeneratedFile>; 2],
    start: Instant,
) -> Result<Report, GenerateError> {
    write(&below(folder, files)?, start)
}

/// Fails if anything differs there.
pub(crate) fn check_below(
    folder: &Path,
    files: [Vec<GeneratedFile>; 2],
    start: Instant,
) -> Result<Report, GenerateError> {
    check(&below(folder, files)?, None, start)
}

/// Writes what differs.
fn write(trees: &[Tree], start: Instant) -> Result<Report, GenerateError> {
    let drift = compare(trees)?;
    tree::write(trees, &drift)?;
    Ok(report(trees, &drift, start))
}

/// Fails if anything differs, naming the `options` that decide what is generated.
fn check(trees: &[Tree], options: Option<String>, start: Instant) -> Result<Report, GenerateError> {
    let drift = compare(trees)?;
    if drift.is_empty() { Ok(report(trees, &drift, start)) } else { Err(GenerateError::Drift { drift, options }) }
}

/// Rules and dashboards where they go in a folder that is not our workspace.
fn below(folder: &Path, files: [Vec<GeneratedFile>; 2]) -> Result<Vec<Tree>, GenerateError> {
    let [rules, dashboards] = files;
    Ok(vec![
        Tree::new(folder.join("alert-rules"), &[], rules)?,
        Tree::new(folder.join("dashboards"), &DASHBOARD_FOLDERS, dashboards)?,
    ])
}

/// How everything differs from what is on the disk.
fn compare(trees: &[Tree]) -> Result<Vec<Drift>, GenerateError> {
    Ok(trees.iter().map(Tree::compare).collect::<Result<Vec<_>, _>>()?.concat())
}

fn report(trees: &[Tree], drift: &[Drift], start: Instant) -> Report {
    let files: usize = trees.iter().map(Tree::len).sum();
    let removed = drift.iter().filter(|drift| matches!(drift, Drift::Leftover(_))).count();
    let written = drift.len() - removed;
    Report { written, unchanged: files - written, removed, elapsed: start.elapsed() }
}

/// The root of the workspace that `current` is in.
fn workspace(current: &Path) -> Result<&Path, GenerateError> {
    let members = ["alert-rules", "dashboards"];
    let is_workspace = |folder: &&Path| members.iter().all(|member| folder.join(member).join("Cargo.toml").is_file());
    let root = current.ancestors().find(is_workspace).ok_or(GenerateError::NoWorkspace)?;
    // Paths relative to where one stands are shorter to read and to copy.
    Ok(if root == current { Path::new("") } else { root })
}

fn drift_text(drift: &[Drift], options: Option<&str>) -> String {
    let lines: String = drift.iter().map(|drift| format!("{drift}\n")).collect();
    let count = if drift.len() == 1 { "1 file differs".to_owned() } else { format!("{} files differ", drift.len()) };
    let Some(options) = options else { return format!("{lines}{count} from what is generated: write them anew") };
    format!(
        "{lines}{count} from what these options generate: {options}
if the files were written with other options, repeat those with --check; if not, leave --check out to put them right"
    )
}

// === impl GenerateArgs ===

impl GenerateArgs {
    /// The options in force, defaults included, that decide what is generated and where.
    fn options(&self, site: &Site) -> String {
        let out = self.out.as_ref().map(|out| format!("--out {} ", out.display())).unwrap_or_default();
        format!("{out}{} {} --format {}", self.site.options(site), self.provisioning, self.format)
    }
}

// === impl GenerateError ===

impl GenerateError {
    /// Whether another command line is the way out.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoWorkspace | Self::Config { .. } | Self::Rules(OutputError::Site(_)))
    }
}

// === impl Report ===

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, unchanged, removed, elapsed } = self;
        write!(f, "{written} files written, {unchanged} unchanged, {removed} removed in {} ms", elapsed.as_millis())
    }
}

// === impl Drift ===

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(path) => write!(f, "stale: {}", path.display()),
            Self::Missing(path) => write!(f, "missing: {}", path.display()),
            Self::Leftover(path) => write!(f, "left over: {}", path.display()),
        }
    }
}
