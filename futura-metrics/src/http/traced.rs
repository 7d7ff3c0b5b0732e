//! What telemetry adds to a request: a span that continues the caller's trace, and a Sentry scope of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::body::Body;
use http::{Request, StatusCode};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::Status,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use sentry::{
    Client, Hub, Level, Scope, SentryFuture,
    protocol::{Event, Request as SentryRequest},
};
use sentry_tower::{HubProvider, SentryLayer, SentryService};
use tower::{
    Layer,
    util::{Either, future::EitherResponseFuture},
};
use tracing::{Span, span::Entered};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Request headers that an event may carry: none of them identifies a person or opens a door.
const REPORTED_HEADERS: [&str; 5] = ["accept", "content-length", "content-type", "host", "user-agent"];

/// The inner service, bound to its request's hub where Sentry is on.
pub(super) type Inner<S> = Either<SentryService<S, RequestHub, Arc<Hub>, Request<Body>>, S>;

/// The future of [`Inner`].
pub(super) type InnerFuture<F> = EitherResponseFuture<SentryFuture<F>, F>;

/// Opens the scope of each request.
#[derive(Clone)]
pub(super) struct RequestScope {
    sentry: Option<Arc<Client>>,
}

/// The scope of one request, until its head is known.
pub(super) struct RequestTrace {
    span: Span,
    hub: Option<ReportingHub>,
}

/// Finds the hub that [`RequestScope::open`] left in the request.
#[derive(Clone, Copy)]
pub(super) struct RequestHub;

/// A request's hub, and whether it has reported an event.
#[derive(Clone)]
struct ReportingHub {
    hub: Arc<Hub>,
    reported: Arc<AtomicBool>,
}

/// What an event says of its request.
struct RequestFacts {
    method: http::Method,
    route: String,
    headers: [Option<http::HeaderValue>; REPORTED_HEADERS.len()],
}

struct HeaderExtractor<'a>(&'a http::HeaderMap);

/// Wraps `inner` so that it runs on the hub of its request.
pub(super) fn bind_hub<S>(inner: S, scope: Option<&RequestScope>) -> Inner<S> {
    match scope {
        Some(RequestScope { sentry: Some(_) }) => Either::Left(SentryLayer::new(RequestHub).layer(inner)),
        _ => Either::Right(inner),
    }
}

// === impl RequestScope ===

impl RequestScope {
    pub(super) fn new(sentry: Option<Arc<Client>>) -> Self {
        Self { sentry }
    }

    pub(super) fn open(&self, request: &mut Request<Body>, route: &str) -> RequestTrace {
        let span = tracing::info_span!(
            "request",
            otel.name = format_args!("{} {route}", request.method()),
            otel.kind = "server",
            http.request.method = request.method().as_str(),
            http.route = route,
        );
        if request.headers().contains_key("traceparent") {
            // An error says that no OTel layer is installed: then there is no trace to continue.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(request.headers())));
        }
        let hub = self.sentry.as_ref().map(|client| ReportingHub::new(client, request, route));
        if let Some(hub) = &hub {
            request.extensions_mut().insert(hub.clone());
        }
        RequestTrace { span, hub }
    }
}

// === impl RequestTrace ===

impl RequestTrace {
    pub(super) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }

    /// Ends the scope with the head's status; a server error that nothing has reported becomes an event.
    pub(super) fn close(self, status: StatusCode, route: &str) {
        // Told to OpenTelemetry alone: a field recorded late makes a JSON log layer write all of the span's fields anew.
        self.span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.set_status(Status::error(""));
            let _entered = self.span.enter();
            if let Some(hub) = self.hub.as_ref().filter(|hub| !hub.reported.load(Relaxed)) {
                hub.hub.capture_message(&format!("{route} answered {status}"), Level::Error);
            }
        }
    }
}

// === impl ReportingHub ===

impl ReportingHub {
    fn new(client: &Arc<Client>, request: &Request<Body>, route: &str) -> Self {
        // A hub of its own, not the thread's: neither tags nor breadcrumbs pass from one request to the next.
        let hub = Arc::new(Hub::new(Some(Arc::clone(client)), Arc::new(Scope::default())));
        let reported = Arc::new(AtomicBool::new(false));
        let facts = RequestFacts {
            method: request.method().clone(),
            route: route.to_owned(),
            headers: REPORTED_HEADERS.map(|name| request.headers().get(name).cloned()),
        };
        let flag = Arc::clone(&reported);
        hub.configure_scope(|scope| {
            scope.add_event_processor(move |mut event| {
                flag.store(true, Relaxed);
                facts.add_to(&mut event);
                Some(event)
            });
        });
        Self { hub, reported }
    }
}

// === impl RequestHub ===

impl HubProvider<Arc<Hub>, Request<Body>> for RequestHub {
    fn hub(&self, request: &Request<Body>) -> Arc<Hub> {
        let reporting = request.extensions().get::<ReportingHub>();
        reporting.map_or_else(Hub::current, |reporting| Arc::clone(&reporting.hub))
    }
}

// === impl RequestFacts ===

impl RequestFacts {
    fn add_to(&self, event: &mut Event<'_>) {
        let headers = REPORTED_HEADERS
            .iter()
            .zip(&self.headers)
            .filter_map(|(name, value)| Some(((*name).to_owned(), value.as_ref()?.to_str().ok()?.to_owned())));
        let headers: BTreeMap<String, String> = headers.collect();
        event.transaction = Some(format!("{} {}", self.method, self.route));
        event.tags.insert("http.route".to_owned(), self.route.clone());
        event.tags.insert("http.request.method".to_owned(), self.method.to_string());
        let host = headers.get("host").map_or("localhost", String::as_str);
        event.request = Some(SentryRequest {
            method: Some(self.method.to_string()),
            // The template, not the path: an id in it may open a door, and a query string may hold anything.
            url: format!("http://{host}{}", self.route).parse().ok(),
            headers: headers.into_iter().collect(),
            ..SentryRequest::default()
        });
    }
}

// === impl HeaderExtractor ===

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
