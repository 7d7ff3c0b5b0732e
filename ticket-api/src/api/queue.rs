//! The virtual queue over HTTP: joining, which also asks where one stands, and leaving.

use axum::{Json, extract::State, http::StatusCode};
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
    domain::{Caller, USER_ID_LIMIT, is_user_id},
    timestamp::Timestamp,
};

const NAME_LIMIT: usize = 200;

/// Who joins.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JoinQueue {
    /// The user; with a token, its `sub`.
    #[schema(min_length = 1, max_length = 128, examples("user-1"))]
    user_id: String,
    user_info: Option<UserInfo>,
}

/// What the user says of themselves. It is checked, and neither kept nor logged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserInfo {
    #[schema(min_length = 1, max_length = 200, examples("Ada"))]
    name: String,
}

/// Who leaves.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LeaveQueue {
    /// The user; with a token, its `sub`.
    #[schema(min_length = 1, max_length = 128, examples("user-1"))]
    user_id: String,
}

/// Where a user stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QueuePlace {
    event_id: Uuid,
    /// The place in the line; 1 is its front.
    position: u64,
    /// How many are in front.
    ahead: u64,
    /// How many are in the line, those who have their turn included.
    size: u64,
    status: QueueStatus,
    /// When the turn ends, or by when the user must have asked again to keep the place.
    expires_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum QueueStatus {
    /// Ask again before `expiresAt`.
    Waiting,
    /// It is the user's turn until `expiresAt`.
    Admitted,
}

/// An event's line as a whole.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventQueue {
    event_id: Uuid,
    /// How many are in the line.
    size: u64,
    /// How many of them have their turn.
    admitted: u64,
    /// How many may be in the line.
    capacity: u32,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_queue)).routes(routes!(join_queue)).routes(routes!(leave_queue))
}

/// Counts who waits for an event
#[utoipa::path(
    get, path = "/api/queue/{eventId}", tag = "queue", params(("eventId" = Uuid, Path, description = "The event's id")),
    responses(
        (status = 200, description = "The line as a whole", body = EventQueue),
        (status = 404, description = "There is no such event", body = ErrorBody),
        (status = 503, description = "The queue does not answer", body = ErrorBody),
    )
)]
async fn get_queue(State(app): State<App>, Id(event_id): Id) -> Result<Json<EventQueue>, ApiError> {
    app.box_office.store().event(event_id).await?;
    let figures = app.queue.figures(event_id).await?;
    let capacity = app.queue.max_size();
    Ok(Json(EventQueue { event_id, size: figures.size, admitted: figures.admitted, capacity }))
}

/// Joins the line for an event, or asks for one's place in it
///
/// Ask as often as you like, at least every two minutes: whoever waits and does not ask loses the place. The first 100, when
/// they ask, are `admitted` for ten minutes, and then leave the line. The line orders people and tells them: a reservation
/// is not refused to those who are not admitted, so it is for the shop to hold them back. A service that runs open, without
/// tokens, takes anybody's word for who they are: one caller can fill a line. Where the queue is in the process's memory,
/// a user may be in ten lines at the same time.
#[utoipa::path(
    post, path = "/api/queue/{eventId}/join", tag = "queue", params(("eventId" = Uuid, Path, description = "The event's id")),
    request_body = JoinQueue,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "In the line now, at its end", body = QueuePlace),
        (status = 200, description = "In the line before, and still at the same place or further in front", body = QueuePlace),
        (status = 401, description = "There is no valid token", body = ErrorBody),
        (status = 403, description = "The token is another user's", body = ErrorBody),
        (status = 404, description = "There is no such event", body = ErrorBody),
        (status = 429, description = "The line is full, or all are, or the user is in too many", body = ErrorBody),
        (status = 503, description = "The queue does not answer", body = ErrorBody),
        (status = "4XX", description = "The request is refused", body = ErrorBody),
    )
)]
async fn join_queue(
    State(app): State<App>,
    caller: Caller,
    Id(event_id): Id,
    JsonBody(wanted): JsonBody<JoinQueue>,
) -> Result<(StatusCode, Json<QueuePlace>), ApiError> {
    check_user(&caller, &wanted.user_id)?;
    wanted.user_info.map_or(Ok(()), |info| info.check())?;
    app.box_office.store().event(event_id).await?;
    let place = app.queue.join(event_id, &wanted.user_id).await?;
    let status = if place.joined { StatusCode::CREATED } else { StatusCode::OK };
    let place = QueuePlace {
        event_id,
        position: place.ahead + 1,
        ahead: place.ahead,
        size: place.size,
        status: if place.admitted { QueueStatus::Admitted } else { QueueStatus::Waiting },
        expires_at: Timestamp::now().plus(place.remaining),
    };
    Ok((status, Json(place)))
}

/// Leaves the line for an event
///
/// A service that runs open, without tokens, takes anybody's word for who they are: anyone can take anyone out.
#[utoipa::path(
    post, path = "/api/queue/{eventId}/leave", tag = "queue", params(("eventId" = Uuid, Path, description = "The event's id")),
    request_body = LeaveQueue,
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Not in the line, whether or not in it before"),
        (status = 401, description = "There is no valid token", body = ErrorBody),
        (status = 403, description = "The token is another user's", body = ErrorBody),
        (status = 404, description = "There is no such event", body = ErrorBody),
        (status = 503, description = "The queue does not answer", body = ErrorBody),
        (status = "4XX", description = "The request is refused", body = ErrorBody),
    )
)]
async fn leave_queue(
    State(app): State<App>,
    caller: Caller,
    Id(event_id): Id,
    JsonBody(wanted): JsonBody<LeaveQueue>,
) -> Result<StatusCode, ApiError> {
    check_user(&caller, &wanted.user_id)?;
    app.box_office.store().event(event_id).await?;
    app.queue.leave(event_id, &wanted.user_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A user comes and goes for themselves.
fn check_user(caller: &Caller, user_id: &str) -> Result<(), ApiError> {
    if !is_user_id(user_id) {
        let message = format!("an id has 1 to {USER_ID_LIMIT} characters and no control characters");
        return Err(ApiError::invalid("userId", message));
    }
    if !caller.may_touch(Some(user_id)) {
        let message = "a user joins and leaves for themselves: userId must be the token's claim `sub`";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message).field("userId"));
    }
    Ok(())
}

// === impl UserInfo ===

impl UserInfo {
    fn check(&self) -> Result<(), ApiError> {
        let name = self.name.trim();
        if (1..=NAME_LIMIT).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
            return Ok(());
        }
        let message = format!("a name has 1 to {NAME_LIMIT} characters and no control characters");
        Err(ApiError::invalid("userInfo.name", message))
    }
}
