//! What reads the store.

use std::time::Duration;

use sqlx::{
    Any, AnyPool, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use uuid::Uuid;

use super::{Store, StoreError, corrupt};
use crate::{
    domain::{Order, OrderStatus, Refusal, Stream},
    timestamp::Timestamp,
};

/// How many records a page has at most.
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

/// A place in a list that is gone through page by page: after the record of this time and id.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    at_ms: i64,
    id: String,
}

/// A page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) ids: Vec<Uuid>,
    /// Where the next page begins, unless this is the last one.
    pub(crate) next: Option<Place>,
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

    /// Reservations whose time was over at `now`, of one event or of all, from after a place.
    pub(crate) async fn due_reservations(
        &self,
        event_id: Option<Uuid>,
        now: Timestamp,
        after: &Place,
    ) -> Result<Page, StoreError> {
        let read = || async {
            let rows = match event_id {
                Some(event_id) => sqlx::query(
                    "SELECT id, expires_at_ms AS at_ms FROM reservations WHERE event_id = $1 AND status = 'active' \
                     AND expires_at_ms <= $2 AND (expires_at_ms, id) > ($3, $4) ORDER BY expires_at_ms, id LIMIT $5",
                )
                .bind(event_id.to_string()),
                None => sqlx::query(
                    "SELECT id, expires_at_ms AS at_ms FROM reservations WHERE status = 'active' \
                     AND expires_at_ms <= $1 AND (expires_at_ms, id) > ($2, $3) ORDER BY expires_at_ms, id LIMIT $4",
                ),
            };
            let rows = rows.bind(now.as_millis()).bind(after.at_ms).bind(after.id.clone()).bind(BATCH);
            Page::read(&rows.fetch_all(self.pool()).await?)
        };
        self.call(read).await
    }

    /// Orders that are in `status` since before `before`, from after a place.
    pub(crate) async fn orders_left(
        &self,
        status: OrderStatus,
        before: Timestamp,
        after: &Place,
    ) -> Result<Page, StoreError> {
        let read = || async {
            let select = sqlx::query(
                "SELECT id, updated_at_ms AS at_ms FROM orders WHERE status = $1 AND updated_at_ms <= $2 \
                 AND (updated_at_ms, id) > ($3, $4) ORDER BY updated_at_ms, id LIMIT $5",
            );
            let select = select.bind(status.as_str()).bind(before.as_millis()).bind(after.at_ms).bind(after.id.clone());
            Page::read(&select.bind(BATCH).fetch_all(self.pool()).await?)
        };
        self.call(read).await
    }

    /// Events with sales since `since` whose figures do not hold all of their sales, from after a place.
    ///
    /// A paid order stays one, so that as many orders are the same orders. Their times would not tell: a sale may be
    /// committed after figures that were added up later, and each process has a clock of its own.
    pub(crate) async fn stale_sales(&self, since: Timestamp, after: &Place) -> Result<Page, StoreError> {
        let read = || async {
            let select = sqlx::query(
                "SELECT o.event_id AS id, CAST(0 AS BIGINT) AS at_ms FROM orders o LEFT JOIN event_sales s ON s.event_id = o.event_id \
                 WHERE o.status IN ('paid', 'issued') AND o.event_id > $2 AND o.event_id IN \
                 (SELECT event_id FROM orders WHERE status IN ('paid', 'issued') AND updated_at_ms >= $1) \
                 GROUP BY o.event_id HAVING COUNT(*) <> COALESCE(MAX(s.orders), 0) ORDER BY o.event_id LIMIT $3",
            );
            let select = select.bind(since.as_millis()).bind(after.id.clone()).bind(BATCH);
            Page::read(&select.fetch_all(self.pool()).await?)
        };
        self.call(read).await
    }

    /// How many tickets there are of events that start after `since`.
    pub(crate) async fn tickets_of_events(&self, since: Timestamp) -> Result<i64, StoreError> {
        let read = || async {
            let select = sqlx::query(
                "SELECT COUNT(*) AS tickets FROM events e JOIN tickets t ON t.event_id = e.id WHERE e.starts_at_ms > $1",
            );
            Ok(select.bind(since.as_millis()).fetch_one(self.pool()).await?.try_get("tickets")?)
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

// === impl Place ===

impl Default for Place {
    /// The beginning.
    fn default() -> Self {
        Self { at_ms: i64::MIN, id: String::new() }
    }
}

// === impl Page ===

impl Page {
    fn read(rows: &[AnyRow]) -> Result<Self, StoreError> {
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
        let last = rows.last().filter(|_| full);
        let next = last.map(|row| Ok::<_, StoreError>(Place { at_ms: row.try_get("at_ms")?, id: row.try_get("id")? }));
        let ids = rows.iter().filter_map(|row| {
            let id = row.try_get("id").map_err(StoreError::from).and_then(parse_id);
            // The others on the page are not to suffer for it.
            id.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "id is unreadable")).ok()
        });
        Ok(Self { ids: ids.collect(), next: next.transpose()? })
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
        "SELECT r.event_id, r.quantity, r.status, r.order_id, r.expires_at_ms, r.owner, e.price_cents \
         FROM reservations r JOIN events e ON e.id = r.event_id WHERE r.id = $1",
    )
    .bind(id.to_string())
}

pub(super) fn parse_id(text: &str) -> Result<Uuid, StoreError> {
    text.parse().map_err(corrupt)
}
