//! Each finding, found in an alert that was made to have it.

use std::time::Duration;

use futura_metrics::specs::{
    external::CONTAINER_MEMORY_WORKING_SET_BYTES,
    http::{HTTP_REQUESTS_TOTAL, Method},
};
use insta::assert_snapshot;

use super::check;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, series},
    promql::{Condition, Service, Window, by, counter, gauge, label},
    queries,
    runbook::{Runbook, run},
    site::Site,
    template::template,
};

/// An alert with which nothing is wrong but its examples.
fn alert(name: &'static str, condition: Condition<(Service,)>) -> Definition<(Service,)> {
    Definition {
        name,
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition,
        lasts: minutes(5),
        panel: None,
        summary: template((label::<Service>(), " is at fault")),
        description: template(("Faulty",)),
        examples: Vec::new(),
        runbook: Runbook {
            symptom: "It is slow.",
            meaning: "People wait.",
            investigation: vec![run("Look", "uptime")],
            resolution: &["Wait."],
            related: &[],
        },
    }
}

fn slow(seconds: f64) -> Condition<(Service,)> {
    queries::response_time(0.95, Window::minutes(5)).above(seconds)
}

/// Every finding but those about examples, which these alerts do not have.
fn findings(alerts: impl IntoIterator<Item = Alert>) -> String {
    let alerts: Vec<_> = alerts.into_iter().collect();
    let findings = check(&alerts.iter().collect::<Vec<_>>(), &Site::default());
    let lines = findings.iter().map(|finding| format!("{finding}\n"));
    lines.filter(|line| !line.contains("no example") && !line.contains("no silent example")).collect()
}

#[test]
fn an_alert_in_order_has_no_findings() {
    assert_snapshot!(findings([alert("Slow", slow(2.0)).into()]), @"");
}

#[test]
fn wrong_texts_are_found() {
    let faulty = Definition {
        service: Some("ticket-api"),
        summary: template(("Faulty",)),
        runbook: Runbook {
            symptom: "",
            meaning: "",
            investigation: Vec::new(),
            resolution: &[],
            related: &["faulty_alert", "Unheard"],
        },
        ..alert("faulty_alert", slow(2.0))
    };
    assert_snapshot!(findings([faulty.into()]), @"
    alert `faulty_alert` must have a name of words that begin with a capital, such as `HighErrorRate`
    alert `faulty_alert` must get its label `service` either from its expression or from its definition
    alert `faulty_alert`: the summary names none of the labels that tell one from the other: service
    the runbook of `faulty_alert` has no symptom
    the runbook of `faulty_alert` has no meaning
    the runbook of `faulty_alert` has no investigation
    the runbook of `faulty_alert` has no resolution
    the runbook of `faulty_alert` names `faulty_alert`, which is no other alert
    the runbook of `faulty_alert` names `Unheard`, which is no other alert
    ");
}

#[test]
fn wrong_expressions_are_found() {
    let requests = |minutes| counter(HTTP_REQUESTS_TOTAL).rate(Window::minutes(minutes)).sum(by::<(Service,)>());
    let memory = gauge(CONTAINER_MEMORY_WORKING_SET_BYTES);
    let faulty = [
        alert("BetweenBuckets", slow(3.0)),
        alert("ShortWindow", requests(3).above(1.0)),
        Definition { lasts: Duration::ZERO, ..alert("Hasty", requests(5).ratio_to(requests(10)).above(0.5)) },
        alert("Absolute", memory.value().max(by::<(Service,)>()).above(1e9)),
        alert("Smoothed", memory.avg_over_time(Window::minutes(5)).count(by::<(Service,)>()).above(3.0)),
    ];
    assert_snapshot!(findings(faulty.map(Alert::from)), @"
    alert `BetweenBuckets`: 3 is not a bucket bound of the histogram, which are 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10
    alert `ShortWindow`: the window 3m holds fewer than four scrapes, which come every 1m: scrape more often and say so in `scrape_interval`
    alert `Hasty` asks for a ratio or for what is missing and fires at once: let it last, or look back an hour
    alert `Absolute` compares an amount of a resource: compare its share of the limit
    alert `Smoothed` averages over time and must last besides: leave one of them out
    ");
}

#[test]
fn alerts_that_do_not_fit_each_other_are_found() {
    let critical = Definition { severity: Severity::Critical, ..alert("SlowPage", slow(1.0)) };
    let alerts = [alert("Slow", slow(2.0)), alert("SlowToo", slow(2.0)), alert("Slow", slow(5.0)), critical];
    assert_snapshot!(findings(alerts.map(Alert::from)), @"
    alert `Slow` is declared twice
    alerts `Slow` and `SlowToo` have one condition: keep one of them
    alert `Slow` only warns, but from a worse value than `SlowPage` pages: swap the thresholds
    alert `SlowToo` only warns, but from a worse value than `SlowPage` pages: swap the thresholds
    alert `Slow` only warns, but from a worse value than `SlowPage` pages: swap the thresholds
    ");
    let pages = (0..25_u32).map(|minutes| {
        let condition = queries::request_rate(Window::minutes(5)).above(f64::from(minutes));
        Definition { severity: Severity::Critical, ..alert("Page", condition) }.into()
    });
    let findings = findings(pages);
    assert!(findings.contains("25 alerts are critical, of which there may be 24"), "{findings}");
}

fn example_findings(definition: Definition<()>) -> String {
    let alert = definition.into();
    check(&[&alert], &Site::default()).iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn missing_examples_are_found() {
    let orders = |examples| {
        let Definition { severity, team, lasts, panel, runbook, .. } = alert("Faulty", slow(2.0));
        let condition = queries::orders_created(Window::hours(1)).equal_to(0.0);
        let (summary, description) = (template(("Faulty",)), template(("Faulty",)));
        let (name, service) = ("Faulty", Some("ticket-api"));
        Definition { name, severity, team, service, condition, lasts, panel, summary, description, examples, runbook }
    };
    assert_snapshot!(example_findings(orders(Vec::new())), @"
    alert `Faulty` has no example under which it fires
    alert `Faulty` has no example under which it stays silent
    alert `Faulty` has a value without series but no example without series
    alert `Faulty` reads counters but has no silent example in which one counts, to begin again at zero
    ");
    let endless = Example::when("it never ends", []).fires_at(9, (), 0.0);
    assert_snapshot!(example_findings(orders(vec![endless])), @"
    alert `Faulty` has no example under which it stays silent
    alert `Faulty` has no example under which it is resolved
    alert `Faulty` reads counters but has no silent example in which one counts, to begin again at zero
    ");
}

#[test]
fn examples_that_follow_from_others_need_not_be_stated() {
    let errors = |samples| series(HTTP_REQUESTS_TOTAL, (Method::Get, "/", 500), samples).target::<Service>("api");
    let definition = Definition {
        examples: vec![
            Example::when("it fails", [errors(Samples::growing(660.0, 20).then_growing(0.0, 20))])
                .fires_at(10, ("api",), 11.0)
                .silent_at(30),
            Example::when("it fails little", [errors(Samples::growing(6.0, 30))]).silent_at(30),
        ],
        ..alert("Failing", queries::server_error_rate(Window::minutes(5)).above(10.0))
    };
    let alert = Alert::from(definition);
    assert!(check(&[&alert], &Site::default()).is_empty());
    let names: Vec<_> = alert.scenarios().into_iter().map(|scenario| scenario.name).collect();
    assert_snapshot!(names.join("\n"), @"
    it fails
    it fails little
    there are no series
    it fails little, and the counters begin again at zero after 15 minutes
    it fails, but in series that the label `status` keeps out
    ");
}
