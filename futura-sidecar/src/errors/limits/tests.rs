use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, advance};

use super::{BACKOFF_LONGEST, Limits, STRIKES, backoff};
use crate::errors::spool::Entry;

fn entry(number: u64) -> Entry {
    Entry { number, category: "error" }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::try_from(*value).expect("a header"));
    }
    headers
}

fn allow(limits: &Limits, category: &str) -> bool {
    limits.allow(category, Instant::now())
}

/// Whether `category` is paused just before `seconds` are over and no more just after.
async fn paused_for(limits: &Limits, category: &str, seconds: u64) -> bool {
    advance(Duration::from_millis(seconds * 1000 - 10)).await;
    let before = allow(limits, category);
    advance(Duration::from_millis(20)).await;
    !before && allow(limits, category)
}

#[tokio::test(start_paused = true)]
async fn a_429_pauses_for_as_long_as_it_says() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    for (value, least, most) in [("7", 7, 7), ("2.5", 2, 3), (date.as_str(), 3590, 3600), ("1e300", 86_400, 86_400)] {
        let mut limits = Limits::default();
        limits.limited("error", &headers(&[("retry-after", value)]));
        let pause = limits.next_end(Instant::now()).expect("a pause") - Instant::now();
        assert!(Duration::from_secs(least) <= pause && pause <= Duration::from_secs(most), "{value}: {pause:?}");
    }
    for value in ["", "soon", "-5", "NaN"] {
        let mut limits = Limits::default();
        limits.limited("error", &headers(&[("retry-after", value)]));
        assert!(paused_for(&limits, "session", 60).await, "{value}");
    }
    let mut limits = Limits::default();
    limits.limited("error", &HeaderMap::new());
    assert!(paused_for(&limits, "error", 60).await);
}

#[tokio::test(start_paused = true)]
async fn rate_limits_hold_for_their_categories_and_over_retry_after() {
    let mut limits = Limits::default();
    let announced = " 60:transaction;unknown:key , 2700:session:organization:quota:x:y, :monitor";
    limits.limited("transaction", &headers(&[("x-sentry-rate-limits", announced), ("retry-after", "9000")]));
    assert!(allow(&limits, "error") && allow(&limits, "default"));
    assert!(!allow(&limits, "transaction") && !allow(&limits, "session") && !allow(&limits, "monitor"));
    assert!(paused_for(&limits, "transaction", 60).await);
    assert!(allow(&limits, "monitor") && !allow(&limits, "session"));
}

#[tokio::test(start_paused = true)]
async fn a_limit_without_categories_is_for_all() {
    let mut limits = Limits::default();
    limits.delivered(&headers(&[("x-sentry-rate-limits", "10::organization")]));
    assert!(paused_for(&limits, "error", 10).await);
}

#[tokio::test(start_paused = true)]
async fn a_success_announces_limits_too_and_a_shorter_one_does_not_end_a_longer() {
    let mut limits = Limits::default();
    limits.delivered(&headers(&[("x-sentry-rate-limits", "100:error:key"), ("x-sentry-rate-limits", "10:error:key")]));
    assert!(allow(&limits, "transaction"));
    assert!(paused_for(&limits, "error", 100).await);
}

#[tokio::test(start_paused = true)]
async fn a_limited_envelope_waits_even_if_the_limits_are_for_others() {
    let mut limits = Limits::default();
    limits.limited("error", &headers(&[("x-sentry-rate-limits", "5:transaction:key")]));
    assert!(paused_for(&limits, "error", 60).await);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_upstream_backs_off_and_a_delivery_ends_that() {
    let mut limits = Limits::default();
    for (failures, seconds) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].into_iter().enumerate() {
        let full = Duration::from_secs(seconds);
        let pause = limits.unreachable();
        assert!(full / 2 <= pause && pause <= full, "after {failures}: {pause:?}");
        assert!(!allow(&limits, "error"));
        advance(pause).await;
        assert!(allow(&limits, "error"));
    }
    limits.delivered(&HeaderMap::new());
    assert!(limits.unreachable() <= Duration::from_secs(1));
    assert!(backoff(u32::MAX) <= BACKOFF_LONGEST);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_stated_is_never_shorter_than_the_backoff() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(60));
    for value in ["0", "0.001", past.as_str()] {
        let headers = headers(&[("retry-after", value)]);
        let (mut limits, mut failing) = (Limits::default(), Limits::default());
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300] {
            let half = Duration::from_secs(seconds) / 2;
            limits.limited("error", &headers);
            let pause = limits.next_end(Instant::now()).expect("a pause") - Instant::now();
            assert!(pause >= half, "{value}: {pause:?}");
            let pause = failing.failed(entry(seconds), Some(&headers)).expect("another time");
            assert!(pause >= half && !allow(&failing, "error"), "{value}: {pause:?}");
            advance(Duration::from_secs(600)).await;
        }
    }
    let mut limits = Limits::default();
    limits.limited("error", &headers(&[("x-sentry-rate-limits", "0:error:key"), ("retry-after", "0")]));
    assert!(!allow(&limits, "error") && allow(&limits, "session"));
    let stated = headers(&[("retry-after", "120")]);
    assert_eq!(Limits::default().failed(entry(0), Some(&stated)), Some(Duration::from_secs(120)));
}

#[tokio::test(start_paused = true)]
async fn an_envelope_that_fails_waits_alone_until_another_one_fails_too() {
    let mut limits = Limits::default();
    for _ in 0..3 {
        let pause = limits.failed(entry(1), None).expect("another time");
        assert_eq!(limits.rank(entry(1), Instant::now()), None);
        assert_eq!(limits.rank(entry(2), Instant::now()), Some(0));
        advance(pause).await;
    }
    // After its pause it comes behind those that did not fail.
    assert_eq!(limits.rank(entry(1), Instant::now()), Some(3));
    let pause = limits.failed(entry(2), None).expect("another time");
    assert!(!allow(&limits, "error"));
    advance(pause).await;
    assert!(allow(&limits, "error"));
    assert_eq!(limits.rank(entry(3), Instant::now()), Some(0));
    limits.delivered(&HeaderMap::new());
    limits.forget(entry(2));
    assert_eq!(limits.rank(entry(2), Instant::now()), Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_envelope_is_given_up_only_when_others_got_through_each_time() {
    let mut limits = Limits::default();
    for _ in 0..100 {
        assert!(limits.failed(entry(1), None).is_some(), "the upstream may be down");
    }
    for _ in 1..STRIKES {
        limits.delivered(&HeaderMap::new());
        assert!(limits.failed(entry(1), None).is_some() && limits.failed(entry(1), None).is_some());
    }
    limits.delivered(&HeaderMap::new());
    assert_eq!(limits.failed(entry(1), None), None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_read_pauses_nobody_else() {
    let mut limits = Limits::default();
    let pauses: Vec<_> = (1..=3).map(|number| limits.unread(entry(number)).expect("another time")).collect();
    assert!(allow(&limits, "error"));
    assert_eq!(limits.rank(entry(4), Instant::now()), Some(0));
    assert_eq!(limits.next_end(Instant::now()), pauses.into_iter().min().map(|pause| Instant::now() + pause));
}
