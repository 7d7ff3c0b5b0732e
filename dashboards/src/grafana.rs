//! The part of Grafana's classic dashboard JSON that we use, as types; [`Resource`] writes the same in Grafana's model V2.
//!
//! Grafana ignores what it does not know and never says so; what these types cannot express cannot be misspelled.

use serde::Serialize;

pub use self::{
    field::{
        Color, FieldColor, FieldConfig, FieldDefaults, Mapping, MappingResult, Step, Thresholds, ThresholdsMode, Unit,
    },
    link::{Link, LinkKind},
    overrides::{Dashes, HideFrom, Matcher, Override, Property},
    panel::{GridPos, Panel, PrometheusQuery, RefId, Row, Target},
    resource::Resource,
    style::{
        LineStyle, Scale, ShowPoints, Stacking, StackingMode, Style, ThresholdsStyle, ThresholdsStyleMode,
        TimelineStyle,
    },
    variable::{Choice, Refresh, Sort, Variable, VariableQuery},
    visualization::{
        Legend, LegendMode, LegendPlacement, Orientation, ReduceOptions, Reducer, ShowValue, SortOrder, StatColor,
        StatGraph, StatJustify, StatOptions, StatText, TimeSeriesOptions, TimelineOptions, Tooltip, TooltipMode,
        Visualization,
    },
};

mod field;
mod link;
mod overrides;
mod panel;
mod resource;
mod style;
mod variable;
mod visualization;

/// The version of the classic model that these types follow.
pub const SCHEMA_VERSION: u32 = 42;

/// The width of the grid that panels lie on.
pub const GRID_WIDTH: u32 = 24;

/// A dashboard.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// Shown beside the title. It stands first, because it carries the mark of generated files.
    pub description: String,
    /// Stable, part of every link.
    pub uid: &'static str,
    /// The title.
    pub title: &'static str,
    /// Always null: Grafana gives a number of its own.
    pub id: Option<u32>,
    /// Words to find it by.
    pub tags: Vec<&'static str>,
    /// Whether people may edit it in place; what is generated would be overwritten.
    pub editable: bool,
    /// How the pointer shows in several panels.
    pub graph_tooltip: GraphTooltip,
    /// How often it reloads.
    pub refresh: &'static str,
    /// The time range at first.
    pub time: TimeRange,
    /// Whose time zone.
    pub timezone: Timezone,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where to go from here.
    pub links: Vec<Link>,
    /// What a viewer can choose.
    pub templating: List<Variable>,
    /// What is marked on all panels.
    pub annotations: List<Annotation>,
    /// The panels; a row's heading is written before the panel that begins it.
    #[serde(serialize_with = "panel::with_rows")]
    pub panels: Vec<Panel>,
}

/// A list as Grafana wraps it.
#[derive(Clone, Debug, Serialize)]
pub struct List<T> {
    /// The items.
    pub list: Vec<T>,
}

/// A time range, in Grafana's relative notation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TimeRange {
    /// The start.
    pub from: &'static str,
    /// The end.
    pub to: &'static str,
}

/// Whose time zone is shown.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Timezone {
    /// The viewer's.
    Browser,
}

/// How the pointer over one panel shows in the others; Grafana's numbers.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(into = "u8")]
pub enum GraphTooltip {
    /// A line at the same time in every panel.
    SharedCrosshair,
}

/// Marks that are drawn over the panels.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    /// Its name.
    pub name: &'static str,
    /// Which data source it asks.
    pub datasource: Datasource,
    /// The query; a series marks the times when it has a value.
    pub expr: String,
    /// Whether it is drawn before a viewer asks for it.
    pub enable: bool,
    /// The color of the marks.
    pub icon_color: Color,
    /// What a mark says.
    #[serde(flatten)]
    pub text: AnnotationText,
}

/// What the marks of an annotation say.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnotationText {
    /// The heading.
    pub title_format: &'static str,
    /// The text.
    pub text_format: &'static str,
}

/// Which data source is asked.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Datasource {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: DatasourceKind,
    /// Its uid, or the variable that chooses it.
    pub uid: &'static str,
}

/// The kind of a data source.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasourceKind {
    /// Prometheus.
    Prometheus,
}

// === impl GraphTooltip ===

impl From<GraphTooltip> for u8 {
    fn from(tooltip: GraphTooltip) -> Self {
        match tooltip {
            GraphTooltip::SharedCrosshair => 1,
        }
    }
}
