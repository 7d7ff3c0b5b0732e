//! One increment and one observation: by a handle that was resolved before, and by label values at each call.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use futura_metrics::{
    Metrics,
    specs::http::{DURATION_BOUNDS, HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{
        counter::Counter as ClientCounter, family::Family as ClientFamily, histogram::Histogram as ClientHistogram,
    },
};

use crate::{
    allocations::Allocations,
    harness::{Case, Measurement, Plan, measure, named},
    table::{Table, number},
};

pub(crate) const COUNTER_GROUP: &str = "counter";
pub(crate) const HISTOGRAM_GROUP: &str = "histogram";

const ROUTE: &str = "/events/{id}";
const STATUS: u16 = 200;

const ONE_ADD: &str = "floor: one relaxed add";
const TWO_ADDS: &str = "floor: two relaxed adds";
const CLIENT_HANDLE: &str = "prometheus-client, handle";
const CLIENT_TYPED: &str = "prometheus-client, typed labels";
const CLIENT_TEXT: &str = "prometheus-client, owned text";

/// How many durations the histograms are fed with in turn; a power of two.
const DURATIONS: usize = 4096;

/// Labels as a user of prometheus-client types them who cares for speed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypedLabels {
    method: TypedMethod,
    path: Arc<str>,
    status: u16,
}

/// The same for two labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypedRouteLabels {
    method: TypedMethod,
    path: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum TypedMethod {
    #[expect(clippy::upper_case_acronyms, reason = "the derive writes the variant's name")]
    GET,
}

/// Labels as they stand in the documentation of prometheus-client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TextLabels {
    method: String,
    path: String,
    status: u16,
}

/// The same for two labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TextRouteLabels {
    method: String,
    path: String,
}

/// A counter with three labels.
pub(crate) fn counter_cases() -> Result<Vec<Case>> {
    let own = Metrics::new().counters(HTTP_REQUESTS_TOTAL)?;
    let handle = own.with((Method::Get, ROUTE, STATUS)).clone();
    let floor = AtomicU64::new(0);
    let typed = ClientFamily::<TypedLabels, ClientCounter>::default();
    let text = ClientFamily::<TextLabels, ClientCounter>::default();
    let path: Arc<str> = ROUTE.into();
    let client_handle =
        typed.get_or_create_owned(&TypedLabels { method: TypedMethod::GET, path: Arc::clone(&path), status: STATUS });
    Ok(vec![
        Case::new(ONE_ADD, move |_| {
            floor.fetch_add(1, Relaxed);
        }),
        Case::new("futura, handle", move |_| handle.inc()).beside(CLIENT_HANDLE),
        Case::new("futura, label values", move |_| own.with(black_box((Method::Get, ROUTE, STATUS))).inc())
            .beside(CLIENT_TYPED),
        Case::new(CLIENT_HANDLE, move |_| {
            client_handle.inc();
        }),
        Case::new(CLIENT_TYPED, move |_| {
            let (method, status) = black_box((TypedMethod::GET, STATUS));
            typed.get_or_create(&TypedLabels { method, path: Arc::clone(&path), status }).inc();
        }),
        Case::new(CLIENT_TEXT, move |_| {
            let (method, path, status) = black_box(("GET", ROUTE, STATUS));
            text.get_or_create(&TextLabels { method: method.to_owned(), path: path.to_owned(), status }).inc();
        })
        .beside(CLIENT_TYPED),
    ])
}

/// A histogram with two labels and eleven bounds.
pub(crate) fn histogram_cases() -> Result<Vec<Case>> {
    let own = Metrics::new().histograms(HTTP_REQUEST_DURATION_SECONDS)?;
    let handle = own.with((Method::Get, ROUTE)).clone();
    let floor = [AtomicU64::new(0), AtomicU64::new(0)];
    let typed = ClientFamily::<TypedRouteLabels, ClientHistogram>::new_with_constructor(client_histogram);
    let text = ClientFamily::<TextRouteLabels, ClientHistogram>::new_with_constructor(client_histogram);
    let path: Arc<str> = ROUTE.into();
    let client_handle =
        typed.get_or_create_owned(&TypedRouteLabels { method: TypedMethod::GET, path: Arc::clone(&path) });
    Ok(vec![
        with_durations(TWO_ADDS, move |duration| {
            floor[0].fetch_add(1, Relaxed);
            floor[1].fetch_add(u64::from(duration.subsec_nanos()), Relaxed);
        }),
        with_durations("futura, handle", move |duration| handle.observe_duration(duration)).beside(CLIENT_HANDLE),
        with_durations("futura, label values", move |duration| {
            own.with(black_box((Method::Get, ROUTE))).observe_duration(duration);
        })
        .beside(CLIENT_TYPED),
        with_durations(CLIENT_HANDLE, move |duration| client_handle.observe(duration.as_secs_f64())),
        with_durations(CLIENT_TYPED, move |duration| {
            let method = black_box(TypedMethod::GET);
            let labels = TypedRouteLabels { method, path: Arc::clone(&path) };
            typed.get_or_create(&labels).observe(duration.as_secs_f64());
        }),
        with_durations(CLIENT_TEXT, move |duration| {
            let (method, path) = black_box(("GET", ROUTE));
            let labels = TextRouteLabels { method: method.to_owned(), path: path.to_owned() };
            text.get_or_create(&labels).observe(duration.as_secs_f64());
        })
        .beside(CLIENT_TYPED),
    ])
}

pub(crate) fn report_counters(allocations: &Allocations, plan: Plan) -> Result<Table> {
    Ok(table(COUNTER_GROUP, &measure(&counter_cases()?, plan), ONE_ADD, allocations))
}

pub(crate) fn report_histograms(allocations: &Allocations, plan: Plan) -> Result<Table> {
    Ok(table(HISTOGRAM_GROUP, &measure(&histogram_cases()?, plan), TWO_ADDS, allocations))
}

fn table(group: &str, measurements: &[Measurement], floor: &str, allocations: &Allocations) -> Table {
    let mut table = Table::new(&[
        "case",
        "ns",
        "min",
        "of floor",
        "of prometheus-client",
        "allocations",
        "2 threads: ns",
        "min",
        "of prometheus-client",
    ]);
    let floor = named(measurements, floor).alone.median();
    for case in measurements {
        let peer = case.peer.map(|peer| named(measurements, peer));
        let (alone, contended) = (case.alone.median(), case.contended.median());
        table.row(
            case.name,
            [
                number(alone),
                number(case.alone.min()),
                number(alone / floor),
                number(alone / peer.map_or(f64::NAN, |peer| peer.alone.median())),
                number(allocations.of(group, case.name)),
                number(contended),
                number(case.contended.min()),
                number(contended / peer.map_or(f64::NAN, |peer| peer.contended.median())),
            ],
        );
    }
    table
}

/// A case that is given another duration each time, so that the branch predictor cannot learn the bucket.
fn with_durations(name: &'static str, operation: impl Fn(Duration) + Send + Sync + 'static) -> Case {
    // The same in every case: from 0.1 ms to 20 s, as many in each decade.
    let mut random = fastrand::Rng::with_seed(1);
    let durations: Vec<_> =
        (0..DURATIONS).map(|_| Duration::from_secs_f64(1e-4 * 2e5_f64.powf(random.f64()))).collect();
    Case::new(name, move |number| operation(durations[number as usize % DURATIONS]))
}

fn client_histogram() -> ClientHistogram {
    ClientHistogram::new(DURATION_BOUNDS.iter().copied())
}
