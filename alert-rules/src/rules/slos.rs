//! The objectives of the platform.
//!
//! Payments have none: whether a card is declined is not ours to promise. What follows a payment is: its tickets.

use futura_metrics::specs::{
    business::{PAYMENT_SUCCESS_TOTAL, TICKET_GENERATION_FAILURES_TOTAL},
    http::{HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method, Path, Status},
};

use super::TICKET_API;
use crate::{
    alert::Team,
    example::{observations, series},
    promql::{Service, Window, by, counter, histogram, label},
    queries,
    runbook::{ask, open, run},
    slo::{Definition, Indicator, Objective, Slo},
};

/// The longest that a request may take to be good, in seconds.
const FAST: f64 = 0.5;
/// The status with which requests are counted whose client went away: neither good nor bad.
const CLIENT_GONE: u16 = 499;

pub(super) fn slos() -> Vec<Slo> {
    vec![http_availability().into(), http_latency().into(), ticket_issuance().into()]
}

fn http_availability() -> Definition {
    let requests = counter(HTTP_REQUESTS_TOTAL).only(label::<Status>().ne(CLIENT_GONE));
    Definition {
        bad: "requests fail with a server error",
        service: TICKET_API,
        traffic: |traffic| {
            let requests = |status, samples| series(HTTP_REQUESTS_TOTAL, (Method::Get, "/api/events", status), samples);
            // Those whose client goes away are many more than those that fail, and must not count.
            let gone = traffic.all.clone();
            vec![requests(200, traffic.good), requests(500, traffic.bad), requests(CLIENT_GONE, gone)]
        },
        investigation: vec![
            ask(
                "See which routes fail and with which status",
                queries::server_errors().rate(Window::minutes(5)).sum(by::<(Service, Path, Status)>()),
            ),
            run("Read the latest errors", "kubectl -n {namespace} logs deployment/api --tail=100 | grep ERROR"),
            open("Look for a new issue and its first release", "https://sentry.io/organizations/futuratickets"),
            run("See whether the errors began with a release", "kubectl -n {namespace} rollout history deployment/api"),
        ],
        resolution: &[
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "One dependency fails: follow its own alert; its circuit breaker keeps the rest alive meanwhile.",
            "One route fails and has for days: fix it before anything new, as there is no budget for both.",
            "Less than a quarter of the budget is left: hold risky releases back until it has grown again.",
        ],
        related: &["HighErrorRate", "HighSentryErrorCount", "PodDown"],
        ..Definition::new(
            "http-availability",
            ["HttpAvailabilityBurn1h", "HttpAvailabilityBurn6h", "HttpAvailabilityBurn1d", "HttpAvailabilityBurn3d"],
            Team::Api,
            Indicator::availability(&requests, &queries::server_errors()),
        )
    }
}

fn http_latency() -> Definition {
    Definition {
        // Of a few requests nobody expects that they are fast: a first one after a start, a report of an organizer.
        objective: Objective::percent(99.0),
        bad: "requests take longer than 500 ms",
        service: TICKET_API,
        traffic: |traffic| {
            let requests =
                |path, bound, samples| observations(HTTP_REQUEST_DURATION_SECONDS, (Method::Get, path), bound, samples);
            vec![requests("/api/events", FAST, &traffic.good), requests("/api/orders", 1.0, &traffic.bad)]
        },
        investigation: vec![
            ask(
                "See which routes are slow",
                histogram(HTTP_REQUEST_DURATION_SECONDS)
                    .rate(Window::minutes(5))
                    .sum(by::<(Service, Path)>())
                    .quantile(0.99),
            ),
            ask("See whether there is more traffic than usual", queries::request_rate(Window::minutes(5))),
            run("See whether pods are short of CPU", "kubectl -n {namespace} top pods"),
            run(
                "See which dependency is slow",
                "kubectl -n {namespace} exec deployment/api -- curl -s http://127.0.0.1:3000/health",
            ),
        ],
        resolution: &[
            "Pods are short of CPU: `kubectl -n {namespace} scale deployment/api --replicas=5`.",
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "A data store is slow: follow its alerts; look for a query without an index.",
            "One route is slow and always was: give it an index, a cache or an objective of its own.",
        ],
        related: &["HighResponseTime", "HighCPUUsage", "MongoDBConnectionIssues"],
        ..Definition::new(
            "http-latency",
            ["HttpLatencyBurn1h", "HttpLatencyBurn6h", "HttpLatencyBurn1d", "HttpLatencyBurn3d"],
            Team::Api,
            Indicator::latency(&histogram(HTTP_REQUEST_DURATION_SECONDS), FAST),
        )
    }
}

fn ticket_issuance() -> Definition {
    Definition {
        // Sales are few at night: two payments a minute are enough to judge.
        minimum_rate: 0.03,
        bad: "paid orders stay without tickets",
        service: TICKET_API,
        traffic: |traffic| {
            vec![
                series(PAYMENT_SUCCESS_TOTAL, (), traffic.all),
                series(TICKET_GENERATION_FAILURES_TOTAL, (), traffic.bad),
            ]
        },
        investigation: vec![
            run("Read why issuing fails", "kubectl -n {namespace} logs deployment/api --tail=200 | grep -i ticket"),
            ask("See how long orders take", queries::order_processing_time(0.95, Window::minutes(10))),
            run(
                "See whether the event store's database answers",
                "kubectl -n {namespace} exec deployment/api -- curl -s http://127.0.0.1:3000/health",
            ),
        ],
        resolution: &[
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "The database refuses writes: free space or connections; see the related alerts.",
            "Afterwards issue the missing tickets again from the orders that are paid and have none, and tell \
             the buyers.",
        ],
        related: &["TicketGenerationFailures", "SlowOrderProcessing", "LowPaymentSuccessRate"],
        ..Definition::new(
            "ticket-issuance",
            ["TicketIssuanceBurn1h", "TicketIssuanceBurn6h", "TicketIssuanceBurn1d", "TicketIssuanceBurn3d"],
            Team::Payments,
            Indicator::availability(&counter(PAYMENT_SUCCESS_TOTAL), &counter(TICKET_GENERATION_FAILURES_TOTAL)),
        )
    }
}
