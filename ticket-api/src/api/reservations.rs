//! Reservations: seats held for a time, so that they can be paid in peace.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App,
    error::{ApiError, ErrorBody},
    extract::JsonBody,
};
use crate::{domain::Caller, timestamp::Timestamp};

const QUANTITY_LIMIT: i64 = 10;

/// Seats to be held.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateReservation {
    /// The event.
    event_id: Uuid,
    /// How many seats.
    #[schema(minimum = 1, maximum = 10)]
    quantity: i64,
}

/// Seats that are held until `expiresAt`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    id: Uuid,
    event_id: Uuid,
    quantity: i64,
    expires_at: Timestamp,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_reservation))
}

/// Holds seats of an event for 15 minutes
#[utoipa::path(
    post, path = "/api/reservations", tag = "reservations", request_body = CreateReservation,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "The seats are held", body = Reservation),
        (status = 401, description = "There is no valid token", body = ErrorBody),
        (status = 404, description = "There is no such event", body = ErrorBody),
        (status = 409, description = "Fewer seats are free", body = ErrorBody),
        (status = "4XX", description = "The request is refused", body = ErrorBody),
    )
)]
async fn create_reservation(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wanted): JsonBody<CreateReservation>,
) -> Result<(StatusCode, Json<Reservation>), ApiError> {
    let CreateReservation { event_id, quantity } = wanted;
    if !(1..=QUANTITY_LIMIT).contains(&quantity) {
        return Err(ApiError::invalid("quantity", format!("a reservation has 1 to {QUANTITY_LIMIT} seats")));
    }
    let (id, expires_at) = app.box_office.reserve(event_id, quantity, &caller).await?;
    Ok((StatusCode::CREATED, Json(Reservation { id, event_id, quantity, expires_at })))
}
