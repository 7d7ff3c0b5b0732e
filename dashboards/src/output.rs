//! Everything that is generated: for the platform, or for a program that declares metrics, alerts and dashboards of its own.

use std::{fmt, path::Path, time::Instant};

use clap::{ValueEnum as _, builder::PossibleValue};
use futura_alert_rules::{GeneratedFile, RuleSet, Site, panel::slos};
use futura_metrics::spec::Descriptor;

use crate::{
    catalogue::{self, dashboards},
    generate::{self, GenerateError, Report},
    grafana::Dashboard,
    lint::{AlertPanel, Catalogue},
};

/// In which of Grafana's models dashboards are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The classic model, with its provisioning: the only one that files on Grafana's machine and the sidecar of its chart take
    #[default]
    Classic,
    /// Resources of kind Dashboard, into the folder `dashboards/v2`, for the API of Grafana 13 and for Git Sync
    V2,
}

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
    /// How dashboards are written.
    pub format: Format,
}

// === impl Format ===

impl fmt::Display for Format {
    /// As on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", PossibleValue::get_name))
    }
}

// === impl Output ===

impl Output {
    /// These rules, without a dashboard yet.
    pub fn new(rules: RuleSet) -> Self {
        Self { rules, dashboards: Vec::new(), metrics: Vec::new(), format: Format::Classic }
    }

    /// All that the platform has.
    pub fn platform(site: &Site) -> Self {
        Self { dashboards: dashboards(site), ..Self::new(RuleSet::platform(site.clone())) }
    }

    /// With this dashboard besides, on which the thresholds of the alerts are drawn that name one of its panels.
    #[must_use]
    pub fn dashboard(mut self, dashboard: Dashboard) -> Self {
        self.dashboards.push(dashboard.watched_by(self.rules.alerts(), &self.rules.site));
        self
    }

    /// With these metrics for dashboards to ask for: the `CATALOGUE` that [`declare!`](futura_metrics::declare) makes.
    #[must_use]
    pub fn metrics(mut self, catalogue: &[Descriptor]) -> Self {
        self.metrics.extend_from_slice(catalogue);
        self
    }

    /// With dashboards in this model.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// The files of the rules and those of the dashboards, all of them checked.
    pub(crate) fn files(&self) -> Result<[Vec<GeneratedFile>; 2], GenerateError> {
        let catalogue = Catalogue::declared().with(&self.metrics);
        let alerts = AlertPanel::of(self.rules.alerts());
        let mut dashboards = self.dashboards.clone();
        if !self.rules.slos.is_empty() && dashboards.iter().all(|dashboard| dashboard.uid != slos::UID) {
            // The alerts of objectives link to it.
            dashboards.extend(catalogue::dashboards(&self.rules.site).into_iter().find(|other| other.uid == slos::UID));
        }
        Ok([self.rules.files()?, catalogue::render(&dashboards, &catalogue, &alerts, self.format)?])
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
