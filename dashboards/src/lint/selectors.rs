//! The rule that what a viewer chose is what every query asks.

use super::{
    Catalogue, Report, Rule,
    expression::{self, has_placeholder, placeholder},
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

/// What a viewer chooses: values of a label.
struct Chosen<'a> {
    label: &'a str,
    /// The metric that they come from, where it is said.
    metric: Option<&'a str>,
    /// What stands for them in a query.
    placeholder: String,
}

fn selected(dashboard: &Dashboard<'_>, catalogue: &Catalogue, report: &mut Report<'_>) {
    let chosen = dashboard.variables.iter().filter_map(|variable| {
        let label = variables::label_of(variable)?;
        Some(Chosen { label, metric: variables::metric_of(variable), placeholder: placeholder(variable.name) })
    });
    let chosen: Vec<_> = chosen.collect();
    for (panel, query) in dashboard.queries() {
        let Some(Ok(expression)) = &query.expression else { continue };
        for found in expression::uses(expression) {
            let Some(name) = found.name.filter(|name| !has_placeholder(name)) else { continue };
            for Chosen { label, metric, placeholder } in &chosen {
                // It may be asked by another label, or by what it is joined with.
                let matchers = &found.selector.matchers.matchers;
                let is_asked = found.joined.contains(label)
                    || matchers.iter().any(|matcher| matcher.name == *label || matcher.value.contains(placeholder));
                if !is_asked && has(catalogue, name, label, *metric) {
                    let problem = format!("`{name}` is asked whatever `{label}` was chosen");
                    report.find(Some(panel.title), query.path.as_str(), problem);
                }
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
    let is_of_program =
        chosen_from.is_none_or(|metric| metric == "up" || metric.split('_').next() == name.split('_').next());
    catalogue.is_known(name) && is_of_program && OF_EVERY_SERIES.contains(&label) && !name.contains(':')
}
