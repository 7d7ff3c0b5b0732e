//! The service level objectives: how much may still fail, and how fast that is being used up.
//!
//! It asks for recorded series alone, whose names are the same for every objective: so it shows whatever objectives there
//! are, those of other programs included.

use futura_alert_rules::{
    Alert, Site,
    panel::{Panel as PanelId, slos},
    promql::{Quantity, Recorded, RecordedSpec, Service, Vector, label, recorded},
    rules,
    slo::{
        burn::{BURN_RATES, BurnRate},
        series::{
            ERROR_BUDGET_LEFT, ERRORS_RATE5M, ErrorRatio, LAST_1D, LAST_5M, OBJECTIVE, REQUESTS_RATE5M, SloLabels,
            SloName,
        },
    },
    template::{Template, template},
};

use crate::{
    grafana::{Dashboard, Panel, Unit},
    panels::{lines, number, query},
    variables::{any, chosen},
};

/// How much of a budget should be left at any time; below it is time to be careful.
const COMFORT: f64 = 0.25;
/// How far the axis of budgets reaches down: a budget that is spent twice over needs no finer reading.
const OVERSPENT: f64 = -1.0;

pub(crate) fn dashboard(site: &Site) -> Dashboard {
    let alerts: Vec<_> = rules::alerts(site).collect();
    let mut panels = vec![budget_left(), objective(), budget_over_time(), error_ratio()];
    panels.extend(BURN_RATES.iter().map(|burn| burn_rate(burn, &alerts)));
    panels.extend([requests(), errors()]);
    let description = "Which share of the requests must be good, and how much may still fail. Long windows need rules that \
                       have run, and a Prometheus that has kept what they recorded, for as long.";
    let title = "FuturaTickets - Service Level Objectives";
    Dashboard::new(slos::UID, title, description, panels).choosing([
        any::<Service, _>("Service", &recorded(OBJECTIVE)),
        any::<SloName, _>("Objective", &recorded(OBJECTIVE).only(chosen::<Service>())),
    ])
}

/// The recorded series of the services and objectives that a viewer chose.
fn chosen_of(spec: RecordedSpec<SloLabels>) -> Recorded<SloLabels> {
    recorded(spec).only(chosen::<Service>()).only(chosen::<SloName>())
}

fn budget_left() -> Panel {
    let query = chosen_of(ERROR_BUDGET_LEFT).value();
    let description = "The share of the error budget of the last 30 days (or 28) that is left. Below zero the objective is \
                       missed. With little left, hold risky releases back; with much, take the risk.";
    number(slos::ERROR_BUDGET_LEFT, query, description).good_from(COMFORT).wide()
}

fn objective() -> Panel {
    let query = chosen_of(OBJECTIVE).value();
    let description = "The share of the requests that must be good. An objective is missing here when nothing it counts is \
                       scraped: then no alert on it can fire, so look at the targets of Prometheus.";
    number(slos::OBJECTIVE, query, description).decimals(2).wide()
}

fn budget_over_time() -> Panel {
    let query = chosen_of(ERROR_BUDGET_LEFT).value();
    let description = "How the error budgets went. A steep fall is an outage, a slope is something that fails a little and \
                       all the time; a rise is an old outage that leaves the period.";
    lines(slos::ERROR_BUDGET_OVER_TIME, query, description).starting_at(OVERSPENT)
}

fn error_ratio() -> Panel {
    let ratio = |ratio: ErrorRatio, name| query(chosen_of(ratio.series).value(), windowed(name));
    let description = "The share of the requests that are bad: just now, and over a day. Just now far above the day is an \
                       outage that goes on; the other way round it is over.";
    lines(slos::ERROR_RATIO, ratio(LAST_5M, "5m"), description).also(ratio(LAST_1D, "1d")).fitted()
}

fn burn_rate(burn: &BurnRate, alerts: &[Alert]) -> Panel {
    let shows = |alert: &&Alert| alert.panel == Some(burn.panel);
    let alert = alerts.iter().find(shows).expect("the platform has objectives, and each has every burn rate");
    let query = |ratio: ErrorRatio| query(burning(ratio), windowed(ratio.window.to_string()));
    let description = "How many times as fast as allowed the error budgets burn; at 1 a budget lasts just as long as its \
                       period. An alert fires while both windows are above the line: follow its runbook.";
    lines(burn.panel, query(burn.long), description).also(query(burn.short)).threshold_of(alert)
}

fn requests() -> Panel {
    rate(
        slos::REQUESTS,
        REQUESTS_RATE5M,
        "Requests per second that count for the objective. Where there are few, one failure is a large share, so that no \
         alert fires below the objective's minimum.",
    )
}

fn errors() -> Panel {
    rate(
        slos::ERRORS,
        ERRORS_RATE5M,
        "Requests per second that are bad: failed, too slow, or left undone. Compare with the requests beside it: bad ones \
         that grow with the traffic are a share, others a broken part.",
    )
}

fn rate(panel: PanelId, series: RecordedSpec<SloLabels>, description: &str) -> Panel {
    lines(panel, chosen_of(series).value(), description).per_second(Unit::RequestsPerSecond)
}

/// How many times as fast as allowed the budget burns within a window.
fn burning(ratio: ErrorRatio) -> Vector<SloLabels> {
    let allowed = chosen_of(OBJECTIVE).value().complement();
    chosen_of(ratio.series).value().ratio_to(allowed).measured_in(Quantity::Count)
}

fn windowed(window: impl Into<String>) -> Template<SloLabels> {
    template((label::<Service>(), " ", label::<SloName>(), " ", window.into()))
}
