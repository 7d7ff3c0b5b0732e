//! Where the panels of a resource lie: on one grid, or on a grid of its own below each heading.

use serde::Serialize;

use super::{Kind, element};
use crate::grafana::{GridPos, Panel};

/// Where the panels lie.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Layout {
    Grid(Kind<Grid>),
    Rows(Kind<Rows>),
}

#[derive(Debug, Serialize)]
pub(super) struct Grid {
    items: Vec<Kind<Item>>,
}

#[derive(Debug, Serialize)]
struct Item {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    element: Reference,
}

#[derive(Debug, Serialize)]
struct Reference {
    kind: &'static str,
    name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Rows {
    rows: Vec<Kind<Row>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    title: &'static str,
    collapse: bool,
    /// Whether its panels stand there as if there were no rows.
    hide_header: bool,
    layout: Kind<Grid>,
}

// === impl Layout ===

impl Layout {
    pub(super) fn of(panels: &[Panel]) -> Self {
        if panels.iter().all(|panel| panel.row.is_none()) {
            return Self::Grid(Grid::of(panels));
        }
        // A heading belongs to the first of its panels.
        let rows = panels.chunk_by(|_, next| next.row.is_none()).map(Kind::<Row>::of);
        Self::Rows(Kind { kind: "RowsLayout", spec: Rows { rows: rows.collect() } })
    }
}

// === impl Grid ===

impl Grid {
    /// Their grid, whose first row is that of the first panel.
    fn of(panels: &[Panel]) -> Kind<Self> {
        let top = panels.first().map_or(0, |panel| panel.grid_pos.y);
        let items = panels.iter().map(|panel| {
            let GridPos { h, w, x, y } = panel.grid_pos;
            let element = Reference { kind: "ElementReference", name: element::name(panel) };
            Kind { kind: "GridLayoutItem", spec: Item { x, y: y - top, width: w, height: h, element } }
        });
        Kind { kind: "GridLayout", spec: Self { items: items.collect() } }
    }
}

// === impl Kind ===

impl Kind<Row> {
    fn of(panels: &[Panel]) -> Self {
        let heading = panels.first().and_then(|panel| panel.row);
        let title = heading.unwrap_or_default();
        let spec = Row { title, collapse: false, hide_header: heading.is_none(), layout: Grid::of(panels) };
        Self { kind: "RowsLayoutRow", spec }
    }
}
