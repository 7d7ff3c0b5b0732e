//! `metrics` with `metrics-exporter-prometheus`.

use std::{any::Any, hint::black_box, sync::LazyLock};

use anyhow::Result;
use futura_metrics::specs::http::DURATION_BOUNDS;
use metrics::{counter, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::client;
use crate::{
    harness::Case,
    work::{
        IDLE_HISTOGRAM_PATHS, METHOD, ROUTE, STATUS, for_each_counter, for_each_histogram, for_each_observation,
        with_durations,
    },
};

const HANDLE: &str = "metrics, handle";
/// Labels as axum's own example has them.
const LABELS: &str = "metrics, owned text";

/// The recorder of the process, where no other is.
static RECORDER: LazyLock<PrometheusHandle> =
    LazyLock::new(|| builder().install_recorder().expect("no other group runs in this process"));

pub(crate) fn counter_cases() -> Vec<Case> {
    LazyLock::force(&RECORDER);
    let handle = counter!("http_requests_total", &labels());
    vec![
        Case::new(HANDLE, move |_| handle.increment(1)).beside(client::HANDLE),
        Case::new(LABELS, move |_| counter!("http_requests_total", &labels()).increment(1)).beside(client::TYPED),
    ]
}

pub(crate) fn histogram_cases() -> Vec<Case> {
    LazyLock::force(&RECORDER);
    let handle = histogram!("http_request_duration_seconds", &route_labels());
    let cases = [
        with_durations(HANDLE, move |duration| handle.record(duration.as_secs_f64())).beside(client::HANDLE),
        with_durations(LABELS, move |duration| {
            histogram!("http_request_duration_seconds", &route_labels()).record(duration.as_secs_f64());
        })
        .beside(client::TYPED),
    ];
    cases.map(drained).into()
}

/// What writes the series of a scrape.
pub(crate) fn filled() -> Result<impl Fn() -> String + Send + Sync> {
    let recorder = builder().build_recorder();
    with_local_recorder(&recorder, || {
        for_each_counter(|method, path, status, count| {
            let labels =
                [("method", method.as_str().to_owned()), ("path", path.to_owned()), ("status", status.to_string())];
            counter!("http_requests_total", &labels).increment(count);
        });
        for_each_observation(|method, path, value| {
            let labels = [("method", method.as_str().to_owned()), ("path", path.to_owned())];
            histogram!("http_request_duration_seconds", &labels).record(value.as_secs_f64());
        });
    });
    let handle = recorder.handle();
    Ok(move || handle.render())
}

pub(crate) fn idle_counters() -> Result<Box<dyn Any>> {
    idle(|| {
        for_each_counter(|method, path, status, _| {
            let labels =
                [("method", method.as_str().to_owned()), ("path", path.to_owned()), ("status", status.to_string())];
            drop(counter!("http_requests_total", &labels));
        });
    })
}

pub(crate) fn idle_histograms() -> Result<Box<dyn Any>> {
    idle(|| {
        for_each_histogram(IDLE_HISTOGRAM_PATHS, |method, path| {
            let labels = [("method", method.as_str().to_owned()), ("path", path.to_owned())];
            drop(histogram!("http_request_duration_seconds", &labels));
        });
    })
}

/// Its recorder keeps every observation until a scrape or a task takes them; here they are taken outside the time.
fn drained(case: Case) -> Case {
    case.settled_by(|| RECORDER.run_upkeep())
}

fn idle(create: impl FnOnce()) -> Result<Box<dyn Any>> {
    let recorder: PrometheusRecorder = builder().build_recorder();
    with_local_recorder(&recorder, create);
    // A scrape gives each histogram its buckets.
    drop(recorder.handle().render());
    Ok(Box::new(recorder))
}

fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new().set_buckets(DURATION_BOUNDS).expect("there are bounds")
}

fn labels() -> [(&'static str, String); 3] {
    let (method, path, status) = black_box((METHOD, ROUTE, STATUS));
    [("method", method.to_owned()), ("path", path.to_owned()), ("status", status.to_string())]
}

fn route_labels() -> [(&'static str, String); 2] {
    let (method, path) = black_box((METHOD, ROUTE));
    [("method", method.to_owned()), ("path", path.to_owned())]
}
