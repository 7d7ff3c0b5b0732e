use std::{fs, io, sync::Arc, time::Duration};

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use axum::{
    body::{Body, to_bytes},
    response::Response,
};
use futura_metrics::{Metrics, exposition::Format};
use futures_util::stream;
use http::{Request, StatusCode};
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tower::ServiceExt;

use super::{EVENT_LIMIT, Receiver, TIMEOUT, routes};
use crate::{
    config::Config,
    errors::{destination::Destinations, metrics::ErrorsMetrics, spool::Spool},
};

const LIMIT: u64 = 200_000;
const ENVELOPE: &str =
    "{\"event_id\":\"9ec79c33-ec99-42ab-8353-589fcb2e04dc\"}\n{\"type\":\"event\"}\n{\"message\":\"caf\u{e9}\"}\n";
const ID: &str = "{\"id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}";

struct Fixture {
    folder: TempDir,
    spool: Arc<Spool>,
    receiver: Arc<Receiver>,
    metrics: Metrics,
    destinations: Arc<Destinations>,
}

impl Fixture {
    fn new() -> Self {
        let (folder, metrics) = (tempdir().expect("a folder"), Metrics::new());
        let series = ErrorsMetrics::register(&metrics).expect("free names");
        let text = format!(
            "errors: {{ spool: \"{}\", upstream: \"http://k@127.0.0.1:1/1\", spool_max_envelopes: 10, spool_max_bytes: 1000000, envelope_max_bytes: {LIMIT} }}",
            folder.path().display()
        );
        let config = Config::parse(&text, |_| None).expect("a configuration").errors.expect("a section");
        let destinations = Arc::new(Destinations::open(&config, &series).expect("a spool"));
        let spool = Arc::clone(&destinations.default().spool);
        let receiver = Receiver::new(Arc::clone(&destinations), &config, series).expect("a folder");
        let receiver = Arc::new(receiver);
        Self { folder, spool, receiver, metrics, destinations }
    }

    async fn post(&self, path: &str, encoding: Option<&str>, body: impl Into<Body>) -> Response {
        let mut request = Request::post(path);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let request = request.body(body.into()).expect("a request");
        routes(Arc::clone(&self.receiver)).oneshot(request).await.expect("an answer")
    }

    /// What is in the spool, oldest first.
    fn spooled(&self) -> Vec<String> {
        let text = |entry| String::from_utf8(self.spool.read(entry).expect("an envelope")).expect("text");
        self.spool.entries().into_iter().map(text).collect()
    }

    #[track_caller]
    fn rejected(&self, reason: &str, count: u64) {
        let text = self.metrics.render(Format::Text);
        assert!(text.contains(&format!("error_envelopes_rejected_total{{reason=\"{reason}\"}} {count}\n")), "{text}");
    }
}

/// An envelope like the others, of an event of its own.
fn envelope(number: usize) -> String {
    ENVELOPE.replace("2e04dc", &format!("{number:06x}"))
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 10_000).await.expect("a body").to_vec()).expect("text")
}

async fn written(mut encoder: impl AsyncWrite + Unpin, bytes: &[u8]) {
    encoder.write_all(bytes).await.expect("memory");
    encoder.shutdown().await.expect("memory");
}

async fn encoded(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => written(GzipEncoder::new(&mut out), bytes).await,
        "deflate" => written(ZlibEncoder::new(&mut out), bytes).await,
        "br" => written(BrotliEncoder::new(&mut out), bytes).await,
        "zstd" => written(ZstdEncoder::new(&mut out), bytes).await,
        _ => out.extend_from_slice(bytes),
    }
    out
}

#[tokio::test]
async fn an_envelope_is_kept_byte_for_byte_in_whatever_encoding_it_comes() {
    let fixture = Fixture::new();
    for (number, (path, encoding)) in (0..).zip([
        ("/api/1/envelope/", None),
        ("/api/any-project/envelope", Some("identity")),
        ("/api/1/envelope/?sentry_key=abc", Some("gzip")),
        ("/api/1/envelope/", Some("Deflate")),
        ("/api/1/envelope/", Some("br")),
        ("/api/1/envelope/", Some("zstd")),
    ]) {
        let body = encoded(&encoding.unwrap_or_default().to_lowercase(), envelope(number).as_bytes()).await;
        let response = fixture.post(path, encoding, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{encoding:?}");
        assert_eq!(text(response).await, ID.replace("2e04dc", &format!("{number:06x}")));
    }
    assert_eq!(fixture.spooled(), [0, 1, 2, 3, 4, 5].map(envelope));
    assert!(fixture.metrics.render(Format::Text).contains("error_envelopes_received_total{upstream=\"default\"} 6\n"));
}

#[tokio::test]
async fn binary_items_longer_than_a_chunk_pass_untouched() {
    let fixture = Fixture::new();
    let mut envelope = b"{}\n{\"type\":\"attachment\",\"length\":150000}\n".to_vec();
    envelope.extend((0..150_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8));
    let response = fixture.post("/api/1/envelope/", None, envelope.clone()).await;
    assert_eq!(text(response).await, "{}");
    let entry = fixture.spool.entries()[0];
    assert_eq!(entry.category, "attachment");
    assert!(fixture.spool.read(entry).expect("a record") == envelope);
}

#[tokio::test]
async fn what_is_no_envelope_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new();
    let truncated = encoded("gzip", ENVELOPE.as_bytes()).await;
    let cases: [(Option<&str>, Vec<u8>, StatusCode, &str); 6] = [
        (None, b"".to_vec(), StatusCode::BAD_REQUEST, "first line is not a JSON object"),
        (None, b"not json\n{}".to_vec(), StatusCode::BAD_REQUEST, "first line is not a JSON object"),
        (None, vec![b'{'; 100_000], StatusCode::BAD_REQUEST, "longer than 65536 bytes"),
        (Some("gzip"), ENVELOPE.into(), StatusCode::BAD_REQUEST, "cannot be read"),
        (Some("gzip"), truncated[..truncated.len() - 9].to_vec(), StatusCode::BAD_REQUEST, "cannot be read"),
        (Some("compress"), ENVELOPE.into(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "`compress` is not spoken"),
    ];
    for (number, (encoding, body, status, part)) in (1..).zip(cases) {
        let response = fixture.post("/api/1/envelope/", encoding, body).await;
        assert_eq!(response.status(), status);
        let text = text(response).await;
        assert!(text.starts_with("{\"detail\":") && text.contains(part), "{text}");
        fixture.rejected("invalid", number);
    }
    let broken = stream::iter([Ok(ENVELOPE.as_bytes()), Err(io::Error::other("gone"))]);
    assert_eq!(
        fixture.post("/api/1/envelope/", None, Body::from_stream(broken)).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert!(fixture.spooled().is_empty());
    assert_eq!(fixture.spool.size(), (0, 0));
}

#[tokio::test]
async fn a_bomb_ends_at_the_limit() {
    let fixture = Fixture::new();
    let mut bomb = b"{}\n".to_vec();
    bomb.resize(LIMIT as usize + 1, b' ');
    for (number, encoding) in (1..).zip([None, Some("gzip"), Some("deflate"), Some("br"), Some("zstd")]) {
        let body = encoded(encoding.unwrap_or_default(), &bomb).await;
        let response = fixture.post("/api/1/envelope/", encoding, body).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{encoding:?}");
        fixture.rejected("too_large", number);
    }
    bomb.pop();
    assert_eq!(fixture.post("/api/1/envelope/", None, bomb).await.status(), StatusCode::OK);
    assert_eq!(fixture.spool.size().0, 1);
    let large = format!("{{\"a\":\"{}\"}}", " ".repeat(EVENT_LIMIT as usize));
    assert_eq!(fixture.post("/api/1/store/", None, large).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_event_of_the_old_endpoint_is_kept_as_an_envelope() {
    let fixture = Fixture::new();
    let event = "{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\",\n\"message\":\"old\"}";
    for path in ["/api/1/store/", "/api/1/store"] {
        assert_eq!(text(fixture.post(path, Some("gzip"), encoded("gzip", event.as_bytes()).await).await).await, ID);
    }
    let expected = format!(
        "{{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}}\n{{\"length\":{},\"type\":\"event\"}}\n{event}\n",
        event.len()
    );
    assert_eq!(fixture.spooled(), [expected], "what comes again is acknowledged and kept once");
    fixture.rejected("duplicate", 1);
    assert_eq!(fixture.post("/api/1/store/", None, "[]").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn reports_and_minidumps_are_kept_as_envelopes() {
    let fixture = Fixture::new();
    for path in ["/api/1/security/?sentry_key=k&sentry_release=1", "/api/1/security?sentry_environment=test"] {
        let response = fixture.post(path, None, "{\"csp-report\":{}}").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    let dump = Request::post("/api/1/minidump/?sentry_key=k").header("content-type", "application/x-dmp");
    let dump = dump.body(Body::from("MDMP")).expect("a request");
    let response = routes(Arc::clone(&fixture.receiver)).oneshot(dump).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let id = text(response).await;
    let spooled = fixture.spooled();
    assert!(id.len() == 36 && spooled[0].contains(&id.replace('-', "")), "{id} {spooled:?}");
    assert!(spooled[1].contains("raw_security") && spooled[1].contains("csp-report"), "{spooled:?}");
    assert_eq!(fixture.post("/api/1/minidump/", None, "no form").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(fixture.post("/api/1/security/", None, "no report").await.status(), StatusCode::BAD_REQUEST);
    fixture.rejected("invalid", 2);
}

#[tokio::test]
async fn a_full_spool_answers_503_with_a_time_to_come_back() {
    let fixture = Fixture::new();
    for number in 0..10 {
        assert_eq!(fixture.post("/api/1/envelope/", None, envelope(number)).await.status(), StatusCode::OK);
    }
    let response = fixture.post("/api/1/envelope/", None, ENVELOPE).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "30");
    fixture.rejected("spool_full", 1);
    assert_eq!(fixture.spooled().len(), 10);
    fixture.spool.remove(fixture.spool.entries()[0]);
    assert_eq!(fixture.post("/api/1/envelope/", None, ENVELOPE).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn transactions_do_not_turn_errors_away() {
    let fixture = Fixture::new();
    let transaction = "{}\n{\"type\":\"transaction\"}\n{}\n";
    let mut statuses = Vec::new();
    for _ in 0..9 {
        statuses.push(fixture.post("/api/1/envelope/", None, transaction).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 503]);
    let event = "{\"message\":\"a\"}";
    assert_eq!(fixture.post("/api/1/envelope/", None, ENVELOPE).await.status(), StatusCode::OK);
    assert_eq!(fixture.post("/api/1/store/", None, event).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_full_spool_hands_the_upstreams_limits_on() {
    let fixture = Fixture::new();
    let transaction = "{}\n{\"type\":\"transaction\"}\n{}\n";
    fixture.destinations.default().paused().pause("transaction", Duration::from_secs(99));
    for _ in 0..8 {
        // As long as there is room, they wait for the end of the limit.
        assert_eq!(fixture.post("/api/1/envelope/", None, transaction).await.status(), StatusCode::OK);
    }
    let response = fixture.post("/api/1/envelope/", None, transaction).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let secs = response.headers()["retry-after"].to_str().expect("text").to_owned();
    assert!(secs.parse().is_ok_and(|secs: u64| 60 < secs && secs < 100), "{secs}");
    assert_eq!(response.headers()["x-sentry-rate-limits"], format!("{secs}:transaction:organization"));
    fixture.rejected("spool_full", 1);
    let session = "{}\n{\"type\":\"session\"}\n{}\n";
    let response = fixture.post("/api/1/envelope/", None, session).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(fixture.post("/api/1/envelope/", None, ENVELOPE).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_disk_that_fails_answers_503_and_is_counted() {
    let fixture = Fixture::new();
    fs::remove_dir_all(fixture.folder.path()).expect("the spool's folder");
    let response = fixture.post("/api/1/envelope/", None, ENVELOPE).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(response).await, "{\"detail\":\"the spool did not take it\"}");
    fixture.rejected("spool_error", 1);
    assert_eq!(fixture.spool.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_is_given_up() {
    let fixture = Fixture::new();
    let started = tokio::time::Instant::now();
    let body = Body::from_stream(stream::pending::<Result<&[u8], io::Error>>());
    let response = fixture.post("/api/1/envelope/", None, body).await;
    assert_eq!((response.status(), started.elapsed()), (StatusCode::REQUEST_TIMEOUT, TIMEOUT));
    assert_eq!(fixture.spool.size(), (0, 0));
}

#[tokio::test]
async fn secrets_never_reach_the_disk() {
    let fixture = Fixture::new();
    let event = "{\"message\":\"card 4111 1111 1111 1111\",\"extra\":{\"password\":\"hunter2\"},\"level\":\"error\"}";
    for path in ["/api/1/store/", "/api/1/envelope/"] {
        let body =
            if path.contains("store") { event.to_owned() } else { format!("{{}}\n{{\"type\":\"event\"}}\n{event}\n") };
        assert_eq!(fixture.post(path, None, body).await.status(), StatusCode::OK);
    }
    for envelope in fixture.spooled() {
        assert!(envelope.contains("\"level\":\"error\"") && envelope.contains("_meta"), "{envelope}");
        assert!(!envelope.contains("4111") && !envelope.contains("hunter2"), "{envelope}");
    }
    // What cannot be scrubbed is turned away rather than passed on.
    let response =
        fixture.post("/api/1/envelope/", None, "{}\n{\"type\":\"event\"}\n{\"password\":\"hunter2\",\n").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(text(response).await.contains("an item of type `event` cannot be scrubbed"));
    fixture.rejected("invalid", 1);
}
