//! What goes on inside the ticketing services: orders, event store, event bus, breakers, retries, database pool.

use futura_alert_rules::{
    panel::internals,
    promql::{Service, Window, all, by, counter, gauge, histogram, label},
    template::template,
};
use futura_metrics::{
    spec::CounterSpec,
    specs::{
        business::{
            ORDER_PROCESSING_DURATION_SECONDS, STRIPE_WEBHOOK_FAILURES_TOTAL, TICKET_GENERATION_FAILURES_TOTAL,
        },
        database::{DATABASE_CONNECTIONS_ACTIVE, DATABASE_CONNECTIONS_IDLE, DATABASE_CONNECTIONS_MAX},
        event_bus::{
            EVENT_BUS_MESSAGES_CONSUMED_TOTAL, EVENT_BUS_MESSAGES_PUBLISHED_TOTAL, EVENT_BUS_PUBLISH_ERRORS_TOTAL,
        },
        event_store::{
            EVENT_STORE_APPEND_DURATION_SECONDS, EVENT_STORE_EVENTS_APPENDED_TOTAL, EVENT_STORE_EVENTS_LOADED_TOTAL,
        },
        resilience::{
            Breaker, CIRCUIT_BREAKER_FAILURES_TOTAL, CIRCUIT_BREAKER_REJECTIONS_TOTAL, CIRCUIT_BREAKER_STATE,
            Operation, RETRY_ATTEMPTS_TOTAL, RETRY_EXHAUSTED_TOTAL, RETRY_SUCCESSES_TOTAL,
        },
    },
};

use crate::{
    grafana::{Color, Dashboard, Panel, Unit},
    panels::{Query, lines, query, states},
    variables::{any, chosen},
};

const WINDOW: Window = Window::RateInterval;

pub(crate) fn dashboard() -> Dashboard {
    let panels = vec![
        order_processing(),
        ticket_failures(),
        webhook_failures(),
        event_store_events(),
        append_duration(),
        event_bus_messages(),
        event_bus_errors(),
        breaker_state(),
        breaker_calls(),
        retries(),
        pool_use(),
        pool_connections(),
    ];
    let description = "What goes on inside the services that sell tickets, from the order down to the database.";
    Dashboard::new(internals::UID, "FuturaTickets - Ticketing Internals", description, panels).choosing([any::<
        Service,
        _,
    >(
        "Service",
        &gauge(DATABASE_CONNECTIONS_MAX),
    )])
}

/// The rate of a counter without labels, all chosen services together.
fn total(spec: CounterSpec, name: &'static str) -> Query {
    query(counter(spec).only(chosen::<Service>()).rate(WINDOW).sum(all()), template((name,)))
}

/// The rate of a counter without labels, by service.
fn by_service(spec: CounterSpec, what: &'static str) -> Query {
    let rate = counter(spec).only(chosen::<Service>()).rate(WINDOW).sum(by::<(Service,)>());
    query(rate, template((label::<Service>(), what)))
}

fn order_processing() -> Panel {
    let durations = histogram(ORDER_PROCESSING_DURATION_SECONDS).only(chosen::<Service>());
    let quantile = |quantile| durations.rate(WINDOW).sum(all()).quantile(quantile);
    let description = "The time from an order to its tickets that half and 95 % of the orders do not exceed. When it climbs, \
                       compare with the appends below and with the payment provider's breaker.";
    lines(internals::ORDER_PROCESSING, query(quantile(0.5), template("p50")), description)
        .also(query(quantile(0.95), template("p95")))
        .with_exemplars()
        .narrow()
        .under("Orders and tickets")
}

fn ticket_failures() -> Panel {
    let description = "Paid orders per second for which no tickets could be issued. Every one is a person who paid and got \
                       nothing: follow the runbook at once.";
    lines(internals::TICKET_FAILURES, total(TICKET_GENERATION_FAILURES_TOTAL, "Failures"), description).narrow()
}

fn webhook_failures() -> Panel {
    let description = "Webhooks of the payment provider per second that were refused or not processed. It tries again for \
                       days; look at the signing secret first, then at the log.";
    lines(internals::WEBHOOK_FAILURES, total(STRIPE_WEBHOOK_FAILURES_TOTAL, "Failures"), description).narrow()
}

fn event_store_events() -> Panel {
    let description = "Domain events per second. Far more loads than appends mean that long streams are read again and again: \
                       look for a projection that starts over.";
    lines(internals::EVENT_STORE_EVENTS, by_service(EVENT_STORE_EVENTS_APPENDED_TOTAL, " appended"), description)
        .also(by_service(EVENT_STORE_EVENTS_LOADED_TOTAL, " loaded"))
        .per_second(Unit::EventsPerSecond)
        .under("Event store")
}

fn append_duration() -> Panel {
    let durations = histogram(EVENT_STORE_APPEND_DURATION_SECONDS).only(chosen::<Service>());
    let quantile = |quantile| durations.rate(WINDOW).sum(by::<(Service,)>()).quantile(quantile);
    let description = "The time that half and 95 % of the appends do not exceed, transaction included. When it climbs with the \
                       pool full, the database is the bottleneck; with the pool empty, its disk is.";
    lines(internals::APPEND_DURATION, query(quantile(0.5), template((label::<Service>(), " p50"))), description)
        .also(query(quantile(0.95), template((label::<Service>(), " p95"))))
        .with_exemplars()
}

fn event_bus_messages() -> Panel {
    let description = "Messages per second. Consumed below published for long means that a consumer lags or has stopped: read \
                       its log, and restart it; no message is lost by that.";
    lines(internals::EVENT_BUS_MESSAGES, by_service(EVENT_BUS_MESSAGES_PUBLISHED_TOTAL, " published"), description)
        .also(by_service(EVENT_BUS_MESSAGES_CONSUMED_TOTAL, " consumed"))
        .per_second(Unit::MessagesPerSecond)
        .under("Event bus")
}

fn event_bus_errors() -> Panel {
    let description = "Messages per second that could not be published. Sales go on without the bus, but replicas hear of \
                       them late: look at the broker.";
    lines(internals::EVENT_BUS_ERRORS, by_service(EVENT_BUS_PUBLISH_ERRORS_TOTAL, ""), description)
        .per_second(Unit::MessagesPerSecond)
}

fn breaker_state() -> Panel {
    let state = gauge(CIRCUIT_BREAKER_STATE).only(chosen::<Service>()).value().max(by::<(Service, Breaker)>());
    let description = "Whether each circuit breaker lets calls through. Open means that what it protects from fails: repair \
                       that, and the breaker closes by itself.";
    states(
        internals::BREAKER_STATE,
        state,
        description,
        &[("0", "closed", Color::Green), ("1", "half-open", Color::Orange), ("2", "open", Color::Red)],
    )
    .narrow()
    .under("Circuit breakers and retries")
}

fn breaker_calls() -> Panel {
    let rate = |spec: CounterSpec<(Breaker,)>, what| {
        let calls = counter(spec).only(chosen::<Service>()).rate(WINDOW).sum(by::<(Breaker,)>());
        query(calls, template((label::<Breaker>(), what)))
    };
    let description = "Calls per second that failed, and that an open breaker refused. Failures without refusals: the \
                       breaker has not opened yet. Refusals: callers get an error at once instead of waiting.";
    lines(internals::BREAKER_CALLS, rate(CIRCUIT_BREAKER_FAILURES_TOTAL, " failed"), description)
        .also(rate(CIRCUIT_BREAKER_REJECTIONS_TOTAL, " refused"))
        .narrow()
}

fn retries() -> Panel {
    let rate = |spec: CounterSpec<(Operation,)>, what| {
        let calls = counter(spec).only(chosen::<Service>()).rate(WINDOW).sum(by::<(Operation,)>());
        query(calls, template((label::<Operation>(), what)))
    };
    let description = "Attempts per second made again, and what came of them. Given up is what callers see as an error; many \
                       attempts that succeed mean a dependency that is about to fail.";
    lines(internals::RETRIES, rate(RETRY_ATTEMPTS_TOTAL, " tried again"), description)
        .also(rate(RETRY_SUCCESSES_TOTAL, " succeeded"))
        .also(rate(RETRY_EXHAUSTED_TOTAL, " given up"))
        .per_second(Unit::OperationsPerSecond)
        .narrow()
}

fn pool_use() -> Panel {
    let active = gauge(DATABASE_CONNECTIONS_ACTIVE).only(chosen::<Service>()).value().sum(by::<(Service,)>());
    let most = gauge(DATABASE_CONNECTIONS_MAX).only(chosen::<Service>()).value().sum(by::<(Service,)>());
    let description = "The share of the pool's connections that are in use. Near one, requests wait for a connection: look \
                       for slow queries first, and only then enlarge the pool.";
    lines(internals::POOL_USE, active.ratio_to(most), description).under("Database pool")
}

fn pool_connections() -> Panel {
    let connections = |spec, what| {
        let value = gauge(spec).only(chosen::<Service>()).value().sum(by::<(Service,)>());
        query(value, template((label::<Service>(), what)))
    };
    let description = "Connections in use, idle, and the most that the pool may open. Many idle ones for long mean a pool \
                       larger than it needs to be.";
    lines(internals::POOL_CONNECTIONS, connections(DATABASE_CONNECTIONS_ACTIVE, " in use"), description)
        .also(connections(DATABASE_CONNECTIONS_IDLE, " idle"))
        .also(connections(DATABASE_CONNECTIONS_MAX, " at most"))
}
