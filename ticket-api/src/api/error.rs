//! Every error of the API: one type, one JSON shape. What is our fault says nothing to the caller and all to the log.

use std::{borrow::Cow, error::Error};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{domain::Refusal, queue::QueueError, store::StoreError};

/// An error on its way to the caller.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    field: Option<String>,
    location: Option<String>,
    retry_after_secs: Option<u16>,
    challenge: Option<Cow<'static, str>>,
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
struct ErrorDetail {
    /// A fixed word for programs.
    #[schema(examples("sold_out"))]
    code: &'static str,
    /// A sentence for people.
    message: Cow<'static, str>,
    /// The field, parameter or header that the error is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
}

// === impl ApiError ===

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status, code, message, field: None, location: None, retry_after_secs: None, challenge: None }
    }

    /// A value that is not allowed.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", message).field(field)
    }

    /// Puts the field, if one is named, under `parent`.
    pub(crate) fn within(mut self, parent: &str) -> Self {
        self.field = self.field.map(|field| format!("{parent}.{field}"));
        self
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Tells in `Location` which order the error is about.
    pub(crate) fn about_order(mut self, id: Uuid) -> Self {
        self.location = Some(format!("/api/orders/{id}"));
        self
    }

    pub(crate) fn retry_after_secs(mut self, seconds: u16) -> Self {
        self.retry_after_secs = Some(seconds);
        self
    }

    /// Tells in `WWW-Authenticate` what token would do.
    pub(crate) fn challenge(mut self, challenge: impl Into<Cow<'static, str>>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the service cannot answer now, try again later")
            .retry_after_secs(5)
    }

    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong on our side")
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::NoSuchEvent => (StatusCode::NOT_FOUND, "event_not_found"),
            Refusal::NoSuchReservation => (StatusCode::NOT_FOUND, "reservation_not_found"),
            Refusal::NoSuchOrder => (StatusCode::NOT_FOUND, "order_not_found"),
            Refusal::SoldOut => (StatusCode::CONFLICT, "sold_out"),
            Refusal::ReservationExpired => (StatusCode::CONFLICT, "reservation_expired"),
            Refusal::OrderInProgress { .. } => (StatusCode::CONFLICT, "order_in_progress"),
            Refusal::WrongPayment { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_payment"),
        };
        let error = Self::new(status, code, refusal.to_string());
        match refusal {
            Refusal::OrderInProgress { order_id } => error.about_order(order_id).retry_after_secs(1),
            _ => error,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => refusal.into(),
            // The breaker tells of failures, of the first and of those that open it: here it would be one record a caller.
            StoreError::Rejected
            | StoreError::TimedOut
            | StoreError::Sql(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => Self::unavailable(),
            StoreError::Conflict => {
                let message = "too many others changed the same thing, try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contention", message).retry_after_secs(1)
            }
            StoreError::Sql(_) | StoreError::Corrupt(_) => {
                tracing::error!(error = &error as &dyn Error, "request failed in the store");
                Self::internal()
            }
        }
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full => {
                let message = "the queue is full: try again when some have left it";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message).retry_after_secs(30)
            }
            QueueError::TooManyLines => {
                let message = format!("{error}: leave one of them first");
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_queues", message)
            }
            // As for the store.
            QueueError::Rejected | QueueError::TimedOut(_) | QueueError::Cluster | QueueError::Redis(_) => {
                Self::unavailable()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, code, message, field, location, retry_after_secs, challenge } = self;
        let mut response = (status, Json(ErrorBody { error: ErrorDetail { code, message, field } })).into_response();
        let headers = response.headers_mut();
        if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
