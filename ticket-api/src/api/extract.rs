//! Reading requests: bounded in size and time, and every mistake names its field.

use std::{error::Error, time::Duration};

use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request, rejection::QueryRejection},
    http::{StatusCode, header, request::Parts},
};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::ApiError;

/// The largest body of any route.
pub(super) const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// From the head of a request to the end of its body.
const BODY_TIME_LIMIT: Duration = Duration::from_secs(10);

/// A JSON body.
pub(super) struct JsonBody<T>(pub(super) T);

/// The body as it came, for those who check a signature over it.
pub(super) struct RawBody(pub(super) Bytes);

/// The one id in the path.
pub(super) struct Id(pub(super) Uuid);

/// The parameters behind the question mark.
pub(super) struct Parameters<T>(pub(super) T);

// === impl JsonBody ===

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(&request) {
            let message = "the body must be JSON, with the header content-type: application/json";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
                .field("content-type"));
        }
        let RawBody(body) = RawBody::from_request(request, state).await?;
        parse_json(&body).map(Self)
    }
}

// === impl RawBody ===

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BODY_LIMIT_BYTES as u64) {
            return Err(too_large());
        }
        let body = tokio::time::timeout(BODY_TIME_LIMIT, to_bytes(request.into_body(), BODY_LIMIT_BYTES)).await;
        let Ok(body) = body else {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timed_out",
                "the body did not arrive in time",
            ));
        };
        body.map(Self).map_err(|error| match error.source() {
            Some(source) if source.is::<LengthLimitError>() => too_large(),
            _ => ApiError::new(StatusCode::BAD_REQUEST, "unreadable_body", "the body broke off"),
        })
    }
}

// === impl Id ===

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let invalid = || ApiError::new(StatusCode::BAD_REQUEST, "invalid_parameter", "an id is a UUID");
        let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|_| invalid())?;
        let (name, value) = parameters.iter().next().ok_or_else(ApiError::internal)?;
        value.parse().map(Self).map_err(|_| invalid().field(name))
    }
}

// === impl Parameters ===

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| {
            let text = rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string);
            let (field, message) = match text.split_once(": ") {
                Some((field, message)) => (Some(field.to_owned()), message.to_owned()),
                None => (quoted(&text), text),
            };
            let error = ApiError::new(StatusCode::BAD_REQUEST, "invalid_parameter", message);
            match field {
                Some(field) => error.field(field),
                None => error,
            }
        })
    }
}

fn is_json(request: &Request) -> bool {
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Parses JSON; an error names the field by its path, also where its type is wrong, it is missing, or it is unknown.
pub(super) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would also take a list of the fields' values in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            "the body must be a JSON object",
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let invalid = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", message);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (path, source) = (error.path().to_string(), error.into_inner());
        let message = source.to_string();
        if !source.is_data() {
            return invalid(message);
        }
        // What serde says ends in a place in the text, which the name of the field makes needless.
        let message = message.rsplit_once(" at line ").map_or(message.clone(), |(message, _)| message.to_owned());
        let field = match (path.as_str(), quoted(&message)) {
            (".", Some(name)) if is_about_a_name(&message) => Some(name),
            (".", _) => None,
            (parent, Some(name)) if message.starts_with("missing field") => Some(format!("{parent}.{name}")),
            (path, _) => Some(path.to_owned()),
        };
        let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", message);
        match field {
            Some(field) => error.field(field),
            None => error,
        }
    })?;
    deserializer.end().map_err(|error| invalid(error.to_string()))?;
    Ok(value)
}

fn is_about_a_name(message: &str) -> bool {
    ["missing field", "unknown field", "duplicate field"].iter().any(|start| message.starts_with(start))
}

/// The first text between backticks.
fn quoted(message: &str) -> Option<String> {
    message.split('`').nth(1).map(ToOwned::to_owned)
}

fn too_large() -> ApiError {
    let message = format!("the body is larger than {BODY_LIMIT_BYTES} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}
