//! The house look of a whole dashboard: how panels lie, what marks them, and where one can go from here.

use futura_alert_rules::{Alert, MARK, Service, Site};
use futura_metrics::{
    spec::Label,
    specs::build::{BUILD_INFO, Version},
};

use crate::{
    grafana::{
        Annotation, AnnotationText, Color, Dashboard, DatasourceKind, GRID_WIDTH, GraphTooltip, Link, List, Panel, Row,
        SCHEMA_VERSION, TimeRange, Timezone, Variable,
    },
    panels::DATASOURCE,
};

/// What all dashboards are found by, and list each other by.
const TAG: &str = "futuratickets";

fn lay_out(panels: &mut [Panel]) {
    let (mut x, mut y, mut row_height) = (0, 0, 0);
    for panel in panels {
        let position = &mut panel.grid_pos;
        if panel.row.is_some() {
            (x, y, row_height) = (0, y + row_height + Row::HEIGHT, 0);
        } else if x + position.w > GRID_WIDTH {
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

/// Marks the times at which alerts fire.
fn firing_alerts(name: &'static str, severity: &str, enable: bool, icon_color: Color) -> Annotation {
    Annotation {
        name,
        datasource: DATASOURCE,
        expr: format!(r#"ALERTS{{alertstate="firing",severity="{severity}"}}"#),
        enable,
        icon_color,
        text: AnnotationText { title_format: "{{alertname}}", text_format: "{{service}}" },
    }
}

/// Marks when a version of a service was first seen: one that did not run in the hour before.
fn deployments() -> Annotation {
    let (info, service, version) = (BUILD_INFO.descriptor().name, Service::NAME, Version::NAME);
    let by = format!("by ({service}, {version})");
    Annotation {
        name: "Deployments",
        datasource: DATASOURCE,
        expr: format!("count {by} ({info}) unless count {by} (max_over_time({info}[1h] offset 2m))"),
        enable: true,
        icon_color: Color::Blue,
        text: AnnotationText { title_format: "{{service}} {{version}}", text_format: "first seen" },
    }
}

// === impl Dashboard ===

impl Dashboard {
    /// Lays the panels out from left to right. What the alerts say that point to them comes with
    /// [`Output::dashboard`](crate::Output::dashboard).
    pub fn new(
        uid: &'static str,
        title: &'static str,
        description: &str,
        panels: impl IntoIterator<Item = Panel>,
    ) -> Self {
        let mut panels: Vec<_> = panels.into_iter().collect();
        lay_out(&mut panels);
        Self {
            description: format!("{description} {MARK}"),
            uid,
            title,
            id: None,
            tags: vec![TAG],
            editable: false,
            graph_tooltip: GraphTooltip::SharedCrosshair,
            refresh: "30s",
            time: TimeRange { from: "now-6h", to: "now" },
            timezone: Timezone::Browser,
            schema_version: SCHEMA_VERSION,
            links: vec![Link::dashboards("Dashboards", TAG)],
            templating: List { list: vec![datasource_variable()] },
            annotations: List {
                list: vec![
                    firing_alerts("Critical alerts", "critical", true, Color::Red),
                    firing_alerts("Warnings", "warning", false, Color::Orange),
                    deployments(),
                ],
            },
            panels,
        }
    }

    /// Draws on each panel the thresholds of the alerts that point to it, and links it to their runbooks.
    pub(crate) fn watched_by<'a>(mut self, alerts: impl IntoIterator<Item = &'a Alert>, site: &Site) -> Self {
        for alert in alerts {
            let shown = alert.panel.filter(|shown| shown.dashboard == self.uid);
            for panel in self.panels.iter_mut().filter(|panel| shown.is_some_and(|shown| shown.id == panel.id)) {
                panel.draw(alert);
                panel.links.push(Link::page(format!("Runbook: {}", alert.name), site.runbook_url(alert.name)));
            }
        }
        self.links.push(Link::page("Runbooks".to_owned(), site.runbook_url("README")));
        self
    }

    /// Lets a viewer choose these, besides the data source.
    pub fn choosing(mut self, variables: impl IntoIterator<Item = Variable>) -> Self {
        self.templating.list.extend(variables);
        self
    }
}
