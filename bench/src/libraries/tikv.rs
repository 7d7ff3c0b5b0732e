//! `prometheus`, TiKV's.

use std::{any::Any, hint::black_box};

use anyhow::Result;
use futura_metrics::specs::http::DURATION_BOUNDS;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::client;
use crate::{
    harness::Case,
    work::{
        IDLE_HISTOGRAM_PATHS, METHOD, ROUTE, for_each_counter, for_each_histogram, for_each_observation, with_durations,
    },
};

pub(crate) const HANDLE: &str = "prometheus, handle";
pub(crate) const LABELS: &str = "prometheus, label values";

/// A status as the `http` crate has it as text.
const STATUS: &str = "200";

pub(crate) fn counter_cases() -> Result<Vec<Case>> {
    let requests = counters()?;
    let handle = requests.with_label_values(&[METHOD, ROUTE, STATUS]);
    Ok(vec![
        Case::new(HANDLE, move |_| handle.inc()).beside(client::HANDLE),
        Case::new(LABELS, move |_| requests.with_label_values(&black_box([METHOD, ROUTE, STATUS])).inc())
            .beside(client::TYPED),
    ])
}

pub(crate) fn histogram_cases() -> Result<Vec<Case>> {
    let durations = histograms()?;
    let handle = durations.with_label_values(&[METHOD, ROUTE]);
    Ok(vec![
        with_durations(HANDLE, move |duration| handle.observe(duration.as_secs_f64())).beside(client::HANDLE),
        with_durations(LABELS, move |duration| {
            durations.with_label_values(&black_box([METHOD, ROUTE])).observe(duration.as_secs_f64());
        })
        .beside(client::TYPED),
    ])
}

/// What writes the series of a scrape.
pub(crate) fn filled() -> Result<impl Fn() -> String + Send + Sync> {
    let (requests, durations, registry) = (counters()?, histograms()?, Registry::new());
    for_each_counter(|method, path, status, count| {
        requests.with_label_values(&[method.as_str(), path, &status.to_string()]).inc_by(count);
    });
    for_each_observation(|method, path, value| {
        durations.with_label_values(&[method.as_str(), path]).observe(value.as_secs_f64());
    });
    registry.register(Box::new(requests))?;
    registry.register(Box::new(durations))?;
    Ok(move || TextEncoder::new().encode_to_string(&registry.gather()).expect("the metrics are well formed"))
}

pub(crate) fn idle_counters() -> Result<Box<dyn Any>> {
    let requests = counters()?;
    for_each_counter(|method, path, status, _| {
        drop(requests.with_label_values(&[method.as_str(), path, &status.to_string()]));
    });
    Ok(Box::new(requests))
}

pub(crate) fn idle_histograms() -> Result<Box<dyn Any>> {
    let durations = histograms()?;
    for_each_histogram(IDLE_HISTOGRAM_PATHS, |method, path| {
        drop(durations.with_label_values(&[method.as_str(), path]));
    });
    Ok(Box::new(durations))
}

pub(crate) fn counters() -> Result<IntCounterVec> {
    let options = Opts::new("http_requests_total", "HTTP requests answered");
    Ok(IntCounterVec::new(options, &["method", "path", "status"])?)
}

pub(crate) fn histograms() -> Result<HistogramVec> {
    let options = HistogramOpts::new("http_request_duration_seconds", "Time to the end of the response");
    Ok(HistogramVec::new(options.buckets(DURATION_BOUNDS.to_vec()), &["method", "path"])?)
}
