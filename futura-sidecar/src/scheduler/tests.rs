use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futura_metrics::{Metrics, exposition::Format, specs::checks::CHECK_SCHEDULING_LAG_SECONDS};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use tokio::time::{Instant, advance, sleep};

use super::{LONGEST_SPREAD, Lanes, Schedule, offset, run};
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

/// Places for so many runs at once.
fn lanes(concurrency: usize) -> Lanes {
    Lanes::new(concurrency, Metrics::new().histogram(CHECK_SCHEDULING_LAG_SECONDS).expect("a free name"))
}

#[tokio::test(start_paused = true)]
async fn runs_are_on_a_grid_that_does_not_drift() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let check = check(Arc::clone(&resolver), "interval: 10s, timeout: 9s", &metrics);
    let start = Instant::now() + offset("c", Duration::from_secs(10));
    run(check, lanes(1), sleep(Duration::from_secs(95))).await;
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
    run(Arc::clone(&check), lanes(1), sleep(first + Duration::from_secs(21))).await;
    assert_eq!(check.history.state().samples.len(), 3);
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 3);
    run(check, lanes(1), async {}).await;
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_missed_are_left_out_and_counted() {
    let start = Instant::now();
    let mut schedule = Schedule { next: start };
    // Seconds that the run ends after the last due time, the runs missed, and the next due time.
    for (took, missed, next) in [(3, 0, 10), (10, 0, 20), (11, 1, 40), (35, 3, 80)] {
        advance(schedule.next + Duration::from_secs(took) - Instant::now()).await;
        assert_eq!(schedule.advance(Duration::from_secs(10)), missed, "after {took} s");
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
    run(Arc::clone(&check), lanes(1), sleep(Duration::from_secs(20))).await;
    let samples = check.history.state().samples;
    assert!(samples.iter().all(|sample| sample.failure == Some(futura_metrics::specs::checks::Reason::Timeout)));
    assert!(samples.len() >= 10, "{}", samples.len());
}

#[tokio::test(start_paused = true)]
async fn a_failing_check_is_run_on_its_other_interval() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let keys = "offset: 0s, interval: 1h, interval_failing: 1m, timeout: 1m";
    let check = check(Arc::clone(&resolver), keys, &metrics);
    run(check, lanes(1), sleep(Duration::from_secs(210))).await;
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 4, "at once, and after one, two and three minutes");
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_each_run_and_not_the_grid() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let check = check(Arc::clone(&resolver), "offset: 0s, interval: 1m, timeout: 30s, jitter: 20s", &metrics);
    let start = Instant::now();
    run(check, lanes(1), sleep(Duration::from_secs(1200))).await;
    let asked = resolver.asked.lock().expect("no panic").clone();
    let late: Vec<_> = asked.iter().map(|asked| asked.duration_since(start).as_millis() % 60_000).collect();
    assert!((19..=20).contains(&asked.len()) && late.iter().all(|late| *late <= 20_001), "{late:?}");
    assert!(late.iter().any(|other| late[0].abs_diff(*other) > 1000), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_repeated_before_it_counts() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let keys = "offset: 0s, interval: 1m, timeout: 10s, retries: 2, failure_threshold: 2";
    let check = check(Arc::clone(&resolver), keys, &metrics);
    run(Arc::clone(&check), lanes(1), sleep(Duration::from_secs(59))).await;
    let has = |line: &str| metrics.render(Format::Text).lines().any(|other| other == line);
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 3);
    for line in [
        "check_runs_total{check=\"c\",kind=\"tcp\"} 1",
        "check_retries_total{check=\"c\",kind=\"tcp\"} 2",
        "check_success{check=\"c\",kind=\"tcp\"} 0",
        "check_up{check=\"c\",kind=\"tcp\"} 1",
    ] {
        assert!(has(line), "{line} is not in\n{}", metrics.render(Format::Text));
    }
    run(check, lanes(1), sleep(Duration::from_secs(59))).await;
    assert!(has("check_up{check=\"c\",kind=\"tcp\"} 0"));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_check_is_not_run_and_has_no_result() {
    let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
    let check = check(Arc::clone(&resolver), "offset: 0s, interval: 10s, timeout: 10s", &metrics);
    let has = |start: &str| metrics.render(Format::Text).lines().any(|line| line.starts_with(start));
    run(Arc::clone(&check), lanes(1), sleep(Duration::from_secs(5))).await;
    assert!(has("check_up{") && has("check_success{") && !has("check_suspended{"));
    check.pause(None);
    assert!(has("check_suspended{check=\"c\",kind=\"tcp\",cause=\"paused\"} 1"));
    assert!(!has("check_up{") && !has("check_success{"), "nobody knows now, so nothing can be an alarm");
    run(Arc::clone(&check), lanes(1), sleep(Duration::from_secs(45))).await;
    assert_eq!(resolver.asked.lock().expect("no panic").len(), 1);
    assert!(has("check_runs_skipped_total{check=\"c\",kind=\"tcp\"} 0"), "what is not meant to run is not missed");
    check.resume();
    assert!(!has("check_suspended{"));
    run(check, lanes(1), sleep(Duration::from_secs(5))).await;
    assert!(has("check_up{"));
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_there_are_places() {
    let lanes = lanes(2);
    let (start, mut running, mut resolvers) = (Instant::now(), Vec::new(), Vec::new());
    for _ in 0..4 {
        let (resolver, metrics) = (Arc::new(SlowResolver::default()), Metrics::new());
        // The first of its runs takes a second.
        resolver.asked.lock().expect("no panic").push(start);
        let check = check(Arc::clone(&resolver), "offset: 0s, interval: 1m, timeout: 10s", &metrics);
        running.push(run(check, lanes.clone(), sleep(Duration::from_secs(30))));
        resolvers.push(resolver);
    }
    futures_util::future::join_all(running).await;
    let began =
        |resolver: &Arc<SlowResolver>| resolver.asked.lock().expect("no panic")[1].duration_since(start).as_secs();
    let mut began: Vec<_> = resolvers.iter().map(began).collect();
    began.sort_unstable();
    assert_eq!(began, [0, 0, 1, 1]);
}
