//! Scrapes while others observe: whatever the format, the buckets, the count and the exemplars of one scrape agree.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use futura_metrics::{
    Metrics,
    exposition::Format,
    spec::{HistogramSpec, Unit},
    storage::SpanRef,
};

use crate::protobuf;

const WAIT_SECONDS: HistogramSpec =
    HistogramSpec::new("wait_seconds", Unit::Seconds, &[0.001, 0.01, 0.1, 1.0]).native().help("Waiting time.");
const OBSERVERS: u64 = 2;
const SCRAPES: usize = 1_000;

/// Observes up to four seconds in ever the same order; the ids of the span tell the observed microseconds.
fn observe_until(stop: &AtomicBool, metrics: &futura_metrics::Histogram) -> (u64, u64) {
    let (mut count, mut sum_micros) = (0_u64, 0);
    while !stop.load(Relaxed) {
        let micros = count * 7_919 % 4_000_000 + 1;
        let span = SpanRef { trace_id: u128::from(micros).to_be_bytes(), span_id: micros.to_be_bytes() };
        metrics.observe_duration_in(Duration::from_micros(micros), Some(span));
        // What is no observation leaves nothing behind, in the middle of it all.
        metrics.observe(f64::NAN);
        metrics.observe(-1.0);
        (count, sum_micros) = (count + 1, sum_micros + micros);
    }
    (count, sum_micros)
}

/// The count that one scrape tells, after the check that its buckets rise to it.
fn count_in_text(text: &str) -> u64 {
    let value = |line: &str| -> u64 { line.split(' ').nth(1).unwrap().parse().unwrap() };
    let buckets: Vec<u64> = text.lines().filter(|line| line.starts_with("wait_seconds_bucket{")).map(value).collect();
    let count = text.lines().find(|line| line.starts_with("wait_seconds_count ")).map(value).unwrap();
    assert_eq!((buckets.len(), buckets.last()), (5, Some(&count)), "{text}");
    assert!(buckets.is_sorted(), "{text}");
    for exemplar in text.lines().filter_map(|line| line.split_once(" # {trace_id=\"")).map(|(_, exemplar)| exemplar) {
        let (trace_id, rest) = exemplar.split_once("\",span_id=\"").unwrap();
        let (span_id, rest) = rest.split_once("\"} ").unwrap();
        let seconds: f64 = rest.split(' ').next().unwrap().parse().unwrap();
        for id in [trace_id, span_id] {
            assert_eq!(u128::from_str_radix(id, 16).unwrap(), (seconds * 1e6).round() as u128, "{exemplar}");
        }
    }
    count
}

fn count_in_protobuf(metrics: &Metrics) -> u64 {
    let families = protobuf::decode(metrics);
    let histogram = families.iter().find_map(|family| family.metrics[0].histogram.clone()).unwrap();
    let classic: Vec<u64> = histogram.buckets.iter().map(|bucket| bucket.cumulative_count).collect();
    assert_eq!((classic.len(), classic.last()), (5, Some(&histogram.count)), "{histogram:?}");
    assert!(classic.is_sorted(), "{histogram:?}");
    let native: i64 = protobuf::native(&histogram).iter().map(|(_, count)| count).sum();
    assert_eq!(histogram.zero_count + native as u64, histogram.count, "{histogram:?}");
    for exemplar in histogram.buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref()) {
        let id = u128::from_str_radix(&exemplar.labels[0].value, 16).unwrap();
        assert_eq!(id, (exemplar.value * 1e6).round() as u128, "{exemplar:?}");
    }
    histogram.count
}

#[test]
fn the_last_bucket_is_the_count_in_every_scrape_while_others_observe() {
    let metrics = Metrics::new();
    let wait = metrics.histogram(WAIT_SECONDS).unwrap();
    let stop = AtomicBool::new(false);
    let observed = thread::scope(|scope| {
        let observers: Vec<_> = (0..OBSERVERS).map(|_| scope.spawn(|| observe_until(&stop, &wait))).collect();
        while wait.count() < OBSERVERS {
            thread::yield_now();
        }
        let mut last = 0;
        for _ in 0..SCRAPES {
            let text = count_in_text(&metrics.render(Format::Text));
            let open_metrics = count_in_text(&metrics.render(Format::OpenMetrics));
            let protobuf = count_in_protobuf(&metrics);
            let counts = [last, text, open_metrics, protobuf];
            assert!(counts.is_sorted(), "a count fell: {counts:?}");
            last = protobuf;
        }
        stop.store(true, Relaxed);
        let observed = observers.into_iter().map(|observer| observer.join().unwrap());
        observed.fold((0, 0), |(count, sum), (more, micros)| (count + more, sum + micros))
    });
    assert!(observed.0 > 0, "nobody observed anything");
    let text = metrics.render(Format::Text);
    assert_eq!(count_in_text(&text), observed.0);
    let sum = text.lines().find_map(|line| line.strip_prefix("wait_seconds_sum ")).unwrap();
    assert_eq!((sum.parse::<f64>().unwrap() * 1e6).round() as u64, observed.1);
}

#[test]
fn nan_and_negative_values_are_no_observations_and_a_negative_zero_is_one() {
    let metrics = Metrics::new();
    let wait = metrics.histogram(WAIT_SECONDS).unwrap();
    [f64::NAN, -f64::NAN, f64::NEG_INFINITY, -1.0, -f64::MIN_POSITIVE]
        .into_iter()
        .for_each(|value| wait.observe(value));
    assert_eq!((count_in_text(&metrics.render(Format::Text)), count_in_protobuf(&metrics)), (0, 0));
    wait.observe(-0.0);
    assert_eq!((count_in_text(&metrics.render(Format::OpenMetrics)), count_in_protobuf(&metrics)), (1, 1));
}
