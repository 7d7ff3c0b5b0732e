//! The configuration file: read, expanded and checked as a whole before a port opens, with every problem named at once.

use std::{
    collections::HashSet,
    env, fmt, fs,
    io::{self, Read},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use serde::{
    Deserialize,
    de::{Error as _, IgnoredAny},
};
use serde_yaml::Value;

use self::yaml::Path;

pub(crate) use self::yaml::Segment;
use crate::{
    checks::{CheckConfig, CommonConfig, KindConfig},
    errors::{ErrorsConfig, Upstream},
};

pub(crate) mod duration;
mod variables;
mod yaml;

/// The largest file that is read.
const FILE_LIMIT: u64 = 1024 * 1024;

/// How many checks one sidecar runs; each costs a task, its series and its history.
const CHECKS_LIMIT: usize = 1000;

/// How many problems are told at once; each costs a walk through the file for its line.
const PROBLEMS_LIMIT: usize = 50;

/// What the configuration file says.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the status page, `/metrics`, `/livez` and `/readyz` are served. Default `0.0.0.0:9469`.
    pub listen: SocketAddr,
    /// The checks to run. Default none.
    pub checks: Vec<CheckConfig>,
    /// Sentry envelopes to accept and forward. Default off.
    pub errors: Option<ErrorsConfig>,
    /// Where results are to be kept over restarts. Default in memory only.
    pub history: Option<PathBuf>,
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
    /// The line, counted from one, where it is known.
    pub line: Option<usize>,
    /// The key, such as `checks[0].url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The top of the file without the sections that are read one by one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Top {
    listen: SocketAddr,
    #[serde(rename = "checks")]
    _checks: IgnoredAny,
    #[serde(rename = "modules", deserialize_with = "no_modules")]
    _modules: (),
    #[serde(rename = "errors")]
    _errors: IgnoredAny,
    history: Option<PathBuf>,
}

/// Reads typed values out of the tree and remembers what did not fit.
struct Reader<'text> {
    text: &'text str,
    problems: Vec<Problem>,
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
        Self::parse(&text, |name| env::var(name).ok()).map_err(|problems| ConfigError::Invalid { file, problems })
    }

    /// Checks the text of a file, with variables from `variable`.
    ///
    /// # Errors
    /// With everything that is wrong, in the order of the text.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut root = yaml::parse(text).map_err(|problem| vec![problem])?;
        let mut reader = Reader { text, problems: Vec::new() };
        for (path, message) in variables::expand(&mut root, &variable) {
            reader.report(&path, message);
        }
        let config = reader.config(&root);
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => {
                reader.problems.sort_by_key(|problem| problem.line);
                Err(reader.problems)
            }
        }
    }

    /// Whether a connection may be one of TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        let upstream = self.errors.as_ref().and_then(|errors| errors.upstream.as_ref());
        self.checks.iter().any(|check| check.kind.speaks_tls()) || upstream.is_some_and(Upstream::speaks_tls)
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

// === impl Top ===

impl Default for Top {
    fn default() -> Self {
        let listen = SocketAddr::from(([0, 0, 0, 0], 9469));
        Self { listen, _checks: IgnoredAny, _modules: (), _errors: IgnoredAny, history: None }
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn config(&mut self, root: &Value) -> Option<Config> {
        let empty = Value::Mapping(serde_yaml::Mapping::new());
        // A file of comments alone is the default configuration.
        let root = if root.is_null() { &empty } else { root };
        let top: Option<Top> = self.typed(root, &[]);
        let checks = self.checks(root);
        let errors = match root.get("errors") {
            None | Some(Value::Null) => None,
            Some(value) => self.errors(value),
        };
        let top = top?;
        Some(Config { listen: top.listen, checks, errors, history: top.history })
    }

    fn checks(&mut self, root: &Value) -> Vec<CheckConfig> {
        let at = [Segment::from("checks")];
        let values = match root.get("checks") {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Sequence(values)) => values,
            Some(_) => {
                self.report(&at, "expected a list of checks".to_owned());
                return Vec::new();
            }
        };
        if values.len() > CHECKS_LIMIT {
            self.report(&at, format!("{} checks: at most {CHECKS_LIMIT} run in one sidecar", values.len()));
            return Vec::new();
        }
        let mut names = HashSet::new();
        let mut checks = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let path = [at[0].clone(), Segment::Index(index)];
            checks.extend(self.check(value, &path, &mut names));
        }
        checks
    }

    fn check(&mut self, value: &Value, path: &Path, names: &mut HashSet<String>) -> Option<CheckConfig> {
        let Value::Mapping(mapping) = value else {
            self.report(
                path,
                "expected a check, such as `{ name: api, kind: http, url: \"http://127.0.0.1:3000/health\" }`"
                    .to_owned(),
            );
            return None;
        };
        let common: CommonConfig = self.typed(value, path)?;
        for (key, message) in common.problems() {
            self.report(&below(path, key), format!("check `{}`: {message}", common.name));
        }
        if !names.insert(common.name.clone()) {
            let message = format!("check `{}`: the name is taken; names tell the series apart", common.name);
            self.report(&below(path, "name"), message);
        }
        let mut rest = mapping.clone();
        for key in CommonConfig::KEYS {
            rest.shift_remove(*key);
        }
        let kind = match KindConfig::read(common.kind, &Value::Mapping(rest)) {
            Ok(kind) => kind,
            Err((key, message)) => {
                self.report_in(path, &key, format!("check `{}`: {message}", common.name));
                return None;
            }
        };
        Some(CheckConfig { name: common.name, interval: common.interval, timeout: common.timeout, kind })
    }

    fn errors(&mut self, value: &Value) -> Option<ErrorsConfig> {
        let path = [Segment::from("errors")];
        let errors: ErrorsConfig = self.typed(value, &path)?;
        for (key, message) in errors.problems() {
            self.report(&below(&path, key), message);
        }
        Some(errors)
    }

    fn typed<'value, T: Deserialize<'value>>(&mut self, value: &'value Value, path: &Path) -> Option<T> {
        match typed(value) {
            Ok(value) => Some(value),
            Err((key, message)) => {
                self.report_in(path, &key, message);
                None
            }
        }
    }

    fn report_in(&mut self, path: &Path, key: &[Segment], message: String) {
        self.report(&[path, key].concat(), message);
    }

    /// Keeps the first problem of each key: the others follow from it.
    fn report(&mut self, path: &Path, message: String) {
        let key = yaml::display(path);
        if self.problems.len() < PROBLEMS_LIMIT && self.problems.iter().all(|problem| problem.key != key) {
            self.problems.push(Problem { line: yaml::line_of(self.text, path), key, message });
        }
    }
}

/// Reads a typed value, or says at which key below it what is wrong.
pub(crate) fn typed<'value, T: Deserialize<'value>>(value: &'value Value) -> Result<T, (Vec<Segment>, String)> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().iter().filter_map(Segment::from_serde).collect();
        (path, error.into_inner().to_string())
    })
}

/// Takes a duration with its unit, such as `10s` or `500ms`.
pub(crate) fn with_unit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map_err(D::Error::custom)
}

fn no_modules<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(()),
        Value::Mapping(modules) if modules.is_empty() => Ok(()),
        _ => Err(D::Error::custom("modules are not supported yet: leave it empty and declare `checks`")),
    }
}

fn below(path: &Path, key: &str) -> Vec<Segment> {
    [path, &[Segment::from(key)]].concat()
}

fn read(file: &std::path::Path) -> io::Result<String> {
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

fn render(file: &std::path::Path, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| match problem.line {
            Some(line) => format!("{}:{line}: {problem}", file.display()),
            None => format!("{}: {problem}", file.display()),
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
