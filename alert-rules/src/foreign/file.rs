//! A rule file with the lines of its rules, as Prometheus reads it or as a `PrometheusRule` has it.
//!
//! The YAML parser tells no lines, so each rule is looked for in the text by its name, in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::{Findings, Lint};

/// What begins a comment that disables lints of the rule below it.
const DISABLE: &str = "lint:disable=";

/// The rules of a file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub(super) rules: Vec<ForeignRule>,
}

/// Why a file is no rule file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not what it has to be, as the parser says.
    #[error("{message}")]
    Yaml {
        /// The line, from 1, where the parser knows it.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// It holds no group of rules.
    #[error("it has neither `groups` nor `spec.groups`")]
    NoGroups,
}

/// A rule as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct ForeignRule {
    pub(super) is_alert: bool,
    pub(super) name: String,
    pub(super) expression: String,
    /// Whether the fault has to last.
    pub(super) lasts: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) line: usize,
    pub(super) expression_line: usize,
    /// The lints that its comments disable.
    pub(super) disabled: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    groups: Option<Vec<Group>>,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct Spec {
    groups: Option<Vec<Group>>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    rules: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    alert: Option<String>,
    record: Option<String>,
    #[serde(deserialize_with = "text")]
    expr: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    #[serde(default, deserialize_with = "texts")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "texts")]
    annotations: BTreeMap<String, String>,
}

/// The lines of a file, gone through from rule to rule.
struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

/// Where a rule stands, in lines from 0.
struct Place {
    start: usize,
    name: usize,
}

// === impl RuleFile ===

impl RuleFile {
    /// Reads the rules of all documents in a file.
    ///
    /// # Errors
    /// When it is no YAML, or holds no rules.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        let mut raw = Vec::new();
        let mut found = false;
        for document in serde_yaml::Deserializer::from_str(text) {
            let document = Option::<Document>::deserialize(document)?;
            let groups = document.and_then(|document| document.groups.or(document.spec.and_then(|spec| spec.groups)));
            found |= groups.is_some();
            raw.extend(groups.into_iter().flatten().flat_map(|group| group.rules));
        }
        if !found {
            return Err(FileError::NoGroups);
        }
        let mut lines = Lines { lines: text.lines().collect(), next: 0 };
        let places: Vec<_> = raw.iter().map(|raw| lines.find(raw)).collect();
        let end = |index: usize| places.get(index + 1).map_or(lines.lines.len(), |place: &Place| place.start);
        let rules = raw.into_iter().enumerate();
        Ok(Self { rules: rules.map(|(index, raw)| lines.rule(raw, &places[index], end(index))).collect() })
    }

    /// How many rules it has.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

// === impl Lines ===

impl Lines<'_> {
    /// Finds the next rule.
    fn find(&mut self, raw: &Raw) -> Place {
        let (key, name) = raw.name();
        let is_name = |line: &&str| {
            let value = line.trim_start().trim_start_matches("- ").trim_start().strip_prefix(key);
            let value = value.and_then(|value| value.trim_start().strip_prefix(':'));
            value.is_some_and(|value| value.split(" #").next().unwrap_or("").trim().trim_matches(['"', '\'']) == name)
        };
        let rest = &self.lines[self.next..];
        // In flow style the name is anywhere in its line.
        let found = rest.iter().position(is_name).or_else(|| rest.iter().position(|line| line.contains(name)));
        let at = self.next + found.unwrap_or(0);
        let at = at.min(self.lines.len().saturating_sub(1));
        self.next = (at + 1).min(self.lines.len());
        let column = |line: &str| line.len() - line.trim_start().trim_start_matches("- ").len();
        let begins = |line: &&&str| line.trim_start().starts_with("- ") && column(line) <= column(self.lines[at]);
        let above = self.lines[..=at].iter().rev().position(|line| begins(&line));
        Place { start: at - above.unwrap_or(0), name: at }
    }

    fn rule(&self, raw: Raw, place: &Place, end: usize) -> ForeignRule {
        let (_, name) = raw.name();
        let (is_alert, name) = (raw.alert.is_some(), name.to_owned());
        let own = &self.lines[place.start..end.max(place.start)];
        let is_expression = |line: &&str| line.trim_start().trim_start_matches("- ").starts_with("expr:");
        let expression = own.iter().position(is_expression).map_or(place.name, |line| place.start + line);
        let above = self.lines[..place.start].iter().rev().take_while(|line| line.trim_start().starts_with('#'));
        // Comments at the end belong to the rule below.
        let within = own.iter().rev().skip_while(|line| line.trim_start().starts_with('#'));
        let comments = above.chain(within).filter_map(|line| line.split_once(DISABLE));
        let names = comments.flat_map(|(_, names)| names.split([',', ' ']).filter(|name| !name.is_empty()));
        ForeignRule {
            is_alert,
            name,
            lasts: raw.lasts.is_some_and(|lasts| lasts.contains(|digit| matches!(digit, '1'..='9'))),
            expression: raw.expr,
            labels: raw.labels,
            annotations: raw.annotations,
            line: place.name + 1,
            expression_line: expression + 1,
            disabled: names.map(str::to_owned).collect(),
        }
    }
}

// === impl Raw ===

impl Raw {
    fn name(&self) -> (&'static str, &str) {
        match (&self.alert, &self.record) {
            (Some(name), _) => ("alert", name),
            (None, name) => ("record", name.as_deref().unwrap_or_default()),
        }
    }
}

// === impl ForeignRule ===

impl ForeignRule {
    /// Whether Prometheus could not tell the two apart.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let identity = |rule: &Self| (rule.is_alert, rule.name.clone(), rule.labels.clone(), rule.expression.clone());
        identity(self) == identity(other)
    }

    /// What its name and its comments show.
    pub(super) fn check_names(&self, findings: &mut Findings<'_>) {
        if !self.is_alert && !self.name.contains(':') {
            findings.report(Lint::RecordName, "its name has no level and no operations".to_owned());
        }
        for name in self.disabled.iter().filter(|name| Lint::named(name).is_none()) {
            findings.report(Lint::UnknownLint, format!("a comment disables `{name}`, which no lint is called"));
        }
    }
}

// === impl FileError ===

impl FileError {
    /// The line, from 1, where it is known.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Yaml { line, .. } => *line,
            Self::NoGroups => None,
        }
    }
}

impl From<serde_yaml::Error> for FileError {
    fn from(error: serde_yaml::Error) -> Self {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message).to_owned();
        Self::Yaml { line: error.location().map(|location| location.line()), message }
    }
}

/// A scalar as it is written: an expression may be a number alone.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Value::deserialize(deserializer).map(|value| scalar(&value))
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?;
    Ok(values.into_iter().flatten().map(|(name, value)| (name, scalar(&value))).collect())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}
