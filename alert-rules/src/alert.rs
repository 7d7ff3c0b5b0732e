//! What an alert is: written as a [`Definition`], whose labels the compiler follows, and kept as an [`Alert`].

use std::{collections::BTreeMap, time::Duration};

use futura_metrics::spec::{Label, LabelSet};

pub use self::definition::Definition;
use crate::{
    example::{Firing, Scenario, Tried, derived},
    panel::Panel,
    promql::{Compared, Service, Shape, Threshold},
    runbook::Runbook,
    site::Site,
    template::{Part, annotation, filled},
};

mod definition;

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
    /// The vectors that the expression compares: what has a value whether the alert fires or not.
    pub compared: Vec<String>,
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
    pub(crate) condition: Compared,
    /// The examples as they are stated; see [`scenarios`](Self::scenarios) for all.
    examples: Vec<Scenario>,
    /// Why there are no examples, where this site's settings are not those that they were stated for.
    pub(crate) untested: Option<&'static str>,
    /// The threshold's value of which the runbook speaks.
    pub(crate) stated_threshold: f64,
    pub(crate) summary: Vec<Part>,
    description: Vec<Part>,
}

/// An alert that fires, as Prometheus sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The labels that the rule states and those of the expression, without `alertname`.
    pub labels: BTreeMap<&'static str, String>,
    /// The annotations, filled in.
    pub annotations: BTreeMap<&'static str, String>,
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
        let condition = definition.condition.into_compared();
        let (expression, threshold) = (condition.to_string(), condition.threshold());
        let tried = Tried { threshold, expression: &expression, lasts: definition.lasts };
        let examples = definition.examples.into_iter().flat_map(|example| example.into_scenarios(&tried)).collect();
        Self {
            name: definition.name,
            severity: definition.severity,
            team: definition.team,
            service: definition.service,
            expression,
            compared: condition.subjects().to_vec(),
            threshold,
            label_names: L::NAMES,
            lasts: definition.lasts,
            panel: definition.panel,
            runbook: definition.runbook,
            condition,
            examples,
            untested: None,
            stated_threshold: threshold.value,
            summary: definition.summary.into_parts(),
            description: definition.description.into_parts(),
        }
    }
}

impl Alert {
    /// Sets what this site wants otherwise. The examples follow the threshold if all of them can, else they are left out.
    pub(crate) fn adapt_to(&mut self, site: &Site) {
        let threshold = site.thresholds.get(self.name).copied().filter(|value| *value != self.threshold.value);
        if let Some(value) = threshold {
            self.set_threshold(value);
        }
        let lasts = site.durations.get(self.name).copied().filter(|lasts| *lasts != self.lasts);
        if let Some(lasts) = lasts {
            self.lasts = lasts;
            self.leave_out_tests("its examples are stated for another duration");
        }
    }

    fn set_threshold(&mut self, value: f64) {
        let stated = self.stated_threshold;
        self.condition = self.condition.with_threshold(value);
        (self.expression, self.threshold) = (self.condition.to_string(), self.condition.threshold());
        // Nothing is in proportion to zero, nor across it.
        let is_in_proportion = stated != 0.0 && value / stated > 0.0;
        if is_in_proportion && self.examples.iter().all(Scenario::follows_threshold) {
            self.examples = self.examples.iter().map(|example| example.at_threshold(stated, value)).collect();
        } else {
            self.leave_out_tests("its examples are stated for another threshold");
        }
    }

    fn leave_out_tests(&mut self, why: &'static str) {
        self.examples.clear();
        self.untested = Some(why);
    }

    /// The examples as they are stated.
    pub(crate) fn stated_scenarios(&self) -> &[Scenario] {
        &self.examples
    }

    /// The examples that are stated and those that follow from them; none where they are for other settings.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if self.untested.is_some() {
            return Vec::new();
        }
        // Of what cannot be parsed nothing is derived; lint tells of it.
        let shape = Shape::of(&self.expression).unwrap_or_default();
        derived::complete(self.examples.clone(), &shape, self.lasts)
    }

    /// The labels that the rule states; a service that the expression knows is stated as a template.
    pub fn stated_labels(&self) -> [(&'static str, &'static str); 3] {
        let service = self.service.unwrap_or("{{ $labels.service }}");
        [("severity", self.severity.as_str()), ("team", self.team.as_str()), (Service::NAME, service)]
    }

    /// The annotations in Prometheus's template language.
    pub fn annotations(&self, site: &Site) -> [(&'static str, String); 4] {
        self.annotations_with(site, |parts| annotation(parts, self.threshold.quantity))
    }

    /// The alert as it fires first in its examples; none where no example has it fire.
    pub fn example(&self, site: &Site) -> Option<Instance> {
        let mut firing = self.examples.iter().flat_map(|scenario| &scenario.moments).flat_map(|moment| &moment.firing);
        firing.next().map(|firing| self.instance(site, firing))
    }

    /// The alert as it fires with the labels and the value of `firing`.
    pub(crate) fn instance(&self, site: &Site, firing: &Firing) -> Instance {
        let mut labels: BTreeMap<_, _> =
            self.stated_labels().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        // What a firing states is what the templates of the labels stand for.
        labels.extend(firing.labels.iter().cloned());
        let fill = |parts: &[Part]| filled(parts, self.threshold.quantity, &firing.labels, firing.value);
        Instance { labels, annotations: self.annotations_with(site, fill).into() }
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
