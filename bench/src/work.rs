//! What every library is given to do: the same labels, bounds, values and series.

use std::time::Duration;

use futura_metrics::{
    specs::http::{DURATION_BOUNDS, Method},
    storage::SpanRef,
};

use crate::harness::Case;

/// The labels of the one series that increments and observations go to.
pub(crate) const METHOD: &str = "GET";
pub(crate) const ROUTE: &str = "/events/{id}";
pub(crate) const STATUS: u16 = 200;

/// The span that exemplars name.
pub(crate) const SPAN: SpanRef = SpanRef {
    trace_id: *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36",
    span_id: *b"\x00\xf0\x67\xaa\x0b\xa9\x02\xb7",
};

pub(crate) const STATUSES: [u16; 20] =
    [200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 502, 503];

/// Paths of the counters: with methods and statuses they make 10,000 series.
pub(crate) const COUNTER_PATHS: usize = 50;
/// Paths of the histograms of a scrape: with methods they make 1,000 series.
pub(crate) const HISTOGRAM_PATHS: usize = 100;
/// Paths of the histograms whose memory is measured: with methods they make 10,000 series.
pub(crate) const IDLE_HISTOGRAM_PATHS: usize = 1_000;

/// How many durations the histograms are fed with in turn; a power of two.
const DURATIONS: usize = 4096;

/// The bounds, as many as libraries want to know that have the number in a type.
pub(crate) fn bounds() -> [f64; 11] {
    DURATION_BOUNDS.try_into().expect("there are eleven bounds")
}

/// A case that is given another duration each time, so that the branch predictor cannot learn the bucket.
pub(crate) fn with_durations(name: &'static str, operation: impl Fn(Duration) + Send + Sync + 'static) -> Case {
    // The same in every case: from 0.1 ms to 20 s, as many in each decade.
    let mut random = fastrand::Rng::with_seed(1);
    let durations: Vec<_> =
        (0..DURATIONS).map(|_| Duration::from_secs_f64(1e-4 * 2e5_f64.powf(random.f64()))).collect();
    Case::new(name, move |number| operation(durations[number as usize % DURATIONS]))
}

pub(crate) fn path(number: usize) -> String {
    format!("/organizations/{{organization}}/items-{number}")
}

/// Each counter series, with what it has counted.
pub(crate) fn for_each_counter(mut each: impl FnMut(Method, &str, u16, u64)) {
    for (index, method) in Method::ALL.iter().enumerate() {
        for number in 0..COUNTER_PATHS {
            for status in STATUSES {
                each(*method, &path(number), status, (index * 7919 + number * 104_729) as u64);
            }
        }
    }
}

/// Each histogram series.
pub(crate) fn for_each_histogram(paths: usize, mut each: impl FnMut(Method, &str)) {
    for method in Method::ALL {
        (0..paths).for_each(|number| each(*method, &path(number)));
    }
}

/// Each observation in the histograms of a scrape.
pub(crate) fn for_each_observation(mut each: impl FnMut(Method, &str, Duration)) {
    for method in Method::ALL {
        for number in 0..HISTOGRAM_PATHS {
            for milliseconds in [3, 7, 40, 300, 1_500, 12_000] {
                let value = Duration::from_millis(milliseconds) + Duration::from_micros(number as u64);
                each(*method, &path(number), value);
            }
        }
    }
}
