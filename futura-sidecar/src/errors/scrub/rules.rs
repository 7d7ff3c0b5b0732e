//! Rules: what they look for and what they do about it, and how a text is searched by them.

use std::collections::{HashMap, HashSet};

use regex::{Captures, Regex, RegexBuilder};

use super::{
    chunks::Redaction,
    patterns::{BUILTINS, Builtin, Finds, QUOTES},
};

/// How large a compiled pattern may be, in bytes.
const SIZE_LIMIT: usize = 1024 * 1024;

/// How many rules one name may stand for.
const RULES_LIMIT: usize = 1000;

/// What Relay's own defaults look for, which `@common` stands for.
const COMMON: &[&str] = &["password", "creditcard", "iban", "usssn", "pemkey", "bearer", "urlauth"];

/// A rule as it was written.
#[derive(Clone, Debug)]
pub(super) struct RuleConfig {
    pub(super) kind: KindConfig,
    pub(super) redaction: Redaction,
}

/// What a rule looks for, as it was written.
#[derive(Clone, Debug)]
pub(super) enum KindConfig {
    Builtin(&'static Builtin),
    Pattern {
        regex: Regex,
        groups: Option<Vec<usize>>,
    },
    RedactPair(Regex),
    /// Others, whose remarks have this one's name if they are hidden.
    Multiple {
        rules: Vec<String>,
        hidden: bool,
    },
}

/// A rule that is ready.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// By which rules at one place are ordered.
    id: String,
    /// The name in remarks.
    pub(super) origin: String,
    finds: Matcher,
    pub(super) redaction: Redaction,
}

#[derive(Clone, Debug)]
enum Matcher {
    Builtin(&'static Finds),
    Pattern { regex: Regex, groups: Option<Vec<usize>> },
    Pair(Regex),
}

/// What a rule says of a value.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Keeps,
    /// The value goes as a whole.
    Removes,
    /// These parts of the text go.
    Redacts(Vec<(usize, usize)>),
}

/// All rules that have names.
#[derive(Debug, Default)]
pub(super) struct Rules(HashMap<String, RuleConfig>);

// === impl Rules ===

impl Rules {
    /// Takes a rule; says whether the name was free.
    pub(super) fn add(&mut self, name: String, config: RuleConfig) -> bool {
        self.0.insert(name, config).is_none()
    }

    /// What the names stand for, in the order in which it is applied.
    pub(super) fn resolve(&self, names: &[String]) -> Result<Vec<Rule>, String> {
        let (mut rules, mut seen) = (Vec::new(), HashSet::new());
        for name in names {
            self.collect(name, None, &mut seen, &mut rules)?;
        }
        rules.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(rules)
    }

    fn collect(
        &self,
        name: &str,
        origin: Option<&str>,
        seen: &mut HashSet<String>,
        rules: &mut Vec<Rule>,
    ) -> Result<(), String> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        if seen.len() > RULES_LIMIT {
            return Err(format!("more than {RULES_LIMIT} rules are too many at one place"));
        }
        let Some(config) = self.0.get(name) else {
            let builtin = builtin(name, origin).ok_or_else(|| unknown(name))?;
            let id = builtin.first().map(|rule| format!("{} itself", rule.id));
            if id.is_some_and(|id| seen.insert(id)) {
                rules.extend(builtin);
            }
            return Ok(());
        };
        let finds = match &config.kind {
            KindConfig::Multiple { rules: names, hidden } => {
                let origin = if *hidden { origin.or(Some(name)) } else { None };
                return names.iter().try_for_each(|inner| self.collect(inner, origin, seen, rules));
            }
            KindConfig::Builtin(kind) => {
                rules.extend(ready(kind, name, origin.unwrap_or(name), &config.redaction));
                return Ok(());
            }
            KindConfig::Pattern { regex, groups } => Matcher::Pattern { regex: regex.clone(), groups: groups.clone() },
            KindConfig::RedactPair(regex) => Matcher::Pair(regex.clone()),
        };
        let origin = origin.unwrap_or(name).to_owned();
        rules.push(Rule { id: name.to_owned(), origin, finds, redaction: config.redaction.clone() });
        Ok(())
    }
}

fn unknown(name: &str) -> String {
    let hint = "rules are those below `rules` and built-in ones such as `@email:mask`";
    format!("there is no rule `{name}`: {hint}")
}

fn named(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// The rules that a name such as `@email:mask` stands for.
fn builtin(name: &str, origin: Option<&str>) -> Option<Vec<Rule>> {
    let (kind, variant) = match name.strip_prefix('@')?.split_once(':') {
        Some((kind, variant)) => (kind, Some(variant)),
        None => (name.strip_prefix('@')?, None),
    };
    if kind == "common" {
        let name = |kind: &&str| variant.map_or(format!("@{kind}"), |variant| format!("@{kind}:{variant}"));
        return COMMON
            .iter()
            .map(|kind| builtin(&name(kind), origin))
            .collect::<Option<Vec<_>>>()
            .map(|rules| rules.concat());
    }
    let builtin = named(kind)?;
    let variant = variant.unwrap_or(builtin.usual);
    // The name alone is the usual variant by another name: of both only the first counts.
    let id = format!("@{kind}:{variant}");
    Some(ready(builtin, &id, origin.unwrap_or(name), &builtin.redaction(variant)?))
}

/// What a kind takes, in the order in which it is applied.
fn ready(builtin: &'static Builtin, id: &str, origin: &str, redaction: &Redaction) -> Vec<Rule> {
    let kinds = builtin.after.and_then(named).into_iter().chain([builtin]);
    let rule = |kind: &'static Builtin| Rule {
        id: id.to_owned(),
        origin: origin.to_owned(),
        finds: Matcher::Builtin(&kind.finds),
        redaction: redaction.clone(),
    };
    kinds.map(rule).collect()
}

pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    // A pattern's syntax error draws an arrow over several lines; the last one says it.
    let message = |error: regex::Error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.').to_owned()
    };
    let built = RegexBuilder::new(pattern).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build();
    built.map_err(|error| format!("not a regular expression: {}", message(error)))
}

// === impl Rule ===

impl Rule {
    /// What becomes of a value that is no text.
    pub(super) fn judge(&self, key: &str) -> Verdict {
        let removes = match &self.finds {
            Matcher::Builtin(Finds::Anything) => true,
            Matcher::Builtin(Finds::Pair { key: pattern, .. }) => pattern.regex().is_match(key),
            Matcher::Pair(pattern) => pattern.is_match(key),
            _ => false,
        };
        if removes { Verdict::Removes } else { Verdict::Keeps }
    }

    /// What becomes of a text.
    pub(super) fn judge_text(&self, key: &str, text: &str) -> Verdict {
        let found = match &self.finds {
            Matcher::Builtin(Finds::Anything) if !self.redaction.leaves_text() => return Verdict::Removes,
            Matcher::Builtin(Finds::Anything) => lines(text),
            Matcher::Builtin(Finds::Text { pattern, group, check }) => {
                let found = pattern.regex().captures_iter(text).filter(check);
                found.filter_map(|found| range(&found, *group)).collect()
            }
            Matcher::Builtin(Finds::Pair { key: by_key, value }) => {
                return self.judge_pair(key, text, by_key.regex(), value.regex());
            }
            Matcher::Pair(regex) => return self.judge_pair(key, text, regex, regex),
            Matcher::Pattern { regex, groups: None } => found(regex, text),
            Matcher::Pattern { regex, groups: Some(groups) } => grouped(regex, groups, text),
        };
        if found.is_empty() { Verdict::Keeps } else { Verdict::Redacts(found) }
    }

    fn judge_pair(&self, key: &str, text: &str, by_key: &Regex, by_value: &Regex) -> Verdict {
        match by_key.is_match(key) {
            true if !self.redaction.leaves_text() => Verdict::Removes,
            false if !by_value.is_match(text) => Verdict::Keeps,
            _ => Verdict::Redacts(vec![(0, text.len())]),
        }
    }
}

/// Every line of a text, as Relay's own pattern for anything finds them.
fn lines(text: &str) -> Vec<(usize, usize)> {
    let mut at = 0;
    let line = |line: &str| {
        let start = at;
        at += line.len() + 1;
        (start, start + line.len())
    };
    text.split('\n').map(line).collect()
}

fn found(regex: &Regex, text: &str) -> Vec<(usize, usize)> {
    regex.find_iter(text).map(|found| (found.start(), found.end())).collect()
}

/// The place of a group, or of the one in [`QUOTES`] that was found.
fn range(found: &Captures<'_>, group: usize) -> Option<(usize, usize)> {
    let found = if group == usize::MAX { QUOTES.iter().find_map(|name| found.name(name)) } else { found.get(group) };
    found.map(|found| (found.start(), found.end()))
}

fn grouped(regex: &Regex, groups: &[usize], text: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    for found in regex.captures_iter(text) {
        let mut here: Vec<_> = groups.iter().filter_map(|group| range(&found, *group)).collect();
        // Of groups within each other the outer one has it all.
        here.sort_unstable_by_key(|(start, end)| (*start, usize::MAX - end));
        ranges.extend(here);
    }
    ranges
}

/// The kind that a rule's `type` names.
pub(super) fn kind(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.types.contains(&name) || builtin.name == name)
}

/// The types of [`BUILTINS`] that Relay has, for messages.
pub(super) fn kinds() -> String {
    let types: Vec<_> =
        BUILTINS.iter().filter_map(|builtin| builtin.types.first()).map(|kind| format!("`{kind}`")).collect();
    types.join(", ")
}
