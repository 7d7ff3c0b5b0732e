//! A rule file with the lines of its rules, as Prometheus reads it or as a `PrometheusRule` has it.
//!
//! The YAML parser tells no lines, so each rule is looked for in the text by its name, in order.

use std::{collections::BTreeMap, mem, time::Duration};

use promql_parser::{parser::Expr, util::parse_duration};
use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::{Findings, Lint};
use crate::promql::parse;

/// What begins a comment that disables lints of the rule below it.
const DISABLE: &str = "lint:disable=";

/// The rules of a file.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub(super) groups: Vec<ForeignGroup>,
    /// The rules of all groups, in order.
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

/// A group as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct ForeignGroup {
    pub(super) name: String,
    /// How often its rules are evaluated, where it says so.
    pub(super) interval: Option<Duration>,
    pub(super) line: usize,
}

/// A rule as it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct ForeignRule {
    pub(super) is_alert: bool,
    pub(super) name: String,
    pub(super) expression: String,
    /// The expression as Prometheus reads it, or why it does not.
    pub(super) parsed: Result<Expr, String>,
    /// Which of the file's groups it is in.
    pub(super) group: usize,
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
    name: String,
    interval: Option<String>,
    /// What Prometheus 3 adds to each rule.
    #[serde(default, deserialize_with = "texts")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "list")]
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
        let (mut groups, mut raw, mut found) = (Vec::new(), Vec::new(), false);
        for document in serde_yaml::Deserializer::from_str(text) {
            let document = Option::<Document>::deserialize(document)?;
            let read = document.and_then(|document| document.groups.or(document.spec.and_then(|spec| spec.groups)));
            found |= read.is_some();
            for mut group in read.into_iter().flatten() {
                raw.extend(mem::take(&mut group.rules).into_iter().map(|rule| (groups.len(), rule)));
                groups.push(group);
            }
        }
        if !found {
            return Err(FileError::NoGroups);
        }
        let mut lines = Lines { lines: text.lines().collect(), next: 0 };
        let places: Vec<_> = raw.iter().map(|(_, raw)| lines.find(raw)).collect();
        let end = |index: usize| places.get(index + 1).map_or(lines.lines.len(), |place: &Place| place.start);
        let rules = raw.into_iter().enumerate();
        let rules = rules.map(|(index, (group, raw))| {
            let mut rule = lines.rule(raw, group, &places[index], end(index));
            for (name, value) in &groups[group].labels {
                rule.labels.entry(name.clone()).or_insert_with(|| value.clone());
            }
            rule
        });
        let rules: Vec<_> = rules.collect();
        Ok(Self { groups: lines.groups(groups, &rules), rules })
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
        let rest = &self.lines[self.next..];
        // In flow style the name is anywhere in its line.
        let found = rest
            .iter()
            .position(|line| has(line, key, name))
            .or_else(|| rest.iter().position(|line| line.contains(name)));
        let at = self.next + found.unwrap_or(0);
        let at = at.min(self.lines.len().saturating_sub(1));
        self.next = (at + 1).min(self.lines.len());
        let column = |line: &str| line.len() - line.trim_start().trim_start_matches("- ").len();
        let begins = |line: &&&str| line.trim_start().starts_with("- ") && column(line) <= column(self.lines[at]);
        let above = self.lines[..=at].iter().rev().position(|line| begins(&line));
        Place { start: at - above.unwrap_or(0), name: at }
    }

    /// The groups, each looked for above its first rule.
    fn groups(&self, groups: Vec<Group>, rules: &[ForeignRule]) -> Vec<ForeignGroup> {
        let groups = groups.into_iter().enumerate().map(|(index, Group { name, interval, .. })| {
            let first = rules.iter().find(|rule| rule.group == index).map_or(self.lines.len(), |rule| rule.line);
            let above = self.lines[..first.min(self.lines.len())].iter().rposition(|line| has(line, "name", &name));
            let interval = interval.and_then(|interval| parse_duration(&interval).ok());
            ForeignGroup { name, interval, line: above.map_or(first, |line| line + 1) }
        });
        groups.collect()
    }

    fn rule(&self, raw: Raw, group: usize, place: &Place, end: usize) -> ForeignRule {
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
            parsed: parse(&raw.expr).map_err(|error| error.reason().to_owned()),
            expression: raw.expr,
            group,
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

    /// What its comments show.
    pub(super) fn check_comments(&self, findings: &mut Findings<'_>) {
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

/// Whether a line has this key with this value.
fn has(line: &str, key: &str, value: &str) -> bool {
    let rest = line.trim_start().trim_start_matches("- ").trim_start().strip_prefix(key);
    let rest = rest.and_then(|rest| rest.trim_start().strip_prefix(':'));
    rest.is_some_and(|rest| rest.split(" #").next().unwrap_or("").trim().trim_matches(['"', '\'']) == value)
}

/// A list that may be left empty.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Raw>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
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
