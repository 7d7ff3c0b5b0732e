//! The house look: what every panel of a kind has in common, and how an alert's threshold is drawn.

use futura_alert_rules::{
    Alert, MARK, Site,
    alert::Severity,
    panel::Panel as PanelId,
    promql::{Comparison, Quantity, Threshold, Vector},
    template::Template,
};

use crate::grafana::{
    Annotation, Color, Dashboard, Dashes, Datasource, DatasourceKind, FieldColor, FieldConfig, FieldDefaults,
    GRID_WIDTH, GraphTooltip, GridPos, HideFrom, Legend, LegendMode, LegendPlacement, LineStyle, Link, List, Matcher,
    Override, Panel, Property, ReduceOptions, Reducer, RefId, SCHEMA_VERSION, Scale, ShowPoints, SortOrder, StatColor,
    StatGraph, StatOptions, StatText, Step, Target, Thresholds, ThresholdsMode, ThresholdsStyle, ThresholdsStyleMode,
    TimeRange, TimeSeriesOptions, Timezone, Tooltip, TooltipMode, Unit, Variable, Visualization,
};

const DATASOURCE: Datasource = Datasource { kind: DatasourceKind::Prometheus, uid: "${datasource}" };
const HALF: u32 = GRID_WIDTH / 2;
const HEIGHT: u32 = 8;
/// How far above a threshold the axis reaches, so that its line is seen while all is well.
const HEADROOM: f64 = 1.25;

/// What a panel asks, and how the answers are called.
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
pub fn lines(panel: PanelId, query: Query, description: &str) -> Panel {
    let options = TimeSeriesOptions {
        legend: Legend {
            display_mode: LegendMode::Table,
            placement: LegendPlacement::Bottom,
            show_legend: true,
            calcs: vec![Reducer::LastNotNull, Reducer::Max],
        },
        tooltip: Tooltip { mode: TooltipMode::Multi, sort: SortOrder::Desc },
    };
    let mut panel = new(panel, Visualization::TimeSeries(options), query, description);
    let defaults = &mut panel.field_config.defaults;
    defaults.color = FieldColor::PaletteClassic;
    defaults.custom = Some(LineStyle {
        fill_opacity: 10,
        show_points: ShowPoints::Auto,
        thresholds_style: ThresholdsStyle { mode: ThresholdsStyleMode::Off },
        scale_distribution: Scale::Linear,
        axis_soft_max: None,
    });
    panel
}

/// The last value in large type over its course, a quarter as wide as the dashboard.
pub fn number(panel: PanelId, query: Query, description: &str) -> Panel {
    let options = StatOptions {
        color_mode: StatColor::Value,
        graph_mode: StatGraph::Area,
        reduce_options: ReduceOptions { calcs: vec![Reducer::LastNotNull], fields: "", values: false },
        text_mode: StatText::Auto,
    };
    // A count over a window is an estimate with a fraction, which says nothing in large type.
    let decimals = (query.quantity == Quantity::Count).then_some(0);
    let mut panel = new(panel, Visualization::Stat(options), query, description);
    panel.field_config.defaults.decimals = decimals;
    panel
}

fn new(panel: PanelId, visualization: Visualization, query: Query, description: &str) -> Panel {
    let w = if matches!(visualization, Visualization::Stat(_)) { HALF / 2 } else { HALF };
    let defaults = FieldDefaults {
        unit: unit(query.quantity),
        decimals: None,
        min: 0.0,
        max: (query.quantity == Quantity::Ratio).then_some(1.0),
        color: FieldColor::Thresholds,
        thresholds: steps(vec![Step { value: None, color: Color::Blue }]),
        custom: None,
    };
    Panel {
        id: panel.id,
        visualization,
        title: panel.title,
        description: description.to_owned(),
        datasource: DATASOURCE,
        grid_pos: GridPos { h: HEIGHT, w, x: 0, y: 0 },
        targets: vec![target(RefId::A, query)],
        field_config: FieldConfig { defaults, overrides: Vec::new() },
        links: Vec::new(),
    }
}

fn target(ref_id: RefId, query: Query) -> Target {
    Target { ref_id, datasource: DATASOURCE, expr: query.expression, legend_format: query.legend, range: true }
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

fn color(severity: Severity) -> Color {
    match severity {
        Severity::Critical => Color::Red,
        Severity::Warning => Color::Orange,
    }
}

/// Colors values on the alert's side of its threshold.
fn alert_colors(threshold: Threshold, alarm: Color) -> Thresholds {
    let (below, above) = match threshold.comparison {
        Comparison::Above => (Color::Green, alarm),
        Comparison::Below => (alarm, Color::Green),
        Comparison::Equal | Comparison::Absent | Comparison::Always => {
            panic!("what is compared with one value, or with none, has no side")
        }
    };
    split(below, threshold.value, above)
}

fn split(below: Color, value: f64, above: Color) -> Thresholds {
    steps(vec![Step { value: None, color: below }, Step { value: Some(value), color: above }])
}

// === impl Panel ===

impl Panel {
    /// As wide as two of its kind.
    pub fn wide(mut self) -> Self {
        self.grid_pos.w *= 2;
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
        if let Some(style) = &mut self.field_config.defaults.custom {
            style.scale_distribution = Scale::SymLog { log: 10, linear_threshold: 1 };
        }
        self
    }

    /// Colors the values, from `good` on green.
    pub fn good_from(mut self, good: f64) -> Self {
        self.field_config.defaults.thresholds = split(Color::Orange, good, Color::Green);
        self
    }

    /// Draws the threshold of `alert`, in the color of its severity.
    ///
    /// # Panics
    /// When the alert's value is not in the panel's unit.
    pub fn threshold_of(mut self, alert: &Alert) -> Self {
        let defaults = &mut self.field_config.defaults;
        let quantity = alert.threshold.quantity;
        assert!(unit(quantity) == defaults.unit, "panel `{}` shows no {quantity:?} as `{}`", self.title, alert.name);
        let alarm = color(alert.severity);
        if let Some(style) = &mut defaults.custom {
            // A line takes the color of the step that begins at it, whichever side is the bad one.
            defaults.thresholds = split(Color::Green, alert.threshold.value, alarm);
            style.thresholds_style.mode = ThresholdsStyleMode::Dashed;
            style.axis_soft_max = Some(alert.threshold.value * HEADROOM);
        } else {
            defaults.thresholds = alert_colors(alert.threshold, alarm);
        }
        self
    }

    /// Draws a threshold of `alert` that differs from series to series: a second query, dashed.
    pub fn threshold_lines(mut self, alert: &Alert, query: Query) -> Self {
        self.targets.push(target(RefId::B, query));
        self.field_config.overrides.push(Override {
            matcher: Matcher::ByFrameRefId(RefId::B),
            properties: vec![
                Property::Color(FieldColor::Fixed { fixed_color: color(alert.severity) }),
                Property::FillOpacity(0),
                Property::LineStyle(Dashes::Dash { dash: [10, 10] }),
                Property::HideFrom(HideFrom { legend: true, tooltip: false, viz: false }),
            ],
        });
        self
    }
}

// === impl Dashboard ===

impl Dashboard {
    /// Lays the panels out from left to right, and links each to the runbooks of the alerts that point to it.
    pub fn new(
        uid: &'static str,
        title: &'static str,
        description: &str,
        mut panels: Vec<Panel>,
        alerts: &[Alert],
        site: &Site,
    ) -> Self {
        lay_out(&mut panels);
        for panel in &mut panels {
            let shown = |id: &PanelId| id.dashboard == uid && id.id == panel.id;
            let alerts = alerts.iter().filter(|alert| alert.panel.as_ref().is_some_and(shown));
            let runbooks = alerts.map(|alert| Link {
                title: format!("Runbook: {}", alert.name),
                url: site.runbook_url(alert.name),
                target_blank: true,
            });
            panel.links.extend(runbooks);
        }
        Self {
            description: format!("{description} {MARK}"),
            uid,
            title,
            id: None,
            tags: vec!["futuratickets"],
            editable: false,
            graph_tooltip: GraphTooltip::SharedCrosshair,
            refresh: "30s",
            time: TimeRange { from: "now-6h", to: "now" },
            timezone: Timezone::Browser,
            schema_version: SCHEMA_VERSION,
            templating: List { list: vec![datasource_variable()] },
            annotations: List { list: vec![firing_alerts()] },
            panels,
        }
    }
}

fn lay_out(panels: &mut [Panel]) {
    let (mut x, mut y, mut row_height) = (0, 0, 0);
    for panel in panels {
        let position = &mut panel.grid_pos;
        if x + position.w > GRID_WIDTH {
            (x, y, row_height) = (0, y + row_height, 0);
        }
        (position.x, position.y) = (x, y);
        x += position.w;
        row_height = row_height.max(position.h);
    }
}

fn datasource_variable() -> Variable {
    Variable::Datasource { name: "datasource", label: "Data source", query: DatasourceKind::Prometheus }
}

/// Marks the times at which critical alerts fire.
fn firing_alerts() -> Annotation {
    Annotation {
        name: "Critical alerts",
        datasource: DATASOURCE,
        expr: r#"ALERTS{alertstate="firing",severity="critical"}"#.to_owned(),
        enable: true,
        icon_color: Color::Red,
        title_format: "{{alertname}}",
        text_format: "{{service}}",
    }
}
