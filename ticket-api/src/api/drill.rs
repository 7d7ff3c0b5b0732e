//! Failures on purpose, to see that an error travels from a handler to whoever is on call. Only with `DRILL_ROUTES=true`.

use axum::http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(fail_by_panic)).routes(routes!(fail_by_status))
}

/// Panics in the handler
#[utoipa::path(post, path = "/drill/panic", tag = "drills", responses((status = 500, description = "Always")))]
async fn fail_by_panic() {
    panic!("panic drill");
}

/// Answers 500 and nothing else
#[utoipa::path(post, path = "/drill/error", tag = "drills", responses((status = 500, description = "Always")))]
async fn fail_by_status() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
