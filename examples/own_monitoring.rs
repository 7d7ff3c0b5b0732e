//! Monitoring of your own metrics: two alerts, an objective and a dashboard from their declarations, and every file from those.
//!
//! `own_monitoring FOLDER` writes rules, promtool's tests, runbooks and the dashboard, as a step of your build; with `--check` it
//! compares them, as in CI, and `--help` tells the rest. The service counts by the same constants: see `custom_metrics`.

use futura_alert_rules::{
    Definition, Example, Indicator, Panel, RuleSet, Service, Severity::Warning, Team, Vector, Window, ask, by, counter,
    gauge, label, series, slo, value,
};
use futura_dashboards::{Output, generate, grafana::Dashboard, panels::lines};
use futura_metrics::spec::{CounterSpec, GaugeSpec, Unit};

futura_metrics::declare! {
    /// Cups ordered.
    pub CUPS_ORDERED_TOTAL: CounterSpec = CounterSpec::new("cups_ordered_total", Unit::Count);
    /// Cups ordered that were spilled.
    pub CUPS_SPILLED_TOTAL: CounterSpec = CounterSpec::new("cups_spilled_total", Unit::Count);
    /// Water in the tank, in liters.
    pub WATER_LITERS: GaugeSpec = GaugeSpec::new("water_liters", Unit::Count);
}

const WATER: Panel = Panel { dashboard: "coffee-bar", id: 1, title: "Water" };
const ORDERS: Panel = Panel { dashboard: "coffee-bar", id: 2, title: "Orders" };

fn water() -> Vector<(Service,)> {
    gauge(WATER_LITERS).value().min(by::<(Service,)>())
}

fn orders(window: Window) -> Vector<(Service,)> {
    counter(CUPS_ORDERED_TOTAL).rate(window).sum(by::<(Service,)>())
}

fn water_low() -> Definition<(Service,)> {
    Definition::new("WaterLow", Warning, Team::Api, water().below(1.0))
        .panel(WATER)
        .summary((label::<Service>(), " runs out of water"))
        .description(("There are ", value(), " liters in the tank of ", label::<Service>(), "."))
        .example(Example::at_threshold(("bar",), |liters| vec![series(WATER_LITERS, (), liters.values())]))
        .symptom("The tank is nearly empty.")
        .meaning("Soon there is no coffee.")
        .investigation([ask("See since when", water())])
        .resolution(&["Fill it."])
}

fn rush() -> Definition<(Service,)> {
    Definition::new("Rush", Warning, Team::Api, orders(Window::minutes(5)).above(2.0))
        .panel(ORDERS)
        .summary(("More is ordered of ", label::<Service>(), " than it can brew"))
        .description((value(), " cups are ordered per second."))
        .example(Example::at_threshold(("bar",), |cups| vec![series(CUPS_ORDERED_TOTAL, (), cups.per_second())]))
        .symptom("The queue grows.")
        .meaning("Guests leave before they have ordered.")
        .investigation([ask("See whether it is growing still", orders(Window::minutes(5)))])
        .resolution(&["Open the second till."])
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

fn main() -> std::process::ExitCode {
    generate::main(|site| {
        let panels = [
            lines(WATER, water(), "Liters in the tank. Near the line, fill it."),
            lines(ORDERS, orders(Window::RateInterval), "Cups ordered per second. Above the line, open a second till."),
        ];
        Output::new(RuleSet::new(site).area("coffee-bar", [water_low(), rush()]).slo(cups_served()))
            .dashboard(Dashboard::new("coffee-bar", "Coffee bar", "Whether there is coffee.", panels))
            .metrics(CATALOGUE)
    })
}
