//! What Prometheus is to evaluate at a site: the platform's rules, or those of a program that declares its own.

use crate::{
    alert::Alert,
    output::{self, GeneratedFile, OutputError},
    rules::{self, Area},
    site::Site,
    slo::Slo,
};

/// The areas of alerts and the objectives of a site.
///
/// ```
/// use futura_alert_rules::{RuleSet, Site};
/// assert_eq!(RuleSet::platform(Site::default()).files().unwrap(), futura_alert_rules::files(&Site::default()).unwrap());
/// ```
#[derive(Debug)]
pub struct RuleSet {
    /// Where it is.
    pub site: Site,
    /// Its areas; each becomes a file of rules.
    pub areas: Vec<Area>,
    /// Its objectives; each becomes a file of rules.
    pub slos: Vec<Slo>,
    /// Whether Alertmanager's configuration and the page of settings belong to it: those are the platform's alone.
    pub(crate) is_platform: bool,
}

// === impl RuleSet ===

impl RuleSet {
    /// Nothing yet.
    pub fn new(site: Site) -> Self {
        Self { site, areas: Vec::new(), slos: Vec::new(), is_platform: false }
    }

    /// What the platform itself is watched by.
    pub fn platform(site: Site) -> Self {
        let areas = rules::areas(&site);
        Self { site, areas, slos: rules::slos(), is_platform: true }
    }

    /// With these alerts besides, at the thresholds and durations that the site sets.
    #[must_use]
    pub fn area(mut self, name: &'static str, alerts: impl IntoIterator<Item = impl Into<Alert>>) -> Self {
        let mut alerts: Vec<Alert> = alerts.into_iter().map(Into::into).collect();
        alerts.iter_mut().for_each(|alert| alert.adapt_to(&self.site));
        self.areas.push(Area { name, alerts });
        self
    }

    /// With this objective besides.
    #[must_use]
    pub fn slo(mut self, slo: impl Into<Slo>) -> Self {
        self.slos.push(slo.into());
        self
    }

    /// Every alert, those of objectives last.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        let areas = self.areas.iter().flat_map(|area| &area.alerts);
        areas.chain(self.slos.iter().flat_map(|slo| &slo.alerts))
    }

    /// Every file, or the first thing that is wrong.
    pub fn files(&self) -> Result<Vec<GeneratedFile>, OutputError> {
        output::render(self)
    }
}
