//! Orders: paying a reservation, and getting the tickets.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App,
    error::{ApiError, ErrorBody},
    extract::{Id, JsonBody},
};
use crate::{
    box_office::Purchase,
    domain::{self, Caller, OrderStatus},
    secret::Secret,
    timestamp::Timestamp,
};

const TOKEN_LIMIT: usize = 200;

/// A reservation to be paid.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateOrder {
    /// The reservation.
    reservation_id: Uuid,
    /// What stands for the means of payment. The sandbox knows tok_visa, tok_chargeDeclined, tok_providerError and tok_slow.
    #[schema(value_type = String, examples("tok_visa"))]
    payment_token: Secret,
}

/// An order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: Uuid,
    reservation_id: Uuid,
    event_id: Uuid,
    quantity: i64,
    amount_cents: i64,
    status: OrderStatus,
    /// Why the payment was declined.
    refusal: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Empty until the order is issued.
    tickets: Vec<Ticket>,
}

/// A ticket: whoever shows its id gets a seat.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Ticket {
    id: Uuid,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_order)).routes(routes!(get_order))
}

/// Pays a reservation and issues its tickets
///
/// A reservation is charged once: ordering it again when it is paid gives the same order. `Location` names the order,
/// also where the payment failed.
#[utoipa::path(
    post, path = "/api/orders", tag = "orders", request_body = CreateOrder,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Paid", body = Order, headers(("location" = String, description = "Where the order is read"))),
        (status = 200, description = "Paid before, by this order", body = Order),
        (status = 401, description = "There is no valid token", body = ErrorBody),
        (status = 402, description = "Declined; the seats stay reserved until the reservation expires", body = ErrorBody),
        (status = 404, description = "There is no such reservation, or it is somebody else's", body = ErrorBody),
        (status = 409, description = "The reservation has expired, or an order on it is being paid, or the payment goes back", body = ErrorBody),
        (status = 503, description = "The payment provider does not answer", body = ErrorBody),
        (status = "4XX", description = "The request is refused", body = ErrorBody),
    )
)]
async fn create_order(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wanted): JsonBody<CreateOrder>,
) -> Result<impl IntoResponse, ApiError> {
    let length = wanted.payment_token.expose().len();
    if !(1..=TOKEN_LIMIT).contains(&length) {
        return Err(ApiError::invalid("paymentToken", format!("a token has 1 to {TOKEN_LIMIT} bytes")));
    }
    let box_office = Arc::clone(&app.box_office);
    let purchase = async move { box_office.purchase(wanted.reservation_id, &caller, wanted.payment_token).await };
    let (status, order) = match app.finish(purchase).await? {
        Purchase::Completed(order) => (StatusCode::CREATED, order),
        Purchase::Repeated(order) => (StatusCode::OK, order),
        Purchase::RefundDue(order) => {
            let message = "the payment came when the seats were gone: it will be refunded";
            return Err(ApiError::new(StatusCode::CONFLICT, "refund_due", message).about_order(order.id));
        }
        Purchase::Declined(order) => {
            let reason = order.refusal.as_deref().unwrap_or("no reason was given");
            let error = ApiError::new(
                StatusCode::PAYMENT_REQUIRED,
                "payment_declined",
                format!("the payment was declined: {reason}"),
            );
            return Err(error.about_order(order.id).field("paymentToken"));
        }
        Purchase::Unavailable(order) => {
            let message = "the payment provider does not answer; nothing was charged, try again later";
            return Err(provider_error("payment_unavailable", message).about_order(order.id).retry_after_secs(30));
        }
        Purchase::Unknown(order) => {
            let message = "the payment provider did not answer in time; do not pay again, look at the order";
            return Err(provider_error("payment_unknown", message).about_order(order.id));
        }
    };
    Ok((status, [(header::LOCATION, format!("/api/orders/{}", order.id))], Json(Order::from(order))))
}

/// Reads an order
#[utoipa::path(
    get, path = "/api/orders/{orderId}", tag = "orders", params(("orderId" = Uuid, Path, description = "The order's id")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 401, description = "There is no valid token", body = ErrorBody),
        (status = 404, description = "There is no such order, or it is somebody else's", body = ErrorBody),
    )
)]
async fn get_order(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Json<Order>, ApiError> {
    Ok(Json(app.box_office.order(id, &caller).await?.into()))
}

fn provider_error(code: &'static str, message: &'static str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
}

// === impl Order ===

impl From<domain::Order> for Order {
    fn from(order: domain::Order) -> Self {
        Self {
            id: order.id,
            reservation_id: order.reservation_id,
            event_id: order.event_id,
            quantity: order.quantity,
            amount_cents: order.amount_cents,
            status: order.status,
            refusal: order.refusal,
            created_at: order.created_at,
            updated_at: order.updated_at,
            tickets: order.ticket_ids.into_iter().map(|id| Ticket { id }).collect(),
        }
    }
}
