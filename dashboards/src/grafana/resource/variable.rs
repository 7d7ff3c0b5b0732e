//! What a viewer can choose, as a resource has it: where the classic model has numbers, this one has words.

use serde::Serialize;

use super::{DataQuery, Kind};
use crate::grafana::{Choice, DatasourceKind, Refresh, Sort, Variable, VariableQuery};

/// A variable.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VariableSpec<'a> {
    name: &'static str,
    label: &'static str,
    hide: &'static str,
    skip_url_sync: bool,
    #[serde(flatten)]
    source: Source<'a>,
    regex: &'static str,
    /// Grafana finds them by itself.
    options: [(); 0],
    multi: bool,
    include_all: bool,
    allow_custom_value: bool,
}

/// Where its choices come from.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Source<'a> {
    Datasources {
        plugin_id: DatasourceKind,
        refresh: &'static str,
        current: Choice,
    },
    Query {
        query: DataQuery<&'a VariableQuery>,
        /// What Grafana shows in the list of variables.
        definition: &'a str,
        refresh: &'static str,
        sort: &'static str,
        current: &'a Choice,
        #[serde(skip_serializing_if = "Option::is_none")]
        all_value: Option<&'static str>,
    },
}

// === impl Kind ===

impl<'a> From<&'a Variable> for Kind<VariableSpec<'a>> {
    fn from(variable: &'a Variable) -> Self {
        match variable {
            Variable::Datasource { name, label, query } => {
                // None is chosen at first, so that Grafana takes its default one.
                let current = Choice::one("");
                let source = Source::Datasources { plugin_id: *query, refresh: "onDashboardLoad", current };
                Self { kind: "DatasourceVariable", spec: VariableSpec::new(name, label, source) }
            }
            Variable::Query {
                name,
                label,
                datasource,
                query,
                current,
                refresh,
                sort,
                multi,
                include_all,
                all_value,
            } => {
                let source = Source::Query {
                    query: DataQuery::new(*datasource, query),
                    definition: &query.query,
                    refresh: self::refresh(*refresh),
                    sort: self::sort(*sort),
                    current,
                    all_value: *all_value,
                };
                let spec = VariableSpec::new(name, label, source);
                Self { kind: "QueryVariable", spec: VariableSpec { multi: *multi, include_all: *include_all, ..spec } }
            }
        }
    }
}

fn refresh(refresh: Refresh) -> &'static str {
    match refresh {
        Refresh::OnTimeRangeChanged => "onTimeRangeChanged",
    }
}

fn sort(sort: Sort) -> &'static str {
    match sort {
        Sort::AlphabeticalAscending => "alphabeticalAsc",
    }
}

// === impl VariableSpec ===

impl<'a> VariableSpec<'a> {
    fn new(name: &'static str, label: &'static str, source: Source<'a>) -> Self {
        Self {
            name,
            label,
            hide: "dontHide",
            skip_url_sync: false,
            source,
            regex: "",
            options: [],
            multi: false,
            include_all: false,
            allow_custom_value: true,
        }
    }
}
