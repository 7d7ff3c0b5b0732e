//! The sidecar's own HTTP: the status pages, the same as JSON and as badges, `/metrics`, `/livez` and `/readyz`.

use std::{collections::HashMap, future::Future, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    middleware::{Next, from_fn, map_response},
    response::{
        IntoResponse, Redirect, Response,
        sse::{KeepAlive, Sse},
    },
    routing::{get, post},
};
use futura_metrics::{
    Metrics,
    admin::{self, Readiness},
    specs::checks::Suspension,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::{
    live::Topic,
    view::{CheckDetail, CheckView, ErrorsView, Mark, Timestamp, View},
};
use crate::{board::Board, checks::Check, config::duration, errors::ErrorsStatus, reload::Reloader};

mod badge;
mod html;
mod live;
mod page;
mod view;

/// How many pages can be open at once and be told of what happens; further ones try again.
const FEEDS: usize = 64;

/// What every answer carries, unless it says otherwise itself.
const HEADERS: &[(HeaderName, &str)] = &[
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer` the pages' own buttons would say that they are from nowhere: `Origin: null`.
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// What the pages and the API tell about.
#[derive(Clone)]
pub(crate) struct Status {
    board: Arc<Board>,
    errors: Option<Arc<ErrorsStatus>>,
    feeds: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct PageQuery {
    /// Whether only the content is wanted, as a page that is open wants it.
    #[serde(default)]
    fragment: bool,
}

#[derive(Deserialize)]
struct EventsQuery {
    /// The check whose page is open; that of all without it.
    check: Option<String>,
    /// Whether it is the page of error forwarding.
    #[serde(default)]
    errors: bool,
}

#[derive(Deserialize)]
struct BadgeQuery {
    /// `24h`, `7d` or `30d` for the uptime; the state without it.
    uptime: Option<String>,
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
        .route("/-/undrain", post(undrain))
        .with_state(Arc::clone(&status.board))
        .route("/-/reload", post(reload).with_state(reloader))
        .layer(from_fn(refuse_other_sites));
    Router::new()
        .route("/", get(all_checks_page))
        .route("/checks/{name}", get(check_page))
        .route("/checks/{name}/badge.svg", get(check_badge))
        .route("/errors", get(errors_page))
        .route("/events", get(events))
        .route("/api/v1/checks", get(all_checks))
        .route("/api/v1/checks/{name}", get(check))
        .route("/api/v1/errors", get(errors))
        .with_state(Arc::new(status))
        .merge(changing)
        .merge(admin::routes(metrics, readiness))
        .layer(map_response(with_headers))
}

/// Refuses what a page of another site has a browser send: whoever can open this port is trusted, and whoever writes pages
/// is not.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    match is_of_own_site(&request) {
        true => next.run(request).await,
        false => (StatusCode::FORBIDDEN, "a page of another site may not ask for this\n").into_response(),
    }
}

/// Browsers send `Sec-Fetch-Site` to none but trustworthy addresses, such as those of HTTPS; to `http://10.0.0.5:9469` they send
/// `Origin` alone. What is no browser sends neither.
fn is_of_own_site(request: &Request) -> bool {
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    if let Some(site) = header(HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, b"same-origin" | b"none");
    }
    let Some(origin) = header(ORIGIN) else { return true };
    // HTTP/2 names the host in the URI.
    let host = header(HOST).or(request.uri().authority().map(|authority| authority.as_str().as_bytes()));
    let from = str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://"));
    from.zip(host).is_some_and(|((_, from), host)| from.as_bytes().eq_ignore_ascii_case(host))
}

/// Pauses a check, for a time if one is given, and else until it is resumed.
async fn pause(
    State(board): State<Arc<Board>>,
    Path(name): Path<String>,
    Query(query): Query<PauseQuery>,
    headers: HeaderMap,
) -> Response {
    let time = match query.time.as_deref().map(duration::parse).transpose() {
        Ok(time) => time,
        Err(message) => return (StatusCode::BAD_REQUEST, format!("for: {message}\n")).into_response(),
    };
    let Some(check) = board.check(&name) else { return unknown(&name) };
    check.pause(time);
    tracing::info!(check = %name, ?time, "the check is paused");
    done(&check, &headers, &format!("the check `{name}` is paused\n"))
}

async fn resume(State(board): State<Arc<Board>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(check) = board.check(&name) else { return unknown(&name) };
    if check.suspension() == Some(Suspension::Draining) {
        let message = format!("the check `{name}` is not run any more: the pod is ending\n");
        return (StatusCode::CONFLICT, message).into_response();
    }
    check.resume();
    tracing::info!(check = %name, "the check is resumed");
    done(&check, &headers, &format!("the check `{name}` runs again when it is due\n"))
}

/// Leads a browser back to the page that it came from, and tells everything else in words.
fn done(check: &Check, headers: &HeaderMap, message: &str) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return Redirect::to(&format!("/checks/{}", check.name)).into_response();
    }
    message.to_owned().into_response()
}

fn unknown(name: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("there is no check `{}`\n", name.escape_debug())).into_response()
}

/// Suspends the checks of the own pod: what calls this ends it.
async fn drain(State(board): State<Arc<Board>>) -> &'static str {
    board.drain(true);
    tracing::info!("the pod is ending: its own checks are suspended");
    "the checks of this pod are suspended\n"
}

/// Has them go on, for a pod that does not end after all.
async fn undrain(State(board): State<Arc<Board>>) -> &'static str {
    board.drain(false);
    tracing::info!("the pod is not ending after all: its own checks go on");
    "the checks of this pod go on\n"
}

async fn all_checks_page(State(status): State<Arc<Status>>, Query(query): Query<PageQuery>) -> Response {
    let view = status.view();
    if query.fragment { html(None, page::fragment(&view)) } else { document(|nonce| page::render(&view, nonce)) }
}

async fn check_page(
    State(status): State<Arc<Status>>,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    let Some(check) = status.board.check(&name) else { return unknown(&name) };
    let detail = CheckDetail::new(&check, Timestamp::now());
    if query.fragment {
        html(None, page::check_fragment(&detail))
    } else {
        document(|nonce| page::render_check(&detail, nonce))
    }
}

async fn errors_page(State(status): State<Arc<Status>>, Query(query): Query<PageQuery>) -> Response {
    let Some(view) = status.errors_view() else { return no_errors() };
    if query.fragment {
        html(None, page::errors_fragment(&view))
    } else {
        document(|nonce| page::render_errors(&view, nonce))
    }
}

async fn errors(State(status): State<Arc<Status>>) -> Response {
    status.errors_view().map_or_else(no_errors, |view| Json(view).into_response())
}

fn no_errors() -> Response {
    (StatusCode::NOT_FOUND, "this sidecar takes no errors: its configuration has no `errors`\n").into_response()
}

/// A whole page, whose style and script its policy lets in by a number used once.
fn document(render: impl FnOnce(&str) -> String) -> Response {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    html(Some(policy), render(&nonce))
}

fn html(policy: Option<String>, content: String) -> Response {
    let mut response = ([(CONTENT_TYPE, "text/html; charset=utf-8")], content).into_response();
    if let Some(policy) = policy.and_then(|policy| HeaderValue::try_from(policy).ok()) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Tells an open page of what happens.
async fn events(State(status): State<Arc<Status>>, Query(query): Query<EventsQuery>) -> Response {
    let Ok(permit) = Arc::clone(&status.feeds).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{FEEDS} pages are open already\n")).into_response();
    };
    let topic = match query {
        EventsQuery { errors: true, .. } => Topic::Errors,
        EventsQuery { check: Some(check), .. } => Topic::Check(check),
        EventsQuery { .. } => Topic::Checks,
    };
    Sse::new(live::stream(status, topic, permit)).keep_alive(KeepAlive::default()).into_response()
}

async fn check_badge(
    State(status): State<Arc<Status>>,
    Path(name): Path<String>,
    Query(query): Query<BadgeQuery>,
) -> Response {
    let Some(check) = status.board.check(&name) else { return unknown(&name) };
    let view = CheckView::new(&check, Timestamp::now());
    let badge = match query.uptime.as_deref() {
        None => Some(badge::state(&view)),
        Some(span) => badge::uptime(&view, span),
    };
    match badge {
        Some(badge) => ([(CONTENT_TYPE, "image/svg+xml")], badge).into_response(),
        None => (StatusCode::BAD_REQUEST, "uptime: write `24h`, `7d` or `30d`\n").into_response(),
    }
}

async fn all_checks(State(status): State<Arc<Status>>) -> Json<View> {
    Json(status.view())
}

async fn check(State(status): State<Arc<Status>>, Path(name): Path<String>) -> Response {
    let Some(check) = status.board.check(&name) else { return unknown(&name) };
    Json(CheckDetail::new(&check, Timestamp::now())).into_response()
}

/// Answers when the configuration was taken, or with everything that is wrong in it.
async fn reload(State(reloader): State<Reloader>) -> (StatusCode, String) {
    match reloader.reload().await {
        Ok(reloaded) => (StatusCode::OK, format!("{reloaded}\n")),
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
        Self { board, errors, feeds: Arc::new(Semaphore::new(FEEDS)) }
    }

    fn view(&self) -> View {
        View::new(&self.board.checks(), self.errors.as_deref(), Timestamp::now())
    }

    /// None where errors are not forwarded.
    fn errors_view(&self) -> Option<ErrorsView> {
        self.errors.as_ref().map(|errors| ErrorsView::new(errors, Timestamp::now()))
    }

    /// By what is seen whether a check has changed.
    fn marks(&self) -> HashMap<String, Mark> {
        self.board.checks().iter().map(|check| (check.name.clone(), Mark::new(check))).collect()
    }

    /// Waits for the end of the sidecar.
    fn ended(&self) -> impl Future<Output = ()> + use<> {
        self.board.ended()
    }
}

#[cfg(test)]
mod tests;
