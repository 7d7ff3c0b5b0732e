//! Inside the services: event bus, circuit breakers, the pool of database connections.

use futura_metrics::specs::{
    database::{DATABASE_CONNECTIONS_ACTIVE, DATABASE_CONNECTIONS_MAX},
    event_bus::{
        EVENT_BUS_MESSAGES_CONSUMED_TOTAL, EVENT_BUS_MESSAGES_PUBLISHED_TOTAL, EVENT_BUS_PUBLISH_ERRORS_TOTAL,
    },
    resilience::{Breaker, CIRCUIT_BREAKER_FAILURES_TOTAL, CIRCUIT_BREAKER_REJECTIONS_TOTAL, CIRCUIT_BREAKER_STATE},
};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel::internals,
    promql::{Instance, Service, Window, by, counter, label},
    queries,
    runbook::{Runbook, ask, run},
    template::{template, value},
};

const WINDOW: Window = Window::minutes(5);
const INSTANCE: &str = "api-1:9090";
/// What `circuit_breaker_state` is while a breaker is open.
const OPEN: f64 = 2.0;

pub(super) fn alerts() -> Vec<Alert> {
    vec![
        event_bus_publish_errors(),
        circuit_breaker_open(),
        database_connection_pool_saturated(),
        database_connections_high(),
    ]
}

fn event_bus_publish_errors() -> Alert {
    let errors =
        |samples| [series(EVENT_BUS_PUBLISH_ERRORS_TOTAL, (), samples).target::<Service>(TICKET_API).in_proportion()];
    let definition = Definition {
        name: "EventBusPublishErrors",
        severity: Severity::Critical,
        team: Team::Api,
        service: None,
        condition: queries::publish_error_rate(WINDOW).above(0.1),
        lasts: minutes(5),
        panel: Some(internals::EVENT_BUS_ERRORS),
        summary: template((label::<Service>(), " cannot publish on the event bus")),
        description: template((
            value(),
            " messages per second of ",
            label::<Service>(),
            " do not get onto the event bus.",
        )),
        examples: vec![
            Example::when(
                "0.12 messages fail per second for 20 minutes",
                errors(Samples::growing(7.2, 20).then_growing(0.0, 20)),
            )
            .silent_at(9)
            .fires_at(10, (TICKET_API,), 0.12)
            .silent_at(26),
            Example::when("0.095 messages fail per second", errors(Samples::growing(5.7, 40)))
                .silent_at(20)
                .silent_at(40),
        ],
        runbook: event_bus_publish_errors_runbook(),
    };
    definition.into()
}

fn event_bus_publish_errors_runbook() -> Runbook {
    let published = counter(EVENT_BUS_MESSAGES_PUBLISHED_TOTAL).rate(WINDOW).sum(by::<(Service,)>());
    let consumed = counter(EVENT_BUS_MESSAGES_CONSUMED_TOTAL).rate(WINDOW).sum(by::<(Service,)>());
    Runbook {
        symptom: "More than one message in ten seconds cannot be published on the event bus.",
        meaning: "What happened is stored, but those who wait for it do not hear of it: projections fall behind and \
                  orders stop half way between payment and ticket.",
        investigation: vec![
            ask("See whether anything is still published", published),
            ask("See whether consumers still get messages", consumed),
            run(
                "Read why publishing fails",
                "kubectl -n {namespace} logs deployment/api --tail=300 | grep -i 'event bus\\|broker'",
            ),
            run(
                "See which brokers the service is told to use",
                "kubectl -n {namespace} set env deployment/api --list | grep REDPANDA_BROKERS",
            ),
            run("See whether the broker runs", "kubectl -n {namespace} get pods -l app=redpanda"),
        ],
        resolution: &[
            "The broker is down or out of disk: bring it back; the service goes on by itself.",
            "The broker's address or password changed: set it and `kubectl -n {namespace} rollout restart \
             deployment/api`.",
            "The topic is gone or refuses the size of the messages: create it again, or raise its limit.",
            "Afterwards look for orders that are paid and have no ticket, as of that time they were not told of.",
        ],
        related: &["TicketGenerationFailures", "SlowOrderProcessing", "CircuitBreakerOpen"],
    }
}

fn circuit_breaker_open() -> Alert {
    let state = |samples| {
        [series(CIRCUIT_BREAKER_STATE, (Breaker::Payment,), samples)
            .target::<Service>(TICKET_API)
            .target::<Instance>(INSTANCE)]
    };
    let definition = Definition {
        name: "CircuitBreakerOpen",
        severity: Severity::Critical,
        team: Team::Api,
        service: None,
        condition: queries::breaker_state().equal_to(OPEN),
        lasts: minutes(1),
        panel: Some(internals::BREAKER_STATE),
        summary: template(("The breaker `", label::<Breaker>(), "` of ", label::<Service>(), " is open")),
        description: template((
            label::<Service>(),
            " no longer calls `",
            label::<Breaker>(),
            "`, which failed again and again; what needs it is refused at once.",
        )),
        examples: vec![
            Example::when("a breaker is open for 10 minutes", state(Samples::steady(2.0, 10).then_steady(0.0, 10)))
                .silent_at(0)
                .fires_at(1, (TICKET_API, Breaker::Payment), 2.0)
                .fires_at(10, (TICKET_API, Breaker::Payment), 2.0)
                .silent_at(11),
            Example::when("a breaker is half-open, to try again", state(Samples::steady(1.0, 20))).silent_at(20),
            Example::when(
                "a breaker is open for less than a minute",
                state(Samples::steady(0.0, 5).then_steady(2.0, 1).then_steady(1.0, 10)),
            )
            .silent_at(6)
            .silent_at(10),
        ],
        runbook: circuit_breaker_open_runbook(),
    };
    definition.into()
}

fn circuit_breaker_open_runbook() -> Runbook {
    let by_breaker = by::<(Service, Breaker)>();
    Runbook {
        symptom: "A circuit breaker has been open for a minute.",
        meaning: "What it guards (`database`, `payment` or `redis`) failed several times in a row. The breaker keeps \
                  the rest alive: it tries again by itself, and closes when that succeeds.",
        investigation: vec![
            ask("See which breakers are open, in which processes", queries::breaker_state()),
            ask("See how the calls fail", counter(CIRCUIT_BREAKER_FAILURES_TOTAL).rate(WINDOW).sum(by_breaker)),
            ask(
                "See how many people are refused meanwhile",
                counter(CIRCUIT_BREAKER_REJECTIONS_TOTAL).rate(WINDOW).sum(by_breaker),
            ),
            run(
                "Read what the calls fail of",
                "kubectl -n {namespace} logs deployment/api --tail=300 | grep -i breaker",
            ),
        ],
        resolution: &[
            "`redis`: follow RedisDown. The queue is closed until it answers; the rest goes on.",
            "`database`: follow the alerts of the data stores; nothing can be sold meanwhile.",
            "`payment`: see <https://status.stripe.com>; if the provider is well, our keys or our network are not.",
            "The dependency is well and the breaker does not close: restart the process with `kubectl -n {namespace} \
             rollout restart deployment/api`.",
        ],
        related: &["RedisDown", "LowPaymentSuccessRate", "DatabaseConnectionPoolSaturated"],
    }
}

/// A pool of 100 connections of which so many are in use.
fn pool(active: Samples) -> [Series; 2] {
    [
        series(DATABASE_CONNECTIONS_ACTIVE, (), active)
            .target::<Service>(TICKET_API)
            .target::<Instance>(INSTANCE)
            .in_proportion(),
        series(DATABASE_CONNECTIONS_MAX, (), Samples::steady(100.0, 60))
            .target::<Service>(TICKET_API)
            .target::<Instance>(INSTANCE),
    ]
}

fn database_connections_high() -> Alert {
    let definition = Definition {
        name: "DatabaseConnectionsHigh",
        severity: Severity::Warning,
        team: Team::Database,
        service: None,
        condition: queries::pool_share().above(0.8),
        lasts: minutes(10),
        panel: Some(internals::POOL_USE),
        summary: template(("The pool of ", label::<Service>(), " on ", label::<Instance>(), " is nearly used up")),
        description: template((value(), " of the database connections of ", label::<Instance>(), " are in use.")),
        examples: vec![
            Example::when("85 % are in use for 30 minutes", pool(Samples::steady(85.0, 30).then_steady(20.0, 30)))
                .silent_at(9)
                .fires_at(10, (TICKET_API, INSTANCE), 0.85)
                .silent_at(31),
            Example::when("79 % are in use", pool(Samples::steady(79.0, 60))).silent_at(60),
        ],
        runbook: pool_runbook(
            "More than four fifths of a process's database connections are in use.",
            "Requests do not wait yet, but the next burst will. Either there is more traffic, or each request holds its \
             connection longer than it used to.",
            &["DatabaseConnectionPoolSaturated", "HighLatency"],
        ),
    };
    definition.into()
}

fn database_connection_pool_saturated() -> Alert {
    let definition = Definition {
        name: "DatabaseConnectionPoolSaturated",
        severity: Severity::Critical,
        team: Team::Database,
        service: None,
        condition: queries::pool_share().above(0.9),
        lasts: minutes(5),
        panel: Some(internals::POOL_USE),
        summary: template(("The pool of ", label::<Service>(), " on ", label::<Instance>(), " is used up")),
        description: template((
            value(),
            " of the database connections of ",
            label::<Instance>(),
            " are in use; requests wait for one, and fail when they have waited too long.",
        )),
        examples: vec![
            Example::when("95 % are in use for 30 minutes", pool(Samples::steady(95.0, 30).then_steady(20.0, 30)))
                .silent_at(4)
                .fires_at(5, (TICKET_API, INSTANCE), 0.95)
                .silent_at(31),
            Example::when("89 % are in use", pool(Samples::steady(89.0, 60))).silent_at(60),
        ],
        runbook: pool_runbook(
            "More than nine tenths of a process's database connections are in use.",
            "Requests wait for a connection and time out, first the slow ones, then all. The service answers with \
             errors though the database itself may be well.",
            &["DatabaseConnectionsHigh", "HighErrorRatio", "CircuitBreakerOpen"],
        ),
    };
    definition.into()
}

fn pool_runbook(symptom: &'static str, meaning: &'static str, related: &'static [&'static str]) -> Runbook {
    Runbook {
        symptom,
        meaning,
        investigation: vec![
            ask("See whether all processes are short of connections, or one", queries::pool_share()),
            ask("See whether there is more traffic than usual", queries::request_rate(WINDOW)),
            ask("See whether requests take longer than usual", queries::response_time(0.95, WINDOW)),
            run(
                "See what the connections are busy with",
                "kubectl -n {namespace} exec -it postgres-0 -- psql -U postgres -c \
                 \"select pid, state, now() - query_start as since, left(query, 80) from pg_stat_activity \
                 where state <> 'idle' order by since desc limit 20\"",
            ),
        ],
        resolution: &[
            "One process holds them all: restart it with `kubectl -n {namespace} delete pod <pod>`.",
            "A query hangs: end it with `select pg_terminate_backend(<pid>)` and look for the missing index.",
            "More traffic: add pods, or raise `DATABASE_MAX_CONNECTIONS`, as far as the server's `max_connections` \
             allows for all pods together.",
        ],
        related,
    }
}
