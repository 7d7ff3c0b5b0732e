//! Traffic to try an objective's rules with: how they fire, end and stay silent, in promtool's tests.
//!
//! Rules are not evaluated every minute there, as days have to pass. What happens begins when they are, so that each rate
//! over five minutes is either all of the old or all of the new, in every version of Prometheus.

use std::iter;

use super::{
    Definition,
    burn::BurnRate,
    series::{ERROR_BUDGET_LEFT, OBJECTIVE, SloLabels, SloName},
};
use crate::{
    example::{Example, Samples, Series},
    promql::{RecordedSpec, Service, label, recorded},
};

/// Minutes from one evaluation to the next where what is recorded is tried.
pub(crate) const STEP: u64 = 5;
/// The same for alerts that look at days.
pub(crate) const STEP_OF_DAYS: u64 = 30;
/// How many bad requests a minute are allowed at least in examples: enough for every burn rate to make whole numbers of them,
/// which no sum rounds.
const ALLOWED_PER_MINUTE: f64 = 1_000.0;
/// How much faster than allowed the budget burns in the example that fills a window: it is noticed after two thirds of it.
const BURNING: f64 = 1.5;

/// The requests of a service over time, counted three ways.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// All requests that count.
    pub all: Samples,
    /// Those that are good.
    pub good: Samples,
    /// Those that are bad.
    pub bad: Samples,
}

/// What the recording rules are to have written after some traffic.
#[derive(Debug)]
pub(crate) struct RecordedExample {
    pub(crate) name: &'static str,
    pub(crate) series: Vec<Series>,
    pub(crate) minute: u64,
    /// Expressions and their values.
    pub(crate) values: Vec<(String, f64)>,
}

/// Some minutes of even traffic.
#[derive(Clone, Copy)]
struct Phase {
    minutes: u64,
    per_minute: f64,
    bad: f64,
    /// Whether the service starts anew before it, and counts from zero.
    restarts: bool,
}

/// Series under which the alert on `burn` fires, ends and stays silent.
pub(super) fn examples(definition: &Definition, burn: &BurnRate) -> Vec<Example<SloLabels>> {
    let limit = burn.factor * definition.objective.budget();
    let usual = (definition.minimum_rate * 600.0).max(definition.usual());
    let steady = |bad, per_minute| [Phase { minutes: 120, per_minute, bad, restarts: false }];
    let scarce = (definition.minimum_rate * 60.0 * 0.9).floor();
    let labels = (definition.service, definition.name);
    let [before] = steady(limit * 0.95, usual);
    let restarting = [before, Phase { restarts: true, ..before }];
    let mut examples = vec![
        Example::when("the budget burns a little too fast", definition.series(&steady(limit * 1.05, usual)))
            .fires_at(60, labels, burn.factor * 1.05)
            .fires_at(120, labels, burn.factor * 1.05),
        Example::when("it burns as fast as just allowed", definition.series(&steady(limit * 0.95, usual)))
            .silent_at(60)
            .silent_at(120),
        Example::when("everything fails, of hardly any requests", definition.series(&steady(1.0, scarce)))
            .silent_at(60)
            .silent_at(120),
        Example::when("there are no requests", definition.series(&steady(0.0, 0.0))).silent_at(60),
        Example::when("nothing is scraped", []).silent_at(60),
        Example::when("the service restarts", definition.series(&restarting)).silent_at(125).silent_at(240),
    ];
    examples.push(whole_window(definition, burn, usual));
    examples
}

/// The budget burns for longer than the long window after a time without errors, then no more.
fn whole_window(definition: &Definition, burn: &BurnRate, per_minute: f64) -> Example<SloLabels> {
    let (long, short, step) = (burn.long_minutes(), burn.short_minutes(), burn.step());
    let limit = burn.factor * definition.objective.budget();
    let phase = |minutes, bad| Phase { minutes, per_minute, bad, restarts: false };
    let phases = [phase(long, 0.0), phase(long + 2 * step, limit * BURNING), phase(short + 2 * step, 0.0)];
    let end = 2 * long + 2 * step;
    Example::when("errors come for a whole window and end", definition.series(&phases))
        // Two thirds of the long window must be bad to be above the limit.
        .silent_at(long + long * 2 / 3 - step)
        .fires_at(end, (definition.service, definition.name), burn.factor * BURNING)
        // Half of the short window is enough, while the long one is still above the limit.
        .silent_at(end + (short / 2).next_multiple_of(step) + step)
}

/// What is recorded of a service that spends half of its budget.
pub(super) fn recorded_examples(definition: &Definition) -> Vec<RecordedExample> {
    let bad = definition.objective.budget() / 2.0;
    let phase = Phase { minutes: 60, per_minute: definition.usual(), bad, restarts: false };
    let value = |series: RecordedSpec<SloLabels>| {
        recorded(series)
            .only(label::<Service>().eq(definition.service))
            .only(label::<SloName>().eq(definition.name))
            .to_string()
    };
    vec![RecordedExample {
        name: "half of what may fail does",
        series: definition.series(&[phase]),
        minute: 60,
        values: vec![(value(ERROR_BUDGET_LEFT), 0.5), (value(OBJECTIVE), definition.objective.share())],
    }]
}

// === impl Traffic ===

impl Traffic {
    fn new(phases: &[Phase]) -> Self {
        let samples = |per_minute: fn(&Phase) -> f64| {
            phases.iter().fold(Samples::steady(0.0, 0), |samples, phase| {
                let samples = if phase.restarts { samples.then_steady(0.0, 1) } else { samples };
                samples.then_growing(per_minute(phase).round(), phase.minutes)
            })
        };
        Self {
            all: samples(|phase| phase.per_minute),
            good: samples(|phase| phase.per_minute * (1.0 - phase.bad)),
            bad: samples(|phase| phase.per_minute * phase.bad),
        }
    }
}

// === impl Definition ===

impl Definition {
    /// Requests a minute: a round number of which enough are allowed to be bad.
    fn usual(&self) -> f64 {
        let mut powers = iter::successors(Some(10_000.0), |power| Some(power * 10.0));
        let budget = self.objective.budget();
        powers.find(|power| (power * budget).round() >= ALLOWED_PER_MINUTE).expect("a budget is more than nothing")
    }

    fn series(&self, phases: &[Phase]) -> Vec<Series> {
        let series = (self.traffic)(Traffic::new(phases));
        series.into_iter().map(|series| series.target::<Service>(self.service)).collect()
    }
}
