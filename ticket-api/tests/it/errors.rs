//! What is reported of a failure, as an error tracker gets it.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, routing::post};
use futura_metrics::{
    Metrics,
    telemetry::{self, TelemetryConfig},
};
use futures_util::future::BoxFuture;
use reqwest::StatusCode;
use serde_json::Value;
use ticket_api::{Approval, Charge, GatewayError, PaymentGateway};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::harness::Setup;

const BUG: &str = "the gateway has a bug";

#[derive(Debug)]
struct PanickingGateway;

impl PaymentGateway for PanickingGateway {
    fn charge<'a>(&'a self, _: &'a Charge) -> BoxFuture<'a, Result<Approval, GatewayError>> {
        panic!("{BUG}");
    }

    fn find(&self, _: Uuid) -> BoxFuture<'_, Result<Option<Approval>, GatewayError>> {
        Box::pin(std::future::pending())
    }
}

/// A server that takes Sentry envelopes and keeps the events in them.
async fn sentry() -> (String, Arc<Mutex<Vec<Value>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    let take = async move |body: Bytes| {
        // An envelope is lines of JSON: its header, then each item's header and payload.
        let lines = body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        kept.lock().unwrap().extend(lines.filter(|line: &Value| line.get("platform").is_some()));
        "{}"
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("http://key@{}/1", listener.local_addr().unwrap());
    let app = Router::new().route("/api/1/envelope/", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (dsn, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_purchase_is_one_event_that_names_its_request() {
    let (dsn, events) = sentry().await;
    let lookup = |name: &str| match name {
        "SENTRY_DSN" => Some(dsn.clone()),
        "RUST_LOG" => Some("off".to_owned()),
        _ => None,
    };
    let metrics = Metrics::new();
    let config = TelemetryConfig::from_lookup("ticket-api", "1.2.3", lookup).unwrap();
    let telemetry = telemetry::init(&config, &metrics).unwrap();
    let setup = Setup { gateway: Arc::new(PanickingGateway), ..Setup::default() };
    let service = setup.start_with(&metrics, Some(&telemetry)).await;
    let reservation_id = service.reservation(&service.event(5).await, 1).await;
    let answer = service.order(&reservation_id, "tok_visa").await.expect(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer["error"]["code"], "internal");
    service.stop().await;
    telemetry.shutdown().await;

    // Other tests of this process may fail on purpose too.
    let events = events.lock().unwrap();
    let (path, told) = ("POST /api/orders", |event: &Value| event.to_string());
    let ours: Vec<_> =
        events.iter().filter(|event| event["transaction"] == path || told(event).contains(BUG)).collect();
    assert_eq!(ours.len(), 1, "{ours:#?}");
    assert_eq!((&ours[0]["transaction"], told(ours[0]).contains(BUG)), (&Value::from(path), true), "{ours:#?}");
}
