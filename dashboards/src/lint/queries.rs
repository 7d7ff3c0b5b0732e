//! Rules about queries: that they parse, ask what exists, and ask it rightly.

use std::time::Duration;

use futura_alert_rules::foreign::{Labels, MetricKind};

use super::{
    Catalogue, Report, Rule,
    expression::{self, CHOSEN, RATE_INTERVAL, Use, has_placeholder},
    model::{Dashboard, Language, text},
};

/// Panels that show one value of a window, which may be as long as its title says.
const ONE_VALUE: [&str; 4] = ["bargauge", "gauge", "stat", "table"];
/// What a counter is good for, besides its rate.
const OF_COUNTERS: [&str; 14] = [
    "absent",
    "absent_over_time",
    "changes",
    "count",
    "count_over_time",
    "delta",
    "group",
    "increase",
    "irate",
    "last_over_time",
    "present_over_time",
    "rate",
    "resets",
    "timestamp",
];

pub(super) const RULES: &[Rule] = &[
    Rule::error("target-promql-rule", "write what Prometheus takes", promql),
    Rule::error("target-logql-rule", "begin with a selector of streams, and close what is opened", logql),
    Rule::warning(
        "target-logql-auto-rule",
        "write `[$__auto]`, which suits the panel's width and time range",
        logql_auto,
    ),
    Rule::error(
        "target-rate-interval-rule",
        "write `[$__rate_interval]`: a fixed range skips what happens between the points of a long time range",
        rate_interval,
    ),
    Rule::error(
        "target-counter-agg-rule",
        "take its `rate` or `increase`: the number itself says when it began to count",
        counters,
    ),
    Rule::error(
        "target-gauge-rate-rule",
        "a gauge falls, which `rate` takes for a restart: use `delta` or `deriv`",
        gauges,
    ),
    Rule::error("target-metric-rule", "name a metric that there is", metrics),
    Rule::error("target-label-rule", "name labels and values that the metric has", labels),
    Rule::error("target-legend-rule", "write only labels that the query keeps into the legend", legends),
];

fn promql(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let of_panels = dashboard.queries().map(|(panel, query)| (Some(panel.title), query));
    let of_annotations = dashboard.annotations.iter().map(|query| (None, query));
    for (panel, query) in of_panels.chain(of_annotations) {
        if let Some(Err(reason)) = &query.expression {
            report.find(panel, query.path.as_str(), format!("`{}` does not parse: {reason}", query.text));
        }
    }
}

/// Whether everything that is opened is closed, outside of quotes, and a selector of streams is there.
fn is_logql(text: &str) -> bool {
    let (mut open, mut quote, mut has_selector) = (Vec::new(), None, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some('"'), '\\') => drop(characters.next()),
            (Some(mark), _) if mark == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(character),
            (None, '(' | '[' | '{') => {
                has_selector |= character == '{';
                open.push(character);
            }
            (None, ')' | ']' | '}') => {
                let opened = match character {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(opened) {
                    return false;
                }
            }
            (None, _) => {}
        }
    }
    open.is_empty() && quote.is_none() && has_selector && !text.replace(' ', "").contains("{}")
}

fn logql(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for (panel, query) in dashboard.queries().filter(|(_, query)| query.language == Language::Logql) {
        if !is_logql(query.text) {
            report.find(Some(panel.title), query.path.as_str(), format!("`{}` is not LogQL", query.text));
        }
    }
}

fn logql_auto(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    for (panel, query) in dashboard.queries().filter(|(_, query)| query.language == Language::Logql) {
        let ranges = query.text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
        for range in ranges.filter(|range| *range != "$__auto") {
            report.find(Some(panel.title), query.path.as_str(), format!("the range `[{range}]` is fixed"));
        }
    }
}

fn rate_interval(dashboard: &Dashboard<'_>, _: &Catalogue, report: &mut Report<'_>) {
    let is_drawn = |kind: &str| !ONE_VALUE.contains(&kind);
    for (panel, query) in dashboard.queries().filter(|(panel, _)| is_drawn(panel.kind)) {
        let Some(Ok(expression)) = &query.expression else { continue };
        for found in expression::uses(expression) {
            let is_rate = found.within.last().is_some_and(|function| function == "rate" || function == "irate");
            let is_fixed = |range: &Duration| is_rate && *range != RATE_INTERVAL && *range != CHOSEN;
            if let Some(range) = found.range.filter(is_fixed) {
                let name = found.name.unwrap_or_default();
                let problem =
                    format!("the rate of `{name}` is over {} seconds, however wide the panel is", range.as_secs());
                report.find(Some(panel.title), query.path.as_str(), problem);
            }
        }
    }
}

fn counters(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    for (panel, query, expression) in dashboard.expressions() {
        for found in expression::uses(expression) {
            let name = found.name.unwrap_or_default();
            let is_used = found.within.iter().any(|function| OF_COUNTERS.contains(&function.as_str()));
            // By its name nothing is a counter: there are gauges that end in `_total` or `_count`.
            if catalogue.kind(name) == MetricKind::Counter && !is_used {
                let problem = format!("`{name}` is a counter, and its number is asked");
                report.find(panel.map(|panel| panel.title), query.path.as_str(), problem);
            }
        }
    }
}

fn gauges(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    for (panel, query, expression) in dashboard.expressions() {
        for found in expression::uses(expression) {
            let name = found.name.unwrap_or_default();
            let function = found.within.last().map_or("", String::as_str);
            if catalogue.kind(name) == MetricKind::Gauge && ["rate", "irate", "increase"].contains(&function) {
                let problem = format!("`{function}` is taken of the gauge `{name}`");
                report.find(panel.map(|panel| panel.title), query.path.as_str(), problem);
            }
        }
    }
}

fn metrics(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    for (panel, query, expression) in dashboard.expressions() {
        for found in expression::uses(expression) {
            // What a rule records has a colon in its name, and is declared by the rule.
            let is_metric = |name: &&str| !has_placeholder(name) && !name.contains(':');
            let Some(name) = found.name.filter(is_metric) else { continue };
            if !catalogue.is_known(name) {
                let near = catalogue.nearest(name).map(|near| format!(", though `{near}` is there"));
                let problem = format!("no metric is called `{name}`{}", near.unwrap_or_default());
                report.find(panel.map(|panel| panel.title), query.path.as_str(), problem);
            }
        }
    }
}

fn labels(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    for (panel, query, expression) in dashboard.expressions() {
        let title = panel.map(|panel| panel.title);
        for found in expression::uses(expression) {
            for problem in matcher_problems(&found, catalogue) {
                report.find(title, query.path.as_str(), problem);
            }
        }
        let lost = Labels::lost(expression, catalogue);
        for label in lost.iter().filter(|label| !has_placeholder(label)) {
            report.find(title, query.path.as_str(), format!("it groups by `{label}`, which is not there any more"));
        }
    }
}

/// Matchers of labels that the metric does not have, or of values that the label never has.
fn matcher_problems(found: &Use<'_>, catalogue: &Catalogue) -> Vec<String> {
    let name = found.name.unwrap_or_default();
    let labels = catalogue.labels(name);
    let problems = found.selector.matchers.matchers.iter().filter_map(|matcher| {
        let label = &matcher.name;
        if label != "__name__" && !has_placeholder(label) && !labels.may(label) {
            return Some(format!("`{name}` has no label `{label}`"));
        }
        let value = catalogue.never(name, matcher).filter(|_| !has_placeholder(&matcher.value))?;
        Some(format!("the label `{label}` of `{name}` is never `{value}`"))
    });
    problems.collect()
}

fn legends(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    for (panel, query, expression) in dashboard.expressions() {
        let labels = Labels::of(expression, catalogue);
        for key in ["legendFormat", "titleFormat", "textFormat", "tagKeys"] {
            let format = text(&query.json[key]);
            let named = format.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim);
            for label in named.filter(|label| !labels.may(label)) {
                let path = query.path.replace(".expr", &format!(".{key}"));
                report.find(panel.map(|panel| panel.title), path, format!("the query has no label `{label}`"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_logql;

    #[test]
    fn logql_is_told_from_what_loki_refuses() {
        for text in [r#"sum by (a) (rate({app="x"} |= "}" [$__auto]))"#, r#"{app="x"} | json | line_format `{{.a}}`"#] {
            assert!(is_logql(text), "{text}");
        }
        for text in [r#"rate({app="x"}[5m]"#, "{}", "up", r#"{app="x}"#] {
            assert!(!is_logql(text), "{text}");
        }
    }
}
