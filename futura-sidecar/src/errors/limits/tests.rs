use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, advance};

use super::{BACKOFF_LONGEST, Limits, backoff};

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
async fn failures_back_off_and_a_delivery_ends_that() {
    let mut limits = Limits::default();
    for (failures, seconds) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].into_iter().enumerate() {
        let full = Duration::from_secs(seconds);
        let pause = limits.failed(None);
        assert!(full / 2 <= pause && pause <= full, "after {failures}: {pause:?}");
        assert!(!allow(&limits, "error"));
        advance(pause).await;
        assert!(allow(&limits, "error"));
    }
    limits.delivered(&HeaderMap::new());
    assert!(limits.failed(None) <= Duration::from_secs(1));
    assert_eq!(limits.failed(Some(&headers(&[("retry-after", "120")]))), Duration::from_secs(120));
    assert!(backoff(u32::MAX) <= BACKOFF_LONGEST);
}
