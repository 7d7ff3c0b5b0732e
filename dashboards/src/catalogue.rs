//! Every dashboard. A dashboard is one module and its entry in [`dashboards`].

use futura_alert_rules::{GeneratedFile, Site, promql::InvalidExpression, rules};

use crate::{
    checks, cluster, errors,
    grafana::{Dashboard, Resource, Variable},
    http, internals,
    lint::{self, AlertPanel, Catalogue, Finding},
    output::Format,
    overview, slos,
};

/// A query that a panel asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelQuery {
    /// The dashboard's uid.
    pub dashboard: &'static str,
    /// The panel's title.
    pub panel: &'static str,
    /// The query, with what is chosen at first in the place of variables; Grafana's macros still stand in it.
    pub expression: String,
    /// Whether the panel says what it means that there is no data.
    pub may_be_empty: bool,
}

/// Why no dashboard can be generated.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A dashboard breaks rules; a line each.
    #[error("dashboard `{dashboard}` breaks rules:\n{}", lines(findings))]
    Findings {
        /// The dashboard's uid.
        dashboard: &'static str,
        /// What is wrong with it.
        findings: Vec<Finding>,
    },
    /// A panel asks what Prometheus would refuse.
    #[error("`{panel}` of dashboard `{dashboard}`")]
    Expression {
        /// The dashboard's uid.
        dashboard: &'static str,
        /// The panel's title.
        panel: &'static str,
        /// What Prometheus would say.
        #[source]
        source: InvalidExpression,
    },
    /// An alert asks what Prometheus would refuse.
    #[error("alert `{alert}`")]
    Alert {
        /// The alert's name.
        alert: &'static str,
        /// What Prometheus would say.
        #[source]
        source: InvalidExpression,
    },
    /// A dashboard could not be written as JSON.
    #[error("a dashboard cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Every dashboard.
pub fn dashboards(site: &Site) -> Vec<Dashboard> {
    let alerts: Vec<_> = rules::alerts(site).collect();
    let dashboards = [
        overview::dashboard(site),
        http::dashboard(),
        internals::dashboard(),
        cluster::dashboard(site),
        checks::dashboard(),
        errors::dashboard(),
        slos::dashboard(site),
    ];
    dashboards.into_iter().map(|dashboard| dashboard.watched_by(&alerts, site)).collect()
}

/// Every query of every panel.
///
/// ```
/// let queries: Vec<_> = futura_dashboards::queries(&futura_alert_rules::Site::default()).collect();
/// assert!(queries.iter().any(|query| query.panel == "Active Tickets"));
/// ```
pub fn queries(site: &Site) -> impl Iterator<Item = PanelQuery> {
    dashboards(site).into_iter().flat_map(|Dashboard { uid, templating, panels, .. }| {
        panels.into_iter().flat_map(move |panel| {
            let may_be_empty = panel.field_config.defaults.no_value.is_some();
            let variables = templating.list.clone();
            panel.targets.into_iter().map(move |target| {
                let chosen = variables.iter().filter_map(Variable::at_first);
                let expression = chosen.fold(target.query.expr, |expr, (name, value)| {
                    expr.replace(&format!("\"${name}\""), &format!("\"{value}\""))
                });
                PanelQuery { dashboard: uid, panel: panel.title, expression, may_be_empty }
            })
        })
    })
}

/// The file of every dashboard in the classic model, checked by every rule.
pub fn files(site: &Site) -> Result<Vec<GeneratedFile>, CatalogueError> {
    let alerts = rules::alerts(site).collect::<Vec<_>>();
    render(&dashboards(site), &Catalogue::declared(), &AlertPanel::of(&alerts), Format::Classic)
}

/// The files of these dashboards, checked by every rule against what the catalogue has.
pub(crate) fn render(
    dashboards: &[Dashboard],
    catalogue: &Catalogue,
    alerts: &[AlertPanel],
    format: Format,
) -> Result<Vec<GeneratedFile>, CatalogueError> {
    let files = dashboards.iter().map(|dashboard| {
        // The rules read the classic model, whichever is written.
        let findings = lint::check(&serde_json::to_value(dashboard)?, catalogue, alerts);
        if !findings.is_empty() {
            return Err(CatalogueError::Findings { dashboard: dashboard.uid, findings });
        }
        let (path, contents) = match format {
            Format::Classic => (format!("{}.json", dashboard.uid), serde_json::to_string_pretty(dashboard)?),
            Format::V2 => {
                (format!("v2/{}.json", dashboard.uid), serde_json::to_string_pretty(&Resource::from(dashboard))?)
            }
        };
        Ok(GeneratedFile { path, contents: contents + "\n" })
    });
    files.collect()
}
