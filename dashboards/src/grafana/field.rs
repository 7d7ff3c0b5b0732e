//! How values are written, colored and drawn.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Override, Style};

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
    /// The lowest value of the axis, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The highest value of the axis, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Where colors come from.
    pub color: FieldColor,
    /// From which value on which color.
    pub thresholds: Thresholds,
    /// Values that are written as words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mappings: Vec<Mapping>,
    /// What is written where there is no value, if that is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_value: Option<&'static str>,
    /// How it is drawn; large numbers have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Style>,
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
    /// Events per second.
    #[serde(rename = "eps")]
    EventsPerSecond,
    /// Messages per second.
    #[serde(rename = "mps")]
    MessagesPerSecond,
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
    /// Worth a thought.
    Yellow,
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

/// Values that are written as words.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", content = "options", rename_all = "lowercase")]
pub enum Mapping {
    /// Value by value.
    Value(BTreeMap<&'static str, MappingResult>),
}

/// How a value is written.
#[derive(Clone, Debug, Serialize)]
pub struct MappingResult {
    /// In this word.
    pub text: &'static str,
    /// In this color.
    pub color: Color,
    /// In this place among the others.
    pub index: usize,
}
