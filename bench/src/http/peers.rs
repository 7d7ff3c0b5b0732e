//! The layers to compare with: one that does nothing, and those that users of other libraries write by hand.

use std::{
    hint::black_box,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::Instant,
};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use metrics::{counter, histogram};
use prometheus::{HistogramVec, IntCounterVec};
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use tower::{Layer, Service, util::MapResponseLayer};

use crate::libraries::{
    client::{self, TextLabels},
    tikv,
};

/// The cheapest clock there is.
static CLOCK: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// Adds nothing: what it costs is what `Router::layer` costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoopLayer;

/// What [`NoopLayer`] makes of a service.
#[derive(Clone, Debug)]
pub(super) struct NoopService<S>(S);

/// A response body with the time since its head.
#[derive(Debug)]
struct TimedBody {
    inner: Body,
    start: u64,
}

/// The metrics of a user of prometheus-client, who needs the labels as text of their own.
#[derive(Clone, Debug)]
struct ClientMetrics {
    requests: Family<TextLabels, Counter>,
    duration: Family<TextLabels, Histogram>,
}

/// The metrics of a user of prometheus.
#[derive(Clone, Debug)]
struct PrometheusMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

// === impl NoopLayer ===

impl<S> Layer<S> for NoopLayer {
    type Service = NoopService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        NoopService(inner)
    }
}

// === impl NoopService ===

impl<S: Service<Request>> Service<Request> for NoopService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(request)
    }
}

// === impl TimedBody ===

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        black_box(CLOCK.delta_as_nanos(self.start, CLOCK.raw()));
    }
}

// === impl ClientMetrics ===

impl ClientMetrics {
    fn new() -> Self {
        Self { requests: Family::default(), duration: Family::new_with_constructor(client::histogram) }
    }
}

/// What a layer cannot do without that times a request to the end of its body: two readings of the clock, and a body that is
/// not axum's own, which axum boxes.
pub(super) fn timed(router: Router) -> Router {
    let timed = |response: Response| response.map(|inner| TimedBody { inner, start: CLOCK.raw() });
    router.layer(MapResponseLayer::new(timed))
}

/// A middleware function that does nothing.
pub(super) fn passed(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| next.run(request).await))
}

/// The middleware that a user of prometheus-client writes.
pub(super) fn with_client(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(ClientMetrics::new(), measure_by_client))
}

/// The middleware that a user of prometheus writes.
pub(super) fn with_prometheus(router: Router) -> Result<Router> {
    let metrics = PrometheusMetrics { requests: tikv::counters()?, duration: tikv::histograms()? };
    Ok(router.layer(middleware::from_fn_with_state(metrics, measure_by_prometheus)))
}

/// The middleware of axum's own example, by the recorder of the process.
pub(super) fn with_metrics(router: Router) -> Router {
    router.layer(middleware::from_fn(measure_by_metrics))
}

async fn measure_by_client(State(metrics): State<ClientMetrics>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().to_string();
    let path = matched_path(&request).as_str().to_owned();
    let response = next.run(request).await;
    let labels = TextLabels { method, path, status: response.status().as_u16() };
    metrics.requests.get_or_create(&labels).inc();
    metrics.duration.get_or_create(&labels).observe(start.elapsed().as_secs_f64());
    response
}

async fn measure_by_prometheus(State(metrics): State<PrometheusMetrics>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), matched_path(&request));
    let response = next.run(request).await;
    let (method, path) = (method.as_str(), path.as_str());
    metrics.requests.with_label_values(&[method, path, response.status().as_str()]).inc();
    metrics.duration.with_label_values(&[method, path]).observe(start.elapsed().as_secs_f64());
    response
}

async fn measure_by_metrics(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (request.method().clone(), matched_path(&request).as_str().to_owned());
    let response = next.run(request).await;
    let latency = start.elapsed().as_secs_f64();
    let status = response.status().as_u16().to_string();
    let labels = [("method", method.to_string()), ("path", path), ("status", status)];
    counter!("http_requests_total", &labels).increment(1);
    histogram!("http_requests_duration_seconds", &labels).record(latency);
    response
}

fn matched_path(request: &Request) -> MatchedPath {
    request.extensions().get::<MatchedPath>().cloned().expect("every request of the bench has a route")
}
