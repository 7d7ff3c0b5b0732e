//! The event store and its projections on SQL: SQLite, in memory or in a file, or PostgreSQL.
//!
//! One statement serves both databases. Every change is one transaction that appends to a stream and brings the
//! projections up to date; whoever appends to a stream names the version that the decision was based on.

pub use self::database::{DatabaseConfig, DatabaseError, SslMode};
pub(crate) use self::{
    commands::{Settled, Started},
    database::{Database, connect},
    queries::{Connections, EventRecord, Page, Place},
};

use std::time::{Duration, Instant};

use futura_metrics::{
    Counter, Histogram, Metrics, RegisterError,
    specs::{
        database::{DATABASE_CONNECTIONS_ACTIVE, DATABASE_CONNECTIONS_IDLE, DATABASE_CONNECTIONS_MAX},
        event_store::{
            EVENT_STORE_APPEND_DURATION_SECONDS, EVENT_STORE_EVENTS_APPENDED_TOTAL, EVENT_STORE_EVENTS_LOADED_TOTAL,
        },
    },
};
use sqlx::{Any, AnyPool, Row, Transaction, any::AnyRow};
use uuid::Uuid;

use crate::{
    domain::{Brief, DomainEvent, Order, Recorded, Refusal, Stream},
    resilience::{Failure, FailureClass, Guard},
    timestamp::Timestamp,
};

mod commands;
mod database;
mod projections;
mod queries;

/// One attempt of one call on the database, waiting for a connection included.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// The store of everything.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    guard: Guard,
    metrics: StoreMetrics,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("another writer was faster")]
    Conflict,
    #[error("the circuit breaker of the database is open")]
    Rejected,
    #[error("the database did not answer within {ATTEMPT_LIMIT:?}")]
    TimedOut,
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("a stored record cannot be read")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Debug)]
struct StoreMetrics {
    appended: Counter,
    loaded: Counter,
    append_duration: Histogram,
}

/// A transaction that loads streams, decides and appends; dropped without `commit` it leaves nothing behind.
struct Unit<'a> {
    transaction: Transaction<'static, Any>,
    metrics: &'a StoreMetrics,
    started: Instant,
    appended: u64,
}

// === impl Store ===

impl Store {
    pub(crate) fn new(database: Database, guard: Guard, metrics: &Metrics) -> Result<Self, RegisterError> {
        let store_metrics = StoreMetrics {
            appended: metrics.counter(EVENT_STORE_EVENTS_APPENDED_TOTAL)?,
            loaded: metrics.counter(EVENT_STORE_EVENTS_LOADED_TOTAL)?,
            append_duration: metrics.histogram(EVENT_STORE_APPEND_DURATION_SECONDS)?,
        };
        let (active, idle, max) = (
            metrics.gauge(DATABASE_CONNECTIONS_ACTIVE)?,
            metrics.gauge(DATABASE_CONNECTIONS_IDLE)?,
            metrics.gauge(DATABASE_CONNECTIONS_MAX)?,
        );
        let watched = database.pool.clone();
        metrics.on_scrape(move || {
            let connections = Connections::of(&watched);
            active.set(f64::from(connections.total - connections.free));
            idle.set(f64::from(connections.free));
            max.set(f64::from(connections.limit));
        });
        Ok(Self { database, guard, metrics: store_metrics })
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    fn pool(&self) -> &AnyPool {
        &self.database.pool
    }

    /// Runs `attempt` behind the breaker, within the limit of time, and again where that may help.
    async fn call<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let limited = || {
            let attempt = tokio::time::timeout(ATTEMPT_LIMIT, attempt());
            async { attempt.await.unwrap_or(Err(StoreError::TimedOut)) }
        };
        self.guard.call(limited).await
    }

    async fn begin(&self) -> Result<Unit<'_>, StoreError> {
        let started = Instant::now();
        let transaction = self.pool().begin_with(self.database.dialect.begin()).await?;
        Ok(Unit { transaction, metrics: &self.metrics, started, appended: 0 })
    }
}

// === impl Unit ===

impl Unit<'_> {
    /// Appends a fact to a stream that must be at version `expected`, and projects it.
    async fn append(&mut self, stream: Stream, expected: i64, event: &DomainEvent) -> Result<(), StoreError> {
        let recorded_at = Timestamp::now();
        let payload = serde_json::to_value(event).map_err(corrupt)?;
        let inserted = sqlx::query(
            "INSERT INTO event_store (stream, version, type, payload, recorded_at_ms) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(stream.to_string())
        .bind(expected + 1)
        .bind(payload["type"].as_str().unwrap_or_default().to_owned())
        .bind(payload.to_string())
        .bind(recorded_at.as_millis())
        .execute(&mut *self.transaction)
        .await;
        if let Err(sqlx::Error::Database(error)) = &inserted
            && error.is_unique_violation()
        {
            return Err(StoreError::Conflict);
        }
        inserted?;
        projections::apply(&mut self.transaction, stream, event, recorded_at).await?;
        self.appended += 1;
        Ok(())
    }

    /// Loads and adds up an order's stream.
    async fn order(&mut self, id: Uuid) -> Result<Order, StoreError> {
        let rows = queries::stream(Stream::Order(id)).fetch_all(&mut *self.transaction).await?;
        self.metrics.replay(id, &rows)
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        if self.appended > 0 {
            self.metrics.append_duration.observe_since(self.started);
            self.metrics.appended.add(self.appended);
        }
        Ok(())
    }
}

// === impl StoreMetrics ===

impl StoreMetrics {
    fn replay(&self, id: Uuid, rows: &[AnyRow]) -> Result<Order, StoreError> {
        let history: Vec<Recorded> = rows.iter().map(recorded).collect::<Result<_, _>>()?;
        if history.is_empty() {
            return Err(Refusal::NoSuchOrder.into());
        }
        self.loaded.add(history.len() as u64);
        Order::replay(id, history)
            .ok_or_else(|| corrupt(format!("order {} does not begin with its creation", Brief(id))))
    }
}

// === impl StoreError ===

impl Failure for StoreError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Refused(_) | Self::Corrupt(_) => FailureClass::Refusal,
            Self::Conflict => FailureClass::Contention,
            Self::Rejected | Self::TimedOut => FailureClass::Fault,
            Self::Sql(error) => class_of(error),
        }
    }

    fn rejected() -> Self {
        Self::Rejected
    }
}

fn class_of(error: &sqlx::Error) -> FailureClass {
    match error {
        sqlx::Error::Io(_) => FailureClass::Transient,
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // SQLite: another connection writes. PostgreSQL: serialization failure, deadlock, lock not available.
            Some("5" | "6" | "261" | "262" | "517" | "40001" | "40P01" | "55P03") => FailureClass::Contention,
            // PostgreSQL shuts down or starts up.
            Some("57P01" | "57P03") => FailureClass::Transient,
            // The database works; what we asked of it broke a constraint.
            _ if error.kind() != sqlx::error::ErrorKind::Other => FailureClass::Refusal,
            _ => FailureClass::Fault,
        },
        _ => FailureClass::Fault,
    }
}

fn recorded(row: &AnyRow) -> Result<Recorded, StoreError> {
    let payload: String = row.try_get("payload")?;
    let event = serde_json::from_str(&payload).map_err(corrupt)?;
    let at = Timestamp::from_millis(row.try_get("recorded_at_ms")?);
    Ok(Recorded { version: row.try_get("version")?, at, event })
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Corrupt(error.into())
}
