//! What reads the store.

use super::{Store, StoreError, corrupt};
use crate::{
    domain::{Order, Refusal, Stream},
    timestamp::Timestamp,
};
use sqlx::{
    Any, AnyPool, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use std::time::Duration;
use uuid::Uuid;

/// What one round of upkeep takes on at most.
const BATCH: i64 = 200;

/// An event as it is read.
#[derive(Clone, Debug)]
pub(crate) struct EventRecord {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) starts_at: Timestamp,
    pub(crate) capacity: i64,
    pub(crate) available: i64,
    pub(crate) price_cents: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) orders: i64,
    pub(crate) tickets: i64,
    pub(crate) revenue_cents: i64,
}

/// The connections of the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    pub(crate) total: u32,
    pub(crate) free: u32,
    pub(crate) limit: u32,
}

// === impl Store ===

impl Store {
    /// One event.
    pub(crate) async fn event(&self, id: Uuid) -> Result<EventRecord, StoreError> {
        let read = || async {
            let select = sqlx::query("SELECT * FROM event_overview WHERE id = $1");
            let row = select.bind(id.to_string()).fetch_optional(self.pool()).await?;
            EventRecord::read(&row.ok_or(Refusal::NoSuchEvent)?)
        };
        self.call(read).await
    }

    /// Events, newest first, from after the one with id `after`.
    pub(crate) async fn events(&self, limit: i64, after: Option<Uuid>) -> Result<Vec<EventRecord>, StoreError> {
        // Every id sorts below this one, which no UUID reaches.
        let before = after.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let read = || async {
            let select = sqlx::query("SELECT * FROM event_overview WHERE id < $1 ORDER BY id DESC LIMIT $2");
            let rows = select.bind(before.clone()).bind(limit).fetch_all(self.pool()).await?;
            rows.iter().map(EventRecord::read).collect()
        };
        self.call(read).await
    }

    /// One order, added up from its stream.
    pub(crate) async fn order(&self, id: Uuid) -> Result<Order, StoreError> {
        let read = || async {
            let rows = stream(Stream::Order(id)).fetch_all(self.pool()).await?;
            self.metrics.replay(id, &rows)
        };
        self.call(read).await
    }

    /// Reservations whose time was over at `now`, of one event or of all.
    pub(crate) async fn due_reservations(
        &self,
        event_id: Option<Uuid>,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, StoreError> {
        let read = || async {
            let rows = match event_id {
                Some(event_id) => {
                    sqlx::query("SELECT id FROM reservations WHERE event_id = $1 AND status = 'active' AND expires_at_ms <= $2 LIMIT $3")
                        .bind(event_id.to_string())
                }
                None => sqlx::query("SELECT id FROM reservations WHERE status = 'active' AND expires_at_ms <= $1 LIMIT $2"),
            };
            ids(&rows.bind(now.as_millis()).bind(BATCH).fetch_all(self.pool()).await?)
        };
        self.call(read).await
    }

    /// Orders that are in `status` since before `before`.
    pub(crate) async fn orders_left(&self, status: &'static str, before: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        let read = || async {
            let select = sqlx::query(
                "SELECT id FROM orders WHERE status = $1 AND updated_at_ms <= $2 ORDER BY updated_at_ms LIMIT $3",
            );
            ids(&select.bind(status).bind(before.as_millis()).bind(BATCH).fetch_all(self.pool()).await?)
        };
        self.call(read).await
    }

    /// Events with sales since `since` that their figures do not know yet.
    pub(crate) async fn stale_sales(&self, since: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        let read = || async {
            let select = sqlx::query(
                "SELECT DISTINCT o.event_id AS id FROM orders o LEFT JOIN event_sales s ON s.event_id = o.event_id \
                 WHERE o.status IN ('paid', 'issued') AND o.updated_at_ms >= $1 AND (s.updated_at_ms IS NULL OR s.updated_at_ms < o.updated_at_ms) LIMIT $2",
            );
            ids(&select.bind(since.as_millis()).bind(BATCH).fetch_all(self.pool()).await?)
        };
        self.call(read).await
    }

    /// How many tickets are valid.
    pub(crate) async fn active_tickets(&self) -> Result<i64, StoreError> {
        let read = || async {
            let row = sqlx::query("SELECT COUNT(*) AS active FROM tickets").fetch_one(self.pool()).await?;
            Ok(row.try_get("active")?)
        };
        self.call(read).await
    }

    /// Whether the database gives what it stores within `limit`, breaker or no breaker.
    pub(crate) async fn answers_within(&self, limit: Duration) -> bool {
        let read = sqlx::query("SELECT id FROM events LIMIT 1").execute(self.pool());
        matches!(tokio::time::timeout(limit, read).await, Ok(Ok(_)))
    }

    pub(crate) fn connections(&self) -> Connections {
        Connections::of(self.pool())
    }

    /// Closes every connection, once each is free.
    pub(crate) async fn close(&self) {
        self.pool().close().await;
    }
}

// === impl Connections ===

impl Connections {
    pub(super) fn of(pool: &AnyPool) -> Self {
        let total = pool.size();
        // The two are read one after the other, so that a connection may go in between.
        let free = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX).min(total);
        Self { total, free, limit: pool.options().get_max_connections() }
    }
}

// === impl EventRecord ===

impl EventRecord {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let capacity: i64 = row.try_get("capacity")?;
        Ok(Self {
            id: parse_id(row.try_get("id")?)?,
            name: row.try_get("name")?,
            starts_at: Timestamp::from_millis(row.try_get("starts_at_ms")?),
            capacity,
            available: capacity - row.try_get::<i64, _>("seats_taken")?,
            price_cents: row.try_get("price_cents")?,
            created_at: Timestamp::from_millis(row.try_get("created_at_ms")?),
            orders: row.try_get("orders")?,
            tickets: row.try_get("tickets")?,
            revenue_cents: row.try_get("revenue_cents")?,
        })
    }
}

/// A whole stream, in order.
pub(super) fn stream(stream: Stream) -> Query<'static, Any, AnyArguments> {
    sqlx::query("SELECT version, payload, recorded_at_ms FROM event_store WHERE stream = $1 ORDER BY version")
        .bind(stream.to_string())
}

/// A reservation, with the price of its event.
pub(super) fn reservation(id: Uuid) -> Query<'static, Any, AnyArguments> {
    sqlx::query(
        "SELECT r.event_id, r.quantity, r.status, r.order_id, r.expires_at_ms, e.price_cents \
         FROM reservations r JOIN events e ON e.id = r.event_id WHERE r.id = $1",
    )
    .bind(id.to_string())
}

pub(super) fn parse_id(text: &str) -> Result<Uuid, StoreError> {
    text.parse().map_err(corrupt)
}

fn ids(rows: &[AnyRow]) -> Result<Vec<Uuid>, StoreError> {
    rows.iter().map(|row| parse_id(row.try_get("id")?)).collect()
}
