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
