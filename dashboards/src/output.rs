//! Everything that is generated: for the platform, or for a program that declares metrics, alerts and dashboards of its own.

use std::{path::Path, time::Instant};

use futura_alert_rules::{GeneratedFile, RuleSet, Site};
use futura_metrics::spec::Descriptor;

use crate::{
    catalogue::{self, dashboards},
    generate::{self, GenerateError, Report},
    grafana::Dashboard,
    lint::Catalogue,
};

/// Rules and dashboards that belong together.
///
/// ```
/// use futura_alert_rules::{RuleSet, Site};
/// use futura_dashboards::Output;
/// let folder = std::env::temp_dir().join(format!("futura-output-{}", std::process::id()));
/// let output = Output::new(RuleSet::new(Site::default()).slo(slo()));
/// output.write(&folder)?;
/// assert_eq!(output.check(&folder)?.written, 0);
/// # std::fs::remove_dir_all(folder).unwrap();
/// # use futura_alert_rules::{alert::Team, example::series, promql::counter, slo::{Definition, Indicator}};
/// # use futura_metrics::specs::business::{PAYMENT_TOTAL, TICKET_GENERATION_FAILURES_TOTAL};
/// # fn slo() -> Definition {
/// #     let indicator = Indicator::availability(&counter(PAYMENT_TOTAL), &counter(TICKET_GENERATION_FAILURES_TOTAL));
/// #     Definition {
/// #         resolution: &["Issue them by hand."],
/// #         traffic: |traffic| vec![
/// #             series(PAYMENT_TOTAL, (), traffic.all), series(TICKET_GENERATION_FAILURES_TOTAL, (), traffic.bad)
/// #         ],
/// #         ..Definition::new("tickets", ["Tickets1h", "Tickets6h", "Tickets1d", "Tickets3d"], Team::Api, indicator)
/// #     }
/// # }
/// # Ok::<(), futura_dashboards::generate::GenerateError>(())
/// ```
#[derive(Debug)]
pub struct Output {
    /// What Prometheus evaluates, its tests and its runbooks.
    pub rules: RuleSet,
    /// What Grafana shows.
    pub dashboards: Vec<Dashboard>,
    /// The metrics that are asked for besides those of the workspace.
    pub metrics: Vec<Descriptor>,
}

// === impl Output ===

impl Output {
    /// These rules, without a dashboard yet.
    pub fn new(rules: RuleSet) -> Self {
        Self { rules, dashboards: Vec::new(), metrics: Vec::new() }
    }

    /// All that the platform has.
    pub fn platform(site: &Site) -> Self {
        Self { rules: RuleSet::platform(site.clone()), dashboards: dashboards(site), metrics: Vec::new() }
    }

    /// With this dashboard besides.
    #[must_use]
    pub fn dashboard(mut self, dashboard: Dashboard) -> Self {
        self.dashboards.push(dashboard);
        self
    }

    /// With these metrics for dashboards to ask for: the `CATALOGUE` that [`declare!`](futura_metrics::declare) makes.
    #[must_use]
    pub fn metrics(mut self, catalogue: &[Descriptor]) -> Self {
        self.metrics.extend_from_slice(catalogue);
        self
    }

    /// The files of the rules and those of the dashboards, all of them checked.
    pub(crate) fn files(&self) -> Result<[Vec<GeneratedFile>; 2], GenerateError> {
        let catalogue = Catalogue::declared(self.rules.alerts()).with(&self.metrics);
        Ok([self.rules.files()?, catalogue::render(&self.dashboards, &catalogue)?])
    }

    /// Writes everything below `folder`, into `alert-rules` and `dashboards` there, and removes what is no longer generated.
    pub fn write(&self, folder: &Path) -> Result<Report, GenerateError> {
        let start = Instant::now();
        generate::write_below(folder, self.files()?, start)
    }

    /// Fails with a [`GenerateError::Drift`] if [`write`](Self::write) would change anything below `folder`.
    pub fn check(&self, folder: &Path) -> Result<Report, GenerateError> {
        let start = Instant::now();
        generate::check_below(folder, self.files()?, start)
    }
}
