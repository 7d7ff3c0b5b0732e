//! What rules, panels and runbooks ask alike, so that a panel shows the very value that its alert judges.

use futura_metrics::{
    spec::GaugeSpec,
    specs::{
        business::{
            ORDER_PROCESSING_DURATION_SECONDS, ORDERS_CREATED_TOTAL, PAYMENT_SUCCESS_TOTAL, PAYMENT_TOTAL,
            SENTRY_ERRORS_TOTAL, STRIPE_WEBHOOK_FAILURES_TOTAL, TICKET_GENERATION_FAILURES_TOTAL,
        },
        checks::{
            CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, CHECK_FAILURES_TOTAL, CHECK_UP, Check, CheckKind, Reason,
        },
        database::{DATABASE_CONNECTIONS_ACTIVE, DATABASE_CONNECTIONS_MAX},
        errors::{
            DropReason, ERROR_ENVELOPES_DROPPED_TOTAL, ERROR_ENVELOPES_FORWARDED_TOTAL, ERROR_SPOOL_BYTES,
            ERROR_SPOOL_ENVELOPES, ERROR_SPOOL_LIMIT_BYTES, UpstreamName,
        },
        event_bus::EVENT_BUS_PUBLISH_ERRORS_TOTAL,
        external::{
            CONTAINER_CPU_USAGE_SECONDS_TOTAL, CONTAINER_MEMORY_WORKING_SET_BYTES, ConnType, Container, Device, FsType,
            Image, KUBE_POD_CONTAINER_RESOURCE_LIMITS, KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL,
            MONGODB_SS_CONNECTIONS, Mountpoint, NODE_FILESYSTEM_AVAIL_BYTES, NODE_FILESYSTEM_SIZE_BYTES, Namespace,
            Pod, Resource,
        },
        http::{HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method, Path, Status},
        metrics::{LabelName, METRICS_FOLDED_TOTAL, MetricName},
        resilience::{Breaker, CIRCUIT_BREAKER_STATE},
    },
};

use crate::{
    promql::{
        Counter, Instance, Quantity, Scraped, Selector, Service, Vector, Window, all, by, counter, gauge, histogram,
        label,
    },
    site::Site,
};

/// File systems in memory, and images that are full by nature.
pub(crate) const NO_DISKS: &[&str] = &["tmpfs", "overlay", "squashfs", "ramfs"];

/// Requests per second, by service.
pub fn request_rate(window: Window) -> Vector<(Service,)> {
    counter(HTTP_REQUESTS_TOTAL).rate(window).sum(by::<(Service,)>())
}

/// Answers with a status of 500 to 599.
pub fn server_errors() -> Selector<Counter, (Method, Path, Status)> {
    counter(HTTP_REQUESTS_TOTAL).only(label::<Status>().matches("5.."))
}

/// Server errors per second, by service.
pub fn server_error_rate(window: Window) -> Vector<(Service,)> {
    server_errors().rate(window).sum(by::<(Service,)>())
}

/// The share of answers that are server errors, by service; no value while nobody asks.
pub fn server_error_ratio(window: Window) -> Vector<(Service,)> {
    server_error_rate(window).ratio_to(request_rate(window))
}

/// The share of requests that are answered without a server error, by service.
///
/// A service that has never failed has no value: it has no series of server errors to take from the rest.
pub fn availability(window: Window) -> Vector<(Service,)> {
    (request_rate(window) - server_error_rate(window)).ratio_to(request_rate(window))
}

/// The response time that the share `quantile` of the requests does not exceed, by service.
pub fn response_time(quantile: f64, window: Window) -> Vector<(Service,)> {
    histogram(HTTP_REQUEST_DURATION_SECONDS).rate(window).sum(by::<(Service,)>()).quantile(quantile)
}

/// Orders created within `window`, of all services together; none counted is zero.
pub fn orders_created(window: Window) -> Vector<()> {
    counter(ORDERS_CREATED_TOTAL).increase(window).sum(all()).or_zero()
}

/// The time that the share `quantile` of the orders does not exceed.
pub fn order_processing_time(quantile: f64, window: Window) -> Vector<()> {
    histogram(ORDER_PROCESSING_DURATION_SECONDS).rate(window).sum(all()).quantile(quantile)
}

/// The share of payments that succeed; no value while nobody pays.
pub fn payment_success_ratio(window: Window) -> Vector<()> {
    let attempts = counter(PAYMENT_TOTAL).rate(window).sum(all());
    counter(PAYMENT_SUCCESS_TOTAL).rate(window).sum(all()).ratio_to(attempts)
}

/// Stripe webhooks refused or not processed, per second.
pub fn webhook_failure_rate(window: Window) -> Vector<()> {
    counter(STRIPE_WEBHOOK_FAILURES_TOTAL).rate(window).sum(all())
}

/// Paid orders whose tickets could not be issued, per second.
pub fn ticket_failure_rate(window: Window) -> Vector<()> {
    counter(TICKET_GENERATION_FAILURES_TOTAL).rate(window).sum(all())
}

/// Messages that could not be published on the event bus, per second, by service.
pub fn publish_error_rate(window: Window) -> Vector<(Service,)> {
    counter(EVENT_BUS_PUBLISH_ERRORS_TOTAL).rate(window).sum(by::<(Service,)>())
}

/// The state of each circuit breaker, by service: 0 closed, 1 half-open, 2 open; of several processes the worst.
pub fn breaker_state() -> Vector<(Service, Breaker)> {
    gauge(CIRCUIT_BREAKER_STATE).value().max(by::<(Service, Breaker)>())
}

/// Database connections in use as a share of what a process's pool may open.
pub fn pool_share() -> Vector<(Service, Instance)> {
    let most = gauge(DATABASE_CONNECTIONS_MAX).value().max(by::<(Service, Instance)>());
    gauge(DATABASE_CONNECTIONS_ACTIVE).value().max(by::<(Service, Instance)>()).ratio_to(most)
}

/// Whether each check counts as up: 1 or 0; of several sidecars the worst.
pub fn check_up() -> Vector<(Check, CheckKind)> {
    gauge(CHECK_UP).value().min(by::<(Check, CheckKind)>())
}

/// Failed runs of checks per second, by reason.
pub fn check_failure_rate(window: Window) -> Vector<(Check, CheckKind, Reason)> {
    counter(CHECK_FAILURES_TOTAL).rate(window).sum(by::<(Check, CheckKind, Reason)>())
}

/// How long each certificate is still valid.
pub fn certificate_time_left() -> Vector<(Check, CheckKind)> {
    gauge(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS).time_left().min(by::<(Check, CheckKind)>())
}

/// Envelopes that wait in each sidecar's spool, by upstream.
pub fn envelopes_waiting() -> Vector<(Instance, UpstreamName)> {
    gauge(ERROR_SPOOL_ENVELOPES).value().max(by::<(Instance, UpstreamName)>())
}

/// Envelopes that each sidecar delivered within `window`, by upstream.
pub fn envelopes_forwarded(window: Window) -> Vector<(Instance, UpstreamName)> {
    counter(ERROR_ENVELOPES_FORWARDED_TOTAL).increase(window).sum(by::<(Instance, UpstreamName)>())
}

/// How full each sidecar's spool is.
pub fn spool_share() -> Vector<(Instance, UpstreamName)> {
    let limit = gauge(ERROR_SPOOL_LIMIT_BYTES).value().max(by::<(Instance, UpstreamName)>());
    gauge(ERROR_SPOOL_BYTES).value().max(by::<(Instance, UpstreamName)>()).ratio_to(limit)
}

/// Accepted envelopes that were given up within `window`, by upstream and reason.
pub fn envelopes_dropped(window: Window) -> Vector<(UpstreamName, DropReason)> {
    counter(ERROR_ENVELOPES_DROPPED_TOTAL).increase(window).sum(by::<(UpstreamName, DropReason)>())
}

/// Times within `window` that a label had too many values, by metric and label.
pub fn values_folded(window: Window) -> Vector<(Service, MetricName, LabelName)> {
    counter(METRICS_FOLDED_TOTAL).increase(window).sum(by::<(Service, MetricName, LabelName)>())
}

/// Times within `window` that each container of the namespace was started anew.
pub fn container_restarts(site: &Site, window: Window) -> Vector<(Namespace, Pod, Container)> {
    let restarts = counter(KUBE_POD_CONTAINER_STATUS_RESTARTS_TOTAL).only(label::<Namespace>().eq(&site.namespace));
    restarts.increase(window).sum(by::<(Namespace, Pod, Container)>())
}

/// Errors sent to Sentry within `window`, by service.
pub fn sentry_errors(window: Window) -> Vector<(Service,)> {
    counter(SENTRY_ERRORS_TOTAL).increase(window).sum(by::<(Service,)>())
}

/// CPU cores that each container of the namespace keeps busy.
pub fn container_cpu(site: &Site, window: Window) -> Vector<Scraped<(Namespace, Pod, Container, Image)>> {
    counter(CONTAINER_CPU_USAGE_SECONDS_TOTAL)
        .only(label::<Namespace>().eq(&site.namespace))
        // cAdvisor also keeps sums for pods and cgroups, which have no image; with them all would count twice.
        .only(label::<Image>().ne(""))
        .rate(window)
}

/// Memory that each container of the namespace holds and the kernel cannot take back.
pub fn container_memory(site: &Site) -> Vector<Scraped<(Namespace, Pod, Container, Image)>> {
    gauge(CONTAINER_MEMORY_WORKING_SET_BYTES)
        .only(label::<Namespace>().eq(&site.namespace))
        .only(label::<Image>().ne(""))
        .value()
}

/// What each container of the namespace may use of a resource: cores or bytes.
pub fn container_limits(site: &Site, resource: Resource) -> Vector<Scraped<(Namespace, Pod, Container, Resource)>> {
    let quantity = match resource {
        Resource::Cpu => Quantity::Cores,
        Resource::Memory => Quantity::Bytes,
    };
    gauge(KUBE_POD_CONTAINER_RESOURCE_LIMITS)
        .only(label::<Namespace>().eq(&site.namespace))
        .only(label::<Resource>().eq(resource))
        .value()
        .measured_in(quantity)
}

/// CPU that each container of the namespace uses, as a share of its limit; one without a limit has none to reach.
pub fn container_cpu_share(site: &Site, window: Window) -> Vector<(Namespace, Pod, Container)> {
    let limits = container_limits(site, Resource::Cpu).sum(by::<(Namespace, Pod, Container)>());
    container_cpu(site, window).sum(by::<(Namespace, Pod, Container)>()).ratio_to(limits)
}

/// Memory that each container of the namespace holds, as a share of its limit.
pub fn container_memory_share(site: &Site) -> Vector<(Namespace, Pod, Container)> {
    let limits = container_limits(site, Resource::Memory).sum(by::<(Namespace, Pod, Container)>());
    container_memory(site).sum(by::<(Namespace, Pod, Container)>()).ratio_to(limits)
}

/// Space left on each file system that can fill up, as a share of its size.
pub fn disk_free_share() -> Vector<(Instance, Device, Mountpoint)> {
    let space = |spec: GaugeSpec<(Device, FsType, Mountpoint)>| {
        let disks = gauge(spec).only(label::<FsType>().none_of(NO_DISKS));
        disks.value().min(by::<(Instance, Device, Mountpoint)>())
    };
    space(NODE_FILESYSTEM_AVAIL_BYTES).ratio_to(space(NODE_FILESYSTEM_SIZE_BYTES))
}

/// MongoDB's connections of these types, by server.
pub fn mongodb_connections(types: &[ConnType]) -> Vector<(Instance, ConnType)> {
    gauge(MONGODB_SS_CONNECTIONS).only(label::<ConnType>().any_of(types)).value().max(by::<(Instance, ConnType)>())
}
