//! The rule that what a viewer chose is what every query asks.

use super::{
    Catalogue, Report, Rule,
    expression::{self, has_placeholder},
    model::Dashboard,
    variables,
};

/// Labels that Prometheus gives every series, known or not.
const OF_EVERY_SERIES: [&str; 2] = ["instance", "job"];

pub(super) const RULES: &[Rule] = &[Rule::error(
    "target-selector-rule",
    "match the label with the variable, so that the panel shows what was chosen",
    selected,
)];

fn selected(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    let chosen = dashboard.variables.iter().filter_map(|variable| {
        let label = variables::label_of(variable)?;
        Some((label, variables::metric_of(variable)))
    });
    let chosen: Vec<_> = chosen.collect();
    for (panel, query) in dashboard.queries() {
        let Some(Ok(expression)) = &query.expression else { continue };
        for found in expression::uses(expression) {
            let Some(name) = found.name.filter(|name| !has_placeholder(name)) else { continue };
            let matched = |label: &str| found.selector.matchers.matchers.iter().any(|matcher| matcher.name == label);
            let asked = |(label, of): &&(&str, Option<&str>)| has(catalogue, name, label, *of) && !matched(label);
            for (label, _) in chosen.iter().filter(asked) {
                let problem = format!("`{name}` is asked whatever `{label}` was chosen");
                report.find(Some(panel.title), query.path.as_str(), problem);
            }
        }
    }
}

/// Whether the series of this name have the label that was chosen from those of another metric.
fn has(catalogue: &Catalogue, name: &str, label: &str, chosen_from: Option<&str>) -> bool {
    let labels = catalogue.labels(name);
    if !labels.is_open() {
        return labels.known(label);
    }
    // The jobs of one program are not those of another, whose metrics begin with another word.
    let program = |name: &'_ str| name.split('_').next().unwrap_or_default().to_owned();
    let is_of_program = chosen_from.is_none_or(|metric| metric == "up" || program(metric) == program(name));
    catalogue.is_known(name) && is_of_program && OF_EVERY_SERIES.contains(&label) && !name.contains(':')
}
