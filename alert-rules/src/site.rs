//! What differs from one installation to the next: where things run and under which addresses people reach them.

use crate::panel::{Panel, overview};

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The Kubernetes namespace that is watched.
    pub namespace: String,
    /// Where the runbooks are published, without a slash at the end.
    pub runbooks_url: String,
    /// Where Grafana is, without a slash at the end.
    pub grafana_url: String,
}

// === impl Site ===

impl Site {
    /// The namespace unless told otherwise.
    pub const NAMESPACE: &str = "futuratickets";
    /// Where the runbooks are unless told otherwise.
    pub const RUNBOOKS_URL: &str = "https://runbooks.futuratickets.com";
    /// Where Grafana is unless told otherwise.
    pub const GRAFANA_URL: &str = "https://grafana.futuratickets.com";

    /// The address of an alert's runbook.
    pub fn runbook_url(&self, alert: &str) -> String {
        format!("{}/{alert}", self.runbooks_url)
    }

    /// The address of a panel opened on its dashboard, or else of the overview.
    pub fn dashboard_url(&self, panel: Option<Panel>) -> String {
        match panel {
            Some(panel) => format!("{}/d/{}?viewPanel={}", self.grafana_url, panel.dashboard, panel.id),
            None => format!("{}/d/{}", self.grafana_url, overview::UID),
        }
    }
}

impl Default for Site {
    fn default() -> Self {
        Self {
            namespace: Self::NAMESPACE.to_owned(),
            runbooks_url: Self::RUNBOOKS_URL.to_owned(),
            grafana_url: Self::GRAFANA_URL.to_owned(),
        }
    }
}
