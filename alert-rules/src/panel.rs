//! The panels that alerts link to. The dashboard takes its panels' ids and titles from here, so that no link dangles.

/// A panel of a dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    /// The dashboard's uid.
    pub dashboard: &'static str,
    /// The panel's id, stable because links carry it.
    pub id: u32,
    /// The panel's title.
    pub title: &'static str,
}

/// The panels of the production overview, in order.
pub mod overview {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "futuratickets-overview";

    /// Requests per second, by service.
    pub const HTTP_REQUESTS_RATE: Panel = panel(1, "HTTP Requests Rate (by service)");
    /// The response time that 95 % of the requests do not exceed.
    pub const HTTP_RESPONSE_TIME: Panel = panel(2, "HTTP Response Time (p95)");
    /// CPU by pod.
    pub const POD_CPU_USAGE: Panel = panel(3, "Pod CPU Usage");
    /// Memory by pod.
    pub const POD_MEMORY_USAGE: Panel = panel(4, "Pod Memory Usage");
    /// Server errors per second.
    pub const HTTP_ERROR_RATE: Panel = panel(5, "HTTP Error Rate (5xx)");
    /// Orders of the last minutes.
    pub const ACTIVE_ORDERS: Panel = panel(6, "Active Orders (created in the last 5 minutes)");
    /// The share of payments that succeed.
    pub const PAYMENT_SUCCESS_RATE: Panel = panel(7, "Payment Success Rate");
    /// MongoDB's connections.
    pub const DATABASE_CONNECTIONS: Panel = panel(8, "Database Connections (MongoDB)");
    /// Redis commands per second.
    pub const REDIS_OPERATIONS: Panel = panel(9, "Redis Operations/sec");
    /// Tickets valid now.
    pub const ACTIVE_TICKETS: Panel = panel(10, "Active Tickets");
    /// Errors sent to Sentry.
    pub const SENTRY_ERRORS: Panel = panel(11, "Sentry Errors (last hour)");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}

/// The panels of the cluster that everything runs on.
pub mod cluster {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "kubernetes-cluster";

    /// CPU of all nodes, as a share.
    pub const CPU: Panel = panel(1, "Cluster CPU");
    /// Memory of all nodes, as a share.
    pub const MEMORY: Panel = panel(2, "Cluster Memory");
    /// Pods that run.
    pub const PODS_RUNNING: Panel = panel(3, "Pods Running");
    /// Restarts of an hour, all pods together.
    pub const RESTARTS: Panel = panel(4, "Restarts (last hour)");
    /// CPU by node.
    pub const NODE_CPU: Panel = panel(5, "CPU by Node");
    /// Memory by node.
    pub const NODE_MEMORY: Panel = panel(6, "Memory by Node");
    /// Space left by disk.
    pub const DISK_SPACE: Panel = panel(7, "Disk Space Left");
    /// Pods by phase.
    pub const PODS_BY_STATUS: Panel = panel(8, "Pods by Status");
    /// Restarts by pod.
    pub const POD_RESTARTS: Panel = panel(9, "Pod Restarts (last hour)");
    /// Replicas that a deployment wants and does not have.
    pub const REPLICAS_MISSING: Panel = panel(10, "Replicas Missing");
    /// CPU of each container, as a share of its limit.
    pub const CONTAINER_CPU: Panel = panel(11, "CPU of Limit");
    /// Memory of each container, as a share of its limit.
    pub const CONTAINER_MEMORY: Panel = panel(12, "Memory of Limit");
    /// Periods in which a container was kept from running.
    pub const THROTTLING: Panel = panel(13, "CPU Throttling");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}

/// The panels of HTTP by route.
pub mod http {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "http-routes";

    /// Requests per second.
    pub const REQUESTS: Panel = panel(1, "Requests");
    /// The share of requests that fail.
    pub const ERROR_RATIO: Panel = panel(2, "Error Ratio");
    /// The share of requests that do not fail.
    pub const AVAILABILITY: Panel = panel(3, "Availability");
    /// Requests that are being answered.
    pub const IN_FLIGHT: Panel = panel(4, "In Flight");
    /// Response times of all requests.
    pub const RESPONSE_TIMES: Panel = panel(5, "Response Times");
    /// Requests by status.
    pub const REQUESTS_BY_STATUS: Panel = panel(6, "Requests by Status");
    /// Requests by route.
    pub const REQUESTS_BY_ROUTE: Panel = panel(7, "Requests by Route");
    /// The share of requests that fail, by route.
    pub const ERROR_RATIO_BY_ROUTE: Panel = panel(8, "Error Ratio by Route");
    /// Response time by route.
    pub const RESPONSE_TIME_BY_ROUTE: Panel = panel(9, "Response Time by Route (p95)");
    /// Requests that are being answered, by route.
    pub const IN_FLIGHT_BY_ROUTE: Panel = panel(10, "In Flight by Route");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}

/// The panels of what goes on inside the ticketing services.
pub mod internals {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "ticketing-internals";

    /// The time from an order to its tickets.
    pub const ORDER_PROCESSING: Panel = panel(1, "Order Processing Time");
    /// Paid orders without tickets.
    pub const TICKET_FAILURES: Panel = panel(2, "Ticket Generation Failures");
    /// Webhooks that failed.
    pub const WEBHOOK_FAILURES: Panel = panel(3, "Webhook Failures");
    /// Events appended and loaded.
    pub const EVENT_STORE_EVENTS: Panel = panel(4, "Events Appended and Loaded");
    /// The time of an append.
    pub const APPEND_DURATION: Panel = panel(5, "Append Duration");
    /// Messages published and consumed.
    pub const EVENT_BUS_MESSAGES: Panel = panel(6, "Messages Published and Consumed");
    /// Messages that could not be published.
    pub const EVENT_BUS_ERRORS: Panel = panel(7, "Publish Errors");
    /// The state of each breaker.
    pub const BREAKER_STATE: Panel = panel(8, "Circuit Breakers");
    /// What breakers saw fail and refused.
    pub const BREAKER_CALLS: Panel = panel(9, "Failures and Rejections by Breaker");
    /// Attempts made again, and given up.
    pub const RETRIES: Panel = panel(10, "Retries by Operation");
    /// The share of the pool in use.
    pub const POOL_USE: Panel = panel(11, "Database Pool in Use");
    /// The pool's connections.
    pub const POOL_CONNECTIONS: Panel = panel(12, "Database Connections");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}

/// The panels of the sidecar's checks.
pub mod checks {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "checks";

    /// Checks that count as up.
    pub const UP: Panel = panel(1, "Checks Up");
    /// The share of runs that succeed.
    pub const SUCCESS: Panel = panel(2, "Success Ratio");
    /// The first certificate to expire.
    pub const FIRST_EXPIRY: Panel = panel(3, "First Certificate Expires In");
    /// Runs left out.
    pub const SKIPPED: Panel = panel(4, "Runs Skipped (last hour)");
    /// Up or down, over time.
    pub const STATE: Panel = panel(5, "State");
    /// The share of runs that succeed, by check.
    pub const SUCCESS_BY_CHECK: Panel = panel(6, "Success Ratio by Check");
    /// Failures by reason.
    pub const FAILURES: Panel = panel(7, "Failures by Reason");
    /// Duration by check.
    pub const DURATION: Panel = panel(8, "Duration (p95)");
    /// Duration of the phases of the last run.
    pub const PHASES: Panel = panel(9, "Phases of the Last Run");
    /// Duration of a journey's steps.
    pub const STEPS: Panel = panel(10, "Steps of Journeys");
    /// Expiry by check.
    pub const CERTIFICATES: Panel = panel(11, "Certificates Expire In");
    /// How late runs start.
    pub const LAG: Panel = panel(12, "Scheduling Lag");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}

/// The panels of the errors that the sidecar forwards.
pub mod errors {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "error-forwarding";

    /// Envelopes that wait.
    pub const WAITING: Panel = panel(1, "Waiting");
    /// How full the spool is.
    pub const SPOOL_USE: Panel = panel(2, "Spool in Use");
    /// Envelopes that upstreams refused.
    pub const DEAD: Panel = panel(3, "Dead Letters");
    /// Envelopes that applications lost.
    pub const LOST: Panel = panel(4, "Lost before the Sidecar (last hour)");
    /// Received and forwarded.
    pub const FLOW: Panel = panel(5, "Received and Forwarded");
    /// Envelopes that wait, by upstream.
    pub const SPOOL: Panel = panel(6, "Spool by Upstream");
    /// Attempts made again.
    pub const RETRIES: Panel = panel(7, "Retries by Upstream");
    /// Envelopes that were dropped.
    pub const DROPPED: Panel = panel(8, "Dropped by Reason (last hour)");
    /// Envelopes that were not accepted.
    pub const REJECTED: Panel = panel(9, "Rejected by Reason");
    /// Values scrubbed, events suppressed, events of logs.
    pub const CONTENT: Panel = panel(10, "Scrubbed, Suppressed, from Logs");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}

/// The panels of the service level objectives, in order.
pub mod slos {
    use super::Panel;

    /// The dashboard's uid.
    pub const UID: &str = "slos";

    /// How much of each error budget is left now.
    pub const ERROR_BUDGET_LEFT: Panel = panel(1, "Error budget left");
    /// What share of the requests must be good.
    pub const OBJECTIVE: Panel = panel(2, "Objective");
    /// How each error budget went.
    pub const ERROR_BUDGET_OVER_TIME: Panel = panel(3, "Error budget over time");
    /// The share of bad requests.
    pub const ERROR_RATIO: Panel = panel(4, "Bad requests (last 5 minutes and last day)");
    /// How fast the budgets burn, over an hour.
    pub const BURN_RATE_1H: Panel = panel(5, "Burn rate over 1 hour and 5 minutes");
    /// How fast the budgets burn, over six hours.
    pub const BURN_RATE_6H: Panel = panel(6, "Burn rate over 6 hours and 30 minutes");
    /// How fast the budgets burn, over a day.
    pub const BURN_RATE_1D: Panel = panel(7, "Burn rate over 1 day and 2 hours");
    /// How fast the budgets burn, over three days.
    pub const BURN_RATE_3D: Panel = panel(8, "Burn rate over 3 days and 6 hours");
    /// Requests per second that count.
    pub const REQUESTS: Panel = panel(9, "Requests that count");
    /// Requests per second that are bad.
    pub const ERRORS: Panel = panel(10, "Requests that are bad");

    const fn panel(id: u32, title: &'static str) -> Panel {
        Panel { dashboard: UID, id, title }
    }
}
