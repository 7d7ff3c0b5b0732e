//! The production overview: is the platform selling tickets, and if not, where to look.

use futura_alert_rules::{
    Alert, Site,
    panel::overview,
    promql::{Instance, Window, all, by, counter, gauge, label},
    queries, rules,
    template::template,
};
use futura_metrics::specs::{
    business::TICKETS_ACTIVE_TOTAL,
    external::{ConnType, Pod, REDIS_COMMANDS_PROCESSED_TOTAL, Resource},
};

use crate::{
    grafana::{Dashboard, Panel, Unit},
    panels::{lines, number, query},
};

const WINDOW: Window = Window::RateInterval;

/// The alerts of a site, by name.
struct Alerts(Vec<Alert>);

pub(crate) fn dashboard(site: &Site) -> Dashboard {
    let alerts = Alerts(rules::alerts(site).collect());
    let panels = vec![
        requests_rate(),
        response_time(),
        pod_cpu(site, &alerts),
        pod_memory(site, &alerts),
        error_rate(),
        active_orders(),
        payment_success(),
        database_connections(),
        redis_operations(),
        active_tickets(),
        sentry_errors(),
    ];
    let description = "Whether the platform sells tickets, and where to look if it does not.";
    Dashboard::new(overview::UID, "FuturaTickets - Production Overview", description, panels)
}

fn requests_rate() -> Panel {
    let query = queries::request_rate(WINDOW);
    let description = "Requests per second that each service answers. A sudden fall means that people no longer get \
                       through: look at ingress and pods. A steep rise is a sale or an attack: look at the queue.";
    lines(overview::HTTP_REQUESTS_RATE, query, description).per_second(Unit::RequestsPerSecond)
}

fn response_time() -> Panel {
    let query = queries::response_time(0.95, WINDOW);
    let description = "The time that 95 % of the requests do not exceed. When it climbs, compare with traffic and \
                       CPU; when both are calm, a data store or the payment provider is slow.";
    lines(overview::HTTP_RESPONSE_TIME, query, description).with_exemplars()
}

fn pod_cpu(site: &Site, alerts: &Alerts) -> Panel {
    let alert = alerts.get("HighCPUUsage");
    let usage = queries::container_cpu(site, WINDOW).sum(by::<(Pod,)>());
    let limits = queries::container_limits(site, Resource::Cpu).sum(by::<(Pod,)>()) * alert.threshold.value;
    let description = "CPU that each pod uses; dashed, from where its alert counts. Near the line, add pods or raise \
                       the limit; a line that ends is a pod that ended.";
    lines(overview::POD_CPU_USAGE, usage, description)
        .threshold_lines(alert, query(limits, template((label::<Pod>(), " alert"))))
}

fn pod_memory(site: &Site, alerts: &Alerts) -> Panel {
    let alert = alerts.get("HighMemoryUsage");
    let usage = queries::container_memory(site).sum(by::<(Pod,)>());
    let limits = queries::container_limits(site, Resource::Memory).sum(by::<(Pod,)>()) * alert.threshold.value;
    let description = "Memory that each pod holds; dashed, from where its alert counts. Growth without end is a leak: \
                       restart the pods one after another, then look for it.";
    lines(overview::POD_MEMORY_USAGE, usage, description)
        .threshold_lines(alert, query(limits, template((label::<Pod>(), " alert"))))
}

fn error_rate() -> Panel {
    let query = queries::server_error_rate(WINDOW);
    let description = "Requests per second that end with a status of 500 or more. Above the line, follow the runbook: \
                       find the route, then the release or the dependency that broke it.";
    lines(overview::HTTP_ERROR_RATE, query, description).per_second(Unit::RequestsPerSecond)
}

fn active_orders() -> Panel {
    let query = query(queries::orders_created(Window::minutes(5)), template("Orders"));
    let description = "Orders created in the last five minutes. None during a sale means that the way to an order is \
                       broken: try it yourself, then read the runbook.";
    number(overview::ACTIVE_ORDERS, query, description).good_from(1.0)
}

fn payment_success() -> Panel {
    let query = query(queries::payment_success_ratio(Window::minutes(10)), template("Success"));
    let description = "The share of the payments of the last ten minutes that succeeded; empty while nobody pays. \
                       Below the threshold, look at the provider's status first.";
    number(overview::PAYMENT_SUCCESS_RATE, query, description)
}

fn database_connections() -> Panel {
    let connections = queries::mongodb_connections(ConnType::ALL);
    let query = connections;
    let description = "MongoDB's connections. When those available near the line, find the client that does not give \
                       its own back. The axis is logarithmic, because there are many more available than used.";
    lines(overview::DATABASE_CONNECTIONS, query, description).logarithmic()
}

fn redis_operations() -> Panel {
    let operations = counter(REDIS_COMMANDS_PROCESSED_TOTAL).rate(WINDOW).sum(by::<(Instance,)>());
    let description = "Commands per second that Redis processes. A fall to nothing is an outage: until its end \
                       nobody can join a queue.";
    lines(overview::REDIS_OPERATIONS, operations, description).per_second(Unit::OperationsPerSecond)
}

fn active_tickets() -> Panel {
    // Every replica reports the same store, so the highest is right and a sum would count tickets twice.
    let tickets = gauge(TICKETS_ACTIVE_TOTAL).value().max(all());
    let description = "Tickets that are issued and valid now. It falls only when tickets are used or refunded: a fall \
                       without an event is worth a look at the event store.";
    number(overview::ACTIVE_TICKETS, query(tickets, template("Tickets")), description).wide()
}

fn sentry_errors() -> Panel {
    let query = queries::sentry_errors(Window::hours(1));
    let description = "Errors that each service sent to Sentry within the last hour. Above the threshold, sort \
                       Sentry's issues by events and look at the first.";
    number(overview::SENTRY_ERRORS, query, description).wide()
}

// === impl Alerts ===

impl Alerts {
    fn get(&self, name: &str) -> &Alert {
        let alert = self.0.iter().find(|alert| alert.name == name);
        alert.unwrap_or_else(|| panic!("no alert is called `{name}`"))
    }
}
