//! The forwarding side: one task that sends the oldest envelope that may be sent, until the upstream has taken it.
//!
//! An envelope goes to the dead letters when the upstream says that it is wrong, or when it fails again and again while
//! others get through. An upstream that is down, or that knows neither us nor the project, is waited for.

use std::{
    future::Future,
    io::{self, SeekFrom},
    mem,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_compression::tokio::write::GzipEncoder;
use futura_metrics::specs::errors::DropReason;
use http::{HeaderMap, HeaderName, StatusCode, header};
use reqwest::{Client, redirect::Policy};
use time::UtcDateTime;
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt, copy},
    select,
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};
use tracing::field;

use super::{
    Upstream,
    limits::{Limits, Paused},
    metrics::ErrorsMetrics,
    spool::{self, Entry, Spool},
};
use crate::network::Network;

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause that is waited out at the end: the grace period goes to what can be delivered in it.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How much of an upstream's explanation is logged.
const DETAIL_LIMIT: usize = 200;

/// Sends what is in the spool.
pub(super) struct Forwarder {
    spool: Arc<Spool>,
    sender: Sender,
    metrics: ErrorsMetrics,
    failure: LastFailure,
    limits: Limits,
}

/// Why the last delivery failed, until one succeeds.
#[derive(Clone, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<String>>>);

/// Sends one envelope.
struct Sender {
    client: Client,
    upstream: Upstream,
    url: url::Url,
    auth: String,
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
        paused: Paused,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { spool, sender: Sender::new(upstream, network)?, metrics, failure, limits: Limits::new(paused) })
    }

    /// Forwards until `closed` says that nothing can arrive any more, and then what is left.
    ///
    /// A pod's disk may go with it, so the rest is tried, over short pauses too; but nothing waits long for an upstream
    /// that does not answer. Whoever runs this cuts it off when the time is over.
    pub(super) async fn run(mut self, closed: impl Future<Output = ()>) {
        let mut closed = pin!(closed);
        let mut closing = false;
        loop {
            let now = Instant::now();
            if let Some(entry) = self.spool.next(|entry| self.limits.rank(entry, now)) {
                let sent = timeout(TIMEOUT, self.sender.send(self.spool.file(entry))).await;
                let late = || Outcome::Failed(None, format!("no answer within {TIMEOUT:?}"));
                self.conclude(entry, sent.unwrap_or_else(|_| late())).await;
                continue;
            }
            let end = self.limits.next_end(now);
            if closing && (self.spool.size().0 == 0 || end.is_none_or(|end| end > now + LAST_PAUSE)) {
                break;
            }
            select! {
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

    async fn conclude(&mut self, entry: Entry, outcome: Outcome) {
        match outcome {
            Outcome::Delivered(headers) => {
                self.limits.delivered(&headers);
                self.metrics.forwarded.inc();
                if self.failure.set(None) {
                    tracing::info!("the upstream takes envelopes again");
                }
                self.settle(entry, Spool::remove).await;
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

    async fn bury(&mut self, entry: Entry, reason: DropReason, message: String) {
        tracing::warn!(reason = reason.as_str(), detail = %message, file = %self.spool.file(entry).display(), "an envelope will not be delivered and is kept in `dead`");
        self.metrics.dropped(reason).inc();
        self.failure.set(Some(message));
        self.settle(entry, Spool::bury).await;
    }

    /// Takes an envelope out of the spool, off the runtime's threads.
    async fn settle(&mut self, entry: Entry, how: fn(&Spool, Entry)) {
        self.limits.forget(entry);
        let spool = Arc::clone(&self.spool);
        if let Err(error) = spawn_blocking(move || how(&spool, entry)).await {
            tracing::error!(%error, "the spool failed");
        }
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
            network.client(upstream.speaks_tls()).pool_max_idle_per_host(1).redirect(Policy::none()).build()?;
        let agent = concat!("futura-sidecar/", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            client,
            url: upstream.0.envelope_api_url(),
            auth: upstream.0.to_auth(Some(agent)).to_string(),
            upstream,
        })
    }

    async fn send(&self, path: PathBuf) -> Outcome {
        let body = match self.body(path).await {
            Ok(body) => body,
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) => {
                return Outcome::Lost(error.to_string());
            }
            Err(error) => return Outcome::Unread(format!("the spool cannot be read: {error}")),
        };
        let request = self
            .client
            .post(self.url.clone())
            .header(HeaderName::from_static("x-sentry-auth"), &self.auth)
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
    async fn body(&self, path: PathBuf) -> io::Result<Vec<u8>> {
        let (file, head) =
            spawn_blocking(move || Ok::<_, io::Error>((std::fs::File::open(&path)?, spool::head(&path)?))).await??;
        let mut file = File::from_std(file);
        file.seek(SeekFrom::Start(head.header_length() as u64)).await?;
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(&head.rewritten(&self.upstream.0, UtcDateTime::now())).await?;
        copy(&mut file, &mut encoder).await?;
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
