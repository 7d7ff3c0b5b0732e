//! Panels, and the rows that they stand in.

use futura_alert_rules::promql::{Quantity, Threshold};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{Color, Datasource, FieldConfig, GRID_WIDTH, Link, Visualization, visualization};

/// From here on rows have their ids, out of the way of the panels'.
const FIRST_ROW_ID: u32 = 1000;

/// A panel.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Stable, part of links.
    pub id: u32,
    /// What draws it, and how.
    #[serde(flatten, serialize_with = "visualization::tagged")]
    pub visualization: Visualization,
    /// The title.
    pub title: &'static str,
    /// What it shows and what to do about it, in Markdown.
    pub description: String,
    /// Which data source it asks.
    pub datasource: Datasource,
    /// Where it lies.
    pub grid_pos: GridPos,
    /// What it asks.
    pub targets: Vec<Target>,
    /// How values are written and colored.
    pub field_config: FieldConfig,
    /// Where to go from here.
    pub links: Vec<Link>,
    /// What its values measure.
    #[serde(skip)]
    pub quantity: Quantity,
    /// The thresholds that are drawn, each in its alert's color.
    #[serde(skip)]
    pub alarms: Vec<(Threshold, Color)>,
    /// The heading of the row that begins with this panel.
    #[serde(skip)]
    pub row: Option<&'static str>,
}

/// The heading of the panels that follow.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// As unique as a panel's.
    pub id: u32,
    /// Always `row`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The heading.
    pub title: &'static str,
    /// Whether its panels are hidden at first.
    pub collapsed: bool,
    /// Where it lies.
    pub grid_pos: GridPos,
    /// The panels that it hides; those of an open row stand beside it.
    pub panels: Vec<Panel>,
}

/// Where a panel lies on the grid of 24 columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GridPos {
    /// Height.
    pub h: u32,
    /// Width.
    pub w: u32,
    /// Columns from the left.
    pub x: u32,
    /// Rows from the top.
    pub y: u32,
}

/// A query.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its letter.
    pub ref_id: RefId,
    /// Which data source it asks.
    pub datasource: Datasource,
    /// What it asks there.
    #[serde(flatten)]
    pub query: PrometheusQuery,
}

/// A query as the data source for Prometheus takes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQuery {
    /// The query.
    pub expr: String,
    /// How a series is called.
    pub legend_format: String,
    /// Whether it is asked over the time range.
    pub range: bool,
    /// Whether single observations are shown, each of which leads to its trace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exemplar: bool,
}

/// The letter of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RefId {
    /// The first.
    A,
    /// The second.
    B,
    /// The third.
    C,
    /// The fourth.
    D,
}

/// Writes each row's heading before the panel that begins it.
pub(super) fn with_rows<S: Serializer>(panels: &[Panel], serializer: S) -> Result<S::Ok, S::Error> {
    let mut items = serializer.serialize_seq(None)?;
    let mut id = FIRST_ROW_ID;
    for panel in panels {
        if let Some(title) = panel.row {
            let above = panel.grid_pos.y.saturating_sub(Row::HEIGHT);
            let grid_pos = GridPos { h: Row::HEIGHT, w: GRID_WIDTH, x: 0, y: above };
            items.serialize_element(&Row { id, kind: "row", title, collapsed: false, grid_pos, panels: Vec::new() })?;
            id += 1;
        }
        items.serialize_element(panel)?;
    }
    items.end()
}

// === impl Row ===

impl Row {
    /// The height of a heading.
    pub const HEIGHT: u32 = 1;
}

// === impl RefId ===

impl RefId {
    /// Every letter, in order.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];
}
