//! A request from its head to the end of its response, counted once when it is dropped at the latest.

use std::thread;

use http::{Request, StatusCode};

use super::routes::{Route, Routes, fold_method};
use crate::{specs::http::Method, storage::SpanRef};

/// The status, known to nginx's users, of a request whose client went away before it was answered in full.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One request under measurement. Dropping it counts it: as a panic's if the thread is panicking, else as given up.
pub(super) struct InFlight {
    routes: &'static Routes,
    route: &'static Route,
    method: Method,
    /// A reading of the routes' clock.
    start: u64,
    status: Option<StatusCode>,
    span: Option<SpanRef>,
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn start<B>(routes: &'static Routes, request: &Request<B>) -> Self {
        let (route, method) = (routes.find(request), fold_method(request.method()));
        Self { routes, route, method, start: routes.start(route, method), status: None, span: None }
    }

    /// Names the span that the request ran in, for the exemplar of its duration.
    #[cfg(feature = "telemetry")]
    pub(super) fn set_span(&mut self, span: Option<SpanRef>) {
        self.span = span;
    }

    #[cfg(feature = "telemetry")]
    pub(super) fn route(&self) -> &'static str {
        self.route.path()
    }

    /// Whether a response with this status to this request has no body on the wire, so that nobody will read one.
    pub(super) fn ends_at_head(&self, status: StatusCode) -> bool {
        self.method == Method::Head
            || (self.method == Method::Connect && status.is_success())
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
    }

    /// Ends the request with the status that it was answered with.
    pub(super) fn finish(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let status = match self.status {
            Some(status) => status.as_u16(),
            None if thread::panicking() => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            None => CLIENT_CLOSED_REQUEST,
        };
        self.routes.end(self.route, self.method, status, self.start, self.span);
    }
}
