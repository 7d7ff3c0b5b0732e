//! Links of a dashboard and of a panel, which Grafana writes alike.

use serde::Serialize;

/// A link.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What it leads to.
    #[serde(rename = "type")]
    pub kind: LinkKind,
    /// What it says.
    pub title: String,
    /// What the pointer over it says.
    pub tooltip: &'static str,
    /// The icon of a link to a page; Grafana has one of its own for dashboards.
    pub icon: &'static str,
    /// The page; of no meaning for dashboards, which are found by their tags.
    pub url: String,
    /// The tags of the dashboards that it lists.
    pub tags: Vec<&'static str>,
    /// Whether dashboards are listed in a menu.
    pub as_dropdown: bool,
    /// Whether in a new tab.
    pub target_blank: bool,
    /// Whether the time range goes along.
    pub keep_time: bool,
    /// Whether the chosen variables go along.
    pub include_vars: bool,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// A page.
    Link,
    /// Dashboards.
    Dashboards,
}

// === impl Link ===

impl Link {
    /// A link to a page, in a new tab.
    pub fn page(title: String, url: String) -> Self {
        Self {
            kind: LinkKind::Link,
            title,
            tooltip: "",
            icon: "doc",
            url,
            tags: Vec::new(),
            as_dropdown: false,
            target_blank: true,
            keep_time: false,
            include_vars: false,
        }
    }

    /// A menu of the dashboards that have this tag, which open at the same time with the same choices.
    pub fn dashboards(title: &str, tag: &'static str) -> Self {
        Self {
            kind: LinkKind::Dashboards,
            title: title.to_owned(),
            tooltip: "At the same time, with the same choices",
            icon: "dashboard",
            url: String::new(),
            tags: vec![tag],
            as_dropdown: true,
            target_blank: false,
            keep_time: true,
            include_vars: true,
        }
    }
}
