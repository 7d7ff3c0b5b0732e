//! Settings for some of the fields of a panel.

use serde::Serialize;

use super::{FieldColor, RefId, ShowPoints};

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
    /// The one of this name.
    #[serde(rename = "byName")]
    ByName(&'static str),
    /// Those whose name matches.
    #[serde(rename = "byRegexp")]
    ByRegexp(&'static str),
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
    /// Whether single samples are drawn as points.
    #[serde(rename = "custom.showPoints")]
    ShowPoints(ShowPoints),
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
