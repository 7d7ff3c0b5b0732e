//! `opentelemetry`, in the release that `axum-otel-metrics` is for.

use std::{
    future::{Future, ready},
    hint::black_box,
    sync::LazyLock,
    time::Duration,
};

use futura_metrics::specs::http::DURATION_BOUNDS;
use opentelemetry_032::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk_032::{
    error::OTelSdkResult,
    metrics::{PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};

use super::client;
use crate::{
    harness::Case,
    work::{METHOD, ROUTE, STATUS, with_durations},
};

const LABELS: &str = "opentelemetry, key values";

/// The pipeline of the documentation, with a reader that collects every half a minute.
pub(crate) static PROVIDER: LazyLock<SdkMeterProvider> = LazyLock::new(|| {
    let reader = PeriodicReader::builder(NoExporter).with_interval(Duration::from_secs(30)).build();
    SdkMeterProvider::builder().with_reader(reader).build()
});

/// Sends nothing: what is measured is recording.
#[derive(Debug)]
struct NoExporter;

// === impl NoExporter ===

impl PushMetricExporter for NoExporter {
    fn export(&self, _: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        ready(Ok(()))
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

pub(crate) fn counter_cases() -> Vec<Case> {
    let requests = PROVIDER.meter("bench").u64_counter("http_requests_total").build();
    let count = move |_| {
        let (method, path, status) = black_box((METHOD, ROUTE, STATUS));
        let labels =
            [KeyValue::new("method", method), KeyValue::new("path", path), KeyValue::new("status", i64::from(status))];
        requests.add(1, &labels);
    };
    vec![Case::new(LABELS, count).beside(client::TYPED)]
}

pub(crate) fn histogram_cases() -> Vec<Case> {
    let meter = PROVIDER.meter("bench");
    let durations =
        meter.f64_histogram("http_request_duration_seconds").with_boundaries(DURATION_BOUNDS.to_vec()).build();
    let case = with_durations(LABELS, move |duration| {
        let (method, path) = black_box((METHOD, ROUTE));
        durations.record(duration.as_secs_f64(), &[KeyValue::new("method", method), KeyValue::new("path", path)]);
    });
    vec![case.beside(client::TYPED)]
}
