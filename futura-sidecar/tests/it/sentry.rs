//! A small Sentry server that answers as it is told and keeps what it took.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_compression::tokio::write::GzipDecoder;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    time::{sleep, timeout},
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One answer: a status and its headers.
pub(crate) type Answer = (u16, Vec<(&'static str, &'static str)>);

#[derive(Clone, Default)]
pub(crate) struct Sentry {
    state: Arc<Mutex<SentryState>>,
}

#[derive(Default)]
struct SentryState {
    answers: VecDeque<Answer>,
    poison: Option<&'static str>,
    seen: Vec<Seen>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) auth: String,
    pub(crate) header: Value,
    /// All after the first line.
    pub(crate) items: String,
    pub(crate) status: u16,
}

impl Sentry {
    /// Gives these answers in turn, and 200 after them.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let sentry = Self::default();
        sentry.state.lock().expect("no panic").answers.extend(answers);
        sentry
    }

    /// Fails whenever an envelope holds this text, and takes all others.
    pub(crate) fn failing(poison: &'static str) -> Self {
        let sentry = Self::default();
        sentry.state.lock().expect("no panic").poison = Some(poison);
        sentry
    }

    /// Starts to listen; on a port of its own if `address` says 0.
    pub(crate) async fn listen(&self, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().expect("no panic").seen.clone()
    }

    /// The items of all envelopes that were taken, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.seen().into_iter().filter(|seen| seen.status == 200).map(|seen| seen.items).collect()
    }

    /// Waits until this many envelopes were taken.
    pub(crate) async fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} envelopes"), || self.taken().len() >= count).await;
    }
}

/// Waits for a condition, and fails the test if it does not come true.
pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

async fn take(State(sentry): State<Sentry>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut decoder = GzipDecoder::new(Vec::new());
    decoder.write_all(&body).await.expect("gzip");
    decoder.shutdown().await.expect("all of it");
    let envelope = String::from_utf8(decoder.into_inner()).expect("text");
    let (header, items) = envelope.split_once('\n').expect("a header line");
    let mut state = sentry.state.lock().expect("no panic");
    let usual = if state.poison.is_some_and(|poison| items.contains(poison)) { 500 } else { 200 };
    let (status, answer_headers) = state.answers.pop_front().unwrap_or((usual, Vec::new()));
    state.seen.push(Seen {
        path: uri.path().to_owned(),
        auth: headers["x-sentry-auth"].to_str().expect("text").to_owned(),
        header: serde_json::from_str(header).expect("JSON"),
        items: items.to_owned(),
        status,
    });
    let mut response = StatusCode::from_u16(status).expect("a status").into_response();
    for (name, value) in answer_headers {
        response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
