//! The receiving side: what SDKs speak, streamed to the spool and acknowledged when it is durable.

use std::{io, sync::Arc, time::Duration};

use async_compression::{
    tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use futura_metrics::specs::errors::DropReason;
use futures_util::TryStreamExt;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::io::StreamReader;
use uuid::Uuid;

use super::{
    envelope::{self, EnvelopeError, HEAD_LIMIT, Head},
    limits::Paused,
    metrics::ErrorsMetrics,
    spool::{Draft, Spool, SpoolError, Taken},
};

/// How long an envelope may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many envelopes are received at once; further ones wait, within their time. It bounds the decoders' memory.
const CONCURRENT: usize = 16;

/// The window of zstd that RFC 9659 has receivers support: 2^23 bytes.
const ZSTD_WINDOW: u32 = 23;

/// An event on the old endpoint may be this large, as at Sentry; it is held in memory.
const EVENT_LIMIT: u64 = 1024 * 1024;

/// When to come again if the spool is full.
const RETRY_AFTER_SECS: &str = "30";

/// Takes envelopes in.
pub(super) struct Receiver {
    spool: Arc<Spool>,
    limit: u64,
    permits: Semaphore,
    metrics: ErrorsMetrics,
    paused: Paused,
}

/// Why an envelope was not taken.
#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("content encoding `{0}` is not spoken: send identity, gzip, deflate, br or zstd")]
    Encoding(String),
    #[error("the body cannot be read: {0}")]
    Body(io::Error),
    #[error("more than {0} bytes, uncompressed")]
    TooLarge(u64),
    #[error("not sent to its end within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    #[error("the spool is full, and the upstream limits envelopes of category {category}")]
    Limited { category: &'static str, secs: u64 },
    #[error("the spool did not take it")]
    Spool(#[from] SpoolError),
}

/// The endpoints of a Sentry server that SDKs send to, for any project.
pub(super) fn routes(receiver: Arc<Receiver>) -> Router {
    Router::new()
        .route("/api/{project}/envelope/", post(take_envelope))
        .route("/api/{project}/envelope", post(take_envelope))
        .route("/api/{project}/store/", post(take_event))
        .route("/api/{project}/store", post(take_event))
        .with_state(receiver)
}

async fn take_envelope(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Body) -> Response {
    let taken = receiver.in_time(receiver.envelope(&headers, body)).await;
    receiver.answer(taken)
}

async fn take_event(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Body) -> Response {
    let taken = receiver.in_time(receiver.event(&headers, body)).await;
    receiver.answer(taken)
}

// === impl Receiver ===

impl Receiver {
    pub(super) fn new(spool: Arc<Spool>, limit: u64, metrics: ErrorsMetrics, paused: Paused) -> Self {
        Self { spool, limit, permits: Semaphore::new(CONCURRENT), metrics, paused }
    }

    async fn in_time<T>(&self, receive: impl Future<Output = Result<T, ReceiveError>>) -> Result<T, ReceiveError> {
        let permitted = async {
            let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
            receive.await
        };
        timeout(TIMEOUT, permitted).await.unwrap_or(Err(ReceiveError::Timeout))
    }

    /// Streams an envelope into the spool as it is; only its head is looked at.
    async fn envelope(&self, headers: &HeaderMap, body: Body) -> Result<Option<Uuid>, ReceiveError> {
        let mut reader = decoded(headers, body)?;
        let mut start = Vec::new();
        (&mut reader).take(HEAD_LIMIT as u64).read_to_end(&mut start).await.map_err(ReceiveError::Body)?;
        let head = Head::parse(&start)?;
        let mut draft = self.begin(&head)?;
        self.write(&mut draft, &start).await?;
        let mut chunk = vec![0; HEAD_LIMIT];
        loop {
            let length = reader.read(&mut chunk).await.map_err(ReceiveError::Body)?;
            if length == 0 {
                break;
            }
            self.write(&mut draft, &chunk[..length]).await?;
        }
        self.commit(draft).await?;
        Ok(head.event_id())
    }

    /// Makes an envelope of an event.
    async fn event(&self, headers: &HeaderMap, body: Body) -> Result<Option<Uuid>, ReceiveError> {
        let mut event = Vec::new();
        decoded(headers, body)?.take(EVENT_LIMIT + 1).read_to_end(&mut event).await.map_err(ReceiveError::Body)?;
        if event.len() as u64 > EVENT_LIMIT {
            return Err(ReceiveError::TooLarge(EVENT_LIMIT));
        }
        let lines = envelope::for_event(&event)?;
        let head = Head::parse(&lines)?;
        let mut draft = self.begin(&head)?;
        self.write(&mut draft, &lines).await?;
        self.write(&mut draft, &event).await?;
        self.commit(draft).await?;
        Ok(head.event_id())
    }

    async fn write(&self, draft: &mut Draft, bytes: &[u8]) -> Result<(), ReceiveError> {
        if draft.bytes() + bytes.len() as u64 > self.limit {
            return Err(ReceiveError::TooLarge(self.limit));
        }
        draft.write(bytes).await.map_err(|error| self.untaken(draft.category(), error))
    }

    fn begin(&self, head: &Head) -> Result<Draft, ReceiveError> {
        self.spool.begin(head.category, head.known_by()).map_err(|error| self.untaken(head.category, error))
    }

    /// One that is known already is acknowledged once more: its first acknowledgement was lost.
    async fn commit(&self, draft: Draft) -> Result<(), ReceiveError> {
        if draft.commit().await? == Taken::Known {
            self.metrics.dropped(DropReason::Duplicate).inc();
        }
        Ok(())
    }

    /// A spool that is full because of the upstream's limits hands them on, so that SDKs send no more of the kind.
    fn untaken(&self, category: &'static str, error: SpoolError) -> ReceiveError {
        match (error, self.paused.left(category, Instant::now())) {
            (SpoolError::Full, Some(left)) => ReceiveError::Limited { category, secs: left.as_secs() + 1 },
            (error, _) => ReceiveError::Spool(error),
        }
    }

    fn answer(&self, taken: Result<Option<Uuid>, ReceiveError>) -> Response {
        let error = match taken {
            Ok(Some(id)) => return Json(json!({ "id": id.simple() })).into_response(),
            Ok(None) => return Json(json!({})).into_response(),
            Err(error) => error,
        };
        self.metrics.dropped(error.reason()).inc();
        match &error {
            // The application is told, and asked to come again; the disk is for the operator to see to.
            ReceiveError::Spool(SpoolError::Full) => tracing::warn!("the spool is full: an envelope was turned away"),
            ReceiveError::Spool(spool) => tracing::warn!(error = crate::chain(spool), "an envelope could not be kept"),
            _ => tracing::warn!(%error, "an envelope was turned away"),
        }
        error.into_response()
    }
}

// === impl ReceiveError ===

impl ReceiveError {
    fn reason(&self) -> DropReason {
        match self {
            Self::TooLarge(_) => DropReason::TooLarge,
            Self::Limited { .. } => DropReason::SpoolFull,
            Self::Spool(error) => error.reason(),
            Self::Envelope(_) | Self::Encoding(_) | Self::Body(_) | Self::Timeout => DropReason::Invalid,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Envelope(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Spool(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for ReceiveError {
    fn into_response(self) -> Response {
        let detail = Json(json!({ "detail": self.to_string() }));
        match self {
            Self::Limited { category, secs } => {
                let limits = [("x-sentry-rate-limits", format!("{secs}:{category}:organization"))];
                (self.status(), [(header::RETRY_AFTER, secs.to_string())], limits, detail).into_response()
            }
            Self::Spool(_) => (self.status(), [(header::RETRY_AFTER, RETRY_AFTER_SECS)], detail).into_response(),
            _ => (self.status(), detail).into_response(),
        }
    }
}

/// The body without its content encoding. How much comes out is bounded where it is read.
fn decoded(headers: &HeaderMap, body: Body) -> Result<Box<dyn AsyncRead + Send + Unpin>, ReceiveError> {
    let encodings: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    let encoding = match encodings[..] {
        [] => "identity",
        [encoding] => encoding.to_str().unwrap_or("?").trim(),
        _ => "several",
    };
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    Ok(match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Box::new(body),
        "gzip" | "x-gzip" => Box::new(multiple(GzipDecoder::new(body))),
        "deflate" => Box::new(ZlibDecoder::new(body)),
        "br" => Box::new(BrotliDecoder::new(body)),
        "zstd" => Box::new(ZstdDecoder::with_params(body, &[DParameter::window_log_max(ZSTD_WINDOW)])),
        _ => return Err(ReceiveError::Encoding(encoding.to_owned())),
    })
}

/// A gzip body may be several members in a row.
fn multiple<R: AsyncBufRead>(mut decoder: GzipDecoder<R>) -> GzipDecoder<R> {
    decoder.multiple_members(true);
    decoder
}

#[cfg(test)]
mod tests;
