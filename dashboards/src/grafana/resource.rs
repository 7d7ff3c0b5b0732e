//! A dashboard as a resource of Grafana's API, in its model V2: panels apart from where they lie, and each part telling its
//! kind.
//!
//! What both models write alike is written by the same types: options and fields of panels, links, queries, choices.

use serde::Serialize;

use self::{element::Elements, layout::Layout, variable::VariableSpec};
use super::{Annotation, AnnotationText, Color, Dashboard, Datasource, DatasourceKind, GraphTooltip, Link, Timezone};

mod element;
mod layout;
mod variable;

const API_VERSION: &str = "dashboard.grafana.app/v2";
/// The version of how a data source writes its queries: there is none yet.
const QUERY_VERSION: &str = "v0";
/// What Grafana offers to reload by, unless told otherwise.
const REFRESH_INTERVALS: [&str; 10] = ["5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h", "2h", "1d"];

/// A dashboard in Grafana's model V2.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    /// It stands first, because it carries the mark of generated files.
    description: &'a str,
    title: &'a str,
    tags: &'a [&'static str],
    editable: bool,
    preload: bool,
    cursor_sync: &'static str,
    time_settings: TimeSettings,
    links: &'a [Link],
    variables: Vec<Kind<VariableSpec<'a>>>,
    annotations: Vec<Kind<AnnotationSpec<'a>>>,
    elements: Elements<'a>,
    layout: Layout,
}

/// A part of a resource: what it is, and how it is.
#[derive(Debug, Serialize)]
struct Kind<S> {
    kind: &'static str,
    spec: S,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TimeSettings {
    timezone: Timezone,
    from: &'static str,
    to: &'static str,
    auto_refresh: &'static str,
    auto_refresh_intervals: [&'static str; 10],
    hide_timepicker: bool,
    fiscal_year_start_month: u8,
}

/// What is asked of a data source, as that one writes it.
#[derive(Debug, Serialize)]
struct DataQuery<Q> {
    kind: &'static str,
    group: DatasourceKind,
    version: &'static str,
    datasource: DatasourceName,
    spec: Q,
}

#[derive(Debug, Serialize)]
struct DatasourceName {
    name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnnotationSpec<'a> {
    name: &'static str,
    enable: bool,
    hide: bool,
    icon_color: Color,
    query: DataQuery<AnnotationQuery<'a>>,
    /// Where the data source looks for what the model has no place for.
    legacy_options: AnnotationText,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnnotationQuery<'a> {
    ref_id: &'static str,
    expr: &'a str,
}

// === impl Resource ===

impl<'a> From<&'a Dashboard> for Resource<'a> {
    fn from(dashboard: &'a Dashboard) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Dashboard",
            metadata: Metadata { name: dashboard.uid },
            spec: Spec {
                description: &dashboard.description,
                title: dashboard.title,
                tags: &dashboard.tags,
                editable: dashboard.editable,
                preload: false,
                cursor_sync: cursor_sync(dashboard.graph_tooltip),
                time_settings: TimeSettings {
                    timezone: dashboard.timezone,
                    from: dashboard.time.from,
                    to: dashboard.time.to,
                    auto_refresh: dashboard.refresh,
                    auto_refresh_intervals: REFRESH_INTERVALS,
                    hide_timepicker: false,
                    fiscal_year_start_month: 0,
                },
                links: &dashboard.links,
                variables: dashboard.templating.list.iter().map(Kind::from).collect(),
                annotations: dashboard.annotations.list.iter().map(Kind::from).collect(),
                elements: Elements(&dashboard.panels),
                layout: Layout::of(&dashboard.panels),
            },
        }
    }
}

fn cursor_sync(tooltip: GraphTooltip) -> &'static str {
    match tooltip {
        GraphTooltip::SharedCrosshair => "Crosshair",
    }
}

// === impl Kind ===

impl<'a> From<&'a Annotation> for Kind<AnnotationSpec<'a>> {
    fn from(annotation: &'a Annotation) -> Self {
        let spec = AnnotationSpec {
            name: annotation.name,
            enable: annotation.enable,
            hide: false,
            icon_color: annotation.icon_color,
            query: DataQuery::new(annotation.datasource, AnnotationQuery { ref_id: "Anno", expr: &annotation.expr }),
            legacy_options: annotation.text,
        };
        Self { kind: "AnnotationQuery", spec }
    }
}

// === impl DataQuery ===

impl<Q> DataQuery<Q> {
    fn new(Datasource { kind, uid }: Datasource, spec: Q) -> Self {
        Self { kind: "DataQuery", group: kind, version: QUERY_VERSION, datasource: DatasourceName { name: uid }, spec }
    }
}

#[cfg(test)]
mod tests;
