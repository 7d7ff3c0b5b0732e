//! Services as their users see them: errors.

use std::time::Duration;

use futura_metrics::specs::{
    business::SENTRY_ERRORS_TOTAL,
    http::{HTTP_REQUESTS_TOTAL, Method, Path, Status},
};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel::{http, overview},
    promql::{Condition, Service, Window, by, label},
    queries,
    runbook::{Runbook, ask, open, run},
    template::{template, value},
};

const WINDOW: Window = Window::minutes(5);
/// Of fewer requests a share says little: at this rate, one in twenty is three within the window.
const TRAFFIC_PER_SECOND: f64 = 0.2;

pub(super) fn alerts() -> Vec<Alert> {
    vec![high_error_rate(), high_error_ratio(), low_availability(), high_sentry_error_count()]
}

/// Holds only while there are so many requests that a share of them means something.
fn with_traffic(condition: Condition<(Service,)>) -> Condition<(Service,)> {
    condition.and(queries::request_rate(WINDOW).above(TRAFFIC_PER_SECOND))
}

fn high_error_rate() -> Alert {
    let errors = |samples| {
        let labels = (Method::Post, "/api/orders", 500);
        [series(HTTP_REQUESTS_TOTAL, labels, samples).target::<Service>(TICKET_API).in_proportion()]
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
                    .target::<Service>(TICKET_API)
                    .in_proportion()],
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

/// Requests to the service per minute that are answered well and that end with a server error.
fn requests(good: Samples, failed: Samples) -> [Series; 2] {
    let requests = |method, path, status, samples| {
        series(HTTP_REQUESTS_TOTAL, (method, path, status), samples).target::<Service>(TICKET_API)
    };
    [requests(Method::Get, "/api/events", 200, good), requests(Method::Post, "/api/orders", 500, failed)]
}

fn high_error_ratio() -> Alert {
    let lasting = |per_minute| Samples::growing(per_minute, 20);
    let steady = |per_minute| Samples::growing(per_minute, 40);
    let definition = Definition {
        name: "HighErrorRatio",
        severity: Severity::Critical,
        team: Team::Api,
        service: None,
        condition: with_traffic(queries::server_error_ratio(WINDOW).above(0.05)),
        lasts: minutes(5),
        panel: Some(http::ERROR_RATIO),
        summary: template((label::<Service>(), " fails too often")),
        description: template((value(), " of the answers of ", label::<Service>(), " are server errors.")),
        examples: vec![
            Example::when(
                "6 % of 15 requests a minute fail for 20 minutes",
                requests(lasting(14.1).then_growing(15.0, 20), lasting(0.9).then_growing(0.0, 20)),
            )
            .silent_at(9)
            .fires_at(10, (TICKET_API,), 0.06)
            .silent_at(26),
            Example::when("4.9 % of 100 requests a minute fail", requests(steady(95.1), steady(4.9)))
                .silent_at(20)
                .silent_at(40),
            Example::when(
                "all requests fail, of which there are 23 in two minutes",
                requests(steady(0.0), steady(11.5)),
            )
            .silent_at(40),
        ],
        runbook: high_error_ratio_runbook(),
    };
    definition.into()
}

fn high_error_ratio_runbook() -> Runbook {
    Runbook {
        symptom: "More than one answer in twenty of a service is a server error.",
        meaning: "Whoever uses the service meets the fault within a few clicks. Unlike HighErrorRate this sees it at \
                  quiet hours too, when few requests fail because there are few.",
        investigation: vec![
            ask("See how it grew, and which services share it", queries::server_error_ratio(WINDOW)),
            ask(
                "See which routes fail and with which status",
                queries::server_errors().rate(WINDOW).sum(by::<(Service, Path, Status)>()),
            ),
            run("Read the latest errors", "kubectl -n {namespace} logs deployment/api --tail=100 | grep ERROR"),
            run("See whether the errors began with a release", "kubectl -n {namespace} rollout history deployment/api"),
            ask("See whether a circuit breaker is open, and of what", queries::breaker_state()),
        ],
        resolution: &[
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "One route fails alone: what it depends on is at fault; follow that one's alert.",
            "Some pods fail and others do not: `kubectl -n {namespace} delete pod <pod>`, and its controller starts \
             another.",
        ],
        related: &["HighErrorRate", "LowAvailability", "CircuitBreakerOpen"],
    }
}

fn low_availability() -> Alert {
    let lasting = |per_minute| Samples::growing(per_minute, 20);
    let steady = |per_minute| Samples::growing(per_minute, 40);
    let definition = Definition {
        name: "LowAvailability",
        severity: Severity::Critical,
        team: Team::Api,
        service: None,
        condition: with_traffic(queries::availability(WINDOW).below(0.99)),
        lasts: minutes(5),
        panel: Some(http::AVAILABILITY),
        summary: template((label::<Service>(), " is not available enough")),
        description: template(("Only ", value(), " of the requests to ", label::<Service>(), " are served.")),
        examples: vec![
            Example::when(
                "1.5 % of 15 requests a minute fail for 20 minutes",
                requests(lasting(14.775).then_growing(15.0, 20), lasting(0.225).then_growing(0.0, 20)),
            )
            .silent_at(9)
            .fires_at(10, (TICKET_API,), 0.985)
            .silent_at(26),
            Example::when("0.9 % of 100 requests a minute fail", requests(steady(99.1), steady(0.9)))
                .silent_at(20)
                .silent_at(40),
            Example::when(
                "all requests fail, of which there are 23 in two minutes",
                requests(steady(0.0), steady(11.5)),
            )
            .silent_at(40),
            Example::when("a service that never failed answers", [steady_service(Samples::growing(60.0, 40))])
                .silent_at(40),
        ],
        runbook: low_availability_runbook(),
    };
    definition.into()
}

/// A service that has no series of errors.
fn steady_service(samples: Samples) -> Series {
    series(HTTP_REQUESTS_TOTAL, (Method::Get, "/api/events", 200), samples).target::<Service>(TICKET_API)
}

fn low_availability_runbook() -> Runbook {
    Runbook {
        symptom: "A service serves fewer than 99 of 100 requests without a server error.",
        meaning: "It is ten times what the platform promises itself. If it stays, the errors that a month may have are \
                  used up within three days.",
        investigation: vec![
            ask("See since when, and which services", queries::availability(WINDOW)),
            ask(
                "See which routes fail and with which status",
                queries::server_errors().rate(WINDOW).sum(by::<(Service, Path, Status)>()),
            ),
            run("See whether all pods are ready", "kubectl -n {namespace} get pods -o wide"),
            run(
                "See what the health page says of the database pool and the breakers",
                "kubectl -n {namespace} port-forward deployment/api 3000:3000 &\ncurl -s http://127.0.0.1:3000/health",
            ),
        ],
        resolution: &[
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "A dependency fails: follow its alert; if it stays away, turn off the feature that needs it.",
            "Pods are short of CPU or memory: `kubectl -n {namespace} scale deployment/api --replicas=5`.",
        ],
        related: &["HighErrorRatio", "HighErrorRate", "PodDown"],
    }
}

fn high_sentry_error_count() -> Alert {
    let errors = |samples| -> [Series; 1] {
        [series(SENTRY_ERRORS_TOTAL, (), samples).target::<Service>(TICKET_API).in_proportion()]
    };
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
