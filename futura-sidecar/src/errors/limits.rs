//! When to send what: the pauses that the upstream asks for, by category, and a backoff of our own where something failed.
//!
//! A failure may be the upstream's or the envelope's. An envelope that failed waits while the next one is tried; only when
//! that fails too, all wait. One that fails again and again while others get through is given up.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header::RETRY_AFTER};
use tokio::time::Instant;

use self::paused::ALL;
use super::{envelope, spool::Entry};

pub(super) use self::paused::Paused;

mod paused;

/// How long a limit holds that does not say.
const UNSTATED: Duration = Duration::from_secs(60);

/// The longest pause, whatever the upstream says: a wrong clock there must not stop us for a year.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The first pause after a failed delivery; each further one doubles it.
const BACKOFF: Duration = Duration::from_secs(1);

/// The longest pause of our own.
const BACKOFF_LONGEST: Duration = Duration::from_secs(300);

/// After how many failures in a row an upstream counts as down: with the pauses between them that is some seconds.
const DOWN: u32 = 3;

/// How often an envelope may fail after others got through, until it is given up: an upstream that answers every second
/// request only would have to miss the same one ten times.
const STRIKES: u32 = 10;

/// Pauses, for all envelopes, for those of one category or for one alone.
#[derive(Debug, Default)]
pub(super) struct Limits {
    all_until: Option<Instant>,
    paused: Paused,
    /// The envelopes that failed and are still in the spool. They are few: each new one makes the pauses for all longer.
    failing: BTreeMap<u64, Failing>,
    /// How often something failed since the last delivery.
    failures: u32,
    /// The first envelope that failed since then: as long as it is the only one, it may be the one to blame.
    suspect: Option<u64>,
    deliveries: u64,
}

/// What is known of an envelope that failed.
#[derive(Debug)]
struct Failing {
    attempts: u32,
    until: Instant,
    /// How many deliveries there were when it last failed.
    deliveries: u64,
    /// How often it failed although others had got through since its failure before.
    strikes: u32,
}

// === impl Limits ===

impl Limits {
    /// The categories that are limited, for whoever takes envelopes in.
    pub(super) fn new(paused: Paused) -> Self {
        Self { paused, ..Self::default() }
    }

    /// How an envelope ranks among those of an allowed category, lowest first; none if it may not be sent now.
    pub(super) fn rank(&self, entry: Entry, now: Instant) -> Option<u32> {
        let failing = self.failing.get(&entry.number);
        let waits = failing.is_some_and(|failing| failing.until > now);
        (!waits).then(|| failing.map_or(0, |failing| failing.attempts))
    }

    /// When the next pause ends.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let all = self.all_until.max(self.paused.all_until()).filter(|until| *until > now);
        let failing = self.failing.values().map(|failing| failing.until);
        all.or_else(|| failing.chain(self.paused.ends()).filter(|until| *until > now).min())
    }

    /// Whether the upstream has failed so often in a row that another may take its place.
    pub(super) fn is_down(&self) -> bool {
        self.failures >= DOWN
    }

    /// What the upstream has announced, if that is not written down yet.
    pub(super) fn unkept(&self) -> Option<Paused> {
        self.paused.is_changed().then(|| self.paused.clone())
    }

    /// The upstream took an envelope; it may announce limits all the same.
    pub(super) fn delivered(&mut self, headers: &HeaderMap) {
        self.failures = 0;
        self.suspect = None;
        self.deliveries += 1;
        self.announced(headers);
    }

    /// The upstream limits envelopes of this category, for as long as it says, but never so short that we would hammer it.
    pub(super) fn limited(&mut self, category: &'static str, headers: &HeaderMap) {
        let (stated, least) = (retry_after(headers), backoff(self.failures));
        let announced = self.announced(headers);
        let open = self.allow(category, Instant::now() + least);
        // A limit that holds for a time is no failure; one that does not is an upstream that asks to be left alone.
        let stands = !open || stated.is_none_or(|stated| stated >= least);
        self.failures = if stands { 0 } else { self.failures.saturating_add(1) };
        let pause = stated.unwrap_or(UNSTATED).max(least);
        match announced {
            false => self.paused.pause(ALL, pause),
            true if open => self.paused.pause(category, pause),
            true => {}
        }
    }

    /// The upstream cannot be reached, which no envelope is to blame for; returns how long the pause is.
    pub(super) fn unreachable(&mut self) -> Duration {
        let pause = backoff(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.pause_all(pause);
        pause
    }

    /// The upstream did not take an envelope; returns how long it waits, or none when it is to be given up.
    pub(super) fn failed(&mut self, entry: Entry, headers: Option<&HeaderMap>) -> Option<Duration> {
        let waits = self.unread(entry)?;
        let stated = headers.and_then(retry_after);
        let alone = *self.suspect.get_or_insert(entry.number) == entry.number;
        let pause = backoff(self.failures);
        self.failures = self.failures.saturating_add(1);
        if alone && stated.is_none() {
            return Some(waits);
        }
        let pause = stated.unwrap_or_default().max(pause);
        self.pause_all(pause);
        Some(waits.max(pause.min(LONGEST)))
    }

    /// An envelope cannot be read, which is not the upstream's affair; returns how long it waits, or none when it is to be
    /// given up.
    pub(super) fn unread(&mut self, entry: Entry) -> Option<Duration> {
        let (now, deliveries) = (Instant::now(), self.deliveries);
        let new = Failing { attempts: 0, until: now, deliveries, strikes: 0 };
        let failing = self.failing.entry(entry.number).or_insert(new);
        let pause = backoff(failing.attempts);
        failing.attempts = failing.attempts.saturating_add(1);
        failing.until = now + pause;
        if failing.deliveries < deliveries {
            failing.deliveries = deliveries;
            failing.strikes += 1;
        }
        (failing.strikes < STRIKES).then_some(pause)
    }

    /// An envelope is out of the spool.
    pub(super) fn forget(&mut self, entry: Entry) {
        self.failing.remove(&entry.number);
        self.suspect = self.suspect.filter(|suspect| *suspect != entry.number);
    }

    /// Whether envelopes of a category may be sent.
    pub(super) fn allow(&self, category: &str, now: Instant) -> bool {
        self.all_until.is_none_or(|until| until <= now) && self.paused.left(category, now).is_none()
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
                "" => self.paused.pause(ALL, pause),
                names => names
                    .split(';')
                    .filter_map(envelope::known_category)
                    .for_each(|name| self.paused.pause(name, pause)),
            }
        }
        any
    }

    fn pause_all(&mut self, pause: Duration) {
        self.all_until = self.all_until.max(Some(Instant::now() + pause.min(LONGEST)));
    }
}

/// Doubles with each failure, and takes between half and all of it, so that many sidecars do not come back at once.
fn backoff(failures: u32) -> Duration {
    let full = BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(BACKOFF_LONGEST);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
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
