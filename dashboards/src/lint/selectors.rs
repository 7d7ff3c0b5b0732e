//! The rule that what a viewer chose is what every query asks.

use super::{
    Catalogue, Report, Rule,
    catalogue::{Metric, Series},
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
            let Some(name) = found.selector.name.as_deref().filter(|name| !has_placeholder(name)) else { continue };
            let matched = |label: &str| found.selector.matchers.matchers.iter().any(|matcher| matcher.name == label);
            for label in labels.iter().filter(|label| has(catalogue, name, label) && !matched(label)) {
                let problem = format!("`{name}` is asked whatever `{label}` was chosen");
                report.find(Some(panel.title), query.path.as_str(), problem);
            }
        }
    }
}

fn has(catalogue: &Catalogue, name: &str, label: &str) -> bool {
    match catalogue.series(name) {
        Series::Of(Metric { labels: Some(own), .. }, _) => {
            own.iter().any(|known| known.name == label) || catalogue.target_labels.iter().any(|known| known == label)
        }
        Series::Of(..) | Series::Unknown => OF_EVERY_SERIES.contains(&label) && !name.contains(':'),
        Series::Missing => false,
    }
}
