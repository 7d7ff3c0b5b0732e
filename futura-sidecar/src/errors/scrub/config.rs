//! The key `errors.scrub`: which rules there are, where they apply, and where the defaults do not.

use std::fs;

use serde_yaml::Value;

use super::{
    Scrubber,
    chunks::Redaction,
    engine::{Layer, Reach},
    rules::{self, KindConfig, RuleConfig, Rules},
    selector::Selector,
};
use crate::config::{Section, form, read_json};

/// How many rules, selectors and applications there may be.
const LIMIT: usize = 1000;

/// How large a file of rules may be, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Rules and where they apply, as one of two places has them.
#[derive(Default)]
struct PiiConfig {
    rules: Vec<(String, RuleConfig)>,
    applications: Vec<(String, Selector, Vec<String>)>,
}

/// Reads `scrub`; none where something is wrong, which is a finding then.
pub(crate) fn read(section: &mut Section<'_, '_>) -> Option<Scrubber> {
    section.nested("scrub", read_scrub, Scrubber::default())
}

fn read_scrub(section: &mut Section<'_, '_>) -> Option<Scrubber> {
    let defaults = section.or("defaults", form::flag, true);
    let allow = section.or("allow", selectors, Vec::new());
    let own = PiiConfig::read(section);
    let file = section.or("file", |value| PiiConfig::load(&form::text(value)?), PiiConfig::default());
    let (mut own, file) = (own?, file?);
    let mut rules = Rules::default();
    for (name, config) in file.rules.into_iter().chain(own.rules) {
        if !rules.add(name.clone(), config) {
            section.report_at(
                &["rules", &name],
                format!("`file` has a rule `{name}` already: give this one another name"),
            );
            return None;
        }
    }
    let mut applications = Vec::new();
    own.applications.splice(..0, file.applications);
    for (text, selector, names) in own.applications {
        match rules.resolve(&names) {
            Ok(rules) => applications.push((selector, rules)),
            Err(message) => {
                section.report_at(&["applications", &text], message);
                return None;
            }
        }
    }
    // Relay goes by the order of selectors, and not by the one in which they are written.
    applications.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(Scrubber::new(Layer { applications, reach: Reach::Relay }, defaults?, allow?))
}

fn selectors(value: &Value) -> Result<Vec<Selector>, String> {
    let one = |value: &Value| form::text(value)?.parse::<Selector>().map_err(|error| error.to_string());
    match value {
        Value::Sequence(values) if values.len() <= LIMIT => values.iter().map(one).collect(),
        Value::Sequence(_) => Err(format!("more than {LIMIT} are too many")),
        other => Err(format!("{} is no list of selectors: write one such as `[user.email]`", form::shown(other))),
    }
}

fn names(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Sequence(values) if values.len() <= LIMIT => values.iter().map(form::text).collect(),
        other => Err(format!("{} is no list of rules: write one such as `[\"@email:mask\"]`", form::shown(other))),
    }
}

// === impl PiiConfig ===

impl PiiConfig {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let rules = section.entries("rules", LIMIT, RuleConfig::read);
        let applications = read_applications(section);
        Some(Self { rules: rules?, applications: applications? })
    }

    /// Reads a file of Relay's `piiConfig`.
    fn load(path: &str) -> Result<Self, String> {
        let size = fs::metadata(path).map_err(|error| format!("cannot read `{path}`: {error}"))?.len();
        if size > FILE_LIMIT {
            return Err(format!("`{path}` is larger than {FILE_LIMIT} bytes"));
        }
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
        read_json(&text, Self::read).map_err(|problem| format!("`{path}`: {problem}"))
    }
}

fn read_applications(section: &mut Section<'_, '_>) -> Option<Vec<(String, Selector, Vec<String>)>> {
    let mapping = match section.value("applications") {
        None => return Some(Vec::new()),
        Some(Value::Mapping(mapping)) if mapping.len() <= LIMIT => mapping,
        Some(other) => return section.keep("applications", Err(format!("{} is no section", form::shown(other)))),
    };
    let mut all = Some(Vec::new());
    for (text, value) in mapping {
        let text = text.as_str().unwrap_or_default();
        let selector = text.parse::<Selector>().map_err(|error| error.to_string());
        match selector.and_then(|selector| Ok((text.to_owned(), selector, names(value)?))) {
            Ok(one) => all.iter_mut().for_each(|all| all.push(one.clone())),
            Err(message) => {
                section.report_at(&["applications", text], message);
                all = None;
            }
        }
    }
    all
}

// === impl RuleConfig ===

impl RuleConfig {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let kind = section.required("type", form::text, "pattern")?;
        let pattern = |value: &Value| rules::compile(&form::text(value)?);
        let kind = match kind.as_str() {
            "pattern" => {
                let regex = section.required("pattern", pattern, "'\\d{6}'");
                let groups = section.or("replaceGroups", |value| groups(value).map(Some), None);
                let (regex, groups) = (regex?, groups?);
                if let Some(group) = groups.iter().flatten().find(|group| **group >= regex.captures_len()) {
                    let most = regex.captures_len() - 1;
                    section.report("replaceGroups", format!("there is no group {group}: the pattern has {most}"));
                    return None;
                }
                KindConfig::Pattern { regex, groups }
            }
            "redact_pair" | "redactPair" => {
                KindConfig::RedactPair(section.required("keyPattern", pattern, "'(?i)my_secret'")?)
            }
            "multiple" | "alias" => {
                let rules = match kind.as_str() {
                    "alias" => section.required("rule", |value| Ok(vec![form::text(value)?]), "'@email'"),
                    _ => section.required("rules", names, "['@email', '@ip']"),
                };
                let hidden = section.or("hideInner", form::flag, false);
                KindConfig::Multiple { rules: rules?, hidden: hidden? }
            }
            other => match rules::kind(other) {
                Some(builtin) => KindConfig::Builtin(builtin),
                None => return section.keep("type", Err(unknown_kind(other))),
            },
        };
        let redaction = section.nested("redaction", read_redaction, Redaction::Default);
        Some(Self { kind, redaction: redaction? })
    }
}

fn unknown_kind(kind: &str) -> String {
    format!("there is no type `{kind}`, allowed are `pattern`, `redact_pair`, `multiple`, `alias`, {}", rules::kinds())
}

fn groups(value: &Value) -> Result<Vec<usize>, String> {
    let Value::Sequence(values) = value else { return Err(format!("{} is no list of groups", form::shown(value))) };
    let group = |value: &Value| usize::try_from(form::number(value)?).map_err(|_| "it is too large".to_owned());
    values.iter().map(group).collect()
}

fn read_redaction(section: &mut Section<'_, '_>) -> Option<Redaction> {
    let method = section.required("method", form::text, "replace")?;
    Some(match method.as_str() {
        "default" => Redaction::Default,
        "remove" => Redaction::Remove,
        "mask" => Redaction::Mask,
        "hash" => Redaction::Hash,
        "replace" => Redaction::Replace(section.or("text", form::text, "[Filtered]".to_owned())?),
        other => {
            let message =
                format!("there is no method `{other}`, allowed are `remove`, `replace`, `mask`, `hash`, `default`");
            return section.keep("method", Err(message));
        }
    })
}
