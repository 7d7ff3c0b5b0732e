//! How panels are drawn: lines, large numbers, states over time.

use serde::{Serialize, Serializer};

/// How a panel is drawn; it is written as its options alone.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Visualization {
    /// Lines over time.
    TimeSeries(TimeSeriesOptions),
    /// The last value in large type.
    Stat(StatOptions),
    /// A bar for each series, colored by its state over time.
    StateTimeline(TimelineOptions),
}

/// Options of lines over time.
#[derive(Clone, Debug, Serialize)]
pub struct TimeSeriesOptions {
    /// The legend.
    pub legend: Legend,
    /// What the pointer shows.
    pub tooltip: Tooltip,
}

/// A legend.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Legend {
    /// Its form.
    pub display_mode: LegendMode,
    /// Its place.
    pub placement: LegendPlacement,
    /// Whether there is one.
    pub show_legend: bool,
    /// The columns of a table.
    pub calcs: Vec<Reducer>,
    /// The column that a table is sorted by, by its heading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_by: Option<&'static str>,
    /// Whether the highest comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort_desc: Option<bool>,
}

/// The form of a legend.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LegendMode {
    /// A table with a column for each reducer.
    Table,
    /// The names alone.
    List,
}

/// The place of a legend.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LegendPlacement {
    /// Below the graph.
    Bottom,
}

/// Makes one value of a series.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reducer {
    /// The last value that is there.
    LastNotNull,
    /// The highest value.
    Max,
}

/// What the pointer shows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tooltip {
    /// Which series.
    pub mode: TooltipMode,
    /// In which order.
    pub sort: SortOrder,
}

/// Which series the pointer shows.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TooltipMode {
    /// All at that time.
    Multi,
    /// The one below it.
    Single,
}

/// An order of values.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Highest first.
    Desc,
    /// As they come.
    None,
}

/// Options of a value in large type.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatOptions {
    /// What takes the threshold's color.
    pub color_mode: StatColor,
    /// What is drawn behind the value.
    pub graph_mode: StatGraph,
    /// Which value is shown.
    pub reduce_options: ReduceOptions,
    /// What is written.
    pub text_mode: StatText,
    /// How several values share the panel.
    pub orientation: Orientation,
    /// Where the text stands.
    pub justify_mode: StatJustify,
    /// Whether name and value may stand side by side.
    pub wide_layout: bool,
    /// Whether the change over the time range is written too.
    pub show_percent_change: bool,
    /// Of which color that would be.
    pub percent_change_color_mode: &'static str,
}

/// What takes the threshold's color.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatColor {
    /// The value and its graph.
    Value,
}

/// What is drawn behind the value.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatGraph {
    /// Its course.
    Area,
}

/// What is written on a stat.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatText {
    /// The value, and the name where there are several.
    Auto,
}

/// How several values share a panel.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// As suits the panel's shape.
    Auto,
}

/// Where the text of a stat stands.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatJustify {
    /// As suits what is behind it.
    Auto,
}

/// Options of states over time.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineOptions {
    /// Whether the state is written on its bar.
    pub show_value: ShowValue,
    /// Whether equal values in a row are one bar.
    pub merge_values: bool,
    /// How much of a series' place its bar takes, from 0 to 1.
    pub row_height: f64,
    /// The legend.
    pub legend: Legend,
    /// What the pointer shows.
    pub tooltip: Tooltip,
}

/// Whether a state is written on its bar.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShowValue {
    /// Where there is room.
    Auto,
}

/// How series become values.
#[derive(Clone, Debug, Serialize)]
pub struct ReduceOptions {
    /// By which reducers.
    pub calcs: Vec<Reducer>,
    /// Which fields: empty for all that are numbers.
    pub fields: &'static str,
    /// Whether every row is shown instead of one value.
    pub values: bool,
}

/// Writes the options after the name of the plugin that they are for.
pub(super) fn tagged<S: Serializer>(visualization: &Visualization, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Tagged<'a> {
        #[serde(rename = "type")]
        plugin: &'static str,
        options: &'a Visualization,
    }
    Tagged { plugin: visualization.plugin(), options: visualization }.serialize(serializer)
}

// === impl Visualization ===

impl Visualization {
    /// The name of Grafana's plugin that draws it.
    pub fn plugin(&self) -> &'static str {
        match self {
            Self::TimeSeries(_) => "timeseries",
            Self::Stat(_) => "stat",
            Self::StateTimeline(_) => "state-timeline",
        }
    }
}
