//! Why an envelope is not taken, and how that is answered.

use std::io;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use futura_metrics::specs::errors::RejectReason;
use http::{StatusCode, header};
use serde_json::json;

use super::TIMEOUT;
use crate::errors::{envelope::EnvelopeError, scrub::ScrubError, spool::SpoolError};

/// When to come again if the spool is full.
const RETRY_AFTER_SECS: &str = "30";

/// Why an envelope was not taken.
#[derive(Debug, thiserror::Error)]
pub(in crate::errors) enum ReceiveError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("content encoding `{0}` is not spoken: send identity, gzip, deflate, br or zstd")]
    Encoding(String),
    #[error("the body cannot be read: {0}")]
    Body(io::Error),
    #[error("the form cannot be read: {0}")]
    Form(String),
    #[error("more than {0} bytes, uncompressed")]
    TooLarge(u64),
    #[error("it cannot be scrubbed of secrets: {0}")]
    Scrub(#[from] ScrubError),
    #[error("an item of type `{kind}` cannot be scrubbed of secrets: {error}")]
    Item { kind: String, error: ScrubError },
    #[error("too many large envelopes at once")]
    Busy,
    #[error("not sent to its end within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    #[error("the spool is full, and the upstream limits envelopes of category {category}")]
    Limited { category: &'static str, secs: u64 },
    #[error("the spool did not take it")]
    Spool(#[from] SpoolError),
}

// === impl ReceiveError ===

impl ReceiveError {
    /// Whether it would be taken another time.
    pub(in crate::errors) fn is_for_now(&self) -> bool {
        matches!(self, Self::Spool(_) | Self::Limited { .. } | Self::Busy)
    }

    pub(super) fn reason(&self) -> RejectReason {
        match self {
            Self::TooLarge(_) => RejectReason::TooLarge,
            Self::Limited { .. } | Self::Busy => RejectReason::SpoolFull,
            Self::Spool(error) => error.reason(),
            Self::Envelope(_)
            | Self::Encoding(_)
            | Self::Body(_)
            | Self::Form(_)
            | Self::Scrub(_)
            | Self::Item { .. }
            | Self::Timeout => RejectReason::Invalid,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Envelope(_) | Self::Body(_) | Self::Form(_) | Self::Scrub(_) | Self::Item { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Spool(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
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
            Self::Spool(_) | Self::Busy => {
                (self.status(), [(header::RETRY_AFTER, RETRY_AFTER_SECS)], detail).into_response()
            }
            _ => (self.status(), detail).into_response(),
        }
    }
}
