//! Alerts on how fast an error budget is used up, after the chapter "Alerting on SLOs" of Google's SRE workbook.
//!
//! Each looks at two windows: the long one says that enough of the budget is gone to matter, the short one that it still
//! goes, so that the alert ends soon after its cause.

use std::time::Duration;

use super::{
    Definition,
    series::{
        ERROR_BUDGET_LEFT, ErrorRatio, LAST_1D, LAST_1H, LAST_2H, LAST_3D, LAST_5M, LAST_6H, LAST_30M, REQUESTS_RATE5M,
        SloLabels, SloName,
    },
    traffic::{self, STEP, STEP_OF_DAYS},
};
use crate::{
    alert::{self, Alert, Severity},
    panel::{Panel, slos},
    promql::{Condition, Quantity, Recorded, RecordedSpec, Service, Window, duration_text, label, recorded},
    runbook::{Runbook, Step, ask},
    template::{template, value},
};

/// How fast is too fast, over which windows.
#[derive(Clone, Copy, Debug)]
pub struct BurnRate {
    /// How many times as fast as the objective allows.
    pub factor: f64,
    /// The window that says that it matters.
    pub long: ErrorRatio,
    /// The window that says that it goes on.
    pub short: ErrorRatio,
    /// How urgent it is.
    pub severity: Severity,
    /// The panel that shows it.
    pub panel: Panel,
    symptom: &'static str,
    meaning: &'static str,
}

/// The burn rates that alert, the most urgent first.
pub const BURN_RATES: [BurnRate; 4] = [
    BurnRate {
        factor: 14.4,
        long: LAST_1H,
        short: LAST_5M,
        severity: Severity::Critical,
        panel: slos::BURN_RATE_1H,
        symptom: "Over an hour, and still now, the error budget burns more than 14.4 times as fast as it may.",
        meaning: "A fiftieth of the month's budget is gone within the hour: people notice, and in two days there would \
                  be nothing left. Act now.",
    },
    BurnRate {
        factor: 6.0,
        long: LAST_6H,
        short: LAST_30M,
        severity: Severity::Critical,
        panel: slos::BURN_RATE_6H,
        symptom: "Over six hours, and still now, the error budget burns more than six times as fast as it may.",
        meaning: "A twentieth of the month's budget is gone within six hours, too slowly for the alert on the last hour. \
                  In five days there would be nothing left. Act now.",
    },
    BurnRate {
        factor: 3.0,
        long: LAST_1D,
        short: LAST_2H,
        severity: Severity::Warning,
        panel: slos::BURN_RATE_1D,
        symptom: "Over a day, and still now, the error budget burns more than three times as fast as it may.",
        meaning: "A tenth of the month's budget is gone within the day. Nobody has to get up for it, but it does not end \
                  by itself: look today.",
    },
    BurnRate {
        factor: 1.0,
        long: LAST_3D,
        short: LAST_6H,
        severity: Severity::Warning,
        panel: slos::BURN_RATE_3D,
        symptom: "Over three days, and still now, the error budget burns faster than it may.",
        meaning: "If it goes on like this the objective is missed. Something fails a little and steadily: plan its repair \
                  before the next release.",
    },
];

/// The alerts of an objective, in the order of [`BURN_RATES`].
pub(super) fn alerts(definition: &Definition) -> Vec<Alert> {
    let named = BURN_RATES.iter().zip(definition.alerts);
    named.map(|(burn, name)| burn.alert(name, definition)).collect()
}

// === impl BurnRate ===

impl BurnRate {
    /// Minutes from one evaluation to the next in its tests.
    pub(crate) fn step(&self) -> u64 {
        if self.long_minutes() < 24 * 60 { STEP } else { STEP_OF_DAYS }
    }

    pub(super) fn long_minutes(&self) -> u64 {
        window_minutes(self.long.window)
    }

    pub(super) fn short_minutes(&self) -> u64 {
        window_minutes(self.short.window)
    }

    fn alert(&self, name: &'static str, definition: &Definition) -> Alert {
        let Definition { objective, period, bad, .. } = definition;
        let (long, short) = (self.long.window, self.short.window);
        let lasts = duration_text(period.duration().div_f64(self.factor));
        let definition = alert::Definition {
            name,
            severity: self.severity,
            team: definition.team,
            service: None,
            condition: self.condition(definition),
            // The windows are patience enough.
            lasts: Duration::ZERO,
            panel: Some(self.panel),
            summary: template((label::<Service>(), " burns the error budget of ", label::<SloName>())),
            description: template((
                format!("Over {long}, and over {short} too, "),
                value(),
                format!(
                    " times as many {bad} as an objective of {} % allows. At this rate an error budget of {} lasts less \
                     than {lasts}.",
                    objective.in_percent(),
                    period.window(),
                ),
            )),
            examples: traffic::examples(definition, self),
            runbook: Runbook {
                symptom: self.symptom,
                meaning: self.meaning,
                investigation: self.investigation(definition),
                resolution: definition.resolution,
                related: definition.related,
            },
        };
        definition.into()
    }

    /// Both windows are above the factor, and there is enough traffic for a share to mean anything.
    fn condition(&self, definition: &Definition) -> Condition<SloLabels> {
        let burns = |ratio: ErrorRatio| {
            let times = definition.recorded(ratio.series).value() / definition.objective.budget();
            times.measured_in(Quantity::Count).above(self.factor)
        };
        let requests = definition.recorded(REQUESTS_RATE5M).avg_over_time(self.long.window);
        burns(self.long).and(burns(self.short)).and(requests.above(definition.minimum_rate))
    }

    fn investigation(&self, definition: &Definition) -> Vec<Step> {
        let mut steps = vec![
            ask("See what share of the requests is bad just now", definition.recorded(LAST_5M.series).value()),
            ask("See when it began", definition.recorded(self.long.series).value()),
            ask("See how much of the error budget is left", definition.recorded(ERROR_BUDGET_LEFT).value()),
        ];
        steps.extend(definition.investigation.iter().cloned());
        steps
    }
}

fn window_minutes(window: Window) -> u64 {
    match window {
        Window::Fixed(duration) => duration.as_secs() / 60,
        Window::RateInterval => unreachable!("rules have fixed windows"),
    }
}

// === impl Definition ===

impl Definition {
    /// The series of this objective alone.
    pub(super) fn recorded(&self, spec: RecordedSpec<SloLabels>) -> Recorded<SloLabels> {
        recorded(spec).only(label::<SloName>().eq(self.name))
    }
}
