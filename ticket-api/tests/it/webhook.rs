//! Stripe's webhook: who may call it, and what a call changes.

use crate::harness::{Answer, Service, Setup};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

fn event(id: &str, kind: &str, order_id: &str) -> Value {
    json!({"id": id, "object": "event", "type": kind, "created": 1, "data": {"object": {
        "id": "pi_1", "object": "payment_intent", "metadata": {"orderId": order_id},
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
