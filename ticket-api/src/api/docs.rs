//! The API's documentation: the OpenAPI document, and a page of our own that shows it and needs nothing from elsewhere.

use axum::{body::Bytes, extract::State, http::header, response::IntoResponse};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::App;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");

/// The page may load its own script, style and document, and nothing else; its icon is an empty image of its own.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                                       base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(openapi)).routes(routes!(page)).routes(routes!(script)).routes(routes!(style))
}

/// Gives this document
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
async fn openapi(State(app): State<App>) -> impl IntoResponse {
    asset("application/json", app.document)
}

/// Shows this document
#[utoipa::path(get, path = "/docs", tag = "operations", responses((status = 200, description = "A page", body = String, content_type = "text/html")))]
async fn page() -> impl IntoResponse {
    asset("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes()))
}

/// The script of the page
#[utoipa::path(get, path = "/docs/page.js", tag = "operations", responses((status = 200, description = "A script", body = String, content_type = "text/javascript")))]
async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", Bytes::from_static(SCRIPT.as_bytes()))
}

/// The style of the page
#[utoipa::path(get, path = "/docs/page.css", tag = "operations", responses((status = 200, description = "A style sheet", body = String, content_type = "text/css")))]
async fn style() -> impl IntoResponse {
    asset("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes()))
}

fn asset(content_type: &'static str, content: Bytes) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}
