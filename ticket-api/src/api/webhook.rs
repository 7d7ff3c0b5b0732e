//! Stripe's webhook: signed, dated, and each delivery takes effect once.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, StatusCode},
};
use futura_metrics::{Counter, Metrics, RegisterError, specs::business::STRIPE_WEBHOOK_FAILURES_TOTAL};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App,
    error::{ApiError, ErrorBody},
    extract::{RawBody, parse_json},
};
use crate::{
    domain::{Brief, Currency, Money, Outcome, Refusal},
    secret::Secret,
    store::StoreError,
    timestamp::Timestamp,
};

const SIGNATURE: &str = "stripe-signature";

/// How far the signature's time may be from ours: an older delivery may be a replay.
const TOLERANCE_SECS: i64 = 300;

const ID_LIMIT: usize = 255;

/// Longest refusal that an order keeps.
const REASON_LIMIT: usize = 200;

/// What the webhook needs.
#[derive(Debug)]
pub(crate) struct Webhook {
    secret: Option<Secret>,
    failures: Counter,
}

/// The part of Stripe's event that matters here; what else it holds is Stripe's.
#[derive(Deserialize, ToSchema)]
struct StripeEvent {
    #[schema(examples("evt_1"))]
    id: String,
    #[serde(rename = "type")]
    #[schema(examples("payment_intent.succeeded"))]
    kind: String,
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct EventData<T> {
    object: T,
}

#[derive(Deserialize)]
struct SucceededIntent {
    id: String,
    amount_received: i64,
    currency: Currency,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct FailedIntent {
    metadata: Metadata,
    last_payment_error: Option<PaymentIntentError>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "orderId", alias = "order_id")]
    order_id: Uuid,
}

#[derive(Deserialize)]
struct PaymentIntentError {
    message: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Receipt {
    received: bool,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stripe_webhook))
}

/// Takes Stripe's word on a payment
///
/// `payment_intent.succeeded` and `payment_intent.payment_failed` settle the order that `metadata.orderId` names, where the
/// payment is of the order's amount and currency; other events are received and ignored.
#[utoipa::path(
    post, path = "/stripe/webhook", tag = "webhooks", request_body = StripeEvent,
    params(("Stripe-Signature" = String, Header, description = "t=<Unix seconds>,v1=<HMAC-SHA256 of t.body in hex>")),
    responses(
        (status = 200, description = "Received", body = Receipt),
        (status = 400, description = "The signature is missing, wrong or too old", body = ErrorBody),
        (status = 404, description = "No secret is configured", body = ErrorBody),
        (status = 422, description = "The event cannot be processed", body = ErrorBody),
    )
)]
async fn stripe_webhook(State(app): State<App>, request: Request) -> Result<Json<Receipt>, ApiError> {
    let received = app.receive(request).await;
    received.inspect_err(|_| app.webhook.failures.inc())?;
    Ok(Json(Receipt { received: true }))
}

// === impl Webhook ===

impl Webhook {
    pub(crate) fn new(secret: Option<Secret>, metrics: &Metrics) -> Result<Self, RegisterError> {
        if secret.is_none() {
            tracing::info!("no STRIPE_WEBHOOK_SECRET: /stripe/webhook is off");
        }
        Ok(Self { secret, failures: metrics.counter(STRIPE_WEBHOOK_FAILURES_TOTAL)? })
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now_secs: i64) -> Result<(), ApiError> {
        let Some(secret) = &self.secret else {
            let message = "the Stripe webhook is not configured: set STRIPE_WEBHOOK_SECRET";
            return Err(ApiError::new(StatusCode::NOT_FOUND, "not_configured", message));
        };
        let header = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        let header = header.ok_or_else(|| refused("the header is missing"))?;
        let values = |name: &'static str| {
            header.split(',').filter_map(move |part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let time = values("t").next().ok_or_else(|| refused("it has no time `t`"))?;
        let seconds: i64 = time.parse().map_err(|_| refused("its time `t` is no number of seconds"))?;
        if now_secs.abs_diff(seconds) > TOLERANCE_SECS.unsigned_abs() {
            return Err(refused("its time `t` is more than five minutes from ours"));
        }
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("an HMAC takes a key of any length");
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body);
        // There is one signature for each secret that Stripe has for us, while one is being replaced.
        let matches = values("v1").filter_map(decode_hex).any(|signature| mac.clone().verify_slice(&signature).is_ok());
        if matches { Ok(()) } else { Err(refused("no `v1` in it is the body's")) }
    }
}

// === impl App ===

impl App {
    async fn receive(&self, request: Request) -> Result<(), ApiError> {
        let headers = request.headers().clone();
        let RawBody(body) = RawBody::from_request(request, self).await?;
        self.webhook.verify(&headers, &body, Timestamp::now().as_millis() / 1000)?;
        let event: StripeEvent = parse_json(&body)?;
        if !(1..=ID_LIMIT).contains(&event.id.len()) {
            return Err(ApiError::invalid("id", format!("an id has 1 to {ID_LIMIT} bytes")));
        }
        let Some((order_id, outcome)) = event.outcome()? else {
            tracing::debug!(kind = event.kind, "webhook event ignored");
            return Ok(());
        };
        let box_office = Arc::clone(&self.box_office);
        let settle = async move { box_office.settle(order_id, &outcome, Some(&event.id)).await };
        self.finish(settle).await.map_err(|error| match error {
            // Stripe asks again after a 404 as after any error, and a person who reads its log should see why.
            StoreError::Refused(refusal @ Refusal::NoSuchOrder) => {
                ApiError::invalid("data.object.metadata.orderId", refusal.to_string())
            }
            StoreError::Refused(refusal @ Refusal::WrongPayment { expected, received }) => {
                tracing::error!(order = %Brief(order_id), %refusal, "payment is not the one that its order asks for: look into it");
                let field = if received.currency == expected.currency { "amount_received" } else { "currency" };
                ApiError::from(refusal).field(field).within("data.object")
            }
            error => error.into(),
        })?;
        Ok(())
    }
}

// === impl StripeEvent ===

impl StripeEvent {
    /// What the event says of which order, if it is about a payment's end.
    fn outcome(&self) -> Result<Option<(Uuid, Outcome)>, ApiError> {
        match self.kind.as_str() {
            "payment_intent.succeeded" => {
                let intent: SucceededIntent = self.object()?;
                let received = Some(Money { cents: intent.amount_received, currency: intent.currency });
                Ok(Some((intent.metadata.order_id, Outcome::Approved { reference: intent.id, received })))
            }
            "payment_intent.payment_failed" => {
                let intent: FailedIntent = self.object()?;
                let reason = intent.last_payment_error.and_then(|error| error.message);
                let reason = reason.unwrap_or_else(|| "the payment failed".to_owned());
                let reason = reason.chars().take(REASON_LIMIT).collect();
                Ok(Some((intent.metadata.order_id, Outcome::Declined { reason })))
            }
            _ => Ok(None),
        }
    }

    fn object<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let data = parse_json(self.data.to_string().as_bytes());
        let EventData { object } = data.map_err(|error| error.within("data"))?;
        Ok(object)
    }
}

fn refused(reason: &str) -> ApiError {
    let message = format!("the signature is refused: {reason}");
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_signature", message).field("Stripe-Signature")
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4) | digit(*pair.get(1)?)?)).collect()
}
