//! From a request to the series of its route and method, each resolved once and then found by index.

use super::{HttpLayerError, HttpMetrics};
use crate::{
    Counter, Gauge, Histogram,
    specs::http::{Method, UNMATCHED},
};
use axum::extract::MatchedPath;
use hashbrown::HashMap;
use http::Request;
use parking_lot::RwLock;
use std::sync::{Arc, OnceLock};

/// Counts of the statuses registered with IANA are kept in place; another one is looked up in its family.
const STATUSES: [u16; 63] = [
    100, 101, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

/// Where the route of a request comes from.
pub(super) enum Routes {
    /// From axum, which has matched already: routes are learned as they are used, and there are as many as the router has.
    Matched { known: RwLock<HashMap<String, Arc<Route>>>, unmatched: Arc<Route> },
    /// From our own match against the declared templates.
    Declared { known: matchit::Router<Arc<Route>>, unmatched: Arc<Route> },
}

/// One route template and its series.
pub(super) struct Route {
    pub(super) path: Box<str>,
    slots: [OnceLock<Slot>; Method::ALL.len()],
}

/// The series of one route and method.
pub(super) struct Slot {
    pub(super) in_flight: Gauge,
    pub(super) duration: Histogram,
    statuses: [OnceLock<Counter>; STATUSES.len()],
}

// === impl Routes ===

impl Routes {
    pub(super) fn matched() -> Self {
        Self::Matched { known: RwLock::default(), unmatched: Route::new(UNMATCHED) }
    }

    pub(super) fn declared<'a>(
        routes: impl IntoIterator<Item = (Method, &'a str)>,
        series: &HttpMetrics,
    ) -> Result<Self, HttpLayerError> {
        let mut by_path: HashMap<&str, Arc<Route>> = HashMap::new();
        let mut known = matchit::Router::new();
        for (method, path) in routes {
            let route = match by_path.get(path) {
                Some(route) => route,
                None => {
                    let route = Route::new(path);
                    known
                        .insert(path, Arc::clone(&route))
                        .map_err(|source| HttpLayerError::Route { path: path.to_owned(), source })?;
                    by_path.entry(path).insert(route).into_mut()
                }
            };
            route.slot(method, series);
            series.requests.with((method, path, 200));
        }
        Ok(Self::Declared { known, unmatched: Route::new(UNMATCHED) })
    }

    pub(super) fn find<B>(&self, request: &Request<B>) -> Arc<Route> {
        match self {
            Self::Declared { known, unmatched } => {
                Arc::clone(known.at(request.uri().path()).map_or(unmatched, |matched| matched.value))
            }
            Self::Matched { known, unmatched } => match request.extensions().get::<MatchedPath>() {
                Some(matched) => {
                    let path = matched.as_str();
                    if let Some(route) = known.read().get(path) {
                        return Arc::clone(route);
                    }
                    Arc::clone(known.write().entry_ref(path).or_insert_with(|| Route::new(path)))
                }
                None => Arc::clone(unmatched),
            },
        }
    }
}

// === impl Route ===

impl Route {
    fn new(path: &str) -> Arc<Self> {
        Arc::new(Self { path: path.into(), slots: Default::default() })
    }

    pub(super) fn slot(&self, method: Method, series: &HttpMetrics) -> &Slot {
        self.slots[method as usize].get_or_init(|| {
            // The first failure of a route must not be the birth of its series: `rate` would not see it.
            series.requests.with((method, &self.path, 500));
            Slot {
                in_flight: series.in_flight.with((method, &self.path)),
                duration: series.duration.with((method, &self.path)),
                statuses: [const { OnceLock::new() }; STATUSES.len()],
            }
        })
    }
}

// === impl Slot ===

impl Slot {
    /// Counts an answer with this status.
    pub(super) fn count(&self, route: &Route, method: Method, status: u16, series: &HttpMetrics) {
        match STATUSES.binary_search(&status) {
            Ok(index) => self.statuses[index].get_or_init(|| series.requests.with((method, &route.path, status))).inc(),
            Err(_) => series.requests.with((method, &route.path, status)).inc(),
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
