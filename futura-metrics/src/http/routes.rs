//! From a request to the series of its route and method, each resolved once and then found by index.

use std::sync::OnceLock;

use axum::extract::MatchedPath;
use http::Request;

use super::{HttpLayerError, HttpMetrics, clock::Clock, tree::Tree};
use crate::{
    Counter, Gauge, Histogram,
    specs::http::{Method, UNMATCHED},
    storage::{Index, SpanRef, TextHasher},
};

/// Counts of the statuses registered with IANA are kept in place; another one is looked up in its family.
const STATUSES: [u16; 63] = [
    100, 101, 102, 103, 104, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308,
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

/// The place of each status in [`STATUSES`], past its end for one that is not there.
const PLACES: [u8; 512] = places();

/// Every route that is known, and how to find that of a request.
pub(super) struct Routes {
    series: HttpMetrics,
    clock: Clock,
    unmatched: Route,
    known: Known,
}

enum Known {
    /// By axum, which has matched already: routes are learned as they are used, and there are as many as the router has.
    Matched { routes: Box<Index<Route>>, hasher: TextHasher },
    /// By our own match against the declared templates.
    Declared { routes: Vec<Route>, finder: Finder },
}

/// Finds the number of a path's route.
enum Finder {
    Tree(Tree),
    /// Where a template is more than a tree of segments can tell.
    Axums(matchit::Router<usize>),
}

/// One route template and its series.
pub(super) struct Route {
    path: String,
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
        Self::new(series, Known::Matched { routes: Box::new(Index::new()), hasher: TextHasher::new() })
    }

    pub(super) fn declared<'a>(
        declared: impl IntoIterator<Item = (Method, &'a str)>,
        series: HttpMetrics,
    ) -> Result<Self, HttpLayerError> {
        let mut routes: Vec<Route> = Vec::new();
        // Axum's router knows which templates are in order and go together.
        let (mut axums, mut tree, mut tree_suffices) = (matchit::Router::new(), Tree::default(), true);
        for (method, path) in declared {
            let known = routes.iter().position(|route| route.path == path);
            let number = match known {
                Some(number) => number,
                None => {
                    axums
                        .insert(path, routes.len())
                        .map_err(|source| HttpLayerError::Route { path: path.to_owned(), source })?;
                    tree_suffices &= tree.insert(path, routes.len());
                    routes.push(Route::new(path));
                    routes.len() - 1
                }
            };
            routes[number].slot(method, &series);
            series.requests.declare((method, path, 200));
        }
        let finder = if tree_suffices { Finder::Tree(tree) } else { Finder::Axums(axums) };
        Ok(Self::new(series, Known::Declared { routes, finder }))
    }

    fn new(series: HttpMetrics, known: Known) -> Self {
        Self { series, clock: Clock::new(), unmatched: Route::new(UNMATCHED), known }
    }

    pub(super) fn find<B>(&self, request: &Request<B>) -> &Route {
        match &self.known {
            Known::Declared { routes, finder } => {
                finder.find(request.uri().path()).map_or(&self.unmatched, |number| &routes[number])
            }
            Known::Matched { routes, hasher } => {
                let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
                matched.map_or(&self.unmatched, |path| {
                    let hash = hasher.add(hasher.begin(0), path);
                    let same = |route: &Route| route.path == path;
                    let found = routes.find(hash, same);
                    found.unwrap_or_else(|| routes.find_or_insert(hash, same, || Route::new(path)))
                })
            }
        }
    }

    /// Counts a request that begins, and reads the clock.
    pub(super) fn start(&self, route: &Route, method: Method) -> u64 {
        route.slot(method, &self.series).started.inc();
        self.clock.read()
    }

    /// Counts a request that ended; `start` is what [`Routes::start`] read.
    pub(super) fn end(&self, route: &Route, method: Method, status: u16, start: u64, span: Option<SpanRef>) {
        let slot = route.slot(method, &self.series);
        slot.duration.observe_nanoseconds(self.clock.nanoseconds_since(start), span);
        let resolve = || self.series.requests.declare((method, &route.path, status));
        let place = PLACES.get(usize::from(status)).and_then(|place| slot.statuses.get(usize::from(*place)));
        match place {
            Some(counter) => counter.get_or_init(|| resolve().clone()).inc(),
            None => resolve().inc(),
        }
    }

    /// Sets the gauges of requests in flight.
    pub(super) fn collect(&self) {
        self.unmatched.collect();
        match &self.known {
            Known::Declared { routes, .. } => routes.iter().for_each(Route::collect),
            Known::Matched { routes, .. } => routes.iter().for_each(Route::collect),
        }
    }
}

// === impl Finder ===

impl Finder {
    fn find(&self, path: &str) -> Option<usize> {
        match self {
            Self::Tree(tree) => tree.find(path),
            Self::Axums(router) => router.at(path).ok().map(|found| *found.value),
        }
    }
}

// === impl Route ===

impl Route {
    fn new(path: &str) -> Self {
        Self { path: path.to_owned(), slots: Default::default() }
    }

    #[cfg(feature = "telemetry")]
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn slot(&self, method: Method, series: &HttpMetrics) -> &Slot {
        self.slots[method as usize].get_or_init(|| {
            // The first failure of a route must not be the birth of its series: `rate` would not see it.
            series.requests.declare((method, &self.path, 500));
            Slot {
                started: Counter::detached(),
                in_flight: series.in_flight.declare((method, &self.path)).clone(),
                duration: series.duration.declare((method, &self.path)).clone(),
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
    match *method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        http::Method::POST => Method::Post,
        http::Method::PUT => Method::Put,
        http::Method::PATCH => Method::Patch,
        http::Method::DELETE => Method::Delete,
        http::Method::OPTIONS => Method::Options,
        http::Method::TRACE => Method::Trace,
        http::Method::CONNECT => Method::Connect,
        _ => Method::Other,
    }
}

const fn places() -> [u8; 512] {
    let mut places = [u8::MAX; 512];
    let mut place = 0;
    while place < STATUSES.len() {
        places[STATUSES[place] as usize] = place as u8;
        place += 1;
    }
    places
}
