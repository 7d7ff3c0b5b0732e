//! The command `lint`: rule files and dashboards that others wrote, against a catalogue of metrics.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Error, anyhow, bail};
use clap::Args;
use futura_alert_rules::foreign::{Catalogue, Level, Lint, Options, RuleFile, check};
use futura_dashboards::lint as dashboards;
use futura_sidecar::{catalogue_at, parse_duration};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    Failed,
    access::{AccessArgs, parse_url},
    ask, failure, usage,
    verify::unavailable,
};

/// The end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  futura-sidecar lint rules/*.yaml                                       against the metrics that are declared here
  futura-sidecar lint dashboards/*.json                                  dashboards in Grafana's classic JSON as well
  futura-sidecar lint rules/ --catalogue http://localhost:9090           against what Prometheus scrapes
  futura-sidecar lint rules/ --catalogue http://localhost:3000/metrics   against what a program exports
  futura-sidecar lint --list                                             what is looked for

A comment `# lint:disable=NAME,NAME` above a rule disables lints of it.

Exit codes:
  0 without errors, warnings or not, 1 with errors, 64 for a wrong command line or what is neither rule file nor
  dashboard,
  69 when the catalogue cannot be had from its server";

/// How large a file may be, in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// How deep folders are searched.
const DEPTH: usize = 16;

/// How long a server may take to tell its metrics.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct LintArgs {
    /// Files of Prometheus rules, `PrometheusRule` resources, dashboards as JSON, and folders of all.
    #[arg(value_name = "FILE", required_unless_present = "list")]
    files: Vec<PathBuf>,
    /// What metrics there are: `ours`, a file or an address with a metrics page, or the address of a Prometheus.
    ///
    /// An address that ends in `/metrics` is a page. Prometheus tells no labels, so none are checked then.
    #[arg(long, value_name = "SOURCE", default_value = "ours")]
    catalogue: String,
    /// A lint that is left out. May be given several times.
    #[arg(long, value_name = "NAME", value_parser = parse_lint)]
    disable: Vec<&'static str>,
    /// How often Prometheus scrapes.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    scrape_interval: Duration,
    /// A label that targets have besides the usual ones. May be given several times.
    #[arg(long, value_name = "NAME")]
    target_label: Vec<String>,
    /// Prints what is looked for, and ends.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    access: AccessArgs,
}

/// What a file holds.
enum Linted {
    Rules(RuleFile),
    Dashboard(Value),
}

/// What is found, and how bad it is.
#[derive(Default)]
struct Tally {
    rules: usize,
    dashboards: usize,
    errors: usize,
    warnings: usize,
}

/// Prints what is found, and fails if it is an error.
pub(crate) fn run(args: LintArgs) -> Result<(), Failed> {
    if args.list {
        return io::stdout().write_all(list().as_bytes()).map_err(failure);
    }
    let mut paths = Vec::new();
    for path in &args.files {
        search(path, 0, &mut paths).map_err(usage)?;
    }
    let mut files = Vec::new();
    for path in paths {
        let chosen = args.files.contains(&path);
        files.extend(read(&path, chosen).map_err(usage)?.map(|file| (path, file)));
    }
    if files.is_empty() {
        return Err(usage(anyhow!("the folders hold neither rule file nor dashboard")));
    }
    let mut catalogue = catalogue(&args.catalogue, args.access)?;
    args.target_label.into_iter().for_each(|label| catalogue.add_target_label(label));
    for (_, file) in &files {
        if let Linted::Rules(rules) = file {
            catalogue.add_records(rules);
        }
    }
    let of_rules = args.disable.iter().filter_map(|name| Lint::named(name));
    let options = Options { scrape_interval: args.scrape_interval, disabled: of_rules.collect() };
    let (mut tally, mut out) = (Tally::default(), io::stdout().lock());
    for (path, file) in &files {
        match file {
            Linted::Rules(rules) => {
                tally.rules += rules.len();
                for finding in check(rules, &catalogue, &options) {
                    tally.count(finding.lint.level() == Level::Error);
                    let remedy = finding.lint.remedy();
                    writeln!(out, "{}:{finding}\n    {remedy}", path.display()).map_err(failure)?;
                }
            }
            Linted::Dashboard(dashboard) => {
                tally.dashboards += 1;
                let findings = dashboards::check(dashboard, &catalogue, &[]);
                for finding in findings.iter().filter(|finding| !args.disable.contains(&finding.rule)) {
                    tally.count(finding.level == dashboards::Level::Error);
                    print(&mut out, path, finding).map_err(failure)?;
                }
            }
        }
    }
    let Tally { rules, dashboards, errors, warnings } = tally;
    let files = files.len();
    let summary =
        format!("files: {files}, rules: {rules}, dashboards: {dashboards}, errors: {errors}, warnings: {warnings}");
    if errors > 0 { Err(failure(anyhow!("{summary}"))) } else { writeln!(out, "{summary}").map_err(failure) }
}

fn print(out: &mut impl io::Write, path: &Path, finding: &dashboards::Finding) -> io::Result<()> {
    let dashboards::Finding { rule, level, panel, path: place, problem, remedy } = finding;
    let panel = panel.as_ref().map(|panel| format!("panel `{panel}`: ")).unwrap_or_default();
    let level = name_of(*level);
    writeln!(out, "{}:{place}: {level}: {panel}{problem} ({rule})\n    {remedy}", path.display())
}

fn name_of(level: dashboards::Level) -> Level {
    match level {
        dashboards::Level::Error => Level::Error,
        dashboards::Level::Warning => Level::Warning,
    }
}

/// What is looked for, a line each.
fn list() -> String {
    let mut text = String::new();
    for lint in Lint::ALL {
        let _ = writeln!(text, "{:<8} {:<28} {}", lint.level().to_string(), lint.name(), lint.remedy());
    }
    for rule in dashboards::rules() {
        let _ = writeln!(text, "{:<8} {:<28} {}", name_of(rule.level).to_string(), rule.name, rule.remedy);
    }
    text
}

fn parse_lint(name: &str) -> Result<&'static str, String> {
    let mut names = Lint::ALL.iter().map(|lint| lint.name()).chain(dashboards::rules().map(|rule| rule.name));
    let found = names.find(|known| *known == name);
    found.ok_or_else(|| "no lint is called so: see `futura-sidecar lint --list`".to_owned())
}

/// The file, or the YAML and JSON files of the folder and below, by name.
fn search(path: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    let unreadable = || format!("cannot read `{}`", path.display());
    if depth > DEPTH || !path.is_dir() {
        paths.push(path.to_owned());
        return Ok(());
    }
    let entries =
        fs::read_dir(path).with_context(unreadable)?.collect::<Result<Vec<_>, _>>().with_context(unreadable)?;
    let mut entries: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    entries.sort_unstable();
    for entry in entries {
        // Links may lead in a circle.
        let is_folder = entry.is_dir() && !entry.is_symlink();
        let is_candidate = |extension: &OsStr| ["yaml", "yml", "json"].iter().any(|known| extension == *known);
        if is_folder || entry.extension().is_some_and(is_candidate) {
            search(&entry, depth + 1, paths)?;
        }
    }
    Ok(())
}

/// Reads a file; of files that nobody named, those that are neither rules nor a dashboard are passed over, but not those that
/// nobody can read.
fn read(path: &Path, chosen: bool) -> Result<Option<Linted>, Error> {
    let name = path.display();
    let text = read_text(path)?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return match serde_json::from_str::<Value>(&text) {
            Ok(dashboard) if dashboards::is_dashboard(&dashboard) => Ok(Some(Linted::Dashboard(dashboard))),
            Ok(_) if !chosen => Ok(None),
            Ok(_) => Err(anyhow!(
                "{name}: it has neither `panels` nor `rows`, so it is no dashboard in Grafana's classic JSON"
            )),
            Err(error) => Err(Error::new(error).context(format!("{name} is not JSON"))),
        };
    }
    match RuleFile::parse(&text) {
        Ok(file) => Ok(Some(Linted::Rules(file))),
        Err(_) if !chosen && is_yaml(&text) => Ok(None),
        Err(error) => {
            let line = error.line().map(|line| format!("{line}: ")).unwrap_or_default();
            Err(anyhow!("{name}:{line}{error}"))
        }
    }
}

fn is_yaml(text: &str) -> bool {
    serde_yaml::Deserializer::from_str(text).all(|document| serde_yaml::Value::deserialize(document).is_ok())
}

fn read_text(path: &Path) -> Result<String, Error> {
    let name = path.display();
    let mut text = String::new();
    let file = fs::File::open(path).with_context(|| format!("cannot read `{name}`"))?;
    let read = file.take(FILE_LIMIT + 1).read_to_string(&mut text).with_context(|| format!("cannot read `{name}`"))?;
    if read as u64 > FILE_LIMIT {
        bail!("`{name}` is larger than {FILE_LIMIT} bytes");
    }
    Ok(text)
}

fn catalogue(source: &str, access: AccessArgs) -> Result<Catalogue, Failed> {
    if source == "ours" {
        return Ok(Catalogue::ours());
    }
    if source.contains("://") {
        let url = parse_url(source).map_err(|error| usage(anyhow!("--catalogue `{source}`: {error}")))?;
        return ask(async { catalogue_at(access.config(url, TIMEOUT)).await.map_err(unavailable) });
    }
    let page = read_text(Path::new(source)).map_err(usage)?;
    Catalogue::from_page(&page).ok_or_else(|| usage(anyhow!("--catalogue `{source}`: it holds no metric")))
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, is_error: bool) {
        let count = if is_error { &mut self.errors } else { &mut self.warnings };
        *count += 1;
    }
}
