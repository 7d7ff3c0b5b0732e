//! The sidecar's own HTTP: the status page, the same as JSON, `/metrics`, `/livez` and `/readyz`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    middleware::{Next, from_fn, map_response},
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
use crate::{board::Board, config::duration, errors::ErrorsStatus, reload::Reloader};

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

#[derive(Deserialize)]
struct PauseQuery {
    /// A duration such as `1h`.
    #[serde(rename = "for")]
    time: Option<String>,
}

pub(crate) fn routes(status: Status, reloader: Reloader, metrics: &Metrics, readiness: &Readiness) -> Router {
    let changing = Router::new()
        .route("/api/v1/checks/{name}/pause", post(pause))
        .route("/api/v1/checks/{name}/resume", post(resume))
        .route("/-/drain", post(drain))
        .with_state(Arc::clone(&status.board))
        .route("/-/reload", post(reload).with_state(reloader))
        .layer(from_fn(refuse_other_sites));
    Router::new()
        .route("/", get(status_page))
        .route("/api/v1/checks", get(checks))
        .with_state(Arc::new(status))
        .merge(changing)
        .merge(admin::routes(metrics, readiness))
        .layer(map_response(with_headers))
}

/// Refuses what a page of another site has a browser send: whoever can open this port is trusted, and whoever writes pages
/// is not.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    match site {
        None | Some(b"same-origin" | b"none") => next.run(request).await,
        Some(_) => (StatusCode::FORBIDDEN, "a page of another site may not ask for this\n").into_response(),
    }
}

/// Pauses a check, for a time if one is given, and else until it is resumed.
async fn pause(
    State(board): State<Arc<Board>>,
    Path(name): Path<String>,
    Query(query): Query<PauseQuery>,
) -> (StatusCode, String) {
    let time = match query.time.as_deref().map(duration::parse).transpose() {
        Ok(time) => time,
        Err(message) => return (StatusCode::BAD_REQUEST, format!("for: {message}\n")),
    };
    let Some(check) = board.check(&name) else { return unknown(&name) };
    check.pause(time);
    tracing::info!(check = %name, ?time, "the check is paused");
    (StatusCode::OK, format!("the check `{name}` is paused\n"))
}

async fn resume(State(board): State<Arc<Board>>, Path(name): Path<String>) -> (StatusCode, String) {
    let Some(check) = board.check(&name) else { return unknown(&name) };
    check.resume();
    tracing::info!(check = %name, "the check is resumed");
    (StatusCode::OK, format!("the check `{name}` runs again when it is due\n"))
}

fn unknown(name: &str) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("there is no check `{}`\n", name.escape_debug()))
}

/// Suspends the checks of the own pod: what calls this ends it.
async fn drain(State(board): State<Arc<Board>>) -> &'static str {
    board.drain();
    tracing::info!("the pod is ending: its own checks are suspended");
    "the checks of this pod are suspended\n"
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
