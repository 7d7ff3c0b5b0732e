//! Sales: orders and the tickets that they end with.

use std::time::Duration;

use futura_metrics::specs::business::{
    ORDER_PROCESSING_DURATION_SECONDS, ORDERS_CREATED_TOTAL, TICKET_GENERATION_FAILURES_TOTAL,
};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, observations, series},
    panel::{internals, overview},
    promql::{Instance, Window},
    queries,
    runbook::{Runbook, ask, open, run},
    template::{template, value},
};

pub(super) fn alerts() -> Vec<Alert> {
    vec![ticket_generation_failures(), slow_order_processing(), no_orders_received()]
}

fn ticket_generation_failures() -> Alert {
    let failures = |samples| [series(TICKET_GENERATION_FAILURES_TOTAL, (), samples).in_proportion()];
    let definition = Definition {
        name: "TicketGenerationFailures",
        severity: Severity::Critical,
        team: Team::Api,
        service: Some(TICKET_API),
        condition: queries::ticket_failure_rate(Window::minutes(5)).above(1.0),
        lasts: minutes(5),
        panel: Some(internals::TICKET_FAILURES),
        summary: template(("Paid orders end without tickets",)),
        description: template(("Issuing tickets fails ", value(), " times per second; those people have paid.")),
        examples: vec![
            Example::when(
                "tickets fail 1.2 times per second for 20 minutes",
                failures(Samples::growing(72.0, 20).then_growing(0.0, 20)),
            )
            .silent_at(9)
            .fires_at(10, (), 1.2)
            .silent_at(30),
            Example::when("tickets fail 0.95 times per second", failures(Samples::growing(57.0, 30)))
                .silent_at(15)
                .silent_at(30),
        ],
        runbook: ticket_generation_failures_runbook(),
    };
    definition.into()
}

fn ticket_generation_failures_runbook() -> Runbook {
    Runbook {
        symptom: "Issuing tickets for paid orders fails more than once per second.",
        meaning: "People have paid and hold nothing. Every minute adds orders to repair by hand or to refund, so \
                  stopping the sale is better than letting it run.",
        investigation: vec![
            run("Read why issuing fails", "kubectl -n {namespace} logs deployment/api --tail=200 | grep -i ticket"),
            open("Look for the issue in Sentry", "https://sentry.io/organizations/futuratickets"),
            ask("See whether payments go on meanwhile", queries::payment_success_ratio(Window::minutes(10))),
            run(
                "See whether the event store's database answers",
                "kubectl -n {namespace} exec deployment/api -- curl -s http://127.0.0.1:3000/health",
            ),
        ],
        resolution: &[
            "Began with a release: go back with `kubectl -n {namespace} rollout undo deployment/api`.",
            "It does not end within minutes: pause the sale of the events concerned.",
            "The database refuses writes: free space or connections; see the related alerts.",
            "Afterwards issue the missing tickets again from the orders that are paid and have none, and tell \
             the buyers.",
        ],
        related: &["SlowOrderProcessing", "MongoDBConnectionIssues", "DiskSpaceLow"],
    }
}

fn slow_order_processing() -> Alert {
    let orders = |pod, bound, samples: &Samples| {
        observations(ORDER_PROCESSING_DURATION_SECONDS, (), bound, samples).target::<Instance>(pod)
    };
    let lasting = |per_minute| Samples::growing(per_minute, 30).then_growing(0.0, 30);
    let definition = Definition {
        name: "SlowOrderProcessing",
        severity: Severity::Warning,
        team: Team::Api,
        service: Some(TICKET_API),
        condition: queries::order_processing_time(0.95, Window::minutes(10)).above(10.0),
        lasts: minutes(10),
        panel: Some(internals::ORDER_PROCESSING),
        summary: template(("Orders take long",)),
        description: template(("One in twenty orders takes ", value(), " or longer from its creation to its tickets.")),
        examples: vec![
            Example::when(
                "6 % of the orders take between 10 and 15 seconds",
                [orders("api-1:3000", 10.0, &lasting(94.0)), orders("api-2:3000", 15.0, &lasting(6.0))],
            )
            .silent_at(10)
            .fires_at(20, (), 10.833_333)
            .fires_at(37, (), 10.833_333)
            .silent_at(41),
            Example::when(
                "all orders take between 5 and 10 seconds",
                [orders("api-1:3000", 10.0, &Samples::growing(30.0, 40))],
            )
            .silent_at(20)
            .silent_at(40),
        ],
        runbook: slow_order_processing_runbook(),
    };
    definition.into()
}

fn slow_order_processing_runbook() -> Runbook {
    Runbook {
        symptom: "The slowest twentieth of the orders takes longer than ten seconds.",
        meaning: "Buyers wait for their tickets and may pay a second time. An order is a chain of payment, event \
                  store and tickets: one link is slow.",
        investigation: vec![
            ask(
                "See how slow the usual order is beside the slow ones",
                queries::order_processing_time(0.5, Window::minutes(10)),
            ),
            ask("See whether all requests are slow", queries::response_time(0.95, Window::minutes(5))),
            open("See whether the payment provider is slow", "https://status.stripe.com"),
            run(
                "Read which step of the order waits",
                "kubectl -n {namespace} logs deployment/api --since=15m | grep -i order",
            ),
        ],
        resolution: &[
            "The payment provider is slow: nothing to repair here; its breaker opens by itself when calls fail.",
            "The database is slow: follow the alerts of the data stores.",
            "The pods are short of CPU: `kubectl -n {namespace} scale deployment/api --replicas=5`.",
        ],
        related: &["HighResponseTime", "TicketGenerationFailures", "LowPaymentSuccessRate"],
    }
}

fn no_orders_received() -> Alert {
    let orders = |samples| [series(ORDERS_CREATED_TOTAL, (), samples)];
    let definition = Definition {
        name: "NoOrdersReceived",
        severity: Severity::Warning,
        team: Team::Business,
        service: Some(TICKET_API),
        condition: queries::orders_created(Window::hours(1)).equal_to(0.0),
        lasts: Duration::ZERO,
        panel: Some(overview::ACTIVE_ORDERS),
        summary: template(("No order within an hour",)),
        description: template(("Not one order was created within the last hour: nobody buys, or nobody can.",)),
        examples: vec![
            Example::when(
                "the last order is more than an hour ago",
                orders(Samples::steady(0.0, 9).then_steady(1.0, 90).then_growing(1.0, 30)),
            )
            .silent_at(30)
            .silent_at(69)
            .fires_at(75, (), 0.0)
            .silent_at(105),
            Example::when("nothing exports the metric", []).fires_at(10, (), 0.0),
            Example::when(
                "one order an hour comes in",
                orders(Samples::steady(0.0, 9).then_steady(1.0, 50).then_steady(2.0, 50)),
            )
            .silent_at(20)
            .silent_at(65)
            .silent_at(100),
        ],
        runbook: no_orders_received_runbook(),
    };
    definition.into()
}

fn no_orders_received_runbook() -> Runbook {
    Runbook {
        symptom: "No order was created within the last hour.",
        meaning: "At a quiet hour this can be true and harmless. Otherwise the way to an order is broken before \
                  the point where errors are counted: the page, the queue, the ingress or the scrape.",
        investigation: vec![
            ask("See whether requests arrive at all", queries::request_rate(Window::minutes(5))),
            run(
                "Go the way of a buyer",
                "curl -sS -o /dev/null -w '%{http_code}\\n' https://api.futuratickets.com/health",
            ),
            ask("See whether payments are tried", queries::payment_success_ratio(Window::hours(1))),
            run(
                "See whether Prometheus still scrapes the service",
                "kubectl -n {namespace} port-forward svc/prometheus 9090:9090 &\n\
                 curl -s http://127.0.0.1:9090/api/v1/query --data-urlencode 'query=up == 0'",
            ),
        ],
        resolution: &[
            "Requests arrive but orders fail: follow the alerts of the services and of payments.",
            "No requests arrive: look at ingress, DNS and certificates, outside in.",
            "The target is not scraped: repair that first; until then nothing here can be trusted.",
            "Nobody wants to buy at this hour: silence the alert until the next sale.",
        ],
        related: &["HighErrorRate", "LowPaymentSuccessRate", "PodDown"],
    }
}
