//! The forwarding side: one task that sends the oldest envelope that may be sent, until the upstream has taken it.

use std::{
    future::Future,
    io::{self, SeekFrom},
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

use super::{
    Upstream,
    limits::Limits,
    metrics::ErrorsMetrics,
    spool::{self, Entry, Spool},
};
use crate::checks::Network;

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(30);

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
    /// The envelope in the spool is gone or is none.
    Unreadable(String),
}

// === impl Forwarder ===

impl Forwarder {
    pub(super) fn new(
        spool: Arc<Spool>,
        upstream: Upstream,
        network: &Network,
        metrics: ErrorsMetrics,
        failure: LastFailure,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self { spool, sender: Sender::new(upstream, network)?, metrics, failure, limits: Limits::default() })
    }

    /// Forwards until `stop`, and then what is left as long as the upstream takes it.
    ///
    /// A pod's disk may go with it, so the rest is tried; but nothing waits for an upstream that does not answer.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut stopping = false;
        loop {
            let now = Instant::now();
            let next = self.spool.next(|category| self.limits.allow(category, now));
            if let Some(entry) = next {
                self.forward(entry).await;
                continue;
            }
            if stopping {
                break;
            }
            let pause = self.limits.next_end(now);
            select! {
                () = &mut stop => stopping = true,
                () = self.spool.arrived() => {}
                () = sleep_until(pause.unwrap_or(now)), if pause.is_some() => {}
            }
        }
        let (envelopes, bytes) = self.spool.size();
        if envelopes > 0 {
            tracing::warn!(envelopes, bytes, "envelopes stay in the spool");
        }
    }

    async fn forward(&mut self, entry: Entry) {
        let sent = timeout(TIMEOUT, self.sender.send(self.spool.file(entry))).await;
        match sent.unwrap_or_else(|_| Outcome::Failed(None, format!("no answer within {TIMEOUT:?}"))) {
            Outcome::Delivered(headers) => {
                self.limits.delivered(&headers);
                self.failure.set(None);
                self.metrics.forwarded.inc();
                self.settle(entry, Spool::remove).await;
            }
            Outcome::Limited(headers) => {
                self.limits.limited(entry.category, &headers);
                self.metrics.retries.inc();
                tracing::warn!(category = entry.category, "the upstream limits envelopes; they wait in the spool");
                self.failure.set(Some(format!("the upstream limits envelopes of category {}", entry.category)));
            }
            Outcome::Failed(headers, message) => {
                let pause = self.limits.failed(headers.as_ref());
                self.metrics.retries.inc();
                tracing::warn!(detail = %message, ?pause, "an envelope could not be forwarded and waits in the spool");
                self.failure.set(Some(message));
            }
            Outcome::Refused(message) => self.bury(entry, DropReason::Refused, message).await,
            Outcome::Unreadable(message) => self.bury(entry, DropReason::SpoolError, message).await,
        }
    }

    async fn bury(&mut self, entry: Entry, reason: DropReason, message: String) {
        tracing::warn!(reason = reason.as_str(), detail = %message, file = %self.spool.file(entry).display(), "an envelope will not be delivered and is kept in `dead`");
        self.metrics.dropped(reason).inc();
        self.failure.set(Some(message));
        self.settle(entry, Spool::bury).await;
    }

    /// Touches files off the runtime's threads.
    async fn settle(&self, entry: Entry, how: fn(&Spool, Entry)) {
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

    fn set(&self, failure: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

// === impl Sender ===

impl Sender {
    fn new(upstream: Upstream, network: &Network) -> Result<Self, reqwest::Error> {
        // A redirect would turn the envelope into a GET; the operator is to correct the DSN.
        let client = network.client().pool_max_idle_per_host(1).redirect(Policy::none()).build()?;
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
                return Outcome::Unreadable(error.to_string());
            }
            Err(error) => return Outcome::Failed(None, format!("the spool cannot be read: {error}")),
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
        StatusCode::REQUEST_TIMEOUT => Outcome::Failed(Some(headers), message),
        _ if status.is_client_error() => Outcome::Refused(message),
        _ => Outcome::Failed(Some(headers), message),
    }
}
