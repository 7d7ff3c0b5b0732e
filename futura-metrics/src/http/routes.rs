//! From a request to the series of its route and method, each resolved once and then found by index.

use std::{
    hash::BuildHasher,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::extract::MatchedPath;
use hashbrown::DefaultHashBuilder;
use http::Request;

use super::{HttpLayerError, HttpMetrics};
use crate::{
    Counter, Gauge, Histogram,
    specs::http::{Method, UNMATCHED},
    storage::{Index, SpanRef},
};

/// Counts of the statuses registered with IANA are kept in place; another one is looked up in its family.
const STATUSES: [u16; 63] = [
    100, 101, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

/// Every route that is known, and how to find that of a request.
pub(super) struct Routes {
    series: Arc<HttpMetrics>,
    unmatched: Arc<Route>,
    known: Known,
}

enum Known {
    /// By axum, which has matched already: routes are learned as they are used, and there are as many as the router has.
    Matched { routes: Box<Index<Arc<Route>>>, hasher: DefaultHashBuilder },
    /// By our own match against the declared templates.
    Declared { routes: Vec<Arc<Route>>, index: matchit::Router<usize> },
}

/// One route template and its series.
pub(super) struct Route {
    path: String,
    series: Arc<HttpMetrics>,
    slots: [OnceLock<Slot>; Method::ALL.len()],
}

/// The series of one route and method.
struct Slot {
    started: Counter,
    in_flight: Gauge,
    duration: Histogram,
    statuses: [OnceLock<Counter>; STATUSES.len()],
}

// === impl Routes ===

impl Routes {
    pub(super) fn matched(series: HttpMetrics) -> Self {
        Self::new(
            Arc::new(series),
            Known::Matched { routes: Box::new(Index::new()), hasher: DefaultHashBuilder::default() },
        )
    }

    pub(super) fn declared<'a>(
        declared: impl IntoIterator<Item = (Method, &'a str)>,
        series: HttpMetrics,
    ) -> Result<Self, HttpLayerError> {
        let series = Arc::new(series);
        let mut routes: Vec<Arc<Route>> = Vec::new();
        let mut index = matchit::Router::new();
        for (method, path) in declared {
            let route = match routes.iter().find(|route| route.path == path) {
                Some(route) => Arc::clone(route),
                None => {
                    index
                        .insert(path, routes.len())
                        .map_err(|source| HttpLayerError::Route { path: path.to_owned(), source })?;
                    let route = Route::new(path, &series);
                    routes.push(Arc::clone(&route));
                    route
                }
            };
            route.slot(method);
            series.requests.declare((method, path, 200));
        }
        Ok(Self::new(series, Known::Declared { routes, index }))
    }

    fn new(series: Arc<HttpMetrics>, known: Known) -> Self {
        Self { unmatched: Route::new(UNMATCHED, &series), series, known }
    }

    pub(super) fn find<B>(&self, request: &Request<B>) -> Arc<Route> {
        match &self.known {
            Known::Declared { routes, index } => {
                let found = index.at(request.uri().path());
                Arc::clone(found.map_or(&self.unmatched, |found| &routes[*found.value]))
            }
            Known::Matched { routes, hasher } => {
                let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
                Arc::clone(matched.map_or(&self.unmatched, |path| {
                    let (hash, same) = (hasher.hash_one(path), |route: &Arc<Route>| route.path == path);
                    let found = routes.find(hash, same);
                    found.unwrap_or_else(|| routes.find_or_insert(hash, same, || Route::new(path, &self.series)))
                }))
            }
        }
    }

    /// Sets the gauges of requests in flight.
    pub(super) fn collect(&self) {
        self.unmatched.collect();
        match &self.known {
            Known::Declared { routes, .. } => routes.iter().for_each(|route| route.collect()),
            Known::Matched { routes, .. } => routes.iter().for_each(|route| route.collect()),
        }
    }
}

// === impl Route ===

impl Route {
    fn new(path: &str, series: &Arc<HttpMetrics>) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), series: Arc::clone(series), slots: Default::default() })
    }

    #[cfg(feature = "telemetry")]
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Counts a request that begins.
    pub(super) fn start(&self, method: Method) {
        self.slot(method).started.inc();
    }

    /// Counts a request that ended.
    pub(super) fn end(&self, method: Method, status: u16, duration: Duration, span: Option<SpanRef>) {
        let slot = self.slot(method);
        slot.duration.observe_duration_in(duration, span);
        let resolve = || self.series.requests.declare((method, &self.path, status));
        match STATUSES.binary_search(&status) {
            Ok(index) => slot.statuses[index].get_or_init(resolve).inc(),
            Err(_) => resolve().inc(),
        }
    }

    fn slot(&self, method: Method) -> &Slot {
        self.slots[method as usize].get_or_init(|| {
            // The first failure of a route must not be the birth of its series: `rate` would not see it.
            self.series.requests.declare((method, &self.path, 500));
            Slot {
                started: Counter::detached(),
                in_flight: self.series.in_flight.declare((method, &self.path)),
                duration: self.series.duration.declare((method, &self.path)),
                statuses: [const { OnceLock::new() }; STATUSES.len()],
            }
        })
    }

    /// What has started and not ended is in flight: a request pays for one count instead of a gauge's two changes.
    fn collect(&self) {
        for slot in self.slots.iter().filter_map(OnceLock::get) {
            // Ends are read first, so that a request which ends in between does not count as less than none; where the
            // processor orders the two counts otherwise, it counts as none.
            let ended = slot.duration.count();
            slot.in_flight.set(slot.started.get().saturating_sub(ended) as f64);
        }
    }
}

/// Folds the method of a request into the closed set.
pub(super) fn fold_method(method: &http::Method) -> Method {
    match method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        _ => Method::Other,
    }
}
