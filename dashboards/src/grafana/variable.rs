//! What a viewer can choose at the top of a dashboard.

use serde::Serialize;

use super::{Datasource, DatasourceKind};

/// A variable.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Variable {
    /// Chooses a data source.
    Datasource {
        /// The name, to write `${name}`.
        name: &'static str,
        /// The name that a viewer sees.
        label: &'static str,
        /// Which kind of data source may be chosen.
        query: DatasourceKind,
    },
    /// Chooses among what a query finds.
    Query {
        /// The name, to write `$name`.
        name: &'static str,
        /// The name that a viewer sees.
        label: &'static str,
        /// Which data source it asks.
        datasource: Datasource,
        /// What it asks.
        query: VariableQuery,
        /// What is chosen at first.
        current: Choice,
        /// When it asks anew.
        refresh: Refresh,
        /// In which order the choices stand.
        sort: Sort,
        /// Whether several can be chosen.
        multi: bool,
        /// Whether all can be chosen at once.
        include_all: bool,
        /// What all stands for in a query.
        #[serde(skip_serializing_if = "Option::is_none")]
        all_value: Option<&'static str>,
    },
}

/// The query of a variable, as the data source for Prometheus takes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VariableQuery {
    /// Grafana's number of the query's kind: 1 for the values of a label.
    pub qry_type: u8,
    /// The query.
    pub query: String,
    /// The name by which Grafana's editor knows it.
    pub ref_id: &'static str,
}

/// What is chosen.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Choice {
    /// One value.
    One {
        /// As a viewer sees it.
        text: String,
        /// As a query gets it.
        value: String,
    },
    /// Several values.
    Several {
        /// As a viewer sees them.
        text: Vec<&'static str>,
        /// As a query gets them.
        value: Vec<&'static str>,
    },
}

/// When a variable asks anew; Grafana's numbers.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(into = "u8")]
pub enum Refresh {
    /// Whenever the time range changes.
    OnTimeRangeChanged,
}

/// In which order choices stand; Grafana's numbers.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(into = "u8")]
pub enum Sort {
    /// By the alphabet.
    AlphabeticalAscending,
}

// === impl Variable ===

impl Variable {
    /// The name of a variable in queries, and what stands for it there before a viewer has chosen.
    pub fn at_first(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Datasource { .. } => None,
            Self::Query { name, all_value: Some(all), .. } => Some((name, all)),
            Self::Query { name, current: Choice::One { value, .. }, .. } => Some((name, value)),
            Self::Query { name, current: Choice::Several { value, .. }, .. } => Some((name, value.first()?)),
        }
    }
}

// === impl Choice ===

impl Choice {
    /// One value.
    pub fn one(value: &str) -> Self {
        Self::One { text: value.to_owned(), value: value.to_owned() }
    }

    /// All values.
    pub fn all() -> Self {
        Self::Several { text: vec!["All"], value: vec!["$__all"] }
    }
}

// === impl Refresh ===

impl From<Refresh> for u8 {
    fn from(refresh: Refresh) -> Self {
        match refresh {
            Refresh::OnTimeRangeChanged => 2,
        }
    }
}

// === impl Sort ===

impl From<Sort> for u8 {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::AlphabeticalAscending => 1,
        }
    }
}
