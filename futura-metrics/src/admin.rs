//! The admin port: `/metrics` for Prometheus, `/livez` and `/readyz` for Kubernetes.

pub(crate) use self::scrape::ScrapeMetrics;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;

use self::scrape::Scraper;
use crate::Metrics;

mod scrape;

/// Whether the program takes work: not before it has started, nor once it is stopping. Starts as not ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    ready: Arc<AtomicBool>,
}

/// `/metrics`, `/livez` and `/readyz` as a router, for a port of its own or to merge into another.
///
/// ```
/// use futura_metrics::{Metrics, admin::{self, Readiness}};
///
/// let (metrics, readiness) = (Metrics::new(), Readiness::default());
/// let router = admin::routes(&metrics, &readiness);
/// readiness.set(true);
/// # let _ = router;
/// ```
pub fn routes(metrics: &Metrics, readiness: &Readiness) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(readiness.clone()))
        .merge(metrics_route(metrics))
}

/// `/metrics` alone, to merge into a router of one's own, with all that [`crate::exposition`] says of a scrape.
pub fn metrics_route(metrics: &Metrics) -> Router {
    Router::new().route("/metrics", get(scrape::answer).with_state(Scraper::new(metrics)))
}

// === impl Readiness ===

impl Readiness {
    /// Says whether the program takes work.
    pub fn set(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// Whether the program takes work.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    if readiness.is_ready() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}
