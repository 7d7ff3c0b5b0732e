//! An alert as one writes it: as a struct that states everything, or from what must be said on, piece by piece.

use std::time::Duration;

use futura_metrics::spec::LabelSet;

use super::{Severity, Team, minutes};
use crate::{
    example::Example,
    panel::Panel,
    promql::Condition,
    runbook::{Runbook, Step},
    template::{Parts, Template, template},
};

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

// === impl Definition ===

impl<L: LabelSet> Definition<L> {
    /// A fault that lasts five minutes and is described by its name, its service being the one that the condition keeps.
    ///
    /// There are no examples and no runbook yet, and without them it is refused:
    ///
    /// ```
    /// use futura_alert_rules::{Alert, Definition, Example, Service, Severity, Team, ask, by, gauge, label, series};
    /// use futura_metrics::specs::http::{HTTP_REQUESTS_IN_FLIGHT, Method};
    /// let in_flight = || gauge(HTTP_REQUESTS_IN_FLIGHT).value().sum(by::<(Service,)>());
    /// let alert: Alert = Definition::new("ManyRequests", Severity::Warning, Team::Api, in_flight().above(500.0))
    ///     .summary((label::<Service>(), " answers many requests at once"))
    ///     .example(Example::at_threshold(("api",), |requests| {
    ///         vec![series(HTTP_REQUESTS_IN_FLIGHT, (Method::Get, "/events"), requests.values())]
    ///     }))
    ///     .symptom("More requests are being answered than usual.")
    ///     .meaning("Answers take longer, or there are more people than ever.")
    ///     .investigation([ask("See since when", in_flight())])
    ///     .resolution(&["Start another replica."])
    ///     .into();
    /// assert_eq!(alert.expression, "sum by (service) (http_requests_in_flight) > 500");
    /// ```
    pub fn new(name: &'static str, severity: Severity, team: Team, condition: Condition<L>) -> Self {
        Self {
            name,
            severity,
            team,
            service: None,
            condition,
            lasts: minutes(5),
            panel: None,
            summary: template(name),
            description: template(name),
            examples: Vec::new(),
            runbook: Runbook::default(),
        }
    }

    /// The same of this service, where the condition does not keep the label.
    pub fn service(self, service: &'static str) -> Self {
        Self { service: Some(service), ..self }
    }

    /// The same once the fault has lasted this long.
    pub fn lasts(self, lasts: Duration) -> Self {
        Self { lasts, ..self }
    }

    /// Shown by this panel.
    pub fn panel(self, panel: Panel) -> Self {
        Self { panel: Some(panel), ..self }
    }

    /// With this line that says what is wrong where.
    pub fn summary<Indices>(self, parts: impl Parts<L, Indices>) -> Self {
        Self { summary: template(parts), ..self }
    }

    /// With this text about what that means and how bad it is.
    pub fn description<Indices>(self, parts: impl Parts<L, Indices>) -> Self {
        Self { description: template(parts), ..self }
    }

    /// Tried with this example besides.
    pub fn example(mut self, example: Example<L>) -> Self {
        self.examples.push(example);
        self
    }

    /// With a runbook that begins with what one sees.
    pub fn symptom(mut self, symptom: &'static str) -> Self {
        self.runbook.symptom = symptom;
        self
    }

    /// With a runbook that tells what it means for those who use the system and for the system.
    pub fn meaning(mut self, meaning: &'static str) -> Self {
        self.runbook.meaning = meaning;
        self
    }

    /// With a runbook that tells how to find the cause, most likely first.
    pub fn investigation(mut self, steps: impl Into<Vec<Step>>) -> Self {
        self.runbook.investigation = steps.into();
        self
    }

    /// With a runbook that tells how to end it, least invasive first.
    pub fn resolution(mut self, ways: &'static [&'static str]) -> Self {
        self.runbook.resolution = ways;
        self
    }

    /// With a runbook that leads to alerts which tend to fire with it or explain it.
    pub fn related(mut self, alerts: &'static [&'static str]) -> Self {
        self.runbook.related = alerts;
        self
    }
}
