//! Services as their users see them: how long an answer takes.

use futura_metrics::specs::http::{HTTP_REQUEST_DURATION_SECONDS, Method, Path};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, observations},
    panel::overview,
    promql::{Condition, Service, Window, by, histogram, label},
    queries,
    runbook::{Runbook, ask, run},
    template::{Template, template, value},
};

const WINDOW: Window = Window::minutes(5);

pub(super) fn alerts() -> Vec<Alert> {
    vec![high_response_time(), high_latency(), slow_api_responses()]
}

/// From where the slowest twentieth counts.
fn slower_than(seconds: f64) -> Condition<(Service,)> {
    queries::response_time(0.95, WINDOW).above(seconds)
}

fn description() -> Template<(Service,)> {
    template(("One in twenty requests to ", label::<Service>(), " takes ", value(), " or longer."))
}

fn requests(path: &str, bound: f64, samples: &Samples) -> Series {
    observations(HTTP_REQUEST_DURATION_SECONDS, (Method::Get, path), bound, samples).target::<Service>(TICKET_API)
}

/// For some minutes 6 % of the requests are in the bucket above `fast`, which ends at `slow`, and the rest in that below;
/// then there are none.
fn some_slow(fast: f64, slow: f64, minutes: u64) -> [Series; 2] {
    let lasting = |per_minute| Samples::growing(per_minute, minutes).then_growing(0.0, 20);
    [requests("/api/events", fast, &lasting(940.0)), requests("/api/orders", slow, &lasting(60.0))]
}

/// The slowest requests take just as long as they may.
fn all_within(bound: f64) -> [Series; 1] {
    [requests("/api/events", bound, &Samples::growing(600.0, 40))]
}

fn high_response_time() -> Alert {
    let definition = Definition {
        name: "HighResponseTime",
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition: slower_than(2.0),
        lasts: minutes(5),
        panel: Some(overview::HTTP_RESPONSE_TIME),
        summary: template((label::<Service>(), " answers slowly")),
        description: description(),
        examples: vec![
            Example::when("6 % of the requests take between 2 and 5 seconds", some_slow(2.0, 5.0, 20))
                .silent_at(5)
                .fires_at(10, (TICKET_API,), 2.5)
                .fires_at(23, (TICKET_API,), 2.5)
                .silent_at(26),
            Example::when("all requests take between 1 and 2 seconds", all_within(2.0)).silent_at(15).silent_at(40),
            Example::when("there are no requests", [requests("/api/events", 5.0, &Samples::steady(0.0, 30))])
                .silent_at(30),
        ],
        runbook: high_response_time_runbook(),
    };
    definition.into()
}

fn high_response_time_runbook() -> Runbook {
    let by_route = histogram(HTTP_REQUEST_DURATION_SECONDS).rate(WINDOW).sum(by::<(Service, Path)>());
    Runbook {
        symptom: "The slowest twentieth of a service's requests takes longer than two seconds.",
        meaning: "Pages feel stuck and people reload, which adds load. Usually a dependency is slow or the pods are \
                  short of CPU; seldom is the code itself.",
        investigation: vec![
            ask("See which routes are slow", by_route.quantile(0.95)),
            ask("See whether there is more traffic than usual", queries::request_rate(WINDOW)),
            run("See whether the pods are at their CPU limit", "kubectl -n {namespace} top pods --containers"),
            run(
                "See what the health page says of the database pool and the breakers",
                "kubectl -n {namespace} port-forward deployment/api 3000:3000 &\ncurl -s http://127.0.0.1:3000/health",
            ),
            run(
                "Read which slow operations are logged",
                "kubectl -n {namespace} logs deployment/api --tail=200 | grep WARN",
            ),
        ],
        resolution: &[
            "More traffic than usual: add pods with `kubectl -n {namespace} scale deployment/api --replicas=5`; \
             beyond ten, raise the autoscaler's limit.",
            "The database is slow: follow the alerts of the data stores.",
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
        ],
        related: &["HighErrorRate", "HighLatency", "HighCPUUsage", "MongoDBConnectionIssues"],
    }
}

fn high_latency() -> Alert {
    let definition = Definition {
        name: "HighLatency",
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition: slower_than(1.0),
        lasts: minutes(10),
        panel: Some(overview::HTTP_RESPONSE_TIME),
        summary: template((label::<Service>(), " answers more slowly than it should")),
        description: description(),
        examples: vec![
            Example::when("6 % of the requests take between 1 and 2 seconds", some_slow(1.0, 2.0, 30))
                .silent_at(10)
                .fires_at(15, (TICKET_API,), 1.166_667)
                .fires_at(33, (TICKET_API,), 1.166_667)
                .silent_at(36),
            Example::when("all requests take between 0.5 and 1 seconds", all_within(1.0)).silent_at(20).silent_at(40),
        ],
        runbook: slowness_runbook(
            "The slowest twentieth of a service's requests takes longer than a second.",
            "People notice each click. It comes before HighResponseTime, so there is time to act without haste.",
            &["HighResponseTime", "SlowApiResponses", "HighCPUUsage", "DatabaseConnectionsHigh"],
        ),
    };
    definition.into()
}

fn slow_api_responses() -> Alert {
    let definition = Definition {
        name: "SlowApiResponses",
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition: slower_than(0.5),
        lasts: minutes(15),
        panel: Some(overview::HTTP_RESPONSE_TIME),
        summary: template((label::<Service>(), " is slower than half a second")),
        description: description(),
        examples: vec![
            Example::when("6 % of the requests take between 0.5 and 1 seconds", some_slow(0.5, 1.0, 30))
                .silent_at(15)
                .fires_at(20, (TICKET_API,), 0.583_333)
                .fires_at(33, (TICKET_API,), 0.583_333)
                .silent_at(36),
            Example::when("all requests take between 0.25 and 0.5 seconds", all_within(0.5))
                .silent_at(20)
                .silent_at(40),
        ],
        runbook: slowness_runbook(
            "The slowest twentieth of a service's requests has taken longer than half a second for a quarter of an hour.",
            "Nothing is broken, but answers take several times what they usually do. Mostly it is the first sign of a \
             data set that outgrew its index, or of pods that are too few.",
            &["HighLatency", "HighCPUUsage", "DatabaseConnectionsHigh"],
        ),
    };
    definition.into()
}

fn slowness_runbook(symptom: &'static str, meaning: &'static str, related: &'static [&'static str]) -> Runbook {
    let by_route = histogram(HTTP_REQUEST_DURATION_SECONDS).rate(WINDOW).sum(by::<(Service, Path)>());
    Runbook {
        symptom,
        meaning,
        investigation: vec![
            ask("See which routes are slow", by_route.quantile(0.95)),
            ask("See whether the usual request is slow too, or only some", queries::response_time(0.5, WINDOW)),
            ask("See whether there is more traffic than usual", queries::request_rate(WINDOW)),
            ask("See whether requests wait for a database connection", queries::pool_share()),
            run("See whether the pods are at their CPU limit", "kubectl -n {namespace} top pods --containers"),
        ],
        resolution: &[
            "Only one route is slow: look for its slowest query, and for the release that changed it.",
            "All are slow and there is more traffic: `kubectl -n {namespace} scale deployment/api --replicas=5`.",
            "All are slow and traffic is as usual: the pool or a data store is short; follow their alerts.",
        ],
        related,
    }
}
