//! Futura.

use std::{any::Any, hint::black_box};

use anyhow::Result;
use futura_metrics::{
    Metrics,
    spec::{HistogramSpec, Unit},
    specs::http::{DURATION_BOUNDS, HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method, Path},
};

use super::client;
use crate::{
    harness::Case,
    work::{
        IDLE_HISTOGRAM_PATHS, ROUTE, SPAN, STATUS, for_each_counter, for_each_histogram, for_each_observation,
        with_durations,
    },
};

/// By label values, looked up at each call.
pub(crate) const LABELS: &str = "futura, label values";
pub(crate) const HANDLE: &str = "futura, handle";
pub(crate) const NO_SPAN: &str = "futura, no sampled span";
pub(crate) const SAMPLED: &str = "futura, sampled span";

/// Has the eleven buckets and no native ones besides, as the histograms of others.
const CLASSIC_SECONDS: HistogramSpec<(Method, Path)> =
    HistogramSpec::new("classic_seconds", Unit::Seconds, DURATION_BOUNDS).help("Time to the end of the response");

pub(crate) fn counter_cases() -> Result<Vec<Case>> {
    let own = Metrics::new().counters(HTTP_REQUESTS_TOTAL)?;
    let handle = own.with((Method::Get, ROUTE, STATUS)).clone();
    Ok(vec![
        Case::new(HANDLE, move |_| handle.inc()).beside(client::HANDLE),
        Case::new(LABELS, move |_| own.with(black_box((Method::Get, ROUTE, STATUS))).inc()).beside(client::TYPED),
    ])
}

pub(crate) fn histogram_cases() -> Result<Vec<Case>> {
    let own = Metrics::new().histograms(HTTP_REQUEST_DURATION_SECONDS)?;
    let handle = own.with((Method::Get, ROUTE)).clone();
    Ok(vec![
        with_durations(HANDLE, move |duration| handle.observe_duration(duration)).beside(client::HANDLE),
        with_durations(LABELS, move |duration| own.with(black_box((Method::Get, ROUTE))).observe_duration(duration))
            .beside(client::TYPED),
    ])
}

/// A histogram that is told the span of each observation.
pub(crate) fn exemplar_cases() -> Result<Vec<Case>> {
    let own = Metrics::new().histograms(HTTP_REQUEST_DURATION_SECONDS)?;
    // Two series, as one that has had an exemplar keeps room for more.
    let plain = own.with((Method::Get, ROUTE)).clone();
    let sampled = own.with((Method::Post, ROUTE)).clone();
    Ok(vec![
        with_durations(NO_SPAN, move |duration| plain.observe_duration_in(duration, black_box(None))),
        with_durations(SAMPLED, move |duration| sampled.observe_duration_in(duration, black_box(Some(SPAN)))),
    ])
}

/// Metrics with the series of a scrape.
pub(crate) fn filled() -> Result<Metrics> {
    let metrics = Metrics::new();
    let requests = metrics.counters(HTTP_REQUESTS_TOTAL)?;
    let duration = metrics.histograms(HTTP_REQUEST_DURATION_SECONDS)?;
    for_each_counter(|method, path, status, count| requests.with((method, path, status)).add(count));
    for_each_observation(|method, path, value| duration.with((method, path)).observe_duration(value));
    Ok(metrics)
}

pub(crate) fn idle_counters() -> Result<Box<dyn Any>> {
    let requests = Metrics::new().counters(HTTP_REQUESTS_TOTAL)?;
    for_each_counter(|method, path, status, _| {
        requests.with((method, path, status));
    });
    Ok(Box::new(requests))
}

pub(crate) fn idle_histograms() -> Result<Box<dyn Any>> {
    idle(CLASSIC_SECONDS)
}

pub(crate) fn idle_native_histograms() -> Result<Box<dyn Any>> {
    idle(HTTP_REQUEST_DURATION_SECONDS)
}

fn idle(spec: HistogramSpec<(Method, Path)>) -> Result<Box<dyn Any>> {
    let duration = Metrics::new().histograms(spec)?;
    for_each_histogram(IDLE_HISTOGRAM_PATHS, |method, path| {
        duration.with((method, path));
    });
    Ok(Box::new(duration))
}
