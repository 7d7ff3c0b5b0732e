//! What an alert is: written as a [`Definition`], whose labels the compiler follows, and kept as an [`Alert`].

use std::time::Duration;

use futura_metrics::spec::{Label, LabelSet};

use crate::{
    example::{Example, Scenario},
    panel::Panel,
    promql::{Condition, Service, Threshold},
    runbook::Runbook,
    site::Site,
    template::{Part, Template, annotation, filled},
};

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A person acts now, at any hour.
    Critical,
    /// A person looks during working hours.
    Warning,
}

/// Who acts on an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Team {
    /// Those who build the services.
    Api,
    /// Those who answer for sales.
    Business,
    /// Those who run the data stores.
    Database,
    /// Those who answer for payments.
    Payments,
    /// Those who run the cluster.
    Platform,
}

/// An alert as one writes it; its texts can only name labels that its condition keeps.
#[derive(Debug)]
pub struct Definition<L: LabelSet> {
    /// The alert's name.
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// Who acts.
    pub team: Team,
    /// What is affected, unless the condition keeps the label `service` and says so itself.
    pub service: Option<&'static str>,
    /// When there is a fault.
    pub condition: Condition<L>,
    /// How long the fault must last.
    pub lasts: Duration,
    /// The panel that shows it, if there is one.
    pub panel: Option<Panel>,
    /// One line that says what is wrong where.
    pub summary: Template<L>,
    /// What that means and how bad it is.
    pub description: Template<L>,
    /// Series under which it fires and under which it stays silent.
    pub examples: Vec<Example<L>>,
    /// What to do.
    pub runbook: Runbook,
}

/// An alert, checked and ready to be written.
#[derive(Debug)]
pub struct Alert {
    /// The alert's name.
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// Who acts.
    pub team: Team,
    /// What is affected, where the expression does not say.
    pub service: Option<&'static str>,
    /// When there is a fault, as PromQL.
    pub expression: String,
    /// What the expression compares its value with.
    pub threshold: Threshold,
    /// The labels that the expression keeps.
    pub label_names: &'static [&'static str],
    /// How long the fault must last.
    pub lasts: Duration,
    /// The panel that shows it, if there is one.
    pub panel: Option<Panel>,
    /// What to do.
    pub runbook: Runbook,
    pub(crate) scenarios: Vec<Scenario>,
    summary: Vec<Part>,
    description: Vec<Part>,
}

/// Minutes as a duration, to say how long a fault must last.
pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

// === impl Severity ===

impl Severity {
    /// The value of the label `severity`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

// === impl Team ===

impl Team {
    /// The value of the label `team`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Business => "business",
            Self::Database => "database",
            Self::Payments => "payments",
            Self::Platform => "platform",
        }
    }
}

// === impl Alert ===

impl<L: LabelSet> From<Definition<L>> for Alert {
    fn from(definition: Definition<L>) -> Self {
        Self {
            name: definition.name,
            severity: definition.severity,
            team: definition.team,
            service: definition.service,
            expression: definition.condition.to_string(),
            threshold: definition.condition.threshold(),
            label_names: L::NAMES,
            lasts: definition.lasts,
            panel: definition.panel,
            runbook: definition.runbook,
            scenarios: definition.examples.into_iter().map(Example::into_scenario).collect(),
            summary: definition.summary.into_parts(),
            description: definition.description.into_parts(),
        }
    }
}

impl Alert {
    /// The labels that the rule states; a service that the expression knows is stated as a template.
    pub fn stated_labels(&self) -> [(&'static str, &'static str); 3] {
        let service = self.service.unwrap_or("{{ $labels.service }}");
        [("severity", self.severity.as_str()), ("team", self.team.as_str()), (Service::NAME, service)]
    }

    /// The annotations in Prometheus's template language.
    pub fn annotations(&self, site: &Site) -> [(&'static str, String); 4] {
        self.annotations_with(site, |parts| annotation(parts, self.threshold.quantity))
    }

    /// The annotations as Prometheus fills them in for these labels and this value.
    pub(crate) fn filled_annotations(
        &self,
        site: &Site,
        labels: &[(&'static str, String)],
        value: f64,
    ) -> [(&'static str, String); 4] {
        self.annotations_with(site, |parts| filled(parts, self.threshold.quantity, labels, value))
    }

    fn annotations_with(&self, site: &Site, write: impl Fn(&[Part]) -> String) -> [(&'static str, String); 4] {
        [
            ("summary", write(&self.summary)),
            ("description", write(&self.description)),
            ("runbook_url", site.runbook_url(self.name)),
            ("dashboard_url", site.dashboard_url(self.panel)),
        ]
    }
}
