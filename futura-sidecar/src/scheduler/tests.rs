use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futura_metrics::{Metrics, exposition::Format};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use tokio::time::{Instant, advance, sleep};

use super::{LONGEST_SPREAD, Schedule, offset, run};
use crate::{
    checks::{Check, ChecksMetrics},
    config::Config,
    network::Network,
};

/// Notes when it is asked, and takes longer the more often it is asked: 0, 1, 2, … seconds.
#[derive(Default)]
struct SlowResolver {
    asked: Mutex<Vec<Instant>>,
}

impl Resolve for SlowResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let mut asked = self.asked.lock().expect("no panic");
        let delay = Duration::from_secs(asked.len() as u64);
        asked.push(Instant::now());
        Box::pin(async move {
            sleep(delay).await;
            Err("no such name".into())
        })
    }
}

fn check(resolver: Arc<SlowResolver>, keys: &str, metrics: &Metrics) -> Arc<Check> {
    let text = format!("checks: [{{ name: c, kind: tcp, target: \"h:1\", {keys} }}]");
    let config = Config::parse(&text, |_| None).expect("valid").checks.remove(0);
    let network = Network::new(resolver, RootCertStore::empty());
    Arc::new(Check::new(config, &ChecksMetrics::register(metrics).expect("free names"), &network).expect("a client"))
}

#[tokio::test(start_paused = true)]
async fn runs_are_on_a_grid_that_does_not_drift() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let check = check(Arc::clone(&resolver), "interval: 10s, timeout: 9s", &metrics);
    let start = Instant::now() + offset("c", Duration::from_secs(10));
    run(check, sleep(Duration::from_secs(95))).await;
    let asked = resolver.asked.lock().expect("no panic").clone();
    let grid: Vec<_> = (0..asked.len() as u32).map(|number| start + Duration::from_secs(10) * number).collect();
    // Paused time moves in whole milliseconds, so a run may start within one after its time.
    let late = asked.iter().zip(&grid).map(|(asked, grid)| asked.duration_since(*grid));
    assert!(late.clone().all(|late| late <= Duration::from_millis(1)), "{:?}", late.collect::<Vec<_>>());
    assert!((9..=10).contains(&asked.len()), "{}", asked.len());
    assert!(metrics.render(Format::Text).contains("check_runs_skipped_total{check=\"c\",kind=\"tcp\"} 0\n"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_run_in_flight_end_and_starts_no_other() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let check = check(Arc::clone(&resolver), "interval: 10s, timeout: 10s", &metrics);
    let first = offset("c", Duration::from_secs(10));
    // The third run takes two seconds; the stop falls into the first of them.
    run(Arc::clone(&check), sleep(first + Duration::from_secs(21))).await;
    assert_eq!(check.history.results().samples.len(), 3);
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 3);
    run(check, async {}).await;
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_missed_are_left_out_and_counted() {
    let start = Instant::now();
    let mut schedule = Schedule { next: start, interval: Duration::from_secs(10) };
    // Seconds that the run ends after the last due time, the runs missed, and the next due time.
    for (took, missed, next) in [(3, 0, 10), (10, 0, 20), (11, 1, 40), (35, 3, 80)] {
        advance(schedule.next + Duration::from_secs(took) - Instant::now()).await;
        assert_eq!(schedule.advance(), missed, "after {took} s");
        assert_eq!(schedule.next, start + Duration::from_secs(next), "after {took} s");
    }
}

#[test]
fn first_runs_are_spread_by_name() {
    let spread = |interval| {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let offset = offset(&format!("check-{number}"), interval);
            tenths[(offset.as_secs_f64() / interval.min(LONGEST_SPREAD).as_secs_f64() * 10.0) as usize] += 1;
        }
        tenths
    };
    for interval in [Duration::from_millis(100), Duration::from_secs(10), Duration::from_secs(86_400)] {
        assert!(spread(interval).iter().all(|count| (60..=140).contains(count)), "{:?}", spread(interval));
    }
    assert_eq!(offset("a", Duration::from_secs(1)), offset("a", Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_is_given_up_in_time_for_the_next_run() {
    struct Hanging;
    impl Resolve for Hanging {
        fn resolve(&self, _: Name) -> Resolving {
            Box::pin(pending())
        }
    }
    let metrics = Metrics::new();
    let config =
        Config::parse("checks: [{ name: c, kind: tcp, target: \"h:1\", interval: 1s, timeout: 1s }]", |_| None);
    let network = Network::new(Arc::new(Hanging), RootCertStore::empty());
    let registered = ChecksMetrics::register(&metrics).expect("free names");
    let check = Arc::new(Check::new(config.expect("valid").checks.remove(0), &registered, &network).expect("a client"));
    run(Arc::clone(&check), sleep(Duration::from_secs(20))).await;
    let samples = check.history.results().samples;
    assert!(samples.iter().all(|sample| sample.failure == Some(futura_metrics::specs::checks::Reason::Timeout)));
    assert!(samples.len() >= 10, "{}", samples.len());
}
