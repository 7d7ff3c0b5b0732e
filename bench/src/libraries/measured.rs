//! `measured`, with all paths known at the start, which is where it is fastest.

use std::{any::Any, hint::black_box};

use anyhow::Result;
use futura_metrics::specs::http::Method;
use measured::{
    CounterVec, FixedCardinalityLabel, HistogramVec, LabelGroup, MetricGroup,
    lasso::{Rodeo, RodeoReader},
    metric::histogram::Thresholds,
    text::BufferedTextEncoder,
};

use super::client;
use crate::{
    harness::Case,
    work::{
        COUNTER_PATHS, HISTOGRAM_PATHS, IDLE_HISTOGRAM_PATHS, ROUTE, STATUSES, bounds, for_each_counter,
        for_each_histogram, for_each_observation, path, with_durations,
    },
};

const LABELS: &str = "measured, declared paths";

#[derive(Clone, Copy, Debug, PartialEq, LabelGroup)]
#[label(set = LabelSet)]
struct Labels<'a> {
    method: Verb,
    #[label(fixed_with = RodeoReader)]
    path: &'a str,
    status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, LabelGroup)]
#[label(set = RouteLabelSet)]
struct RouteLabels<'a> {
    method: Verb,
    #[label(fixed_with = RodeoReader)]
    path: &'a str,
}

/// In the order of [`Method::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, FixedCardinalityLabel)]
#[label(rename_all = "SHOUTY-KEBAB-CASE")]
enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    Connect,
    Other,
}

/// In the order of [`STATUSES`].
#[derive(Clone, Copy, Debug, PartialEq, FixedCardinalityLabel)]
enum Status {
    Ok = 200,
    Created = 201,
    Accepted = 202,
    NoContent = 204,
    PartialContent = 206,
    MovedPermanently = 301,
    Found = 302,
    NotModified = 304,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    Conflict = 409,
    PayloadTooLarge = 413,
    UnprocessableEntity = 422,
    TooManyRequests = 429,
    InternalServerError = 500,
    BadGateway = 502,
    ServiceUnavailable = 503,
}

#[derive(MetricGroup)]
#[metric(new(counted: RodeoReader, observed: RodeoReader))]
struct HttpMetrics {
    /// HTTP requests answered
    #[metric(label_set = LabelSet::new(counted))]
    http_requests_total: CounterVec<LabelSet>,
    /// Time to the end of the response
    #[metric(label_set = RouteLabelSet::new(observed), metadata = Thresholds::with_buckets(bounds()))]
    http_request_duration_seconds: HistogramVec<RouteLabelSet, 11>,
}

pub(crate) fn counter_cases() -> Vec<Case> {
    let requests = CounterVec::with_label_set(LabelSet::new(interned([ROUTE.to_owned()])));
    let count = move |_| requests.inc(black_box(Labels { method: Verb::Get, path: ROUTE, status: Status::Ok }));
    vec![Case::new(LABELS, count).beside(client::TYPED)]
}

pub(crate) fn histogram_cases() -> Vec<Case> {
    let set = RouteLabelSet::new(interned([ROUTE.to_owned()]));
    let durations = HistogramVec::with_label_set_and_metadata(set, Thresholds::with_buckets(bounds()));
    let case = with_durations(LABELS, move |duration| {
        durations.observe(black_box(RouteLabels { method: Verb::Get, path: ROUTE }), duration.as_secs_f64());
    });
    vec![case.beside(client::TYPED)]
}

/// What writes the series of a scrape.
pub(crate) fn filled() -> impl Fn() -> String + Send + Sync {
    let metrics = HttpMetrics::new(paths(COUNTER_PATHS), paths(HISTOGRAM_PATHS));
    for_each_counter(|method, path, status, count| {
        let labels = Labels { method: verb(method), path, status: status_label(status) };
        metrics.http_requests_total.inc_by(labels, count);
    });
    for_each_observation(|method, path, value| {
        let labels = RouteLabels { method: verb(method), path };
        metrics.http_request_duration_seconds.observe(labels, value.as_secs_f64());
    });
    move || {
        let mut encoder = BufferedTextEncoder::new();
        metrics.collect_group_into(&mut encoder).unwrap_or_else(|never| match never {});
        String::from_utf8(encoder.finish().into()).expect("label values are text")
    }
}

pub(crate) fn idle_counters() -> Result<Box<dyn Any>> {
    let requests = CounterVec::with_label_set(LabelSet::new(paths(COUNTER_PATHS)));
    for_each_counter(|method, path, status, _| {
        let labels = Labels { method: verb(method), path, status: status_label(status) };
        drop(requests.get_metric(requests.with_labels(labels)));
    });
    Ok(Box::new(requests))
}

pub(crate) fn idle_histograms() -> Result<Box<dyn Any>> {
    let set = RouteLabelSet::new(paths(IDLE_HISTOGRAM_PATHS));
    let durations = HistogramVec::with_label_set_and_metadata(set, Thresholds::with_buckets(bounds()));
    for_each_histogram(IDLE_HISTOGRAM_PATHS, |method, path| {
        drop(durations.get_metric(durations.with_labels(RouteLabels { method: verb(method), path })));
    });
    Ok(Box::new(durations))
}

fn paths(count: usize) -> RodeoReader {
    interned((0..count).map(path))
}

fn interned(paths: impl IntoIterator<Item = String>) -> RodeoReader {
    Rodeo::from_iter(paths).into_reader()
}

fn verb(method: Method) -> Verb {
    Verb::decode(method as usize)
}

fn status_label(status: u16) -> Status {
    Status::decode(STATUSES.iter().position(|known| *known == status).expect("it is of the list"))
}
