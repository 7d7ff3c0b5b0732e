//! How lines and states are drawn.

use serde::Serialize;

/// How a panel is drawn.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Style {
    /// Lines over time.
    Lines(LineStyle),
    /// States over time.
    Timeline(TimelineStyle),
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
    /// Whether one series stands on the other.
    pub stacking: Stacking,
    /// How far down the axis reaches even if no value does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis_soft_min: Option<f64>,
    /// How far up the axis reaches even if no value does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis_soft_max: Option<f64>,
}

/// How states are drawn.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineStyle {
    /// How opaque a bar is, in percent.
    pub fill_opacity: u8,
    /// How wide its border is.
    pub line_width: u8,
}

/// Whether one series stands on the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stacking {
    /// Whether.
    pub mode: StackingMode,
    /// Which series stand on each other.
    pub group: &'static str,
}

/// Whether one series stands on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StackingMode {
    /// Each stands on the axis.
    None,
    /// Each stands on the one before.
    Normal,
}

/// Whether samples are drawn as points.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShowPoints {
    /// Where there is no line to draw.
    Auto,
    /// Nowhere.
    Never,
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
