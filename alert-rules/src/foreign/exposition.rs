//! Reads what metrics a page of the text formats has: their types, labels and bounds, and no values.

use std::collections::{BTreeMap, HashMap};

use futura_metrics::spec::is_metric_name;

use super::{Metric, MetricKind};

/// What the suffixes of a family's series are.
const SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_created", "_total", "_info"];

/// The metrics of a page, by name.
pub(super) fn metrics(page: &str) -> BTreeMap<String, Metric> {
    let mut kinds = HashMap::new();
    let mut metrics = BTreeMap::<String, Metric>::new();
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.trim().rsplit_once(' ').unwrap_or((family, ""));
            kinds.insert(name.trim(), MetricKind::named(kind));
            continue;
        }
        let Some((name, labels)) = sample(line) else { continue };
        let (name, kind) = family(name, &kinds);
        let metric = metrics.entry(name.to_owned()).or_default();
        metric.kind = kind;
        let known = metric.labels.get_or_insert_with(BTreeMap::new);
        for (label, value) in labels {
            match (label, kind) {
                ("le", MetricKind::Histogram) => {
                    let bound = value.parse::<f64>().ok().filter(|bound| bound.is_finite());
                    metric.bounds.extend(bound.filter(|bound| !metric.bounds.contains(bound)));
                }
                _ => drop(known.entry(label.to_owned()).or_default()),
            }
        }
    }
    metrics
}

/// The metric that a series belongs to, and what it is.
fn family<'a>(name: &'a str, kinds: &HashMap<&str, MetricKind>) -> (&'a str, MetricKind) {
    if let Some(kind) = kinds.get(name) {
        return (name, *kind);
    }
    let family = SUFFIXES.iter().find_map(|suffix| {
        let family = name.strip_suffix(suffix)?;
        kinds.get(family).map(|kind| (family, *kind, *suffix))
    });
    match family {
        // In OpenMetrics the type has a counter's name without its suffix.
        Some((_, kind, "_total" | "_info")) => (name, kind),
        Some((family, kind @ (MetricKind::Histogram | MetricKind::Summary), _)) => (family, kind),
        _ => (name, MetricKind::Unknown),
    }
}

/// The name and the labels of a sample's line.
fn sample(line: &str) -> Option<(&str, Vec<(&str, String)>)> {
    let line = line.trim();
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    if !is_metric_name(name) || name.ends_with(':') {
        return None;
    }
    let mut labels = Vec::new();
    let mut rest = rest.strip_prefix('{').unwrap_or(rest);
    while let Some((label, after)) = rest.trim_start_matches([',', ' ']).split_once("=\"") {
        // An exemplar behind the value has labels of its own.
        if !is_metric_name(label.trim()) {
            break;
        }
        let (value, length) = value(after)?;
        labels.push((label.trim(), value));
        rest = &after[length..];
        if rest.starts_with('}') {
            break;
        }
    }
    let value = rest.trim_start_matches(['}', ',', ' ', '\t']).split_whitespace().next()?;
    value.parse::<f64>().is_ok().then_some((name, labels))
}

/// A label's value, and how far it goes with its closing quote.
fn value(text: &str) -> Option<(String, usize)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => {
                value.push(if character == 'n' { '\n' } else { character });
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, at + 1)),
            _ => value.push(character),
        }
    }
    None
}
