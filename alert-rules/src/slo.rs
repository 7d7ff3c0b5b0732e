//! Service level objectives: which share of the requests must be good, and alerts on how fast the rest is used up.
//!
//! An objective is written as a [`Definition`]. From it come the recording rules of its [`series`], the four alerts of
//! [`burn`], promtool's tests for all of them from [`traffic`] that the definition only has to translate, and a runbook for
//! each alert. Prometheus must keep what it recorded for as long as the period, which its default of 15 days does not:
//! `--storage.tsdb.retention.time=31d`.
//!
//! ```
//! use futura_alert_rules::{alert::Team, example::series, promql::counter, slo::{Definition, Indicator, Slo}};
//! mod bar {
//!     use futura_metrics::spec::{CounterSpec, Unit};
//!     futura_metrics::declare! {
//!         /// Coffees asked for.
//!         pub COFFEES_ORDERED_TOTAL: CounterSpec = CounterSpec::new("coffees_ordered_total", Unit::Count);
//!         /// Coffees that were spilled.
//!         pub COFFEES_SPILLED_TOTAL: CounterSpec = CounterSpec::new("coffees_spilled_total", Unit::Count);
//!     }
//! }
//! let served = Definition {
//!     traffic: |traffic| vec![
//!         series(bar::COFFEES_ORDERED_TOTAL, (), traffic.all),
//!         series(bar::COFFEES_SPILLED_TOTAL, (), traffic.bad),
//!     ],
//!     ..Definition::new(
//!         "coffees-served",
//!         ["CoffeesSpilled1h", "CoffeesSpilled6h", "CoffeesSpilled1d", "CoffeesSpilled3d"],
//!         Team::Api,
//!         Indicator::availability(&counter(bar::COFFEES_ORDERED_TOTAL), &counter(bar::COFFEES_SPILLED_TOTAL)),
//!     )
//! };
//! let slo = Slo::from(served);
//! assert_eq!(slo.records[0].name, "service_slo:slo_requests:rate5m");
//! assert_eq!(slo.records[0].expression, "sum by (service) (rate(coffees_ordered_total[5m]))");
//! assert_eq!(slo.alerts.len(), 4);
//! ```

use std::time::Duration;

use futura_metrics::spec::{Label, LabelSet};

pub use self::{
    check::{SloFinding, check},
    traffic::Traffic,
};
use self::{
    series::{
        BASE, ERROR_BUDGET_LEFT, ERROR_RATIOS, ERRORS_RATE5M, ErrorRatio, LAST_28D, LAST_30D, OBJECTIVE,
        REQUESTS_RATE5M, SloLabels, SloName,
    },
    traffic::RecordedExample,
};
use crate::{
    alert::{Alert, Team},
    example::Series,
    promql::{Counter, Histogram, Recorded, RecordedSpec, Selector, Service, Vector, Window, by},
    runbook::Step,
};

pub mod burn;
mod check;
pub mod series;
pub mod traffic;

/// An objective as one writes it.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What the label `slo` says; in lower case, as files are called by it.
    pub name: &'static str,
    /// The names of its alerts, in the order of [`burn::BURN_RATES`]: spelled out, so that a search finds them.
    pub alerts: [&'static str; 4],
    /// Who acts on them.
    pub team: Team,
    /// The share that must be good.
    pub objective: Objective,
    /// Over which time.
    pub period: Period,
    /// What is counted, and what of it is bad.
    pub indicator: Indicator,
    /// Requests per second over the long window below which no alert fires, as a single failure would be a large share.
    pub minimum_rate: f64,
    /// What is bad, after a number of times "as many": "requests fail".
    pub bad: &'static str,
    /// A service that has the objective, for the tests.
    pub service: &'static str,
    /// The series in which the indicator finds this traffic; of one service, whose label is added.
    pub traffic: fn(Traffic) -> Vec<Series>,
    /// How to find the cause, after the steps that are the same for every objective.
    pub investigation: Vec<Step>,
    /// How to end it, least invasive first.
    pub resolution: &'static [&'static str],
    /// Alerts that tend to fire with it or explain it.
    pub related: &'static [&'static str],
}

/// An objective, ready to be written.
#[derive(Debug)]
pub struct Slo {
    /// What the label `slo` says.
    pub name: &'static str,
    /// The share that must be good.
    pub objective: Objective,
    /// Over which time.
    pub period: Period,
    /// Its recording rules, each after those that it reads.
    pub records: Vec<Record>,
    /// Its alerts, the most urgent first.
    pub alerts: Vec<Alert>,
    pub(crate) recorded: Vec<RecordedExample>,
}

/// A recording rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name of the series that it writes.
    pub name: &'static str,
    /// What it writes there, as PromQL.
    pub expression: String,
    /// A label that it attaches.
    pub label: (&'static str, &'static str),
}

/// The share of the requests that must be good.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Objective {
    percent: f64,
}

/// Over which time an objective holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Four weeks, so that each has as many weekends.
    Days28,
    /// About a month.
    Days30,
}

/// Which requests count for an objective, and which of them are bad, by service.
#[derive(Clone, Debug)]
pub struct Indicator {
    requests: Vector<(Service,)>,
    errors: Vector<(Service,)>,
}

// === impl Definition ===

impl Definition {
    /// An objective of 99.9 % over 30 days from 0.1 requests per second on, where six failures within an hour are the least
    /// that fires the most urgent alert.
    ///
    /// It says nothing of how to end a fault yet, and has no [`traffic`](Self::traffic) to be tried with; without, it is refused.
    pub fn new(name: &'static str, alerts: [&'static str; 4], team: Team, indicator: Indicator) -> Self {
        Self {
            name,
            alerts,
            team,
            objective: Objective::DEFAULT,
            period: Period::Days30,
            indicator,
            minimum_rate: 0.1,
            bad: "requests fail",
            service: "example",
            traffic: |_| Vec::new(),
            investigation: Vec::new(),
            resolution: &[],
            related: &[],
        }
    }

    /// The recording rules, each after those that it reads.
    fn records(&self) -> Vec<Record> {
        let (requests, errors) = (self.recorded(REQUESTS_RATE5M), self.recorded(ERRORS_RATE5M));
        let mut records = vec![
            self.first(REQUESTS_RATE5M, &self.indicator.requests),
            self.first(ERRORS_RATE5M, &self.indicator.errors),
            self.next(OBJECTIVE, &requests.value().constant_ratio(self.objective.share())),
        ];
        let period = self.period.error_ratio();
        for ratio in ERROR_RATIOS.iter().chain([&period]) {
            let over = |rate: &Recorded<SloLabels>| {
                if ratio.window == BASE { rate.value() } else { rate.avg_over_time(ratio.window) }
            };
            records.push(self.next(ratio.series, &over(&errors).ratio_to(over(&requests))));
        }
        let spent = self.recorded(period.series).value() / self.objective.budget();
        records.push(self.next(ERROR_BUDGET_LEFT, &spent.complement()));
        records
    }

    /// A rule that reads what was scraped: the label `slo` is attached.
    fn first(&self, spec: RecordedSpec<SloLabels>, value: &Vector<(Service,)>) -> Record {
        self.record(spec.name(), value.to_string())
    }

    /// A rule that reads what was recorded.
    fn next(&self, spec: RecordedSpec<SloLabels>, value: &Vector<SloLabels>) -> Record {
        self.record(spec.name(), value.to_string())
    }

    fn record(&self, name: &'static str, expression: String) -> Record {
        Record { name, expression, label: (SloName::NAME, self.name) }
    }
}

// === impl Slo ===

impl From<Definition> for Slo {
    fn from(definition: Definition) -> Self {
        Self {
            name: definition.name,
            objective: definition.objective,
            period: definition.period,
            records: definition.records(),
            alerts: burn::alerts(&definition),
            recorded: traffic::recorded_examples(&definition),
        }
    }
}

// === impl Objective ===

impl Objective {
    /// 99.9 %.
    pub const DEFAULT: Self = Self::percent(99.9);

    /// So many percent of the requests.
    ///
    /// # Panics
    /// When that is not from 95.5 up to, but not, 100. Of all requests nothing may fail, so there is nothing to burn; and for
    /// less than 95.5 % the most urgent alert would wait for two thirds of the requests to fail: alert on the share itself.
    pub const fn percent(percent: f64) -> Self {
        assert!(percent >= 95.5 && percent < 100.0, "an objective is from 95.5 up to, but not, 100 percent");
        Self { percent }
    }

    /// In percent.
    pub const fn in_percent(self) -> f64 {
        self.percent
    }

    /// The share that must be good.
    pub fn share(self) -> f64 {
        rounded(self.percent / 100.0)
    }

    /// The share that may be bad.
    pub fn budget(self) -> f64 {
        rounded(1.0 - self.percent / 100.0)
    }
}

/// Without the noise that 0.999 leaves of 1, so that rules say 0.001.
fn rounded(share: f64) -> f64 {
    (share * 1e9).round() / 1e9
}

// === impl Period ===

impl Period {
    /// How long it is.
    pub const fn duration(self) -> Duration {
        let days = match self {
            Self::Days28 => 28,
            Self::Days30 => 30,
        };
        Duration::from_secs(days * 86_400)
    }

    /// As a window.
    pub const fn window(self) -> Window {
        self.error_ratio().window
    }

    /// Where the share of bad requests of the whole period is recorded.
    pub const fn error_ratio(self) -> ErrorRatio {
        match self {
            Self::Days28 => LAST_28D,
            Self::Days30 => LAST_30D,
        }
    }
}

// === impl Indicator ===

impl Indicator {
    /// Requests are bad that `failures` counts; `requests` counts those too.
    pub fn availability<R: LabelSet, F: LabelSet>(
        requests: &Selector<Counter, R>,
        failures: &Selector<Counter, F>,
    ) -> Self {
        let requests = requests.rate(BASE).sum(by::<(Service,)>());
        // A service that never failed may have no series of failures, and yet has all of its budget.
        let errors = failures.rate(BASE).sum(by::<(Service,)>()).or_zero_where(requests.clone());
        Self { requests, errors }
    }

    /// Requests are bad that took longer than `bound`.
    ///
    /// # Panics
    /// When `bound` is not one of the histogram's: its buckets could not tell.
    pub fn latency<L: LabelSet>(requests: &Selector<Histogram, L>, bound: f64) -> Self {
        let fast = requests.within(bound).rate(BASE).sum(by::<(Service,)>());
        let requests = requests.observations().rate(BASE).sum(by::<(Service,)>());
        Self { errors: requests.clone() - fast, requests }
    }
}

#[cfg(test)]
mod tests;
