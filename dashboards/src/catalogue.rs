//! Every dashboard. A dashboard is one module and its entry in [`dashboards`].

use futura_alert_rules::{
    GeneratedFile, Site,
    promql::{InvalidExpression, validate},
};

use crate::{
    grafana::{Annotation, Dashboard},
    overview,
};

/// A query that a panel asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelQuery {
    /// The dashboard's uid.
    pub dashboard: &'static str,
    /// The panel's title.
    pub panel: &'static str,
    /// The query, in which Grafana's macros still stand.
    pub expression: String,
}

/// Why no dashboard can be generated.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A panel or an annotation asks what Prometheus would refuse.
    #[error("`{panel}` of dashboard `{dashboard}`")]
    Expression {
        /// The dashboard's uid.
        dashboard: &'static str,
        /// The panel's title or the annotation's name.
        panel: &'static str,
        /// What Prometheus would say.
        #[source]
        source: InvalidExpression,
    },
    /// A dashboard could not be written as JSON.
    #[error("a dashboard cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Every dashboard.
pub fn dashboards(site: &Site) -> Vec<Dashboard> {
    vec![overview::dashboard(site)]
}

/// Every query of every panel.
///
/// ```
/// let queries: Vec<_> = futura_dashboards::queries(&futura_alert_rules::Site::default()).collect();
/// assert!(queries.iter().any(|query| query.panel == "Active Tickets"));
/// ```
pub fn queries(site: &Site) -> impl Iterator<Item = PanelQuery> {
    dashboards(site).into_iter().flat_map(|dashboard| {
        let uid = dashboard.uid;
        dashboard.panels.into_iter().flat_map(move |panel| {
            let title = panel.title;
            panel.targets.into_iter().map(move |target| PanelQuery {
                dashboard: uid,
                panel: title,
                expression: target.expr,
            })
        })
    })
}

/// The file of every dashboard, its queries checked.
pub fn files(site: &Site) -> Result<Vec<GeneratedFile>, CatalogueError> {
    for PanelQuery { dashboard, panel, expression } in queries(site) {
        validate(&expression).map_err(|source| CatalogueError::Expression { dashboard, panel, source })?;
    }
    for dashboard in dashboards(site) {
        for Annotation { name, expr, .. } in dashboard.annotations.list {
            let invalid = |source| CatalogueError::Expression { dashboard: dashboard.uid, panel: name, source };
            validate(&expr).map_err(invalid)?;
        }
    }
    let files = dashboards(site).into_iter().map(|dashboard| {
        let contents = serde_json::to_string_pretty(&dashboard)? + "\n";
        Ok(GeneratedFile { path: format!("{}.json", dashboard.uid), contents })
    });
    files.collect()
}
