//! The panels of a resource, by name: what they ask, and what draws the answers.

use serde::{Serialize, Serializer};

use super::{DataQuery, Kind};
use crate::grafana::{FieldConfig, Link, Panel, PrometheusQuery, RefId, Target, Visualization};

/// The panels, each under the name by which the layout knows it.
#[derive(Debug)]
pub(super) struct Elements<'a>(pub(super) &'a [Panel]);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PanelSpec<'a> {
    id: u32,
    title: &'static str,
    description: &'a str,
    links: Vec<DataLink<'a>>,
    data: Kind<QueryGroup<'a>>,
    viz_config: VizConfig<'a>,
}

/// A link of a panel, which has no more than these.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DataLink<'a> {
    title: &'a str,
    url: &'a str,
    target_blank: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QueryGroup<'a> {
    queries: Vec<Kind<PanelQuery<'a>>>,
    /// None of ours has one.
    transformations: [(); 0],
    query_options: QueryOptions,
}

/// How a query is asked: as Grafana thinks best.
#[derive(Debug, Serialize)]
struct QueryOptions {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PanelQuery<'a> {
    ref_id: RefId,
    hidden: bool,
    query: DataQuery<&'a PrometheusQuery>,
}

/// What draws a panel; no version of a plugin is asked for.
#[derive(Debug, Serialize)]
struct VizConfig<'a> {
    kind: &'static str,
    group: &'static str,
    version: &'static str,
    spec: VizConfigSpec<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VizConfigSpec<'a> {
    options: &'a Visualization,
    field_config: &'a FieldConfig,
}

/// The name by which the layout knows a panel.
pub(super) fn name(panel: &Panel) -> String {
    format!("panel-{}", panel.id)
}

// === impl Elements ===

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|panel| (name(panel), Kind::from(panel))))
    }
}

// === impl Kind ===

impl<'a> From<&'a Panel> for Kind<PanelSpec<'a>> {
    fn from(panel: &'a Panel) -> Self {
        let queries = panel.targets.iter().map(Kind::from).collect();
        let data = QueryGroup { queries, transformations: [], query_options: QueryOptions {} };
        let spec = PanelSpec {
            id: panel.id,
            title: panel.title,
            description: &panel.description,
            links: panel.links.iter().map(DataLink::from).collect(),
            data: Kind { kind: "QueryGroup", spec: data },
            viz_config: VizConfig {
                kind: "VizConfig",
                group: panel.visualization.plugin(),
                version: "",
                spec: VizConfigSpec { options: &panel.visualization, field_config: &panel.field_config },
            },
        };
        Self { kind: "Panel", spec }
    }
}

impl<'a> From<&'a Target> for Kind<PanelQuery<'a>> {
    fn from(Target { ref_id, datasource, query }: &'a Target) -> Self {
        let query = DataQuery::new(*datasource, query);
        Self { kind: "PanelQuery", spec: PanelQuery { ref_id: *ref_id, hidden: false, query } }
    }
}

// === impl DataLink ===

impl<'a> From<&'a Link> for DataLink<'a> {
    fn from(Link { title, url, target_blank, .. }: &'a Link) -> Self {
        Self { title, url, target_blank: *target_blank }
    }
}
