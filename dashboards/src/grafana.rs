//! The part of Grafana's classic dashboard JSON that we use, as types.
//!
//! Grafana ignores what it does not know and never says so; what these types cannot express cannot be misspelled.

use serde::Serialize;

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
    /// What a viewer can choose.
    pub templating: List<Variable>,
    /// What is marked on all panels.
    pub annotations: List<Annotation>,
    /// The panels.
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

/// A variable.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
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
}

/// The kind of a data source.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasourceKind {
    /// Prometheus.
    Prometheus,
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
    /// Whether it is drawn.
    pub enable: bool,
    /// The color of the marks.
    pub icon_color: Color,
    /// The heading of a mark.
    pub title_format: &'static str,
    /// The text of a mark.
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

/// A panel.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Stable, part of links.
    pub id: u32,
    /// What draws it, and how.
    #[serde(flatten)]
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

/// A link of a panel.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What it says.
    pub title: String,
    /// Where it leads.
    pub url: String,
    /// Whether in a new tab.
    pub target_blank: bool,
}

/// A query.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its letter.
    pub ref_id: RefId,
    /// Which data source it asks.
    pub datasource: Datasource,
    /// The query.
    pub expr: String,
    /// How a series is called.
    pub legend_format: String,
    /// Whether it is asked over the time range.
    pub range: bool,
}

/// The letter of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RefId {
    /// The first.
    A,
    /// The second.
    B,
}

/// How a panel is drawn.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", content = "options", rename_all = "lowercase")]
pub enum Visualization {
    /// Lines over time.
    TimeSeries(TimeSeriesOptions),
    /// The last value in large type.
    Stat(StatOptions),
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
}

/// The form of a legend.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LegendMode {
    /// A table with a column for each reducer.
    Table,
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
}

/// An order of values.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Highest first.
    Desc,
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

/// How values are written and colored.
#[derive(Clone, Debug, Serialize)]
pub struct FieldConfig {
    /// All fields.
    pub defaults: FieldDefaults,
    /// Some fields.
    pub overrides: Vec<Override>,
}

/// How all fields of a panel are written and colored.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDefaults {
    /// The unit.
    pub unit: Unit,
    /// How many decimals are written, if not as many as the value needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// The lowest value of the axis.
    pub min: f64,
    /// The highest value of the axis, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Where colors come from.
    pub color: FieldColor,
    /// From which value on which color.
    pub thresholds: Thresholds,
    /// How lines are drawn; only lines have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<LineStyle>,
}

/// A unit, by Grafana's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number, with the viewer's separators.
    #[serde(rename = "locale")]
    Number,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Bytes, in powers of 1024.
    #[serde(rename = "bytes")]
    Bytes,
    /// Bytes per second, in powers of 1024.
    #[serde(rename = "binBps")]
    BytesPerSecond,
    /// A share of 1, written as a percentage.
    #[serde(rename = "percentunit")]
    Percent,
    /// Things per second.
    #[serde(rename = "cps")]
    CountsPerSecond,
    /// Requests per second.
    #[serde(rename = "reqps")]
    RequestsPerSecond,
    /// Operations per second.
    #[serde(rename = "ops")]
    OperationsPerSecond,
    /// CPU cores.
    #[serde(rename = "suffix:cores")]
    Cores,
}

/// Where the color of a field comes from.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum FieldColor {
    /// One of the palette for each series.
    PaletteClassic,
    /// The thresholds'.
    Thresholds,
    /// This one.
    #[serde(rename_all = "camelCase")]
    Fixed {
        /// The color.
        fixed_color: Color,
    },
}

/// A color of Grafana's palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// All is well.
    Green,
    /// A number without a judgement.
    Blue,
    /// Someone looks at it.
    Orange,
    /// Someone acts now.
    Red,
}

/// From which value on which color.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    /// What the values mean.
    pub mode: ThresholdsMode,
    /// In ascending order; the first has no value.
    pub steps: Vec<Step>,
}

/// What the values of thresholds mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdsMode {
    /// They are values of the field.
    Absolute,
}

/// One step of the thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// From here on; null for the first.
    pub value: Option<f64>,
    /// The color.
    pub color: Color,
}

/// How lines are drawn.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineStyle {
    /// How opaque the area below a line is, in percent.
    pub fill_opacity: u8,
    /// Whether single samples are drawn as points.
    pub show_points: ShowPoints,
    /// Whether thresholds are drawn.
    pub thresholds_style: ThresholdsStyle,
    /// How values are spread over the axis.
    pub scale_distribution: Scale,
    /// How far the axis reaches even if no value does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis_soft_max: Option<f64>,
}

/// Whether samples are drawn as points.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShowPoints {
    /// Where there is no line to draw.
    Auto,
}

/// How thresholds are drawn.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ThresholdsStyle {
    /// As what.
    pub mode: ThresholdsStyleMode,
}

/// As what thresholds are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdsStyleMode {
    /// Not at all.
    Off,
    /// A dashed line.
    Dashed,
}

/// How values are spread over the axis.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By orders of magnitude, with room for zero.
    #[serde(rename_all = "camelCase")]
    SymLog {
        /// The base.
        log: u8,
        /// Up to here evenly.
        linear_threshold: u8,
    },
}

/// Settings for the fields that a matcher finds.
#[derive(Clone, Debug, Serialize)]
pub struct Override {
    /// Which fields.
    pub matcher: Matcher,
    /// Which settings.
    pub properties: Vec<Property>,
}

/// Finds fields.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "id", content = "options")]
pub enum Matcher {
    /// Those that a query brings.
    #[serde(rename = "byFrameRefID")]
    ByFrameRefId(RefId),
}

/// A setting of some fields.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "id", content = "value")]
pub enum Property {
    /// The color.
    #[serde(rename = "color")]
    Color(FieldColor),
    /// How opaque the area below the line is, in percent.
    #[serde(rename = "custom.fillOpacity")]
    FillOpacity(u8),
    /// How the line is drawn.
    #[serde(rename = "custom.lineStyle")]
    LineStyle(Dashes),
    /// Where the field does not appear.
    #[serde(rename = "custom.hideFrom")]
    HideFrom(HideFrom),
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "fill", rename_all = "lowercase")]
pub enum Dashes {
    /// In dashes.
    Dash {
        /// The lengths of a dash and of the gap after it.
        dash: [u8; 2],
    },
}

/// Where a field does not appear.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HideFrom {
    /// In the legend.
    pub legend: bool,
    /// Under the pointer.
    pub tooltip: bool,
    /// In the graph.
    pub viz: bool,
}

// === impl GraphTooltip ===

impl From<GraphTooltip> for u8 {
    fn from(tooltip: GraphTooltip) -> Self {
        match tooltip {
            GraphTooltip::SharedCrosshair => 1,
        }
    }
}
