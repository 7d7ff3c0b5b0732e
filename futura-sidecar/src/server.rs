//! The sidecar's own HTTP: the status page, the same as JSON, `/metrics`, `/livez` and `/readyz`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json, Router,
    extract::{Query, State},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futura_metrics::{
    Metrics,
    admin::{self, Readiness},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use serde::Deserialize;
use uuid::Uuid;

use self::view::View;
use crate::{board::Board, errors::ErrorsStatus, reload::Reloader};

mod page;
mod view;

/// What every answer carries, unless it says otherwise itself.
const HEADERS: &[(HeaderName, &str)] = &[
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// What the page and the API tell about.
#[derive(Clone)]
pub(crate) struct Status {
    board: Arc<Board>,
    errors: Option<Arc<ErrorsStatus>>,
}

#[derive(Deserialize)]
struct PageQuery {
    refresh: Option<String>,
}

pub(crate) fn routes(status: Status, reloader: Reloader, metrics: &Metrics, readiness: &Readiness) -> Router {
    Router::new()
        .route("/", get(status_page))
        .route("/api/v1/checks", get(checks))
        .with_state(Arc::new(status))
        .route("/-/reload", post(reload).with_state(reloader))
        .merge(admin::routes(metrics, readiness))
        .layer(map_response(with_headers))
}

async fn status_page(State(status): State<Arc<Status>>, Query(query): Query<PageQuery>) -> Response {
    let nonce = Uuid::new_v4().simple().to_string();
    let refresh = query.refresh.as_deref() != Some("off");
    let page = page::render(&status.view(), &nonce, refresh);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    ([(CONTENT_SECURITY_POLICY, policy), (CONTENT_TYPE, "text/html; charset=utf-8".to_owned())], page).into_response()
}

async fn checks(State(status): State<Arc<Status>>) -> Json<View> {
    Json(status.view())
}

/// Answers when the configuration was taken, or with everything that is wrong in it.
async fn reload(State(reloader): State<Reloader>) -> (StatusCode, String) {
    match reloader.reload().await {
        Ok(changes) => (StatusCode::OK, format!("{changes}\n")),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")),
    }
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

// === impl Status ===

impl Status {
    pub(crate) fn new(board: Arc<Board>, errors: Option<Arc<ErrorsStatus>>) -> Self {
        Self { board, errors }
    }

    fn view(&self) -> View {
        View::new(&self.board.checks(), self.errors.as_deref(), SystemTime::now())
    }
}

#[cfg(test)]
mod tests;
