//! What rules, panels and runbooks ask alike, so that a panel shows the very value that its alert judges.

use futura_metrics::specs::{
    business::{
        ORDER_PROCESSING_DURATION_SECONDS, ORDERS_CREATED_TOTAL, PAYMENT_SUCCESS_TOTAL, PAYMENT_TOTAL,
        SENTRY_ERRORS_TOTAL, STRIPE_WEBHOOK_FAILURES_TOTAL, TICKET_GENERATION_FAILURES_TOTAL,
    },
    external::{
        CONTAINER_CPU_USAGE_SECONDS_TOTAL, CONTAINER_MEMORY_WORKING_SET_BYTES, ConnType, Container, Image,
        KUBE_POD_CONTAINER_RESOURCE_LIMITS, MONGODB_SS_CONNECTIONS, Namespace, Pod, Resource,
    },
    http::{HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method, Path, Status},
};

use crate::{
    promql::{
        Counter, Instance, Quantity, Scraped, Selector, Service, Vector, Window, all, by, counter, gauge, histogram,
        label,
    },
    site::Site,
};

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

/// MongoDB's connections of these types, by server.
pub fn mongodb_connections(types: &[ConnType]) -> Vector<(Instance, ConnType)> {
    gauge(MONGODB_SS_CONNECTIONS).only(label::<ConnType>().any_of(types)).value().max(by::<(Instance, ConnType)>())
}
