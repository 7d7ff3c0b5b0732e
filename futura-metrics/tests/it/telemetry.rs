use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    routing::{get, post},
};
use futura_metrics::{
    Metrics,
    exposition::Format,
    http::HttpLayer,
    telemetry::{self, CallLayer, Telemetry, TelemetryConfig},
};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// A server that takes Sentry envelopes and keeps the events in them.
async fn sentry() -> (String, Arc<Mutex<Vec<Value>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    let app = Router::new().route(
        "/api/1/envelope/",
        post(move |body: Bytes| async move {
            // An envelope is lines of JSON: its header, then each item's header and payload.
            let lines = body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
            kept.lock().unwrap().extend(lines.filter(|line: &Value| line.get("platform").is_some()));
            "{}"
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("http://key@{}/1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (dsn, events)
}

/// Calls another service, as a client of it does.
async fn call(State(downstream): State<String>) -> StatusCode {
    let client = reqwest::Client::new();
    let request = client.get(downstream).build().expect("a request");
    let answer = CallLayer.layer(client).oneshot(request).await.expect("an answer");
    StatusCode::from_u16(answer.status().as_u16()).expect("a status")
}

/// A service that is called, and the `traceparent` of its last caller.
async fn downstream() -> (String, Arc<Mutex<String>>) {
    let last = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&last);
    let app = Router::new().fallback(move |headers: HeaderMap| async move {
        *kept.lock().unwrap() = headers["traceparent"].to_str().unwrap().to_owned();
        StatusCode::ACCEPTED
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, last)
}

fn service(downstream: String) -> Router {
    Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/call", get(call).with_state(downstream))
        .route("/panic", get(|| async { panic!("a bug") as &str }))
        .route("/bare", get(|| async { StatusCode::BAD_GATEWAY }))
        .route(
            "/all",
            get(|| async {
                tracing::error!("no seat is left");
                tracing::error!("and no standing room");
                panic!("so it goes") as &str
            }),
        )
        .route(
            "/logged/{id}",
            get(|| async {
                tracing::error!(order = 7, "the printer is on fire");
                StatusCode::INTERNAL_SERVER_ERROR
            }),
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_is_one_event_with_its_own_trace() {
    let (dsn, events) = sentry().await;
    let metrics = Metrics::new();
    let lookup = |name: &str| match name {
        "SENTRY_DSN" => Some(dsn.clone()),
        "RUST_LOG" => Some("info".to_owned()),
        _ => None,
    };
    let telemetry = telemetry::init(&TelemetryConfig::from_lookup("shop", "1.2.3", lookup).unwrap(), &metrics).unwrap();
    let (url, called) = downstream().await;
    let app = service(url).layer(HttpLayer::new(&metrics).unwrap().traced(&telemetry));
    for path in ["/ok", "/call", "/panic", "/bare", "/all", "/logged/7?token=secret"] {
        let request = Request::builder().uri(path).header("host", "shop").header("authorization", "Bearer secret");
        let request = if path == "/bare" || path == "/call" {
            request.header("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01"))
        } else {
            request
        };
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    }
    telemetry.shutdown().await;

    // The one that is called continues the caller's trace, below the span of the call.
    let called = called.lock().unwrap();
    let fields: Vec<_> = called.split('-').collect();
    assert_eq!((fields[0], fields[1], fields[3]), ("00", TRACE_ID, "01"), "{called}");
    assert!(fields[2].len() == 16 && fields[2] != "b7ad6b7169203331", "{called}");

    let events = events.lock().unwrap();
    let told: Vec<String> = events.iter().map(tell).collect();
    insta::assert_debug_snapshot!(told, @r#"
    [
        "GET /panic: a bug (shop@1.2.3)",
        "GET /bare: /bare answered 502 Bad Gateway (shop@1.2.3)",
        "GET /all: no seat is left (shop@1.2.3)",
        "GET /logged/{id}: the printer is on fire (shop@1.2.3)",
    ]
    "#);
    let traces: Vec<&str> =
        events.iter().map(|event| event["contexts"]["trace"]["trace_id"].as_str().unwrap()).collect();
    assert_eq!(traces[1], TRACE_ID, "an incoming trace is continued");
    assert!(traces[0] != traces[1] && traces[1] != traces[2] && traces[0] != traces[2], "{traces:?}");
    assert!(!serde_json::to_string(&*events).unwrap().contains("secret"));

    let text = metrics.render(Format::Text);
    assert!(text.contains("\nsentry_errors_total 4\n"), "{text}");
    assert!(text.contains("\nlog_records_total{level=\"error\"} 5\n"), "{text}");
}

#[test]
fn a_wrong_variable_is_named_with_its_value_and_what_is_expected() {
    let wrong = |variable: &str, value: &str| {
        let lookup = |name: &str| (name == variable).then(|| value.to_owned());
        TelemetryConfig::from_lookup("shop", "1.2.3", lookup).unwrap_err().to_string()
    };
    let told = [
        wrong("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost"),
        wrong("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
        wrong("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector/v1/traces"),
        wrong("OTEL_EXPORTER_OTLP_ENDPOINT", "https//user:pass@collector"),
        wrong("OTEL_TRACES_EXPORTER", "zipkin"),
        wrong("OTEL_METRICS_EXPORTER", "console"),
        wrong("SENTRY_DSN", "https://secret"),
        wrong("SENTRY_SAMPLE_RATE", "2"),
        wrong("LOG_FORMAT", "xml"),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    OTEL_EXPORTER_OTLP_ENDPOINT=`localhost`: expected a URL such as `http://localhost:4318`
    OTEL_EXPORTER_OTLP_ENDPOINT=`localhost:4317`: expected a URL such as `http://localhost:4318`
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=`ftp://collector/v1/traces`: expected a URL such as `http://localhost:4318`
    OTEL_EXPORTER_OTLP_ENDPOINT=`***`: expected a URL such as `http://localhost:4318`
    OTEL_TRACES_EXPORTER=`zipkin`: expected `otlp` or `none`
    OTEL_METRICS_EXPORTER=`console`: expected `otlp`, `prometheus` or `none`
    SENTRY_DSN=`***`: expected `https://KEY@HOST/PROJECT`, such as `https://0123456789abcdef@sentry.example.org/42`
    SENTRY_SAMPLE_RATE=`2`: expected a number from 0.0 to 1.0
    LOG_FORMAT=`xml`: expected `pretty` or `json`
    ");
}

#[test]
fn a_protocol_that_the_program_does_not_speak_is_refused_with_the_way_out() {
    let read_with = |variables: [(&str, &str); 2]| {
        let lookup = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        TelemetryConfig::from_lookup("shop", "1.2.3", lookup).map(drop).map_err(|error| error.to_string())
    };
    let read =
        |variable, value| read_with([(variable, value), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")]);
    for variable in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
        let refused = |value: &str, expected: &str| Err(format!("{variable}=`{value}`: {expected}"));
        let (grpc, smoke) = (read(variable, "grpc"), read(variable, "smoke"));
        if cfg!(feature = "grpc") {
            assert_eq!(grpc, Ok(()));
            assert_eq!(smoke, refused("smoke", "expected `grpc` or `http/protobuf`"));
        } else {
            let expected = "expected `http/protobuf`, as this program is built without gRPC";
            assert_eq!(grpc, refused("grpc", expected));
            assert_eq!(smoke, refused("smoke", expected));
        }
        assert_eq!(read(variable, "http/protobuf"), Ok(()));
        // It may be another program's in the same pod.
        assert_eq!(read_with([(variable, "smoke"), ("OTEL_TRACES_EXPORTER", "none")]), Ok(()));
    }
    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
    assert_eq!(read_with([("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"), of_traces]), Ok(()));
}

#[test]
fn what_is_set_up_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Telemetry>();
}

#[test]
fn traces_are_exported_where_there_is_an_endpoint() {
    let exports = |variables: &[(&str, &str)]| {
        let lookup = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        TelemetryConfig::from_lookup("shop", "1.2.3", lookup).unwrap().export_traces
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    assert!(exports(&[endpoint]));
    assert!(exports(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://[::1]/v1/traces")]));
    assert!(!exports(&[endpoint, ("OTEL_SDK_DISABLED", "true")]));
    assert!(!exports(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
    assert!(!exports(&[endpoint, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "otlp")]));
}

/// What an event says, in one line.
fn tell(event: &Value) -> String {
    let message = event["exception"]["values"][0]["value"].as_str().or(event["message"].as_str()).unwrap_or("");
    format!("{}: {message} ({})", event["transaction"].as_str().unwrap_or(""), event["release"].as_str().unwrap_or(""))
}
