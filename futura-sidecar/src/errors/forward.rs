//! The forwarding side: one task that sends the oldest envelopes that may be sent, until the upstream has taken them.
//!
//! How many are on their way at once grows as they are delivered, and is one again when something fails.
//! An envelope goes to the dead letters when the upstream says that it is wrong, or when it fails again and again while
//! others get through. An upstream that is down, or that knows neither us nor the project, is waited for.

use std::{
    collections::BTreeMap,
    future::Future,
    io, mem,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_compression::{Level, tokio::write::GzipEncoder};
use futura_metrics::specs::errors::DropReason;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{HeaderMap, HeaderName, StatusCode, header};
use reqwest::{Client, redirect::Policy};
use time::UtcDateTime;
use tokio::{
    io::AsyncWriteExt,
    select,
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};
use tracing::field;

use super::{
    Upstream,
    envelope::Head,
    limits::{Limits, Paused},
    metrics::ErrorsMetrics,
    reports::Discards,
    spool::{Entry, Spool},
};
use crate::network::Network;

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause that is waited out at the end: the grace period goes to what can be delivered in it.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How many envelopes are on their way at once at the most.
const WINDOW: usize = 16;

/// How many bytes of envelopes are on their way at once, unless one is larger.
const WINDOW_BYTES: u64 = 32 * 1024 * 1024;

/// How much of an upstream's explanation is logged.
const DETAIL_LIMIT: usize = 200;

/// Sends what is in the spool.
pub(super) struct Forwarder {
    spool: Arc<Spool>,
    sender: Sender,
    metrics: ErrorsMetrics,
    failure: LastFailure,
    limits: Limits,
    discards: Discards,
    /// The envelopes that are on their way, and their lengths.
    sending: BTreeMap<u64, u64>,
    /// How many may be.
    window: usize,
    /// When a delivery failed for the last time: what had begun before may fail for the same cause.
    failed_at: Option<Instant>,
}

/// An attempt to deliver an envelope, and what became of it.
struct Attempt {
    entry: Entry,
    began: Instant,
    outcome: Outcome,
}

/// Why the last delivery failed, until one succeeds.
#[derive(Clone, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<String>>>);

/// Sends envelopes. Clones share their connections.
#[derive(Clone)]
struct Sender {
    client: Client,
    upstream: Upstream,
    url: url::Url,
    auth: Arc<str>,
}

/// What became of one delivery.
#[derive(Debug)]
enum Outcome {
    Delivered(HeaderMap),
    Limited(HeaderMap),
    /// The upstream will never take it.
    Refused(String),
    /// It may be taken another time.
    Failed(Option<HeaderMap>, String),
    /// There was no connection, so the envelope had no part in it.
    Unreachable(String),
    /// The file cannot be read, this time at least.
    Unread(String),
    /// The envelope in the spool is gone or is none.
    Lost(String),
}

// === impl Forwarder ===

impl Forwarder {
    pub(super) fn new(
        spool: Arc<Spool>,
        upstream: Upstream,
        network: &Network,
        metrics: ErrorsMetrics,
        failure: LastFailure,
        (paused, discards): (Paused, Discards),
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            spool,
            sender: Sender::new(upstream, network)?,
            metrics,
            failure,
            limits: Limits::new(paused),
            discards,
            sending: BTreeMap::new(),
            window: 1,
            failed_at: None,
        })
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
            while let Some(entry) = self.next(now) {
                self.sending.insert(entry.number, self.spool.length(entry));
                attempts.push(attempt(Arc::clone(&self.spool), self.sender.clone(), entry));
            }
            let end = self.limits.next_end(now);
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

    /// The envelope that is to be sent next, if one may be.
    fn next(&self, now: Instant) -> Option<Entry> {
        if self.sending.len() >= self.window {
            return None;
        }
        let free = |entry: Entry| !self.sending.contains_key(&entry.number);
        let rank = |entry| free(entry).then(|| self.limits.rank(entry, now)).flatten();
        let entry = self.spool.next(|category| self.limits.allow(category, now), rank)?;
        let bytes = self.sending.values().sum::<u64>() + self.spool.length(entry);
        (self.sending.is_empty() || bytes <= WINDOW_BYTES).then_some(entry)
    }

    async fn conclude(&mut self, Attempt { entry, began, outcome }: Attempt) {
        self.sending.remove(&entry.number);
        if outcome.is_upstreams() {
            self.window = 1;
            if self.failed_at.replace(Instant::now()).is_some_and(|failed| began < failed) {
                // It failed with another one, and comes again like one that was not sent.
                return self.metrics.retries.inc();
            }
        }
        match outcome {
            Outcome::Delivered(headers) => {
                self.limits.delivered(&headers);
                self.window = (self.window * 2).min(WINDOW);
                self.metrics.forwarded.inc();
                if self.failure.set(None) {
                    tracing::info!("the upstream takes envelopes again");
                }
                self.limits.forget(entry);
                let removed = self.settle(move |spool| {
                    spool.remove(entry);
                    Ok(())
                });
                if let Err(error) = removed.await {
                    tracing::error!(%error, "the spool failed");
                }
            }
            Outcome::Limited(headers) => {
                self.limits.limited(entry.category, &headers);
                self.wait(&format!("the upstream limits envelopes of category {}", entry.category), None);
            }
            Outcome::Unreachable(message) => {
                let pause = self.limits.unreachable();
                self.wait(&message, Some(pause));
            }
            Outcome::Failed(headers, message) => match self.limits.failed(entry, headers.as_ref()) {
                Some(pause) => self.wait(&message, Some(pause)),
                None => self.bury(entry, DropReason::Undeliverable, message).await,
            },
            Outcome::Unread(message) => match self.limits.unread(entry) {
                Some(pause) => self.wait(&message, Some(pause)),
                None => self.bury(entry, DropReason::SpoolError, message).await,
            },
            Outcome::Refused(message) => self.bury(entry, DropReason::Refused, message).await,
            Outcome::Lost(message) => self.bury(entry, DropReason::SpoolError, message).await,
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
            let pause = self.limits.unread(entry).map(field::debug);
            tracing::error!(%error, detail = %message, pause, "an envelope will not be delivered and cannot be kept in `dead`");
            return;
        }
        tracing::warn!(reason = reason.as_str(), detail = %message, "an envelope will not be delivered and is kept in `dead`");
        self.limits.forget(entry);
        self.metrics.dropped(reason).inc();
        self.discards.given_up(reason, entry.category);
    }

    /// Changes the spool, off the runtime's threads.
    async fn settle(&self, change: impl FnOnce(&Spool) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let spool = Arc::clone(&self.spool);
        spawn_blocking(move || change(&spool)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Sends an envelope, within its time.
async fn attempt(spool: Arc<Spool>, sender: Sender, entry: Entry) -> Attempt {
    let began = Instant::now();
    let late = || Outcome::Failed(None, format!("no answer within {TIMEOUT:?}"));
    let outcome = timeout(TIMEOUT, sender.send(spool, entry)).await.unwrap_or_else(|_| late());
    Attempt { entry, began, outcome }
}

// === impl Outcome ===

impl Outcome {
    /// Whether it may be the upstream that failed, and not the envelope.
    fn is_upstreams(&self) -> bool {
        matches!(self, Self::Limited(_) | Self::Failed(..) | Self::Unreachable(_))
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

// === impl Sender ===

impl Sender {
    fn new(upstream: Upstream, network: &Network) -> Result<Self, reqwest::Error> {
        // A redirect would turn the envelope into a GET; the operator is to correct the DSN.
        let client =
            network.client(upstream.speaks_tls()).pool_max_idle_per_host(WINDOW).redirect(Policy::none()).build()?;
        let agent = concat!("futura-sidecar/", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            client,
            url: upstream.0.envelope_api_url(),
            auth: upstream.0.to_auth(Some(agent)).to_string().into(),
            upstream,
        })
    }

    async fn send(&self, spool: Arc<Spool>, entry: Entry) -> Outcome {
        let body = match self.body(spool, entry).await {
            Ok(body) => body,
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) => {
                return Outcome::Lost(error.to_string());
            }
            Err(error) => return Outcome::Unread(format!("the spool cannot be read: {error}")),
        };
        let request = self
            .client
            .post(self.url.clone())
            .header(HeaderName::from_static("x-sentry-auth"), &*self.auth)
            .header(header::CONTENT_TYPE, "application/x-sentry-envelope")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(body);
        match request.send().await {
            Ok(response) => judge(response.status(), response.headers().clone()),
            Err(error) if error.is_connect() => Outcome::Unreachable(crate::chain(&error.without_url())),
            Err(error) => Outcome::Failed(None, crate::chain(&error.without_url())),
        }
    }

    /// The envelope under the upstream's name, compressed.
    async fn body(&self, spool: Arc<Spool>, entry: Entry) -> io::Result<Vec<u8>> {
        let envelope = spawn_blocking(move || spool.read(entry)).await??;
        let head = Head::parse(&envelope).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let items = &envelope[head.header_length()..];
        let mut encoder = GzipEncoder::with_quality(Vec::new(), Level::Fastest);
        encoder.write_all(&head.rewritten(&self.upstream.0, UtcDateTime::now())).await?;
        encoder.write_all(items).await?;
        encoder.shutdown().await?;
        Ok(encoder.into_inner())
    }
}

fn judge(status: StatusCode, headers: HeaderMap) -> Outcome {
    let detail = headers.get("x-sentry-error").and_then(|detail| detail.to_str().ok()).unwrap_or_default();
    let message = format!("the upstream answered {status} {}", detail.chars().take(DETAIL_LIMIT).collect::<String>())
        .trim_end()
        .to_owned();
    match status {
        _ if status.is_success() => Outcome::Delivered(headers),
        StatusCode::TOO_MANY_REQUESTS => Outcome::Limited(headers),
        // These are about the envelope; all others may be about the key, the project or whatever stands in between.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused(message),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Outcome::Failed(Some(headers), format!("{message}: see to the DSN in `errors.upstream`"))
        }
        _ => Outcome::Failed(Some(headers), message),
    }
}

#[cfg(test)]
mod tests;
