//! Values about a threshold, of which examples are made that nobody has to count out.

use std::time::Duration;

use super::{Firing, Moment, Samples, Scenario, Series, Tried};
use crate::promql::{Comparison, Shape, Threshold, Window};

/// How far from the threshold a value is that is a little beyond or short of it.
const LITTLE: f64 = 0.05;
/// How many minutes more than they need things get at most.
const SPARE: u64 = 5;

/// What a value does over time, to be told as the samples that bring it about.
#[derive(Clone, Debug)]
pub struct Course {
    /// Values, and for how many minutes each.
    stretches: Vec<(f64, u64)>,
}

/// Values about a threshold.
#[derive(Clone, Copy)]
struct About {
    /// Far on the side where nothing fires.
    far: f64,
    /// A little on the side where the alert fires.
    beyond: f64,
    /// A little on the side where it does not.
    short: f64,
    /// Whether a window that holds anything beyond is beyond itself, as it is of zero.
    at_once: bool,
}

/// When what happens, in minutes; each is where another window or duration of the rule would show.
#[derive(Clone, Copy)]
struct Times {
    /// The value goes beyond.
    begins: u64,
    /// It has not been beyond for long enough.
    too_early: Option<u64>,
    /// It has, and it comes back.
    fires: u64,
    /// The window holds more of what is short than of what is beyond.
    over: u64,
}

/// The examples of an alert that follow from the series in which it finds a value; none where it compares nothing.
pub(super) fn scenarios(
    tried: &Tried<'_>,
    labels: &[(&'static str, String)],
    series: fn(Course) -> Vec<Series>,
) -> Vec<Scenario> {
    let Some(about) = About::of(tried.threshold) else { return Vec::new() };
    // Of what cannot be parsed lint tells.
    let windows = Shape::of(tried.expression).unwrap_or_default().windows;
    let Times { begins, too_early, fires, over } =
        Times::new(minutes(windows.into_iter().max().unwrap_or_default()), minutes(tried.lasts), about.at_once);
    let scenario = |name: &'static str, stretches: &[(f64, u64)], moments| {
        let stretches = stretches.iter().copied().filter(|(_, length)| *length > 0).collect();
        let mut series = series(Course { stretches });
        for line in series.iter_mut().flat_map(|series| &mut series.lines) {
            let missing = labels.iter().filter(|(name, _)| line.labels.iter().all(|(known, _)| known != name));
            let missing: Vec<_> = missing.cloned().collect();
            line.labels.extend(missing);
        }
        Scenario { name: name.into(), series, moments }
    };
    let silent = |minute| Moment { minute, firing: Vec::new() };
    let firing = Moment { minute: fires, firing: vec![Firing { labels: labels.to_vec(), value: about.beyond }] };
    vec![
        scenario(
            "its value goes a little beyond the threshold and comes back",
            &[(about.far, begins), (about.beyond, fires - begins), (about.short, over - fires)],
            too_early.map(silent).into_iter().chain([firing, silent(over)]).collect(),
        ),
        scenario(
            "its value stays a little short of the threshold",
            &[(about.short, over)],
            vec![silent(fires), silent(over)],
        ),
    ]
}

/// As many whole minutes as hold this.
fn minutes(duration: Duration) -> u64 {
    duration.as_secs().div_ceil(60)
}

// === impl About ===

impl About {
    fn of(Threshold { comparison, value, .. }: Threshold) -> Option<Self> {
        let at_once = value == 0.0 && comparison != Comparison::Equal;
        // Of zero no share is anything: what counts things has one, or none.
        let (more, less) = if value == 0.0 { (1.0, 0.0) } else { (value.abs() * LITTLE, value.abs() * LITTLE) };
        let (far, beyond, short) = match comparison {
            Comparison::Above => (value - value.abs(), value + more, value - less),
            Comparison::Below => (value + value.abs().max(1.0), value - more, value + less),
            Comparison::Equal => (value + 1.0, value, value + 1.0),
            Comparison::Absent | Comparison::Always => return None,
        };
        Some(Self { far, beyond, short, at_once })
    }
}

// === impl Times ===

impl Times {
    fn new(window: u64, lasts: u64, at_once: bool) -> Self {
        let begins = if window == 0 { 0 } else { window + 1 };
        // A window is beyond once it holds hardly anything of what was before. Versions of Prometheus differ in whether it holds
        // the sample at its beginning.
        let too_early = if window == 0 || at_once {
            lasts.checked_sub(1)
        } else {
            Some(lasts + (window * 9 / 10).saturating_sub(1))
        };
        // Sooner than if it had to last twice as long, where that is more than a minute.
        let spare = if lasts == 0 { SPARE } else { (lasts / 2).clamp(1, SPARE) };
        let fires = begins + window + lasts + spare;
        let over = match window {
            0 => SPARE,
            _ if at_once => window + window / 2,
            _ => (window * 3).div_ceil(4),
        };
        Self { begins, too_early: too_early.map(|minutes| begins + minutes), fires, over: fires + over }
    }
}

// === impl Course ===

impl Course {
    /// Samples of a gauge that has this value.
    pub fn values(&self) -> Samples {
        let mut stretches = self.stretches.iter();
        let (first, length) = stretches.next().copied().unwrap_or_default();
        stretches.fold(Samples::steady(first, length), |samples, (value, length)| samples.then_steady(*value, *length))
    }

    /// Samples of a counter that grows by this value in a second.
    pub fn per_second(&self) -> Samples {
        self.growing_in(Duration::from_secs(1))
    }

    /// Samples of a counter that grows by this value within each such window.
    ///
    /// # Panics
    /// When it is Grafana's window, of which nobody knows how long it is.
    pub fn within(&self, window: Window) -> Samples {
        match window {
            Window::Fixed(duration) => self.growing_in(duration),
            Window::RateInterval => panic!("an alert's window has a length"),
        }
    }

    fn growing_in(&self, time: Duration) -> Samples {
        let per_minute = |value: f64| value * 60.0 / time.as_secs_f64();
        let mut stretches = self.stretches.iter();
        let (first, length) = stretches.next().copied().unwrap_or_default();
        let samples = Samples::growing(per_minute(first), length);
        stretches.fold(samples, |samples, (value, length)| samples.then_growing(per_minute(*value), *length))
    }
}

#[cfg(test)]
mod tests {
    use futura_metrics::specs::business::{ORDERS_CREATED_TOTAL, TICKETS_ACTIVE_TOTAL};
    use insta::assert_snapshot;

    use crate::{
        alert::{Alert, Definition, Severity, Team, minutes},
        example::{Course, Example, Scenario, Series, series},
        promql::{Condition, Service, Window, by, counter, gauge},
    };

    fn told(condition: Condition<(Service,)>, lasts: u64, series: fn(Course) -> Vec<Series>) -> String {
        let definition = Definition::new("Tried", Severity::Warning, Team::Api, condition).lasts(minutes(lasts));
        let alert = Alert::from(definition.example(Example::at_threshold(("bar",), series)));
        alert.stated_scenarios().iter().map(scenario).collect()
    }

    fn scenario(scenario: &Scenario) -> String {
        let series =
            scenario.series.iter().flat_map(Series::notation).map(|(name, values)| format!("  {name} {values}\n"));
        let moments = scenario.moments.iter().map(|moment| {
            let firing = moment.firing.iter().map(|firing| format!(" {:?} {}", firing.labels, firing.value));
            format!("  at {}:{}\n", moment.minute, firing.collect::<String>())
        });
        format!("{}\n{}{}", scenario.name, series.collect::<String>(), moments.collect::<String>())
    }

    #[test]
    fn a_gauge_has_the_value_and_gets_the_labels_of_its_target() {
        let tickets = gauge(TICKETS_ACTIVE_TOTAL).value().sum(by::<(Service,)>());
        let told = told(tickets.below(10.0), 5, |value| vec![series(TICKETS_ACTIVE_TOTAL, (), value.values())]);
        assert_snapshot!(told, @r#"
        its value goes a little beyond the threshold and comes back
          tickets_active_total{service="bar"} 9.5+0x7 10.5+0x4
          at 4:
          at 7: [("service", "bar")] 9.5
          at 12:
        its value stays a little short of the threshold
          tickets_active_total{service="bar"} 10.5+0x12
          at 7:
          at 12:
        "#);
    }

    #[test]
    fn a_counter_grows_so_fast_and_a_window_must_pass() {
        let orders = || counter(ORDERS_CREATED_TOTAL);
        let rate = orders().rate(Window::minutes(10)).sum(by::<(Service,)>());
        assert_snapshot!(told(rate.above(2.0), 0, |value| vec![series(ORDERS_CREATED_TOTAL, (), value.per_second())]), @r#"
        its value goes a little beyond the threshold and comes back
          orders_created_total{service="bar"} 0+0x11 126+126x14 2004+114x7
          at 19:
          at 26: [("service", "bar")] 2.1
          at 34:
        its value stays a little short of the threshold
          orders_created_total{service="bar"} 0+114x34
          at 26:
          at 34:
        "#);
        let increase = orders().increase(Window::hours(1)).sum(by::<(Service,)>());
        let told = told(increase.above(0.0), 1, |value| {
            vec![series(ORDERS_CREATED_TOTAL, (), value.within(Window::hours(1)))]
        });
        assert_snapshot!(told, @r#"
        its value goes a little beyond the threshold and comes back
          orders_created_total{service="bar"} 0+0x61 0.016666666666666666+0.016666666666666666x61 1.0333333333333345+0x89
          at 61:
          at 123: [("service", "bar")] 1
          at 213:
        its value stays a little short of the threshold
          orders_created_total{service="bar"} 0+0x213
          at 123:
          at 213:
        "#);
    }

    #[test]
    fn what_compares_a_state_has_it_and_then_another() {
        let state = gauge(TICKETS_ACTIVE_TOTAL).value().sum(by::<(Service,)>()).equal_to(0.0);
        let told = told(state, 0, |value| vec![series(TICKETS_ACTIVE_TOTAL, (), value.values())]);
        assert_snapshot!(told, @r#"
        its value goes a little beyond the threshold and comes back
          tickets_active_total{service="bar"} 0+0x5 1+0x4
          at 5: [("service", "bar")] 0
          at 10:
        its value stays a little short of the threshold
          tickets_active_total{service="bar"} 1+0x10
          at 5:
          at 10:
        "#);
    }

    #[test]
    #[should_panic(expected = "knows its moments")]
    fn an_example_at_the_threshold_takes_no_moments() {
        let _ = Example::<()>::at_threshold((), |_| Vec::new()).silent_at(1);
    }
}
