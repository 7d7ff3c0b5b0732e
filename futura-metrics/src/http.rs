//! One tower layer that decides route, status and outcome once, and feeds the metrics, the request span and Sentry from it.
//!
//! It works in two places:
//! - inside [`axum::Router::layer`]: one line, and the route is the one that axum matched;
//! - outermost, around the whole router, with the routes declared: nothing is allocated per request.
//!
//! A request counts once, when its response body ends, whatever ends it: the body finished (with the status of the head),
//! it failed (`500`), the client went away (`499`), the handler panicked (`500`, which the layer also answers; the panic of a
//! service that is no router, before it gave a future, passes on).

use std::{
    fmt,
    task::{Context, Poll},
};

use axum::{Router, ServiceExt as IntoMakeServiceExt, body::Body, routing::IntoMakeService};
use http::{Request, Response};
use tower::{
    Layer, Service,
    util::{MapResponse, ServiceExt},
};
use tracing::Instrument;

use self::{
    request::InFlight,
    response::{MeasuredBody, ResponseFuture},
    routes::Routes,
};
use crate::{
    Counter, Family, Gauge, Histogram, Metrics, RegisterError,
    specs::http::{HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_IN_FLIGHT, HTTP_REQUESTS_TOTAL, Method, Path, Status},
};

mod clock;
mod request;
mod response;
mod routes;
#[cfg(feature = "telemetry")]
mod traced;
mod tree;

/// Measures every request. Clones measure into the same series.
///
/// A layer is made once in a program: what it knows of its routes is kept until the process ends.
///
/// ```
/// use axum::{Router, routing::get};
/// use futura_metrics::{Metrics, http::HttpLayer};
///
/// let metrics = Metrics::new();
/// let app: Router = Router::new()
///     .route("/events/{id}", get(|| async { "an event" }))
///     .layer(HttpLayer::new(&metrics)?);
/// # Ok::<(), futura_metrics::RegisterError>(())
/// ```
///
/// Outermost, with declared routes, which exist at zero from the start:
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use futura_metrics::{Metrics, http::HttpLayer, specs::http::Method};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = Metrics::new();
/// let router = Router::new().route("/events/{id}", get(|| async { "an event" }));
/// let layer = HttpLayer::with_routes(&metrics, [(Method::Get, "/events/{id}")])?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, layer.wrap(router)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HttpLayer {
    routes: &'static Routes,
    #[cfg(feature = "telemetry")]
    scope: Option<traced::RequestScope>,
}

/// The service that [`HttpLayer`] makes of another.
#[derive(Clone)]
pub struct HttpService<S> {
    routes: &'static Routes,
    #[cfg(feature = "telemetry")]
    scope: Option<traced::RequestScope>,
    inner: S,
}

/// A router that is measured from outside, as `axum::serve` takes it.
pub type MeasuredApp = IntoMakeService<MapResponse<HttpService<Router>, BoxBody>>;

type BoxBody = fn(Response<MeasuredBody<Body>>) -> Response<Body>;

/// Why a layer with declared routes was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpLayerError {
    /// The metrics of the layer are registered already.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A route's template is malformed, or conflicts with one declared before it.
    #[error("route `{path}`")]
    Route {
        /// The template as it was declared.
        path: String,
        /// What is wrong with it.
        #[source]
        source: matchit::InsertError,
    },
}

/// The three families.
struct HttpMetrics {
    requests: Family<Counter, (Method, Path, Status)>,
    duration: Family<Histogram, (Method, Path)>,
    in_flight: Family<Gauge, (Method, Path)>,
}

/// Carries the caller's request into a task that outlives it: its span, and its Sentry scope.
///
/// A task that is spawned without it reports its errors as nobody's.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let purchase = tokio::spawn(futura_metrics::http::in_request_scope(async { "done, though the client has gone" }));
/// # purchase.await.unwrap();
/// # }
/// ```
pub fn in_request_scope<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "telemetry")]
    let future = sentry::SentryFutureExt::bind_hub(future, sentry::Hub::current());
    future.in_current_span()
}

// === impl HttpLayer ===

impl HttpLayer {
    /// A layer for [`axum::Router::layer`]; it takes the route from axum's `MatchedPath`.
    ///
    /// Give it to the router last: it measures what the router has by then, and a router that is merged later brings routes,
    /// and answers to what no route matches, that nobody counts.
    ///
    /// # Errors
    /// When the metrics of the layer are registered already.
    pub fn new(metrics: &Metrics) -> Result<Self, RegisterError> {
        Ok(Self::measuring(Routes::matched(HttpMetrics::register(metrics)?), metrics))
    }

    /// A layer that goes around the whole router and finds the route by itself, by axum's templates.
    ///
    /// The series of each declared route and method exist from the start, for status `200` and `500`.
    ///
    /// # Errors
    /// When a template is malformed, or the metrics of the layer are registered already.
    pub fn with_routes<'a>(
        metrics: &Metrics,
        routes: impl IntoIterator<Item = (Method, &'a str)>,
    ) -> Result<Self, HttpLayerError> {
        let routes = Routes::declared(routes, HttpMetrics::register(metrics)?)?;
        Ok(Self::measuring(routes, metrics))
    }

    /// Gives each request a span and, where Sentry is on, a scope of its own.
    ///
    /// The span continues an incoming `traceparent`, and is entered while the response is polled for, which is when a router
    /// works; a panic, and a 5xx answer without an error reported before it, become one Sentry event.
    #[cfg(feature = "telemetry")]
    #[must_use]
    pub fn traced(mut self, telemetry: &crate::telemetry::Telemetry) -> Self {
        self.scope = Some(traced::RequestScope::new(telemetry.sentry_client()));
        self
    }

    /// The whole router, measured from outside, for `axum::serve`.
    ///
    /// That function takes one type of body, so each response body is boxed, the layer's one allocation; as a
    /// [`tower::Layer`] it makes none.
    pub fn wrap(&self, router: Router) -> MeasuredApp {
        let boxed: BoxBody = |response| response.map(Body::new);
        // With its state in place the router builds its handlers once, not at every request.
        IntoMakeServiceExt::<Request<Body>>::into_make_service(self.layer(router.with_state(())).map_response(boxed))
    }

    fn measuring(routes: Routes, metrics: &Metrics) -> Self {
        // A program makes a layer or two and keeps them to its end. Counting the references to one would cost each request
        // four locked additions, on one cache line for all threads.
        let routes: &'static Routes = Box::leak(Box::new(routes));
        metrics.on_scrape(|| routes.collect());
        Self {
            routes,
            #[cfg(feature = "telemetry")]
            scope: None,
        }
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpService {
            routes: self.routes,
            #[cfg(feature = "telemetry")]
            scope: self.scope.clone(),
            inner,
        }
    }
}

impl fmt::Debug for HttpLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpLayer").finish_non_exhaustive()
    }
}

// === impl HttpService ===

impl<S, B> Service<Request<Body>> for HttpService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    B: http_body::Body + Default,
{
    type Response = Response<MeasuredBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let in_flight = InFlight::start(self.routes, &request);
        #[cfg(feature = "telemetry")]
        if let Some(scope) = &self.scope {
            let trace = scope.open(&request, in_flight.route());
            // A router begins its work when it is polled, so that the span need not be entered here, which takes long.
            let bound = trace.bind_hub();
            let inner = self.inner.call(request);
            drop(bound);
            return ResponseFuture::new(inner, in_flight, Some(trace));
        }
        ResponseFuture::new(self.inner.call(request), in_flight, response::Trace::default())
    }
}

impl<S> fmt::Debug for HttpService<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpService").finish_non_exhaustive()
    }
}

// === impl HttpMetrics ===

impl HttpMetrics {
    fn register(metrics: &Metrics) -> Result<Self, RegisterError> {
        Ok(Self {
            requests: metrics.counters(HTTP_REQUESTS_TOTAL)?,
            duration: metrics.histograms(HTTP_REQUEST_DURATION_SECONDS)?,
            in_flight: metrics.gauges(HTTP_REQUESTS_IN_FLIGHT)?,
        })
    }
}
