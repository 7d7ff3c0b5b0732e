//! Services as their users see them: errors and response times.

use std::time::Duration;

use futura_metrics::specs::{
    business::SENTRY_ERRORS_TOTAL,
    http::{HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method, Path, Status},
};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, observations, series},
    panel::overview,
    promql::{Service, Window, by, histogram, label},
    queries,
    runbook::{Runbook, ask, open, run},
    template::{template, value},
};

pub(super) fn alerts() -> Vec<Alert> {
    vec![high_error_rate(), high_response_time(), high_sentry_error_count()]
}

fn high_error_rate() -> Alert {
    let errors = |samples| {
        [series(HTTP_REQUESTS_TOTAL, (Method::Post, "/api/orders", 500), samples).target::<Service>(TICKET_API)]
    };
    let definition = Definition {
        name: "HighErrorRate",
        severity: Severity::Critical,
        team: Team::Api,
        service: None,
        condition: queries::server_error_rate(Window::minutes(5)).above(10.0),
        lasts: minutes(5),
        panel: Some(overview::HTTP_ERROR_RATE),
        summary: template((label::<Service>(), " answers with server errors")),
        description: template((
            value(),
            " requests per second to ",
            label::<Service>(),
            " end with a status of 500 or more.",
        )),
        examples: vec![
            Example::when(
                "11 requests fail per second for 20 minutes",
                errors(Samples::growing(660.0, 20).then_growing(0.0, 20)),
            )
            .silent_at(9)
            .fires_at(10, (TICKET_API,), 11.0)
            .fires_at(20, (TICKET_API,), 11.0)
            .silent_at(30),
            Example::when("9.9 requests fail per second", errors(Samples::growing(594.0, 30)))
                .silent_at(15)
                .silent_at(30),
            Example::when(
                "20 requests per second are refused as the client's fault",
                [series(HTTP_REQUESTS_TOTAL, (Method::Get, "/api/events", 404), Samples::growing(1200.0, 30))
                    .target::<Service>(TICKET_API)],
            )
            .silent_at(30),
        ],
        runbook: high_error_rate_runbook(),
    };
    definition.into()
}

fn high_error_rate_runbook() -> Runbook {
    Runbook {
        symptom: "A service answers more than ten requests per second with a 5xx status.",
        meaning: "People see failed pages or lose an order half way. At this rate it is no single bad request: a \
                  release, a dependency or the machine below is at fault.",
        investigation: vec![
            ask(
                "See which routes fail and with which status",
                queries::server_errors().rate(Window::minutes(5)).sum(by::<(Service, Path, Status)>()),
            ),
            run("Read the latest errors", "kubectl -n {namespace} logs deployment/api --tail=100 | grep ERROR"),
            open(
                "Look for a new issue, its first release and its stack trace",
                "https://sentry.io/organizations/futuratickets",
            ),
            run(
                "See whether pods restart or are not ready",
                "kubectl -n {namespace} get pods\nkubectl -n {namespace} describe pod <pod>",
            ),
            run("See whether the errors began with a release", "kubectl -n {namespace} rollout history deployment/api"),
        ],
        resolution: &[
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "Pods are out of CPU or memory: add some with `kubectl -n {namespace} scale deployment/api --replicas=5`.",
            "One dependency fails: follow its own alert; its circuit breaker keeps the rest alive meanwhile.",
            "Fix the cause, release, and see the rate fall below the line of the panel.",
        ],
        related: &["HighResponseTime", "HighSentryErrorCount", "PodDown"],
    }
}

fn high_response_time() -> Alert {
    let requests = |path, bound, samples: &Samples| {
        observations(HTTP_REQUEST_DURATION_SECONDS, (Method::Get, path), bound, samples).target::<Service>(TICKET_API)
    };
    let lasting = |per_minute| Samples::growing(per_minute, 20).then_growing(0.0, 20);
    let definition = Definition {
        name: "HighResponseTime",
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition: queries::response_time(0.95, Window::minutes(5)).above(2.0),
        lasts: minutes(5),
        panel: Some(overview::HTTP_RESPONSE_TIME),
        summary: template((label::<Service>(), " answers slowly")),
        description: template(("One in twenty requests to ", label::<Service>(), " takes ", value(), " or longer.")),
        examples: vec![
            Example::when(
                "6 % of the requests take between 2 and 5 seconds",
                [requests("/api/events", 2.0, &lasting(940.0)), requests("/api/orders", 5.0, &lasting(60.0))],
            )
            .silent_at(5)
            .fires_at(10, (TICKET_API,), 2.5)
            .silent_at(30),
            Example::when(
                "all requests take between 1 and 2 seconds",
                [requests("/api/events", 2.0, &Samples::growing(600.0, 30))],
            )
            .silent_at(15)
            .silent_at(30),
            Example::when("there are no requests", [requests("/api/events", 5.0, &Samples::steady(0.0, 30))])
                .silent_at(30),
        ],
        runbook: high_response_time_runbook(),
    };
    definition.into()
}

fn high_response_time_runbook() -> Runbook {
    let by_route = histogram(HTTP_REQUEST_DURATION_SECONDS).rate(Window::minutes(5)).sum(by::<(Service, Path)>());
    Runbook {
        symptom: "The slowest twentieth of a service's requests takes longer than two seconds.",
        meaning: "Pages feel stuck and people reload, which adds load. Usually a dependency is slow or the pods are \
                  short of CPU; seldom is the code itself.",
        investigation: vec![
            ask("See which routes are slow", by_route.quantile(0.95)),
            ask("See whether there is more traffic than usual", queries::request_rate(Window::minutes(5))),
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
        related: &["HighErrorRate", "HighCPUUsage", "MongoDBConnectionIssues"],
    }
}

fn high_sentry_error_count() -> Alert {
    let errors = |samples| -> [Series; 1] { [series(SENTRY_ERRORS_TOTAL, (), samples).target::<Service>(TICKET_API)] };
    let definition = Definition {
        name: "HighSentryErrorCount",
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition: queries::sentry_errors(Window::hours(1)).above(50.0),
        lasts: Duration::ZERO,
        panel: Some(overview::SENTRY_ERRORS),
        summary: template((label::<Service>(), " sends many errors to Sentry")),
        description: template((label::<Service>(), " sent ", value(), " errors to Sentry within an hour.")),
        examples: vec![
            Example::when(
                "an error is sent every minute for an hour",
                errors(Samples::growing(1.0, 60).then_growing(0.0, 60)),
            )
            .silent_at(50)
            .fires_at(60, (TICKET_API,), 60.0)
            .silent_at(115),
            Example::when("48 errors are sent within the hour", errors(Samples::growing(0.8, 120)))
                .silent_at(60)
                .silent_at(120),
        ],
        runbook: high_sentry_error_count_runbook(),
    };
    definition.into()
}

fn high_sentry_error_count_runbook() -> Runbook {
    Runbook {
        symptom: "A service sent more than fifty errors to Sentry within the last hour.",
        meaning: "Something fails again and again, though perhaps not in a way that users notice yet. Many errors \
                  also use up the quota, after which new kinds of errors go unseen.",
        investigation: vec![
            open("Sort the issues by events of the last hour", "https://sentry.io/organizations/futuratickets"),
            ask("See which service sends them", queries::sentry_errors(Window::hours(1))),
            run(
                "Find the same errors in the log, with the requests around them",
                "kubectl -n {namespace} logs deployment/api --since=1h | grep ERROR",
            ),
        ],
        resolution: &[
            "One issue makes most events: assign it, and go back to the last good release if a release brought it.",
            "A dependency's outage makes them: follow its alert; the events end with it.",
            "Noise that nobody will fix: lower its level to a warning in the code, so that it no longer counts.",
        ],
        related: &["HighErrorRate", "WebhookDeliveryFailures"],
    }
}
