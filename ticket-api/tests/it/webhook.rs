//! Stripe's webhook: who may call it, and what a call changes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

use crate::{
    harness::{Answer, Service, Setup},
    store::connect,
};

const SECRET: &str = "whsec_test";

async fn start() -> Service {
    Setup::default().with("stripe-webhook-secret", SECRET).start().await
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sign(secret: &str, time: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn send(service: &Service, signature: &str, body: &str) -> Answer {
    let request = service.client.post(service.url("/stripe/webhook"));
    Answer::of(request.header("stripe-signature", signature).body(body.to_owned())).await
}

async fn deliver(service: &Service, event: &Value) -> Answer {
    let (time, body) = (now_secs(), event.to_string());
    send(service, &format!("t={time},v1={}", sign(SECRET, time, &body)), &body).await
}

/// An event about a payment of 50 dollars, which is what two seats cost.
fn event(id: &str, kind: &str, order_id: &str) -> Value {
    json!({"id": id, "object": "event", "type": kind, "created": 1, "data": {"object": {
        "id": "pi_1", "object": "payment_intent", "metadata": {"orderId": order_id},
        "amount_received": 5000, "currency": "usd",
        "last_payment_error": {"message": "insufficient funds"},
    }}})
}

/// An order that was declined, and its path.
async fn declined_order(service: &Service) -> (String, String) {
    let reservation_id = service.reservation(&service.event(5).await, 2).await;
    let path = service.order(&reservation_id, "tok_chargeDeclined").await.header("location").to_owned();
    (path.rsplit('/').next().unwrap().to_owned(), path)
}

#[tokio::test]
async fn only_a_fresh_signature_of_ours_is_taken() {
    let service = start().await;
    let body = json!({"id": "evt_1", "type": "charge.refunded", "data": {}}).to_string();
    let now = now_secs();
    let good = sign(SECRET, now, &body);
    let refused = async |signature: String| {
        let answer = send(&service, &signature, &body).await.expect(StatusCode::BAD_REQUEST);
        answer["error"]["message"].as_str().unwrap().to_owned()
    };
    insta::assert_snapshot!(refused(format!("v1={good}")).await, @"the signature is refused: it has no time `t`");
    insta::assert_snapshot!(refused(format!("t=soon,v1={good}")).await, @"the signature is refused: its time `t` is no number of seconds");
    for time in [now - 310, now + 310] {
        let message = refused(format!("t={time},v1={}", sign(SECRET, time, &body))).await;
        assert_eq!(message, "the signature is refused: its time `t` is more than five minutes from ours");
    }
    let other = sign("whsec_other", now, &body);
    let shifted = sign(SECRET, now - 1, &body);
    for signatures in [
        format!("v1={other}"),
        format!("v1={shifted}"),
        format!("v0={good}"),
        "v1=".to_owned(),
        "v1=zz".to_owned(),
        "v1=é".to_owned(),
        String::new(),
    ] {
        let message = refused(format!("t={now},{signatures}")).await;
        assert!(message.starts_with("the signature is refused: "), "{signatures}: {message}");
    }
    assert_eq!(service.value("stripe_webhook_failures_total").await, 11.0);
    send(&service, &format!("t={now}, v1={other}, v1={good}"), &body).await.expect(StatusCode::OK);
    assert_eq!(service.value("stripe_webhook_failures_total").await, 11.0);
}

#[tokio::test]
async fn a_payment_that_succeeds_after_all_pays_the_order_once() {
    let service = start().await;
    let (order_id, path) = declined_order(&service).await;
    let succeeded = event("evt_1", "payment_intent.succeeded", &order_id);
    for _ in 0..2 {
        deliver(&service, &succeeded).await.expect(StatusCode::OK);
    }
    let order = service.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&order["status"], order["tickets"].as_array().unwrap().len()), (&json!("issued"), 2));
    deliver(&service, &event("evt_2", "payment_intent.payment_failed", &order_id)).await.expect(StatusCode::OK);
    assert_eq!(service.get(&path).await.json(), order, "a failure that comes late changes nothing");
    assert_eq!((service.value("payment_total").await, service.value("payment_success_total").await), (2.0, 1.0));
    assert_eq!(service.value("stripe_webhook_failures_total").await, 0.0);
}

#[tokio::test]
async fn a_payment_of_another_amount_or_currency_pays_nothing() {
    let service = start().await;
    let (order_id, path) = declined_order(&service).await;
    let declined = service.get(&path).await.json();
    let check = async |field: &str, value: Value| {
        let mut succeeded = event("evt_1", "payment_intent.succeeded", &order_id);
        succeeded["data"]["object"][field] = value;
        let answer = deliver(&service, &succeeded).await;
        assert_eq!(service.get(&path).await.json(), declined);
        answer.line()
    };
    insta::assert_snapshot!(check("amount_received", json!(1)).await, @r#"422 {"error":{"code":"wrong_payment","message":"the payment is of 1 usd and the order of 5000 usd, in the currency's smallest unit","field":"data.object.amount_received"}}"#);
    insta::assert_snapshot!(check("amount_received", json!(5001)).await, @r#"422 {"error":{"code":"wrong_payment","message":"the payment is of 5001 usd and the order of 5000 usd, in the currency's smallest unit","field":"data.object.amount_received"}}"#);
    insta::assert_snapshot!(check("currency", json!("jpy")).await, @r#"422 {"error":{"code":"wrong_payment","message":"the payment is of 5000 jpy and the order of 5000 usd, in the currency's smallest unit","field":"data.object.currency"}}"#);
    insta::assert_snapshot!(check("currency", json!("dollars")).await, @r#"422 {"error":{"code":"validation_failed","message":"expected a currency's three letters (ISO 4217), such as eur","field":"data.object.currency"}}"#);
    insta::assert_snapshot!(check("amount_received", Value::Null).await, @r#"422 {"error":{"code":"validation_failed","message":"invalid type: null, expected i64","field":"data.object.amount_received"}}"#);
    assert_eq!(service.value("stripe_webhook_failures_total").await, 5.0);
    assert_eq!(service.value("payment_success_total").await, 0.0);
    // The delivery was not used up.
    deliver(&service, &event("evt_1", "payment_intent.succeeded", &order_id)).await.expect(StatusCode::OK);
    assert_eq!(service.get(&path).await.json()["status"], "issued");
}

#[tokio::test]
async fn the_operators_currency_is_the_one_that_pays() {
    let mut setup = Setup::default().with("stripe-webhook-secret", SECRET);
    setup.settings.currency = "EUR".parse().unwrap();
    let service = setup.start().await;
    let (order_id, path) = declined_order(&service).await;
    let mut succeeded = event("evt_1", "payment_intent.succeeded", &order_id);
    deliver(&service, &succeeded).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    succeeded["data"]["object"]["currency"] = json!("eur");
    deliver(&service, &succeeded).await.expect(StatusCode::OK);
    assert_eq!(service.get(&path).await.json()["status"], "issued");
}

#[tokio::test]
async fn a_second_payment_of_an_order_is_written_down_to_be_refunded_once() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}/tickets.db", folder.path().display());
    let setup = Setup::default().with("stripe-webhook-secret", SECRET).with("database-url", &url);
    let service = setup.start().await;
    let (order_id, path) = declined_order(&service).await;
    deliver(&service, &event("evt_1", "payment_intent.succeeded", &order_id)).await.expect(StatusCode::OK);
    let issued = service.get(&path).await.json();
    let mut second = event("evt_2", "payment_intent.succeeded", &order_id);
    second["data"]["object"]["id"] = json!("pi_2");
    deliver(&service, &second).await.expect(StatusCode::OK);
    // Stripe may tell the same in two events.
    second["id"] = json!("evt_3");
    deliver(&service, &second).await.expect(StatusCode::OK);

    let order = service.get(&path).await.json();
    assert_eq!((&order["status"], &order["tickets"]), (&json!("issued"), &issued["tickets"]));
    assert_eq!((service.value("payment_total").await, service.value("payment_success_total").await), (3.0, 2.0));
    assert_eq!(service.value("order_processing_duration_seconds_count").await, 2.0, "the order ended no third time");
    let facts: Vec<(String,)> = sqlx::query_as("SELECT payload FROM event_store WHERE type = 'refundDue'")
        .fetch_all(&mut connect(&url).await)
        .await
        .unwrap();
    assert_eq!(facts, [(r#"{"reference":"pi_2","type":"refundDue"}"#.to_owned(),)]);
}

#[tokio::test]
async fn a_payment_that_comes_when_the_seats_are_gone_is_to_be_refunded() {
    let mut setup = Setup::default().with("stripe-webhook-secret", SECRET);
    setup.settings.reservation_time = Duration::from_millis(500);
    let service = setup.start().await;
    let event_id = service.event(2).await;
    let reservation_id = service.reservation(&event_id, 2).await;
    let path = service.order(&reservation_id, "tok_chargeDeclined").await.header("location").to_owned();
    service.eventually(&format!("/api/events/{event_id}"), |event| event["available"] == 2).await;
    let order_id = path.rsplit('/').next().unwrap();
    deliver(&service, &event("evt_1", "payment_intent.succeeded", order_id)).await.expect(StatusCode::OK);
    let order = service.get(&path).await.json();
    assert_eq!((&order["status"], &order["tickets"]), (&json!("refund_due"), &json!([])));
}

#[tokio::test]
async fn what_cannot_be_processed_is_refused_and_counted() {
    let service = start().await;
    let answer =
        deliver(&service, &event("evt_1", "payment_intent.succeeded", "00000000-0000-0000-0000-000000000000")).await;
    insta::assert_snapshot!(answer.line(), @r#"422 {"error":{"code":"validation_failed","message":"there is no order with this id","field":"data.object.metadata.orderId"}}"#);
    let answer = deliver(&service, &event("evt_1", "payment_intent.succeeded", "17")).await;
    insta::assert_snapshot!(answer.line(), @r#"422 {"error":{"code":"validation_failed","message":"UUID parsing failed: invalid length: found 2","field":"data.object.metadata.orderId"}}"#);
    let answer = deliver(
        &service,
        &json!({"id": "evt_2", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi", "metadata": {}}}}),
    )
    .await;
    insta::assert_snapshot!(answer.line(), @r#"422 {"error":{"code":"validation_failed","message":"missing field `orderId`","field":"data.object.metadata.orderId"}}"#);
    assert_eq!(service.value("stripe_webhook_failures_total").await, 3.0);
}

#[tokio::test]
async fn without_a_secret_the_webhook_is_off() {
    let service = Service::start().await;
    let answer = deliver(&service, &event("evt_1", "payment_intent.succeeded", "17")).await;
    insta::assert_snapshot!(answer.line(), @r#"404 {"error":{"code":"not_configured","message":"the Stripe webhook is not configured: set STRIPE_WEBHOOK_SECRET"}}"#);
}
