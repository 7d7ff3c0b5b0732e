//! Events: what seats are sold for.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    App,
    auth::Promoter,
    error::{ApiError, ErrorBody},
    extract::{Id, JsonBody, Parameters},
};
use crate::{store::EventRecord, timestamp::Timestamp};

const NAME_LIMIT: usize = 200;
const CAPACITY_LIMIT: i64 = 1_000_000;
const PRICE_LIMIT_CENTS: i64 = 100_000_000;
const PAGE_LIMIT: i64 = 100;

/// An event to be created.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateEvent {
    /// What it is called.
    #[schema(min_length = 1, max_length = 200, examples("Summer Night"))]
    name: String,
    /// When it starts.
    starts_at: Timestamp,
    /// How many seats there are.
    #[serde(default = "default_capacity")]
    #[schema(minimum = 1, maximum = 1_000_000, default = 100)]
    capacity: i64,
    /// What a seat costs.
    #[serde(default = "default_price_cents")]
    #[schema(minimum = 0, maximum = 100_000_000, default = 5000)]
    price_cents: i64,
}

/// An event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: Uuid,
    name: String,
    starts_at: Timestamp,
    capacity: i64,
    /// Seats that are neither reserved nor sold.
    available: i64,
    price_cents: i64,
    created_at: Timestamp,
    sales: Sales,
}

/// What was sold of an event, a moment behind.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Sales {
    orders: i64,
    tickets: i64,
    revenue_cents: i64,
}

/// A page of events, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventPage {
    events: Vec<Event>,
    /// What to pass as `cursor` for the next page; null on the last one.
    next_cursor: Option<Uuid>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// Events on a page.
    #[serde(default = "default_limit", deserialize_with = "page_limit")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: i64,
    /// `nextCursor` of the page before.
    cursor: Option<Uuid>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_event, list_events)).routes(routes!(get_event))
}

/// Creates an event
#[utoipa::path(
    post, path = "/api/events", tag = "events", request_body = CreateEvent,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "The event", body = Event, headers(("location" = String, description = "Where it is read"))),
        (status = 401, description = "There is no valid token", body = ErrorBody),
        (status = 403, description = "The token is no promoter's", body = ErrorBody),
        (status = "4XX", description = "The request is refused", body = ErrorBody),
    )
)]
async fn create_event(
    State(app): State<App>,
    _: Promoter,
    JsonBody(event): JsonBody<CreateEvent>,
) -> Result<impl IntoResponse, ApiError> {
    let event = event.checked()?;
    let id = app.box_office.create_event(event.name, event.starts_at, event.capacity, event.price_cents).await?;
    let event = Event::from(app.box_office.store().event(id).await?);
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/events/{id}"))], Json(event)))
}

/// Lists events, newest first
#[utoipa::path(
    get, path = "/api/events", tag = "events", params(Paging),
    responses(
        (status = 200, description = "A page of events", body = EventPage),
        (status = 400, description = "A parameter is not allowed", body = ErrorBody),
    )
)]
async fn list_events(
    State(app): State<App>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<EventPage>, ApiError> {
    // One more than asked for tells whether there is a next page.
    let mut records = app.box_office.store().events(paging.limit + 1, paging.cursor).await?;
    let more = records.len() as i64 > paging.limit;
    records.truncate(usize::try_from(paging.limit).unwrap_or(usize::MAX));
    let next_cursor = records.last().filter(|_| more).map(|record| record.id);
    Ok(Json(EventPage { events: records.into_iter().map(Event::from).collect(), next_cursor }))
}

/// Reads an event
#[utoipa::path(
    get, path = "/api/events/{eventId}", tag = "events", params(("eventId" = Uuid, Path, description = "The event's id")),
    responses(
        (status = 200, description = "The event", body = Event),
        (status = 404, description = "There is no such event", body = ErrorBody),
    )
)]
async fn get_event(State(app): State<App>, Id(id): Id) -> Result<Json<Event>, ApiError> {
    Ok(Json(app.box_office.store().event(id).await?.into()))
}

// === impl CreateEvent ===

impl CreateEvent {
    fn checked(mut self) -> Result<Self, ApiError> {
        self.name = self.name.trim().to_owned();
        if self.name.is_empty() || self.name.chars().count() > NAME_LIMIT || self.name.chars().any(char::is_control) {
            return Err(ApiError::invalid(
                "name",
                format!("a name has 1 to {NAME_LIMIT} characters and no control characters"),
            ));
        }
        if !(1..=CAPACITY_LIMIT).contains(&self.capacity) {
            return Err(ApiError::invalid("capacity", format!("an event has 1 to {CAPACITY_LIMIT} seats")));
        }
        if !(0..=PRICE_LIMIT_CENTS).contains(&self.price_cents) {
            return Err(ApiError::invalid("priceCents", format!("a price is 0 to {PRICE_LIMIT_CENTS} cents")));
        }
        Ok(self)
    }
}

// === impl Event ===

impl From<EventRecord> for Event {
    fn from(record: EventRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            starts_at: record.starts_at,
            capacity: record.capacity,
            available: record.available,
            price_cents: record.price_cents,
            created_at: record.created_at,
            sales: Sales { orders: record.orders, tickets: record.tickets, revenue_cents: record.revenue_cents },
        }
    }
}

fn default_capacity() -> i64 {
    100
}

fn default_price_cents() -> i64 {
    5000
}

fn default_limit() -> i64 {
    20
}

fn page_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let limit = String::deserialize(deserializer)?.parse().ok().filter(|limit| (1..=PAGE_LIMIT).contains(limit));
    limit.ok_or_else(|| D::Error::custom(format_args!("a page has 1 to {PAGE_LIMIT} events")))
}
