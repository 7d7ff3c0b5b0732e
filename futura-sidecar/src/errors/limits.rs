//! When to send next: the pauses that the upstream asks for, by category, and a backoff of our own when it does not answer.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::RETRY_AFTER};
use tokio::time::Instant;
use uuid::Uuid;

use super::envelope;

/// How long a limit holds that does not say.
const UNSTATED: Duration = Duration::from_secs(60);

/// The longest pause, whatever the upstream says: a wrong clock there must not stop us for a year.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The first pause after a failed delivery; each further one doubles it.
const BACKOFF: Duration = Duration::from_secs(1);

/// The longest pause of our own.
const BACKOFF_LONGEST: Duration = Duration::from_secs(300);

/// Pauses, for all envelopes or for those of one category.
#[derive(Debug, Default)]
pub(super) struct Limits {
    all_until: Option<Instant>,
    until: BTreeMap<&'static str, Instant>,
    failures: u32,
}

// === impl Limits ===

impl Limits {
    /// Whether envelopes of a category may be sent.
    pub(super) fn allow(&self, category: &str, now: Instant) -> bool {
        let over = |until: Option<&Instant>| until.is_none_or(|until| *until <= now);
        over(self.all_until.as_ref()) && over(self.until.get(category))
    }

    /// When the next pause ends.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let all = self.all_until.filter(|until| *until > now);
        all.or_else(|| self.until.values().filter(|until| **until > now).min().copied())
    }

    /// The upstream took an envelope; it may announce limits all the same.
    pub(super) fn delivered(&mut self, headers: &HeaderMap) {
        self.failures = 0;
        self.announced(headers);
    }

    /// The upstream limits envelopes of this category, for as long as it says.
    pub(super) fn limited(&mut self, category: &'static str, headers: &HeaderMap) {
        self.failures = 0;
        let stated = retry_after(headers);
        if !self.announced(headers) {
            self.pause_all(stated.unwrap_or(UNSTATED));
        } else if self.allow(category, Instant::now()) {
            self.pause(category, stated.unwrap_or(UNSTATED));
        }
    }

    /// The upstream did not answer, or failed; returns how long the pause is.
    pub(super) fn failed(&mut self, headers: Option<&HeaderMap>) -> Duration {
        let pause = headers.and_then(retry_after).unwrap_or_else(|| backoff(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.pause_all(pause);
        pause
    }

    /// Takes in `X-Sentry-Rate-Limits`; tells whether there were any.
    fn announced(&mut self, headers: &HeaderMap) -> bool {
        let values = headers.get_all("x-sentry-rate-limits").iter().filter_map(|value| value.to_str().ok());
        let mut any = false;
        for limit in values.flat_map(|value| value.split(',')).filter(|limit| !limit.trim().is_empty()) {
            any = true;
            let mut fields = limit.split(':').map(str::trim);
            let pause = fields.next().and_then(seconds).unwrap_or(UNSTATED);
            match fields.next().unwrap_or_default() {
                "" => self.pause_all(pause),
                names => names.split(';').filter_map(envelope::known_category).for_each(|name| self.pause(name, pause)),
            }
        }
        any
    }

    fn pause_all(&mut self, pause: Duration) {
        self.all_until = self.all_until.max(Some(Instant::now() + pause.min(LONGEST)));
    }

    fn pause(&mut self, category: &'static str, pause: Duration) {
        let end = Instant::now() + pause.min(LONGEST);
        let until = self.until.entry(category).or_insert(end);
        *until = end.max(*until);
    }
}

/// Doubles with each failure, and takes between half and all of it, so that many sidecars do not come back at once.
fn backoff(failures: u32) -> Duration {
    let full = BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(BACKOFF_LONGEST);
    let random = (Uuid::new_v4().as_u128() >> 96) as f64 / f64::from(u32::MAX);
    full.mul_f64(0.5 + random / 2.0)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let date =
        || httpdate::parse_http_date(text).ok().map(|date| date.duration_since(SystemTime::now()).unwrap_or_default());
    seconds(text).or_else(date)
}

/// Fractions are allowed; more than anyone can wait is cut.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

#[cfg(test)]
mod tests;
