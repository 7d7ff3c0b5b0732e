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
    let labels: Vec<_> = dashboard.variables.iter().filter_map(variables::label_of).collect();
    for (panel, query) in dashboard.queries() {
        let Some(Ok(expression)) = &query.expression else { continue };
        for found in expression::uses(expression) {
            let Some(name) = found.name.filter(|name| !has_placeholder(name)) else { continue };
            let matched = |label: &str| found.selector.matchers.matchers.iter().any(|matcher| matcher.name == label);
            for label in labels.iter().filter(|label| has(catalogue, name, label) && !matched(label)) {
                let problem = format!("`{name}` is asked whatever `{label}` was chosen");
                report.find(Some(panel.title), query.path.as_str(), problem);
            }
        }
    }
}

fn has(catalogue: &Catalogue, name: &str, label: &str) -> bool {
    let labels = catalogue.labels(name);
    if labels.is_open() {
        catalogue.is_known(name) && OF_EVERY_SERIES.contains(&label) && !name.contains(':')
    } else {
        labels.known(label)
    }
}
