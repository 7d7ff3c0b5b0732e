//! What a viewer chooses: a variable for a label, which has the label's name.

use std::fmt::Display;

use futura_alert_rules::promql::{Labeled, Matcher, label};
use futura_metrics::spec::Label;

use crate::{
    grafana::{Choice, Refresh, Sort, Variable, VariableQuery},
    panels::DATASOURCE,
};

/// What "All" stands for: every value, and series without the label, as not every scrape configuration gives it.
const ALL: &str = ".*";

/// The label has one of the values that a viewer chose.
pub fn chosen<T: Label>() -> Matcher<T> {
    label::<T>().matches(&format!("${}", T::NAME))
}

/// Chooses any number of the values that `series` have of a label; all at first.
pub fn any<T: Label, Index>(title: &'static str, series: &impl Labeled<T, Index>) -> Variable {
    variable::<T>(title, series, Choice::all(), Some(ALL))
}

/// Chooses one of the values that `series` have of a label; `first` at first.
pub fn one<T: Label, Index>(title: &'static str, series: &impl Labeled<T, Index>, first: &str) -> Variable {
    variable::<T>(title, series, Choice::one(first), None)
}

fn variable<T: Label>(
    title: &'static str,
    series: &impl Display,
    current: Choice,
    all_value: Option<&'static str>,
) -> Variable {
    let query = format!("label_values({series}, {})", T::NAME);
    Variable::Query {
        name: T::NAME,
        label: title,
        datasource: DATASOURCE,
        query: VariableQuery { qry_type: 1, query, ref_id: "PrometheusVariableQueryEditor-VariableQuery" },
        current,
        refresh: Refresh::OnTimeRangeChanged,
        sort: Sort::AlphabeticalAscending,
        multi: all_value.is_some(),
        include_all: all_value.is_some(),
        all_value,
    }
}
