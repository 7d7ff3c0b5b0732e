//! The house look: what every panel of a kind has in common.

use futura_alert_rules::{
    panel::Panel as PanelId,
    promql::{Quantity, Vector},
    template::Template,
};
use futura_metrics::spec::LabelSet;

use crate::grafana::{
    Color, Datasource, DatasourceKind, FieldColor, FieldConfig, FieldDefaults, GRID_WIDTH, GridPos, Legend, LegendMode,
    LegendPlacement, LineStyle, Mapping, MappingResult, Matcher, Orientation, Override, Panel, PrometheusQuery,
    Property, ReduceOptions, Reducer, RefId, Scale, ShowPoints, ShowValue, SortOrder, Stacking, StackingMode,
    StatColor, StatGraph, StatJustify, StatOptions, StatText, Step, Style, Target, Thresholds, ThresholdsMode,
    ThresholdsStyle, ThresholdsStyleMode, TimeSeriesOptions, TimelineOptions, TimelineStyle, Tooltip, TooltipMode,
    Unit, Visualization,
};

mod alarms;

/// The data source that a viewer chose.
pub(crate) const DATASOURCE: Datasource = Datasource { kind: DatasourceKind::Prometheus, uid: "${datasource}" };
const HALF: u32 = GRID_WIDTH / 2;
const HEIGHT: u32 = 8;
const LOW: u32 = 5;
const TALL: u32 = 11;

/// What a panel asks, and how the answers are called; of an expression with labels, by their values.
#[derive(Clone, Debug)]
pub struct Query {
    expression: String,
    legend: String,
    quantity: Quantity,
}

/// A query whose series are called by `legend`.
#[expect(clippy::needless_pass_by_value, reason = "both are written in place and used once")]
pub fn query<L>(vector: Vector<L>, legend: Template<L>) -> Query {
    Query { expression: vector.to_string(), legend: legend.legend(), quantity: vector.quantity() }
}

/// Lines over time, half as wide as the dashboard.
pub fn lines(panel: PanelId, query: impl Into<Query>, description: &str) -> Panel {
    let query = query.into();
    let options = TimeSeriesOptions {
        legend: Legend {
            display_mode: LegendMode::Table,
            placement: LegendPlacement::Bottom,
            show_legend: true,
            calcs: vec![Reducer::LastNotNull, Reducer::Max],
            // What stands out stands first; of many series at zero, a legend shows the one that is not.
            sort_by: Some("Last *"),
            sort_desc: Some(true),
        },
        tooltip: Tooltip { mode: TooltipMode::Multi, sort: SortOrder::Desc },
    };
    // Without values above zero, Grafana would draw an axis up to a hundred.
    let is_counted = matches!(query.quantity, Quantity::Count | Quantity::PerSecond);
    let mut panel = new(panel, Visualization::TimeSeries(options), query, description);
    let defaults = &mut panel.field_config.defaults;
    defaults.color = FieldColor::PaletteClassic;
    defaults.custom = Some(Style::Lines(LineStyle {
        fill_opacity: 10,
        show_points: ShowPoints::Auto,
        thresholds_style: ThresholdsStyle { mode: ThresholdsStyleMode::Off },
        scale_distribution: Scale::Linear,
        stacking: Stacking { mode: StackingMode::None, group: "A" },
        axis_soft_min: None,
        axis_soft_max: is_counted.then_some(1.0),
    }));
    panel
}

/// The last value in large type over its course, a quarter as wide as the dashboard.
pub fn number(panel: PanelId, query: impl Into<Query>, description: &str) -> Panel {
    let query = query.into();
    let options = StatOptions {
        color_mode: StatColor::Value,
        graph_mode: StatGraph::Area,
        reduce_options: ReduceOptions { calcs: vec![Reducer::LastNotNull], fields: "", values: false },
        text_mode: StatText::Auto,
        orientation: Orientation::Auto,
        justify_mode: StatJustify::Auto,
        wide_layout: true,
        show_percent_change: false,
        percent_change_color_mode: "standard",
    };
    // A count over a window is an estimate with a fraction, which says nothing in large type.
    let decimals = (query.quantity == Quantity::Count).then_some(0);
    let mut panel = new(panel, Visualization::Stat(options), query, description);
    panel.field_config.defaults.decimals = decimals;
    panel
}

/// States over time, each value by its word and color, half as wide as the dashboard.
pub fn states(
    panel: PanelId,
    query: impl Into<Query>,
    description: &str,
    states: &[(&'static str, &'static str, Color)],
) -> Panel {
    let options = TimelineOptions {
        show_value: ShowValue::Auto,
        merge_values: true,
        row_height: 0.8,
        legend: Legend {
            display_mode: LegendMode::List,
            placement: LegendPlacement::Bottom,
            show_legend: true,
            calcs: Vec::new(),
            sort_by: None,
            sort_desc: None,
        },
        tooltip: Tooltip { mode: TooltipMode::Single, sort: SortOrder::None },
    };
    let mut panel = new(panel, Visualization::StateTimeline(options), query.into(), description);
    let results = states.iter().enumerate().map(|(index, (value, text, color))| {
        let result = MappingResult { text, color: *color, index };
        (*value, result)
    });
    let defaults = &mut panel.field_config.defaults;
    defaults.mappings = vec![Mapping::Value(results.collect())];
    defaults.custom = Some(Style::Timeline(TimelineStyle { fill_opacity: 70, line_width: 0 }));
    panel
}

fn new(panel: PanelId, visualization: Visualization, query: Query, description: &str) -> Panel {
    let w = if matches!(visualization, Visualization::Stat(_)) { HALF / 2 } else { HALF };
    let defaults = FieldDefaults {
        unit: unit(query.quantity),
        decimals: None,
        min: Some(0.0),
        max: (query.quantity == Quantity::Ratio).then_some(1.0),
        color: FieldColor::Thresholds,
        thresholds: steps(vec![Step { value: None, color: Color::Blue }]),
        mappings: Vec::new(),
        no_value: None,
        custom: None,
    };
    Panel {
        id: panel.id,
        visualization,
        title: panel.title,
        description: description.to_owned(),
        datasource: DATASOURCE,
        grid_pos: GridPos { h: HEIGHT, w, x: 0, y: 0 },
        quantity: query.quantity,
        targets: vec![target(RefId::A, query)],
        field_config: FieldConfig { defaults, overrides: Vec::new() },
        links: Vec::new(),
        alarms: Vec::new(),
        row: None,
    }
}

fn target(ref_id: RefId, query: Query) -> Target {
    let (expr, legend_format) = (query.expression, query.legend);
    let query = PrometheusQuery { expr, legend_format, range: true, exemplar: false };
    Target { ref_id, datasource: DATASOURCE, query }
}

fn steps(steps: Vec<Step>) -> Thresholds {
    Thresholds { mode: ThresholdsMode::Absolute, steps }
}

/// The unit in which a panel shows a quantity.
fn unit(quantity: Quantity) -> Unit {
    match quantity {
        Quantity::Count | Quantity::State => Unit::Number,
        Quantity::PerSecond => Unit::CountsPerSecond,
        Quantity::Seconds => Unit::Seconds,
        Quantity::Cores => Unit::Cores,
        Quantity::Bytes => Unit::Bytes,
        Quantity::BytesPerSecond => Unit::BytesPerSecond,
        Quantity::Ratio => Unit::Percent,
    }
}

// === impl Query ===

impl<L: LabelSet> From<Vector<L>> for Query {
    fn from(vector: Vector<L>) -> Self {
        const { assert!(!L::NAMES.is_empty(), "without labels, say with `query` what the one series is called") };
        let names: Vec<_> = L::NAMES.iter().map(|name| format!("{{{{{name}}}}}")).collect();
        Self { expression: vector.to_string(), legend: names.join(" "), quantity: vector.quantity() }
    }
}

// === impl Panel ===

impl Panel {
    /// As wide as two of its kind.
    pub fn wide(mut self) -> Self {
        self.grid_pos.w *= 2;
        self
    }

    /// As narrow as three to a row.
    pub fn narrow(mut self) -> Self {
        self.grid_pos.w = GRID_WIDTH / 3;
        self
    }

    /// Lower than others, for a number that needs no more.
    pub fn low(mut self) -> Self {
        self.grid_pos.h = LOW;
        self
    }

    /// Begins a row of panels, with this heading.
    pub fn under(mut self, heading: &'static str) -> Self {
        self.row = Some(heading);
        self
    }

    /// Asks this as well.
    ///
    /// # Panics
    /// When it measures something else than what the panel shows, or is one query too many.
    pub fn also(mut self, query: impl Into<Query>) -> Self {
        let query = query.into();
        assert!(query.quantity == self.quantity, "panel `{}` shows no {:?}", self.title, query.quantity);
        self.push(query);
        self
    }

    fn push(&mut self, query: Query) -> RefId {
        let ref_id = RefId::ALL.get(self.targets.len()).copied();
        let ref_id = ref_id.unwrap_or_else(|| panic!("panel `{}` asks too much", self.title));
        self.targets.push(target(ref_id, query));
        ref_id
    }

    /// Shows single observations, each of which leads to its trace.
    pub fn with_exemplars(mut self) -> Self {
        for target in &mut self.targets {
            target.query.exemplar = true;
        }
        self
    }

    /// Says what is counted per second.
    ///
    /// # Panics
    /// When the panel's values are nothing per second.
    pub fn per_second(mut self, unit: Unit) -> Self {
        let defaults = &mut self.field_config.defaults;
        assert!(defaults.unit == Unit::CountsPerSecond, "panel `{}` shows no rate", self.title);
        defaults.unit = unit;
        self
    }

    /// Spreads the values over the axis by orders of magnitude.
    pub fn logarithmic(mut self) -> Self {
        if let Some(Style::Lines(style)) = &mut self.field_config.defaults.custom {
            style.scale_distribution = Scale::SymLog { log: 10, linear_threshold: 1 };
        }
        self
    }

    /// Puts each series on the one before: parts of a whole.
    pub fn stacked(mut self) -> Self {
        if let Some(Style::Lines(style)) = &mut self.field_config.defaults.custom {
            style.stacking.mode = StackingMode::Normal;
            style.fill_opacity = 40;
        }
        self
    }

    /// Higher than others, for a legend of many series.
    pub fn tall(mut self) -> Self {
        self.grid_pos.h = TALL;
        self
    }

    /// Lists the lowest first, where that is what stands out: of shares that should be whole, of what runs out.
    pub fn lowest_first(mut self) -> Self {
        if let Visualization::TimeSeries(options) = &mut self.visualization {
            options.legend.sort_desc = Some(false);
        }
        self
    }

    /// Writes no fractions: of counts over a window, which are estimates.
    pub fn whole(mut self) -> Self {
        self.field_config.defaults.decimals = Some(0);
        self
    }

    /// Leaves the axis open below zero.
    pub fn signed(mut self) -> Self {
        self.field_config.defaults.min = None;
        if let Some(Style::Lines(style)) = &mut self.field_config.defaults.custom {
            style.axis_soft_min = Some(0.0);
        }
        self
    }

    /// Says that there may be no value while all is well, and what is written then.
    pub fn when_empty(mut self, text: &'static str) -> Self {
        self.field_config.defaults.no_value = Some(text);
        self
    }

    /// Gives the series that are found this color, for what they mean.
    pub fn colored(mut self, matcher: Matcher, color: Color) -> Self {
        let properties = vec![Property::Color(FieldColor::Fixed { fixed_color: color })];
        self.field_config.overrides.push(Override { matcher, properties });
        self
    }

    /// Colors the values, from `good` on green.
    pub fn good_from(mut self, good: f64) -> Self {
        let steps = &mut self.field_config.defaults.thresholds.steps;
        *steps = vec![Step { value: None, color: Color::Orange }, Step { value: Some(good), color: Color::Green }];
        self
    }

    /// Colors the values: green up to `fair`, from there on orange.
    pub fn good_up_to(mut self, fair: f64) -> Self {
        let steps = &mut self.field_config.defaults.thresholds.steps;
        *steps = vec![Step { value: None, color: Color::Green }, Step { value: Some(fair), color: Color::Orange }];
        self
    }

    /// The axis starts here instead of at zero.
    pub fn starting_at(mut self, min: f64) -> Self {
        self.field_config.defaults.min = Some(min);
        self
    }

    /// The axis ends at the highest value, also where that is far from what it can be; of nothing but zeros, at a hundredth.
    pub fn fitted(mut self) -> Self {
        self.field_config.defaults.max = None;
        if let Some(Style::Lines(style)) = &mut self.field_config.defaults.custom {
            style.axis_soft_max = Some(0.01);
        }
        self
    }

    /// Writes this many decimals.
    pub fn decimals(mut self, decimals: u8) -> Self {
        self.field_config.defaults.decimals = Some(decimals);
        self
    }
}
