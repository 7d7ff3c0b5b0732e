//! Failures on purpose, to see that an error travels from a handler to whoever is on call. Only with `DRILL_ROUTES=true`.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App,
    error::{ApiError, ErrorBody},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(fail_by_panic)).routes(routes!(fail_by_status))
}

/// Panics in the handler
#[utoipa::path(post, path = "/drill/panic", tag = "drills", responses((status = 500, description = "Always", body = ErrorBody)))]
async fn fail_by_panic() {
    panic!("panic drill");
}

/// Answers 500, and nothing tells of it but the answer
#[utoipa::path(post, path = "/drill/error", tag = "drills", responses((status = 500, description = "Always", body = ErrorBody)))]
async fn fail_by_status() -> ApiError {
    ApiError::internal()
}
