//! Reading a mapping key by key: what does not fit is found and reading goes on, so that one run tells everything.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use serde_yaml::{Mapping, Value};

use super::{
    Problem, form,
    yaml::{self, Segment},
};

/// What is wrong in a file, as far as it has been read.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<(Vec<Segment>, String)>,
    paths: HashSet<Vec<Segment>>,
}

/// The keys of one mapping. Those that were asked for are its allowed ones; `finish` finds the others.
pub(crate) struct Section<'findings, 'value> {
    findings: &'findings mut Findings,
    mapping: &'value Mapping,
    path: Vec<Segment>,
    /// What the messages are about, such as ``check `api`: ``.
    subject: String,
    allowed: Vec<&'static str>,
}

/// What a mapping said, to tell whether it still says the same. It may hold secrets, and so does not print.
#[derive(Clone, PartialEq)]
pub(crate) struct Source(Mapping);

// === impl Findings ===

impl Findings {
    /// Keeps the first finding of each place: the others follow from it.
    pub(super) fn add(&mut self, path: Vec<Segment>, message: String) {
        if self.paths.insert(path.clone()) {
            self.found.push((path, message));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The first `limit` findings in the order of the document, and how many more there are.
    pub(super) fn problems(mut self, text: &str, root: &Value, limit: usize) -> Vec<Problem> {
        // By the tree, which costs one walk, as a place costs one through the whole text.
        let order = yaml::order(root, &self.paths);
        let rank = |path: &[Segment]| (0..=path.len()).rev().find_map(|end| order.get(&path[..end]).copied());
        self.found.sort_by_cached_key(|(path, _)| rank(path));
        let more = self.found.len().saturating_sub(limit);
        self.found.truncate(limit);
        let problem = |(path, message): (Vec<Segment>, String)| Problem {
            place: yaml::place_of(text, &path),
            key: yaml::display(&path),
            message,
            file: None,
        };
        let mut problems: Vec<_> = self.found.into_iter().map(problem).collect();
        if more > 0 {
            problems.push(Problem {
                place: None,
                key: String::new(),
                file: None,
                message: format!("and {more} more problems"),
            });
        }
        problems
    }
}

// === impl Section ===

impl<'findings, 'value> Section<'findings, 'value> {
    pub(super) fn new(findings: &'findings mut Findings, mapping: &'value Mapping, path: Vec<Segment>) -> Self {
        Self { findings, mapping, path, subject: String::new(), allowed: Vec::new() }
    }

    /// Has every further message begin with `subject`.
    pub(crate) fn about(&mut self, subject: &str) {
        self.subject = format!("{subject}: ");
    }

    /// The value of a key; none where the key is absent or stands without a value.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'value Value> {
        self.allowed.push(key);
        self.mapping.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key is there, be it one that is not allowed.
    pub(crate) fn says(&self, key: &str) -> bool {
        self.mapping.contains_key(key)
    }

    /// What a key says in the given form, and `default` where it says nothing; none where it is a finding.
    pub(crate) fn or<T>(
        &mut self,
        key: &'static str,
        form: impl FnOnce(&Value) -> Result<T, String>,
        default: T,
    ) -> Option<T> {
        match self.value(key) {
            Some(value) => self.keep(key, form(value)),
            None => Some(default),
        }
    }

    /// What a key says in the given form; none where it is a finding, as it is where it says nothing.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        form: impl FnOnce(&Value) -> Result<T, String>,
        example: &str,
    ) -> Option<T> {
        let read = match self.value(key) {
            Some(value) => form(value),
            None => Err(format!("it is missing: write one such as `{key}: {example}`")),
        };
        self.keep(key, read)
    }

    /// What the mapping below a key says, read by `read`, and `default` where there is none; none where it is a finding.
    pub(crate) fn nested<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
        default: T,
    ) -> Option<T> {
        let mapping = match self.value(key) {
            None => return Some(default),
            Some(Value::Mapping(mapping)) => mapping,
            Some(other) => {
                let message = format!("{} is no section: write keys below it", form::shown(other));
                return self.keep(key, Err(message));
            }
        };
        self.below(&[Segment::from(key)], mapping, read)
    }

    /// What the mapping below a key says, be it empty or absent; none where it is a finding.
    pub(crate) fn nested_or_empty<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        let empty = Mapping::new();
        let mapping = match self.value(key) {
            None => &empty,
            Some(Value::Mapping(mapping)) => mapping,
            Some(other) => return self.keep(key, Err(format!("{} is no section", form::shown(other)))),
        };
        self.below(&[Segment::from(key)], mapping, read)
    }

    /// What each mapping below a key says, by its own key; none where one of them is a finding.
    pub(crate) fn entries<T>(
        &mut self,
        key: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Section<'_, '_>) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let mapping = match self.value(key) {
            None => return Some(Vec::new()),
            Some(Value::Mapping(mapping)) if mapping.len() <= limit => mapping,
            Some(Value::Mapping(_)) => return self.keep(key, Err(format!("more than {limit} are too many"))),
            Some(other) => return self.keep(key, Err(format!("{} is no section", form::shown(other)))),
        };
        let mut all = Some(Vec::with_capacity(mapping.len()));
        for (name, value) in mapping {
            let name = name.as_str().unwrap_or_default().to_owned();
            let at = [Segment::from(key), Segment::from(name.as_str())];
            let one = match value {
                Value::Mapping(mapping) => self.below(&at, mapping, &mut read),
                other => {
                    let path = [&self.path[..], &at].concat();
                    self.findings.add(path, format!("{}{} is no section", self.subject, form::shown(other)));
                    None
                }
            };
            all = all.zip(one).map(|(mut all, one)| {
                all.push((name, one));
                all
            });
        }
        all
    }

    /// All that the mapping says.
    pub(crate) fn mapping(&self) -> &'value Mapping {
        self.mapping
    }

    /// Reads a mapping that stands at `at` below this one.
    fn below<T>(
        &mut self,
        at: &[Segment],
        mapping: &Mapping,
        read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        let path = [&self.path[..], at].concat();
        let mut section = Section::new(self.findings, mapping, path);
        section.subject.clone_from(&self.subject);
        let read = read(&mut section);
        section.finish();
        read
    }

    /// What each mapping of the list below a key says, read by `read`; none where one of them is a finding.
    pub(crate) fn each<T>(
        &mut self,
        key: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Section<'_, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let values = match self.value(key) {
            None => return Some(Vec::new()),
            Some(Value::Sequence(values)) if values.len() <= limit => values,
            Some(Value::Sequence(_)) => return self.keep(key, Err(format!("more than {limit} are too many"))),
            Some(other) => return self.keep(key, Err(format!("{} is no list", form::shown(other)))),
        };
        let mut all = Some(Vec::with_capacity(values.len()));
        for (index, value) in values.iter().enumerate() {
            let at = [Segment::from(key), Segment::Index(index)];
            let Value::Mapping(mapping) = value else {
                let path = [&self.path[..], &at].concat();
                self.findings.add(path, format!("{}{} is no mapping of keys", self.subject, form::shown(value)));
                all = None;
                continue;
            };
            let one = self.below(&at, mapping, &mut read);
            all = all.zip(one).map(|(mut all, one)| {
                all.push(one);
                all
            });
        }
        all
    }

    /// What was read from a key; none, and a finding, where it does not fit.
    pub(crate) fn keep<T>(&mut self, key: &str, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.report(key, message)).ok()
    }

    pub(crate) fn report(&mut self, key: &str, message: impl Into<String>) {
        let path = [&self.path[..], &[Segment::from(key)]].concat();
        self.findings.add(path, format!("{}{}", self.subject, message.into()));
    }

    /// As [`report`](Self::report), for a key further down.
    pub(crate) fn report_at(&mut self, keys: &[&str], message: impl Into<String>) {
        let path = self.path.iter().cloned().chain(keys.iter().map(|key| Segment::from(*key))).collect();
        self.findings.add(path, format!("{}{}", self.subject, message.into()));
    }

    /// Ends the reading: keys that nobody asked for are findings. Gives back what was read.
    pub(crate) fn finish(mut self) -> Source {
        let allowed: Vec<_> = self.allowed.iter().map(|key| format!("`{key}`")).collect();
        let message = format!("unknown key, allowed are {}", allowed.join(", "));
        for key in self.mapping.keys().filter_map(Value::as_str) {
            if !self.allowed.contains(&key) {
                self.report(key, message.as_str());
            }
        }
        Source(self.mapping.clone())
    }
}

// === impl Source ===

impl Source {
    /// The same but for one key.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.0.shift_remove(key);
        self
    }

    /// The keys that another mapping has otherwise.
    pub(super) fn differences(&self, other: &Self) -> BTreeSet<String> {
        let keys = self.0.keys().chain(other.0.keys()).filter_map(Value::as_str);
        keys.filter(|key| self.0.get(*key) != other.0.get(*key)).map(str::to_owned).collect()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Source").finish_non_exhaustive()
    }
}
