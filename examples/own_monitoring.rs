//! Monitoring of your own metrics: two alerts, an objective and a dashboard from their declarations, and every file from those.
//!
//! `own_monitoring FOLDER` writes rules, promtool's tests, runbooks and the dashboard, as a step of your build;
//! `own_monitoring FOLDER --check` fails where they are not up to date, as in CI. The service counts by the same
//! constants: see `custom_metrics`.
#![expect(clippy::print_stdout, reason = "a generator says what it did")]

use std::{env, path::Path};

use anyhow::{Context, Result};
use futura_alert_rules::{
    Alert, RuleSet, Site,
    alert::{Definition, Severity::Warning, Team},
    example::{Example, Samples, series},
    panel::Panel,
    promql::{Service, Vector, Window, by, counter, gauge, label},
    runbook::{Runbook, ask},
    slo::{self, Indicator},
    template::{template, value},
};
use futura_dashboards::{Output, grafana::Dashboard, panels};

use crate::bar::{CUPS_ORDERED_TOTAL, CUPS_SPILLED_TOTAL, WATER_LITERS};

mod bar {
    use futura_metrics::spec::{CounterSpec, GaugeSpec, Unit};

    futura_metrics::declare! {
        /// Cups ordered.
        pub CUPS_ORDERED_TOTAL: CounterSpec = CounterSpec::new("cups_ordered_total", Unit::Count);
        /// Cups ordered that were spilled.
        pub CUPS_SPILLED_TOTAL: CounterSpec = CounterSpec::new("cups_spilled_total", Unit::Count);
        /// Water in the tank, in liters.
        pub WATER_LITERS: GaugeSpec = GaugeSpec::new("water_liters", Unit::Count);
    }
}

const WATER: Panel = Panel { dashboard: "coffee-bar", id: 1, title: "Water" };
const ORDERS: Panel = Panel { dashboard: "coffee-bar", id: 2, title: "Orders" };

fn water() -> Vector<(Service,)> {
    gauge(WATER_LITERS).value().min(by::<(Service,)>())
}

fn orders(window: Window) -> Vector<(Service,)> {
    counter(CUPS_ORDERED_TOTAL).rate(window).sum(by::<(Service,)>())
}

fn water_low() -> Alert {
    let tank = |samples| [series(WATER_LITERS, (), samples).target::<Service>("bar")];
    Alert::from(Definition {
        panel: Some(WATER),
        summary: template((label::<Service>(), " runs out of water")),
        description: template(("There are ", value(), " liters in the tank of ", label::<Service>(), ".")),
        examples: vec![
            Example::when("the tank is filled late", tank(Samples::steady(0.9, 20).then_steady(9.0, 10)))
                .fires_at(10, ("bar",), 0.9)
                .silent_at(25),
            Example::when("there is just enough", tank(Samples::steady(1.0, 20))).silent_at(20),
        ],
        runbook: Runbook {
            symptom: "The tank is nearly empty.",
            meaning: "Soon there is no coffee.",
            investigation: vec![ask("See since when", water())],
            resolution: &["Fill it."],
            related: &["Rush"],
        },
        ..Definition::new("WaterLow", Warning, Team::Api, water().below(1.0))
    })
}

fn rush() -> Alert {
    let cups = |samples| [series(CUPS_ORDERED_TOTAL, (), samples).target::<Service>("bar")];
    Alert::from(Definition {
        panel: Some(ORDERS),
        summary: template(("More is ordered of ", label::<Service>(), " than it can brew")),
        description: template((value(), " cups are ordered per second.")),
        examples: vec![
            Example::when("a coach arrives", cups(Samples::growing(126.0, 20).then_growing(1.0, 20)))
                .fires_at(15, ("bar",), 2.1)
                .silent_at(40),
            Example::when("all tables are taken", cups(Samples::growing(117.0, 20))).silent_at(20),
        ],
        runbook: Runbook {
            symptom: "The queue grows.",
            meaning: "Guests leave before they have ordered.",
            investigation: vec![ask("See whether it is growing still", orders(Window::minutes(5)))],
            resolution: &["Open the second till."],
            related: &["WaterLow"],
        },
        ..Definition::new("Rush", Warning, Team::Api, orders(Window::minutes(5)).above(2.0))
    })
}

fn cups_served() -> slo::Definition {
    let spilled = Indicator::availability(&counter(CUPS_ORDERED_TOTAL), &counter(CUPS_SPILLED_TOTAL));
    let alerts = ["CupsSpilled1h", "CupsSpilled6h", "CupsSpilled1d", "CupsSpilled3d"];
    slo::Definition {
        bad: "cups are spilled",
        traffic: |cups| vec![series(CUPS_ORDERED_TOTAL, (), cups.all), series(CUPS_SPILLED_TOTAL, (), cups.bad)],
        resolution: &["Give the waiter a tray."],
        ..slo::Definition::new("cups-served", alerts, Team::Api, spilled)
    }
}

fn dashboard(alerts: &[Alert], site: &Site) -> Dashboard {
    let lines =
        |panel, vector, text| panels::lines(panel, panels::query(vector, template((label::<Service>(),))), text);
    let panels = vec![
        lines(WATER, water(), "Liters in the tank. Near the line, fill it.").threshold_of(&alerts[0]),
        lines(ORDERS, orders(Window::RateInterval), "Cups ordered per second. Above the line, open the second till.")
            .threshold_of(&alerts[1]),
    ];
    Dashboard::new("coffee-bar", "Coffee bar", "Whether there is coffee.", panels, alerts, site)
}

fn main() -> Result<()> {
    let folder = env::args().nth(1).context("usage: own_monitoring FOLDER [--check]")?;
    let (site, alerts) = (Site::default(), vec![water_low(), rush()]);
    let dashboard = dashboard(&alerts, &site);
    let output = Output::new(RuleSet::new(site).area("coffee-bar", alerts).slo(cups_served()))
        .dashboard(dashboard)
        .metrics(bar::CATALOGUE);
    let check = env::args().nth(2).is_some_and(|option| option == "--check");
    println!("{}", if check { output.check(Path::new(&folder))? } else { output.write(Path::new(&folder))? });
    Ok(())
}
