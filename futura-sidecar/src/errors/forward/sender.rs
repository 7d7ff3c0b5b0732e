//! One delivery: an envelope to an upstream, and what became of it.

use std::{io, sync::Arc, time::Duration};

use async_compression::{Level, tokio::write::GzipEncoder};
use http::{HeaderMap, HeaderName, StatusCode, header};
use reqwest::{Client, redirect::Policy};
use time::UtcDateTime;
use tokio::{
    io::AsyncWriteExt,
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::target::WINDOW;
use crate::{
    errors::{
        Upstream,
        envelope::Head,
        spool::{Entry, Spool},
    },
    network::Network,
};

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an upstream's explanation is logged.
const DETAIL_LIMIT: usize = 200;

/// Sends envelopes. Clones share their connections.
#[derive(Clone)]
pub(super) struct Sender {
    client: Client,
    upstream: Upstream,
    url: url::Url,
    auth: Arc<str>,
}

/// An attempt to deliver an envelope, and what became of it.
pub(super) struct Attempt {
    pub(super) entry: Entry,
    /// Which of the upstreams it went to, by their order.
    pub(super) target: usize,
    pub(super) began: Instant,
    pub(super) outcome: Outcome,
}

/// What became of one delivery.
#[derive(Debug)]
pub(super) enum Outcome {
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

// === impl Sender ===

impl Sender {
    pub(super) fn new(upstream: Upstream, network: &Network) -> Result<Self, reqwest::Error> {
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

    /// Sends an envelope, within its time.
    pub(super) async fn attempt(self, spool: Arc<Spool>, entry: Entry, target: usize) -> Attempt {
        let began = Instant::now();
        let late = || Outcome::Failed(None, format!("no answer within {TIMEOUT:?}"));
        let outcome = timeout(TIMEOUT, self.send(spool, entry)).await.unwrap_or_else(|_| late());
        Attempt { entry, target, began, outcome }
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

// === impl Outcome ===

impl Outcome {
    /// Whether it may be the upstream that failed, and not the envelope.
    pub(super) fn is_upstreams(&self) -> bool {
        matches!(self, Self::Limited(_) | Self::Failed(..) | Self::Unreachable(_))
    }
}

/// What an answer means.
pub(super) fn judge(status: StatusCode, headers: HeaderMap) -> Outcome {
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
