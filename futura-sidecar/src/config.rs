//! The configuration file: read, expanded and checked as a whole before a port opens, with every problem named at once.

use std::{
    collections::HashSet,
    env, fmt, fs,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde_yaml::{Mapping, Value};

use self::{section::Findings, yaml::Segment};
use crate::{
    checks::{CheckConfig, Window},
    errors::ErrorsConfig,
    listener::Address,
    probe::{Modules, read_modules},
};

pub(crate) use self::section::{Section, Source};
pub use self::{duration::parse as parse_duration, shard::Shard};

pub(crate) mod duration;
pub(crate) mod form;
mod include;
mod section;
mod shard;
mod variables;
mod yaml;

/// What a configuration may say, as a JSON Schema (2020-12) for editors.
pub const SCHEMA: &str = include_str!("config/schema.json");

/// The largest file that is read, in bytes.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// How many checks one sidecar runs; each costs a task, its series and its history.
const CHECKS_LIMIT: usize = 10_000;

/// How many checks run at once where nobody says.
const DEFAULT_CONCURRENCY: usize = 256;

/// How many problems are told at once; each costs a walk through the file for its place.
const PROBLEMS_LIMIT: usize = 50;

/// What a check may look like, for those who wrote something else.
const CHECK_EXAMPLE: &str = "{ name: api, kind: http, url: \"http://127.0.0.1:3000/health\" }";

/// What the configuration file says.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the status page, `/metrics`, `/livez` and `/readyz` are served. Default `0.0.0.0:9469`.
    pub listen: SocketAddr,
    /// The checks to run. Default none.
    pub checks: Vec<CheckConfig>,
    /// How many checks run at once; the others wait for a place. Default 256.
    pub concurrency: usize,
    /// When no check is run. Default never.
    pub(crate) maintenance: Vec<Window>,
    /// What `/probe` can do, in blackbox_exporter's own format. Default nothing, and no `/probe`.
    pub(crate) modules: Modules,
    /// Sentry envelopes to accept and forward. Default off.
    pub errors: Option<ErrorsConfig>,
    /// The folder in which results are kept over restarts, of this process alone. Default in memory only.
    pub history: Option<PathBuf>,
    /// All that was read, with the variables in place.
    pub(crate) source: Source,
    /// Files with further checks: paths or patterns such as `checks.d/*.yaml`, relative to this file. Default none.
    pub include: Vec<String>,
    /// Which checks are this replica's, `i/n` by the hash of their names. Default all.
    pub shard: Option<Shard>,
    /// Where it was read from, if it was a file.
    pub(crate) file: Option<PathBuf>,
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says what cannot be; one line a problem.
    #[error("{}", render(file, problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file, if it is known.
    pub place: Option<Place>,
    /// The key, such as `checks[0].url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// The included file that it is in; none for the one that was named.
    pub file: Option<PathBuf>,
}

/// A place in a file, counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

// === impl Config ===

impl Config {
    /// Reads and checks the file, with `${NAME}` taken from the process environment.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong in it.
    pub fn load(file: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let file = file.into();
        let text = match read(&file) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::Read { file, source }),
        };
        let variable = |name: &str| env::var(name).ok();
        let mut names = HashSet::new();
        let (config, mut problems) = match Self::parse_with(&text, &variable, &mut names) {
            Ok(config) => (Some(config), Vec::new()),
            Err(problems) => (None, problems),
        };
        let mut included = Vec::new();
        if let Some(config) = &config {
            let folder = file.parent().unwrap_or(Path::new(""));
            for path in include::files(&config.include, folder).map_err(|source| read_error(&file, source))? {
                let text = read(&path).map_err(|source| read_error(&path, source))?;
                match parse_included(&text, &variable, &mut names) {
                    Ok(checks) => included.extend(checks),
                    Err(found) => {
                        problems
                            .extend(found.into_iter().map(|problem| Problem { file: Some(path.clone()), ..problem }));
                    }
                }
            }
        }
        match config {
            Some(mut config) if problems.is_empty() => {
                config.checks.extend(included);
                config.file = Some(file);
                Ok(config.sharded())
            }
            _ => Err(ConfigError::Invalid { file, problems }),
        }
    }

    /// Checks the text of a file, with variables from `variable`. Folders that it names must be usable on this machine; files
    /// that it includes are not looked at.
    ///
    /// # Errors
    /// With everything that is wrong, in the order of the text.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        Self::parse_with(text, &variable, &mut HashSet::new()).map(Self::sharded)
    }

    fn parse_with(
        text: &str,
        variable: &impl Fn(&str) -> Option<String>,
        names: &mut HashSet<String>,
    ) -> Result<Self, Vec<Problem>> {
        let (root, mut findings) = expanded(text, variable)?;
        let config = read_root(&root, &mut findings, names);
        match config {
            Some(config) if findings.is_empty() => Ok(config),
            _ => Err(findings.problems(text, &root, PROBLEMS_LIMIT)),
        }
    }

    /// Without the checks of other replicas.
    fn sharded(mut self) -> Self {
        if let Some(shard) = self.shard {
            self.checks.retain(|check| shard.has(&check.name));
        }
        self
    }

    /// The files that all of it is from, as they are now: one that was included may be gone, and another have come.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Some(file) = &self.file else { return Vec::new() };
        let folder = file.parent().unwrap_or(Path::new(""));
        let included = include::files(&self.include, folder).unwrap_or_default();
        [file.clone()].into_iter().chain(included).collect()
    }

    /// The keys that another configuration has otherwise and that take a restart.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let taken = ["checks", "include", "maintenance", "modules", "shard"];
        self.source.differences(&other.source).into_iter().filter(|key| !taken.contains(&key.as_str())).collect()
    }

    /// Whether there is nothing to check, to probe or to take.
    pub(crate) fn does_nothing(&self) -> bool {
        self.checks.is_empty() && self.modules.is_empty() && self.errors.is_none()
    }

    /// What is allowed and yet seldom meant, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.does_nothing() {
            warnings.push("nothing would be done: it has neither `checks` nor `modules` nor `errors`".to_owned());
        }
        if self.errors.as_ref().is_some_and(|errors| errors.upstream.is_none()) {
            warnings.push(
                "`errors.upstream` is not set or empty: envelopes are kept in the spool and not forwarded".to_owned(),
            );
        }
        warnings
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A text as YAML with all variables in their places, and what is wrong with those.
fn expanded(text: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<(Value, Findings), Vec<Problem>> {
    let mut root = yaml::parse(text).map_err(|problem| vec![problem])?;
    let mut findings = Findings::default();
    for (path, message) in variables::expand(&mut root, variable) {
        findings.add(path, message);
    }
    Ok((root, findings))
}

/// Reads a file that is included, which has nothing but checks.
fn parse_included(
    text: &str,
    variable: &impl Fn(&str) -> Option<String>,
    names: &mut HashSet<String>,
) -> Result<Vec<CheckConfig>, Vec<Problem>> {
    let (root, mut findings) = expanded(text, variable)?;
    let empty = Mapping::new();
    let mapping = root.as_mapping().unwrap_or(&empty);
    if !root.is_mapping() && !root.is_null() {
        findings.add(Vec::new(), format!("{} is nothing to include: write `checks:`", form::shown(&root)));
    }
    let mut top = Section::new(&mut findings, mapping, Vec::new());
    let checks = top.value("checks");
    top.finish();
    let checks = checks.map(|value| read_checks(value, &mut findings, names)).unwrap_or_default();
    if findings.is_empty() { Ok(checks) } else { Err(findings.problems(text, &root, PROBLEMS_LIMIT)) }
}

fn read_error(file: &Path, source: io::Error) -> ConfigError {
    ConfigError::Read { file: file.to_owned(), source }
}

/// Reads everything, past what is wrong, which is a finding.
fn read_root(root: &Value, findings: &mut Findings, names: &mut HashSet<String>) -> Option<Config> {
    let empty = Mapping::new();
    let mapping = match root {
        // A file of comments alone.
        Value::Null => &empty,
        Value::Mapping(mapping) => mapping,
        other => {
            let message = format!("{} is no configuration: write keys such as `checks:`", form::shown(other));
            findings.add(Vec::new(), message);
            &empty
        }
    };
    let mut top = Section::new(findings, mapping, Vec::new());
    let listen = top.or("listen", form::socket_address, SocketAddr::from(([0, 0, 0, 0], 9469)));
    let checks = top.value("checks");
    let concurrency = top.or("concurrency", concurrency, DEFAULT_CONCURRENCY);
    let maintenance = Window::read_all(&mut top);
    let modules = read_modules(&mut top);
    let errors = top.value("errors");
    let history = top.or("history", |value| form::folder(value).map(Some), None);
    let include = top.or("include", patterns, Vec::new());
    let shard = top.or("shard", |value| form::text(value)?.parse().map(Some), None);
    let source = top.finish();
    let checks = checks.map(|value| read_checks(value, findings, names)).unwrap_or_default();
    let errors = errors.map(|value| read_errors(value, listen, findings));
    Some(Config {
        listen: listen?,
        checks,
        concurrency: concurrency?,
        maintenance: maintenance?,
        modules: modules?,
        errors: errors.flatten(),
        history: history?,
        include: include?,
        shard: shard?,
        source,
        file: None,
    })
}

fn patterns(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Sequence(values) => values.iter().map(form::text).collect(),
        one => form::text(one).map(|pattern| vec![pattern]),
    }
}

fn concurrency(value: &Value) -> Result<usize, String> {
    let number = form::number(value).ok().and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| (1..=CHECKS_LIMIT).contains(number))
        .ok_or_else(|| format!("{} is no number from 1 to {CHECKS_LIMIT}", form::shown(value)))
}

fn read_checks(value: &Value, findings: &mut Findings, names: &mut HashSet<String>) -> Vec<CheckConfig> {
    let at = vec![Segment::from("checks")];
    let values = match value {
        Value::Sequence(values) if values.len() <= CHECKS_LIMIT => values,
        Value::Sequence(values) => {
            findings.add(at, format!("{} checks are too many: one sidecar runs at most {CHECKS_LIMIT}", values.len()));
            return Vec::new();
        }
        other => {
            let message =
                format!("{} is no list of checks: write one a line, such as `- {CHECK_EXAMPLE}`", form::shown(other));
            findings.add(at, message);
            return Vec::new();
        }
    };
    let mut checks = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let path = vec![at[0].clone(), Segment::Index(index)];
        match value {
            Value::Mapping(mapping) => {
                checks.extend(CheckConfig::read(Section::new(findings, mapping, path), names));
            }
            other => {
                findings.add(path, format!("{} is no check: write one such as `{CHECK_EXAMPLE}`", form::shown(other)));
            }
        }
    }
    checks
}

fn read_errors(value: &Value, status: Option<SocketAddr>, findings: &mut Findings) -> Option<ErrorsConfig> {
    let path = vec![Segment::from("errors")];
    let Value::Mapping(mapping) = value else {
        let message = format!("{} is no section: write keys below it, such as `spool: ./spool`", form::shown(value));
        findings.add(path, message);
        return None;
    };
    let mut section = Section::new(findings, mapping, path);
    let errors = ErrorsConfig::read(&mut section);
    if let (Some(ErrorsConfig { listen: Address::Tcp(address), .. }), Some(status)) = (&errors, status)
        && overlap(*address, status)
    {
        section.report("listen", format!("the status page listens on `{status}` already: give another port"));
    }
    section.finish();
    errors
}

/// Whether only one of these can be bound; port 0 is any that is free.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    same_ip && one.port() == other.port() && one.port() != 0
}

/// Reads a configuration file of blackbox_exporter, in which nothing stands for a variable.
pub(crate) fn load_modules(file: &Path) -> Result<Modules, ConfigError> {
    let text = read(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
    parse_modules(&text).map_err(|problems| ConfigError::Invalid { file: file.to_owned(), problems })
}

fn parse_modules(text: &str) -> Result<Modules, Vec<Problem>> {
    let root = yaml::parse(text).map_err(|problem| vec![problem])?;
    let (mut findings, empty) = (Findings::default(), Mapping::new());
    let mapping = root.as_mapping().unwrap_or(&empty);
    if !root.is_mapping() {
        findings.add(Vec::new(), format!("{} is no configuration: write `modules:`", form::shown(&root)));
    }
    let mut top = Section::new(&mut findings, mapping, Vec::new());
    let modules = read_modules(&mut top);
    top.finish();
    match modules {
        Some(modules) if findings.is_empty() => Ok(modules),
        _ => Err(findings.problems(text, &root, PROBLEMS_LIMIT)),
    }
}

/// Reads a file of another program's, in JSON, in which nothing stands for a variable; what is wrong in it as one line.
pub(crate) fn read_json<T>(text: &str, read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>) -> Result<T, String> {
    let root = yaml::parse(text).map_err(|problem| problem.to_string())?;
    let Value::Mapping(mapping) = &root else { return Err(format!("{} is no object", form::shown(&root))) };
    let mut findings = Findings::default();
    let mut top = Section::new(&mut findings, mapping, Vec::new());
    let read = read(&mut top);
    top.finish();
    match read {
        Some(read) if findings.is_empty() => Ok(read),
        _ => Err(findings.problems(text, &root, 1).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {FILE_LIMIT} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

fn render(file: &Path, problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let file = problem.file.as_deref().unwrap_or(file).display();
        match problem.place {
            Some(place) => format!("{file}:{place}: {problem}"),
            None => format!("{file}: {problem}"),
        }
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
