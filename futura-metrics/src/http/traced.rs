//! What telemetry adds to a request: a span that continues the caller's trace, and a Sentry scope of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::body::Body;
use http::{
    HeaderName, Request, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT},
};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::Status,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use sentry::{
    Client, Hub, HubSwitchGuard, Level, Scope,
    protocol::{Event, Request as SentryRequest},
};
use tracing::{Span, span::Entered};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Request headers that an event may carry: none of them identifies a person or opens a door.
static REPORTED_HEADERS: [HeaderName; 5] = [ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT];

/// Carries the caller's trace.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Opens the scope of each request.
#[derive(Clone)]
pub(super) struct RequestScope {
    sentry: Option<Arc<Reporting>>,
}

/// The scope of one request, until its head is known.
pub(super) struct RequestTrace {
    span: Span,
    hub: Option<ReportingHub>,
}

/// Reports the events of requests.
struct Reporting {
    client: Arc<Client>,
    /// What each request's scope begins as: to copy it is cheaper than to make an empty one.
    blank: Scope,
}

/// A request's hub, and what it has reported.
struct ReportingHub {
    hub: Arc<Hub>,
    reported: Arc<Reported>,
}

/// Whether a request has reported an event: what fails after that in the same request follows from it, and is in the log.
#[derive(Default)]
struct Reported {
    any: AtomicBool,
    /// Whether the request is answered: what fails then is none of its affairs.
    answered: AtomicBool,
}

/// What an event says of its request.
struct RequestFacts {
    method: http::Method,
    route: &'static str,
    headers: [Option<http::HeaderValue>; 5],
}

struct HeaderExtractor<'a>(&'a http::HeaderMap);

// === impl RequestScope ===

impl RequestScope {
    pub(super) fn new(sentry: Option<Arc<Client>>) -> Self {
        Self { sentry: sentry.map(|client| Arc::new(Reporting { client, blank: Scope::default() })) }
    }

    pub(super) fn open(&self, request: &Request<Body>, route: &'static str) -> RequestTrace {
        // Put together once: each layer that takes a field down would format it by itself.
        let name = [request.method().as_str(), " ", route].concat();
        let span = tracing::info_span!(
            "request",
            otel.name = name,
            otel.kind = "server",
            http.request.method = request.method().as_str(),
            http.route = route,
        );
        if request.headers().contains_key(&TRACEPARENT) {
            // An error says that no OTel layer is installed: then there is no trace to continue.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(request.headers())));
        }
        let hub = self.sentry.as_ref().map(|reporting| reporting.hub(request, route));
        RequestTrace { span, hub }
    }
}

// === impl RequestTrace ===

impl RequestTrace {
    /// Makes the request's span and hub the thread's.
    pub(super) fn enter(&self) -> (Option<HubSwitchGuard>, Entered<'_>) {
        (self.bind_hub(), self.span.enter())
    }

    /// Makes the request's hub the thread's.
    pub(super) fn bind_hub(&self) -> Option<HubSwitchGuard> {
        self.hub.as_ref().map(|hub| HubSwitchGuard::new(Arc::clone(&hub.hub)))
    }

    /// Ends the scope with the head's status; a server error that nothing has reported becomes an event.
    pub(super) fn close(self, status: StatusCode, route: &str) {
        // Told to OpenTelemetry alone: a field recorded late makes a JSON log layer write all of the span's fields anew.
        self.span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.set_status(Status::error(""));
            let _entered = self.span.enter();
            if let Some(hub) = self.hub.as_ref().filter(|hub| !hub.reported.any.load(Relaxed)) {
                hub.hub.capture_message(&format!("{route} answered {status}"), Level::Error);
            }
        }
        if let Some(hub) = &self.hub {
            hub.reported.answered.store(true, Relaxed);
        }
    }
}

// === impl Reporting ===

impl Reporting {
    /// A hub of the request's own, not the thread's: neither tags nor breadcrumbs pass from one request to the next.
    fn hub(&self, request: &Request<Body>, route: &'static str) -> ReportingHub {
        let reported = Arc::new(Reported::default());
        let facts = RequestFacts {
            method: request.method().clone(),
            route,
            headers: REPORTED_HEADERS.each_ref().map(|name| request.headers().get(name).cloned()),
        };
        let (flag, mut scope) = (Arc::clone(&reported), self.blank.clone());
        scope.add_event_processor(move |mut event| {
            if flag.any.swap(true, Relaxed) && !flag.answered.load(Relaxed) {
                return None;
            }
            facts.add_to(&mut event);
            Some(event)
        });
        ReportingHub { hub: Arc::new(Hub::new(Some(Arc::clone(&self.client)), Arc::new(scope))), reported }
    }
}

// === impl RequestFacts ===

impl RequestFacts {
    fn add_to(&self, event: &mut Event<'_>) {
        let headers = REPORTED_HEADERS
            .iter()
            .zip(&self.headers)
            .filter_map(|(name, value)| Some((name.to_string(), value.as_ref()?.to_str().ok()?.to_owned())));
        let headers: BTreeMap<String, String> = headers.collect();
        // That of the blank scope, which all requests have; the trace of the span is added later.
        event.contexts.remove("trace");
        event.transaction = Some(format!("{} {}", self.method, self.route));
        event.tags.insert("http.route".to_owned(), self.route.to_owned());
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
