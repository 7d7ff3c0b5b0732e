//! The layers to compare with: one that does nothing, and one as users of prometheus-client write it.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use futura_metrics::specs::http::{DURATION_BOUNDS, UNMATCHED};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use tower::{Layer, Service};

/// Adds nothing: what it costs is what `Router::layer` costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoopLayer;

/// What [`NoopLayer`] makes of a service.
#[derive(Clone, Debug)]
pub(super) struct NoopService<S>(S);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    path: String,
    status: u16,
}

#[derive(Clone, Debug)]
struct ClientMetrics {
    requests: Family<Labels, Counter>,
    duration: Family<Labels, Histogram>,
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

// === impl ClientMetrics ===

impl ClientMetrics {
    fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATION_BOUNDS.iter().copied());
        Self { requests: Family::default(), duration: Family::new_with_constructor(histogram) }
    }
}

/// A middleware function that does nothing.
pub(super) fn passed(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| next.run(request).await))
}

/// The middleware that a user of prometheus-client writes, who needs the labels as text of their own.
pub(super) fn measured_by_hand(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(ClientMetrics::new(), measure))
}

async fn measure(State(metrics): State<ClientMetrics>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().to_string();
    let path = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let labels = Labels { method, path, status: response.status().as_u16() };
    metrics.requests.get_or_create(&labels).inc();
    metrics.duration.get_or_create(&labels).observe(start.elapsed().as_secs_f64());
    response
}
