//! The forwarding side: one task that sends the oldest envelopes that may be sent, until the upstream has taken them.
//!
//! How many are on their way at once grows as they are delivered, and is one again when something fails.
//! An envelope goes to the dead letters when the upstream says that it is wrong, or when it fails again and again while
//! others get through. An upstream that is down, or that knows neither us nor the project, is waited for; where there is
//! another for that case, it takes what comes, until the first answers again.

use std::{
    future::Future,
    io, mem,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futura_metrics::specs::errors::DropReason;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    select,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::field;

use self::{
    sender::{Attempt, Outcome, Sender},
    target::{Target, WINDOW},
};
use super::{
    Upstream,
    limits::{Limits, Paused},
    metrics::ErrorsMetrics,
    reports::Discards,
    spool::{Entry, Spool},
};
use crate::network::Network;

mod sender;
mod target;

/// The longest pause that is waited out at the end: the grace period goes to what can be delivered in it.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Sends what is in the spool.
pub(super) struct Forwarder {
    spool: Arc<Spool>,
    /// The upstream, and the one that takes its place while it is down.
    targets: Vec<Target>,
    metrics: ErrorsMetrics,
    failure: LastFailure,
    discards: Discards,
}

/// Why the last delivery failed, until one succeeds.
#[derive(Clone, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<String>>>);

// === impl Forwarder ===

impl Forwarder {
    /// Sends to the first upstream, whose limits are `paused`, and while it is down to the others.
    pub(super) fn new(
        spool: Arc<Spool>,
        upstreams: impl IntoIterator<Item = (Upstream, Paused)>,
        network: &Network,
        metrics: ErrorsMetrics,
        failure: LastFailure,
        discards: Discards,
    ) -> Result<Self, reqwest::Error> {
        let target = |(upstream, paused)| Ok(Target::new(Sender::new(upstream, network)?, Limits::new(paused)));
        let targets = upstreams.into_iter().map(target).collect::<Result<_, reqwest::Error>>()?;
        Ok(Self { spool, targets, metrics, failure, discards })
    }

    /// Forwards until `closed` says that nothing can arrive any more, and then what is left.
    ///
    /// A pod's disk may go with it, so the rest is tried, over short pauses too; but nothing waits long for an upstream
    /// that does not answer. Whoever runs this cuts it off when the time is over.
    pub(super) async fn run(mut self, closed: impl Future<Output = ()>) {
        let (mut closed, mut closing) = (pin!(closed), false);
        let mut attempts = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            while let Some((entry, number)) = self.next(now) {
                let target = &mut self.targets[number];
                target.sending.insert(entry.number, self.spool.length(entry));
                attempts.push(target.sender.clone().attempt(Arc::clone(&self.spool), entry, number));
            }
            let end = self.targets.iter().filter_map(|target| target.limits.next_end(now)).min();
            let left = self.spool.size().0 > 0 && end.is_some_and(|end| end <= now + LAST_PAUSE);
            if closing && attempts.is_empty() && !left {
                break;
            }
            select! {
                Some(attempt) = attempts.next() => self.conclude(attempt).await,
                () = &mut closed, if !closing => closing = true,
                () = self.spool.arrived() => {}
                () = sleep_until(end.unwrap_or(now)), if end.is_some() => {}
            }
        }
        let (envelopes, bytes) = self.spool.size();
        if envelopes > 0 {
            tracing::warn!(envelopes, bytes, "envelopes stay in the spool");
        }
    }

    /// The envelope that is to be sent next and whereto, if one may be.
    fn next(&self, now: Instant) -> Option<(Entry, usize)> {
        let is_sent = |entry: Entry| self.targets.iter().any(|target| target.sending.contains_key(&entry.number));
        let next = |number: usize| Some((self.targets[number].next(&self.spool, now, is_sent)?, number));
        // Each takes the place of all before it, once they are down.
        (0..self.targets.len())
            .take_while(|number| self.targets[..*number].iter().all(|target| target.limits.is_down()))
            .find_map(next)
    }

    async fn conclude(&mut self, attempt: Attempt) {
        if self.targets[attempt.target].ended(&attempt) {
            // It failed with another one, and comes again like one that was not sent.
            return self.metrics.retries.inc();
        }
        let Attempt { entry, target: number, outcome, .. } = attempt;
        let stands_in = number > 0;
        let limits = &mut self.targets[number].limits;
        match outcome {
            Outcome::Delivered(headers) => {
                limits.delivered(&headers);
                self.delivered(entry, number).await;
            }
            Outcome::Limited(headers) => {
                limits.limited(entry.category, &headers);
                self.wait(&format!("the upstream limits envelopes of category {}", entry.category), None);
            }
            Outcome::Unreachable(message) => {
                let pause = limits.unreachable();
                self.wait(&message, Some(pause));
            }
            Outcome::Failed(headers, message) => match limits.failed(entry, headers.as_ref()) {
                Some(pause) => self.wait(&message, Some(pause)),
                // The first upstream may still take it.
                None if stands_in => self.refused_by_stand_in(entry, number, &message),
                None => self.bury(entry, DropReason::Undeliverable, message).await,
            },
            Outcome::Unread(message) => match limits.unread(entry) {
                Some(pause) => self.wait(&message, Some(pause)),
                None => self.bury(entry, DropReason::SpoolError, message).await,
            },
            Outcome::Refused(message) if stands_in => self.refused_by_stand_in(entry, number, &message),
            Outcome::Refused(message) => self.bury(entry, DropReason::Refused, message).await,
            Outcome::Lost(message) => self.bury(entry, DropReason::SpoolError, message).await,
        }
        self.keep_limits().await;
    }

    async fn delivered(&mut self, entry: Entry, number: usize) {
        let target = &mut self.targets[number];
        target.window = (target.window * 2).min(WINDOW);
        self.metrics.forwarded.inc();
        // What another takes in its place does not mean that the first one is well.
        if number == 0 && self.failure.set(None) {
            tracing::info!("the upstream takes envelopes again");
        }
        self.forget(entry);
        let removed = self.settle(move |spool| {
            spool.remove(entry);
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::error!(%error, "the spool failed");
        }
    }

    fn forget(&mut self, entry: Entry) {
        self.targets.iter_mut().for_each(|target| target.forget(entry));
    }

    fn refused_by_stand_in(&mut self, entry: Entry, number: usize, message: &str) {
        self.targets[number].refused.insert(entry.number);
        self.wait(message, None);
    }

    /// Writes down the limits that were announced, so that a restart does not forget them.
    async fn keep_limits(&self) {
        for limits in self.targets.iter().filter_map(|target| target.limits.unkept()) {
            let kept = spawn_blocking(move || limits.keep()).await.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = kept {
                tracing::warn!(%error, "the upstream's limits cannot be written down: a restart forgets them");
            }
        }
    }

    /// Leaves an envelope for later; what is wrong is logged when it changes, not each time.
    fn wait(&self, message: &str, pause: Option<Duration>) {
        self.metrics.retries.inc();
        let pause = pause.map(field::debug);
        match self.failure.set(Some(message.to_owned())) {
            true => {
                tracing::warn!(detail = %message, pause, "an envelope could not be forwarded and waits in the spool");
            }
            false => tracing::debug!(detail = %message, pause, "an envelope still waits in the spool"),
        }
    }

    /// Puts an envelope among the dead letters; one that cannot be written there stays in the spool.
    async fn bury(&mut self, entry: Entry, reason: DropReason, message: String) {
        let settled = self.settle(move |spool| spool.bury(entry, reason)).await;
        self.failure.set(Some(message.clone()));
        if let Err(error) = settled {
            let pause = self.targets[0].limits.unread(entry).map(field::debug);
            tracing::error!(%error, detail = %message, pause, "an envelope will not be delivered and cannot be kept in `dead`");
            return;
        }
        tracing::warn!(reason = reason.as_str(), detail = %message, "an envelope will not be delivered and is kept in `dead`");
        self.forget(entry);
        self.metrics.dropped(reason).inc();
        self.discards.given_up(reason, entry.category);
    }

    /// Changes the spool, off the runtime's threads.
    async fn settle(&self, change: impl FnOnce(&Spool) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let spool = Arc::clone(&self.spool);
        spawn_blocking(move || change(&spool)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

// === impl LastFailure ===

impl LastFailure {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether that is another one than before.
    fn set(&self, failure: Option<String>) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *last, failure) != *last
    }
}

#[cfg(test)]
mod tests;
