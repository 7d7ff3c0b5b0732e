//! HTTP by route: which route is slow or fails, for the services and routes that a viewer chose.

use futura_alert_rules::{
    panel::http,
    promql::{Buckets, Counter, Scraped, Selector, Service, Vector, Window, all, by, counter, gauge, histogram, label},
    template::template,
};
use futura_metrics::specs::http::{
    HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_IN_FLIGHT, HTTP_REQUESTS_TOTAL, Method, Path, Status,
};

use crate::{
    grafana::{Color, Dashboard, Matcher, Panel, Unit},
    panels::{lines, number, query},
    variables::{any, chosen},
};

const WINDOW: Window = Window::RateInterval;

pub(crate) fn dashboard() -> Dashboard {
    let panels = vec![
        request_rate(),
        error_ratio(),
        availability(),
        in_flight(),
        response_times(),
        requests_by_status(),
        requests_by_route(),
        error_ratio_by_route(),
        response_time_by_route(),
        in_flight_by_route(),
    ];
    let description = "Which route of which service is slow, fails or is busy.";
    Dashboard::new(http::UID, "FuturaTickets - HTTP by Route", description, panels).choosing([
        any::<Service, _>("Service", &counter(HTTP_REQUESTS_TOTAL)),
        any::<Path, _>("Route", &counter(HTTP_REQUESTS_TOTAL).only(chosen::<Service>())),
    ])
}

fn requests() -> Selector<Counter, (Method, Path, Status)> {
    counter(HTTP_REQUESTS_TOTAL).only(chosen::<Service>()).only(chosen::<Path>())
}

fn failures() -> Selector<Counter, (Method, Path, Status)> {
    requests().only(label::<Status>().matches("5.."))
}

/// Failures per second by route: zero where requests are answered and none fails.
fn failures_by_route() -> Vector<(Method, Path)> {
    let none = requests().rate(WINDOW).sum(by::<(Method, Path)>()) * 0.0;
    failures().rate(WINDOW).sum(by::<(Method, Path)>()).otherwise(none)
}

fn durations() -> Buckets<Scraped<(Method, Path)>> {
    histogram(HTTP_REQUEST_DURATION_SECONDS).only(chosen::<Service>()).only(chosen::<Path>()).rate(WINDOW)
}

fn request_rate() -> Panel {
    let query = query(requests().rate(WINDOW).sum(all()), template("Requests"));
    let description = "Requests per second to the chosen services and routes. Compare with what is usual at this hour \
                       before you look further.";
    number(http::REQUESTS, query, description).per_second(Unit::RequestsPerSecond).low()
}

fn error_ratio() -> Panel {
    let errors = failures().rate(WINDOW).sum(by::<(Service,)>());
    let requests = requests().rate(WINDOW).sum(by::<(Service,)>());
    let query = errors.otherwise(requests.clone() * 0.0).ratio_to(requests);
    let description = "The share of requests that end with a status of 500 or more. When it rises, look below for the \
                       route, then for the release or the dependency that broke it.";
    number(http::ERROR_RATIO, query, description).good_up_to(0.01).low()
}

fn availability() -> Panel {
    let served = requests().only(label::<Status>().not_matching("5..")).rate(WINDOW).sum(by::<(Service,)>());
    let all = requests().rate(WINDOW).sum(by::<(Service,)>());
    let query = served.ratio_to(all);
    let description = "The share of requests that are served. Below the objective, follow the runbook of the alert; the \
                       budget that is left is on the dashboard of objectives.";
    let mut panel = number(http::AVAILABILITY, query, description).good_from(0.99).low();
    panel.field_config.defaults.decimals = Some(2);
    panel
}

fn in_flight() -> Panel {
    let gauge = gauge(HTTP_REQUESTS_IN_FLIGHT).only(chosen::<Service>()).only(chosen::<Path>());
    let query = query(gauge.value().sum(all()), template("In flight"));
    let description = "Requests that are being answered now. A number that climbs while the rate does not means that \
                       answers hang: look at the data stores and at the circuit breakers.";
    number(http::IN_FLIGHT, query, description).low()
}

fn response_times() -> Panel {
    let quantile = |quantile| durations().sum(all()).quantile(quantile);
    let description = "The time that half, 95 % and 99 % of the requests do not exceed. Open a point to see the trace of a \
                       slow request; when only the highest line rises, look for one route below.";
    lines(http::RESPONSE_TIMES, query(quantile(0.5), template("p50")), description)
        .also(query(quantile(0.95), template("p95")))
        .also(query(quantile(0.99), template("p99")))
        .with_exemplars()
        .under("All chosen routes")
}

fn requests_by_status() -> Panel {
    let query = requests().rate(WINDOW).sum(by::<(Status,)>());
    let description = "Requests per second by status. Red is ours to repair. Much 499 means that people go away before they \
                       get an answer; much 404 or 401 means a broken client or somebody who searches.";
    lines(http::REQUESTS_BY_STATUS, query, description)
        .per_second(Unit::RequestsPerSecond)
        .stacked()
        .colored(Matcher::ByRegexp("/^[123]../"), Color::Green)
        .colored(Matcher::ByRegexp("/^4../"), Color::Yellow)
        .colored(Matcher::ByRegexp("/^5../"), Color::Red)
}

fn requests_by_route() -> Panel {
    let query = requests().rate(WINDOW).sum(by::<(Method, Path)>());
    let description = "Requests per second by route. A route that falls silent while others go on is broken in front of the \
                       service: look at ingress and at the clients' last release.";
    lines(http::REQUESTS_BY_ROUTE, query, description)
        .per_second(Unit::RequestsPerSecond)
        .under("Route by route")
        .tall()
}

fn error_ratio_by_route() -> Panel {
    let requests = requests().rate(WINDOW).sum(by::<(Method, Path)>());
    let ratio = failures_by_route().ratio_to(requests);
    let description = "The share of each route's requests that end with a status of 500 or more. One route alone points to \
                       its code; all at once point to a dependency or to the machine.";
    lines(http::ERROR_RATIO_BY_ROUTE, ratio, description).tall()
}

fn response_time_by_route() -> Panel {
    let time = durations().sum(by::<(Method, Path)>()).quantile(0.95).not_negative();
    let description = "The time that 95 % of a route's requests do not exceed. Open a point to see the trace of a slow \
                       request: it tells which call took the time.";
    lines(http::RESPONSE_TIME_BY_ROUTE, time, description).with_exemplars().tall()
}

fn in_flight_by_route() -> Panel {
    let gauge = gauge(HTTP_REQUESTS_IN_FLIGHT).only(chosen::<Service>()).only(chosen::<Path>());
    let query = gauge.value().sum(by::<(Method, Path)>());
    let description = "Requests of each route that are being answered. The route whose line climbs is the one that waits: its \
                       traces say for what.";
    lines(http::IN_FLIGHT_BY_ROUTE, query, description).tall()
}
