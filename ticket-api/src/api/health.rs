//! How the service is: `/health` for people and checks, `/metrics` for Prometheus.

use std::{fs, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futura_metrics::process;
use serde::Serialize;
use tower::ServiceExt;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::App;
use crate::{
    queue::{QueueHealth, RedisHealth},
    resilience::BreakerState,
};

/// The database must answer within this, waiting for a free connection included.
const DATABASE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Health {
    status: HealthStatus,
    /// Seconds since the start.
    uptime: u64,
    version: &'static str,
    services: Services,
    performance: Performance,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum HealthStatus {
    Ok,
    /// Requests are answered, some of them with an error: a breaker is not closed, nobody can join a queue, or the event bus is full.
    Degraded,
    /// The database does not answer.
    Error,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Services {
    redis: Redis,
    database: Database,
    queue: Queue,
    event_bus: EventBus,
}

/// Redis, which keeps the virtual queue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Redis {
    status: RedisStatus,
    circuit_breaker: CircuitBreaker,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RedisStatus {
    /// There is no `REDIS_URL`.
    Disabled,
    Connected,
    Disconnected,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CircuitBreaker {
    state: BreakerName,
    /// Calls that failed in a row, up to as many as open it.
    failure_count: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum BreakerName {
    Closed,
    HalfOpen,
    Open,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Database {
    /// `connected` or `disconnected`.
    status: &'static str,
    pool: ConnectionPool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionPool {
    total_connections: u32,
    free_connections: u32,
    connection_limit: u32,
}

/// The virtual queue.
#[derive(Serialize, ToSchema)]
struct Queue {
    /// `enabled`.
    status: &'static str,
    /// Whether people can join.
    available: bool,
}

/// The event bus.
#[derive(Serialize, ToSchema)]
struct EventBus {
    /// Whether messages get on: not while the broker is out of reach, or the bus is full.
    available: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Performance {
    memory: Memory,
}

/// Bytes of memory; null where the system does not tell.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Memory {
    /// Resident memory.
    rss: Option<u64>,
    /// The part of it that is the program's own data, on heap and stacks.
    heap_used: Option<u64>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(metrics))
}

/// Tells how the service is
#[utoipa::path(
    get, path = "/health", tag = "operations",
    responses(
        (status = 200, description = "It works, perhaps degraded", body = Health),
        (status = 503, description = "The database does not answer", body = Health),
    )
)]
async fn health(State(app): State<App>) -> Response {
    let store = app.box_office.store();
    // Before the question, which takes a connection itself.
    let connections = store.connections();
    let (connected, queue) = tokio::join!(store.answers_within(DATABASE_LIMIT), app.queue.health());
    let QueueHealth { available, redis } = queue;
    let event_bus = EventBus { available: app.box_office.bus().is_available() };
    let queue = Queue { status: "enabled", available };
    let mut breakers = app.box_office.breakers().into_iter().chain(redis.map(|redis| redis.breaker));
    let closed = breakers.all(|state| state == BreakerState::Closed);
    let (code, status) = match (connected, closed && queue.available && event_bus.available) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, HealthStatus::Error),
        (true, false) => (StatusCode::OK, HealthStatus::Degraded),
        (true, true) => (StatusCode::OK, HealthStatus::Ok),
    };
    let body = Health {
        status,
        uptime: app.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        services: Services {
            redis: Redis::from(redis),
            database: Database {
                status: if connected { "connected" } else { "disconnected" },
                pool: ConnectionPool {
                    total_connections: connections.total,
                    free_connections: connections.free,
                    connection_limit: connections.limit,
                },
            },
            queue,
            event_bus,
        },
        performance: Performance {
            memory: Memory { rss: process::resident_memory_bytes(), heap_used: own_memory_bytes() },
        },
    };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Gives the metrics, as the metrics port does
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus text, OpenMetrics or protobuf, by Accept", body = String, content_type = "text/plain"))
)]
async fn metrics(State(app): State<App>, request: Request) -> Response {
    app.metrics.oneshot(request).await.into_response()
}

// === impl Redis ===

impl From<Option<RedisHealth>> for Redis {
    fn from(health: Option<RedisHealth>) -> Self {
        let (status, state, failure_count) = match health {
            None => (RedisStatus::Disabled, BreakerState::Closed, 0),
            Some(health) if health.connected => (RedisStatus::Connected, health.breaker, health.failures),
            Some(health) => (RedisStatus::Disconnected, health.breaker, health.failures),
        };
        Self { status, circuit_breaker: CircuitBreaker { state: state.into(), failure_count } }
    }
}

// === impl BreakerName ===

impl From<BreakerState> for BreakerName {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::HalfOpen => Self::HalfOpen,
            BreakerState::Open => Self::Open,
        }
    }
}

/// Resident memory that no file backs: what a garbage-collected runtime would call its used heap.
fn own_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
