//! Examples that follow from others, so that no alert goes without them: what happens without data, when counters begin
//! again at zero, to series that the alert does not ask for, and at another threshold.

use std::time::Duration;

use super::{Line, Moment, Scenario, Series};
use crate::promql::Shape;

/// How long an alert is watched that should stay silent.
const PATIENCE_MINUTES: u64 = 60;

/// Adds to the examples of an alert those that follow from them and from the expression.
pub(crate) fn complete(mut scenarios: Vec<Scenario>, shape: &Shape, lasts: Duration) -> Vec<Scenario> {
    let mut derived = Vec::new();
    if !shape.answers_without_data() {
        derived.push(without_data(lasts));
    }
    derived.extend(scenarios.iter().filter(|scenario| scenario.is_silent()).find_map(restarted));
    if let Some(firing) = scenarios.iter().find(|scenario| !scenario.is_silent() && !scenario.series.is_empty()) {
        derived.extend(shape.matched_labels().into_iter().filter_map(|label| elsewhere(firing, shape, label)));
    }
    scenarios.extend(derived);
    scenarios
}

fn without_data(lasts: Duration) -> Scenario {
    let minute = lasts.as_secs() / 60 + PATIENCE_MINUTES;
    let moments = vec![Moment { minute, firing: Vec::new() }];
    Scenario { name: "there are no series".into(), series: Vec::new(), moments }
}

/// The same, but half way its process starts anew; none where no counter counts.
fn restarted(scenario: &Scenario) -> Option<Scenario> {
    let counters = || scenario.lines().filter(|line| line.counter && !line.samples.is_zero());
    let minute = counters().map(|line| line.samples.count()).max()? / 2;
    let restart = |line: &mut Line| {
        if line.counter {
            line.samples = line.samples.restarted_at(minute);
        }
    };
    let name = format!("{}, and the counters begin again at zero after {minute} minutes", scenario.name);
    Some(Scenario { name: name.into(), ..scenario.with_lines(restart) })
}

/// The same happens to series that one label keeps out: nothing fires.
fn elsewhere(scenario: &Scenario, shape: &Shape, label: &str) -> Option<Scenario> {
    let mut changed = false;
    let move_away = |line: &mut Line| {
        let Some((_, value)) = line.labels.iter_mut().find(|(name, _)| *name == label) else { return };
        if let Some(other) = shape.value_left_out(&line.name, label, value) {
            (*value, changed) = (other, true);
        }
    };
    let name = format!("{}, but in series that the label `{label}` keeps out", scenario.name);
    let moments = scenario.moments.iter().map(|moment| Moment { minute: moment.minute, firing: Vec::new() });
    let scenario = Scenario { name: name.into(), moments: moments.collect(), ..scenario.with_lines(move_away) };
    changed.then_some(scenario)
}

// === impl Scenario ===

impl Scenario {
    /// Whether the alert never fires in it.
    pub(crate) fn is_silent(&self) -> bool {
        self.moments.iter().all(|moment| moment.firing.is_empty())
    }

    /// Whether a counter begins again at zero in it.
    pub(crate) fn has_restart(&self) -> bool {
        self.lines().any(|line| line.counter && line.samples.restarts())
    }

    /// Whether it can be told for another threshold.
    pub(crate) fn follows_threshold(&self) -> bool {
        self.series.is_empty() || self.series.iter().any(|series| series.in_proportion)
    }

    /// The same at another threshold.
    pub(crate) fn at_threshold(&self, from: f64, to: f64) -> Self {
        let mut scenario = self.clone();
        if scenario.series.is_empty() {
            return scenario;
        }
        scenario.name = format!("{}, times {to} / {from}", scenario.name).into();
        for series in scenario.series.iter_mut().filter(|series| series.in_proportion) {
            for line in &mut series.lines {
                line.samples = line.samples.scaled(from, to);
            }
        }
        for firing in scenario.moments.iter_mut().flat_map(|moment| &mut moment.firing) {
            firing.value = firing.value * to / from;
        }
        scenario
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.series.iter().flat_map(|series| &series.lines)
    }

    fn with_lines(&self, mut change: impl FnMut(&mut Line)) -> Self {
        let mut scenario = self.clone();
        scenario.series.iter_mut().flat_map(|Series { lines, .. }| lines).for_each(&mut change);
        scenario
    }
}
