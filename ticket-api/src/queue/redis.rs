//! Lines in Redis: one script a step, so that each is done as a whole, whoever else is at it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Client, ErrorKind, FromRedisValue, RedisError, Script, ScriptInvocation, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use url::Url;
use uuid::Uuid;

use super::{Figures, Place, QueueConfigError, QueueError, RedisHealth, Rules};
use crate::{
    resilience::{BreakerState, Guard},
    secret::Secret,
};

/// One attempt of one call, connecting included.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);

/// The line of each event, in three sorted sets: everybody in the order of joining, and by the end of their time those who
/// wait and those who have their turn.
#[derive(Debug)]
pub(super) struct RedisQueue {
    client: Client,
    connection: Mutex<Connection>,
    guard: Guard,
    join: Script,
    leave: Script,
    figures: Script,
    write: Script,
}

/// A connection, and how many there were before.
#[derive(Clone, Debug)]
struct Connection {
    manager: ConnectionManager,
    number: u64,
}

/// A client of the Redis that `url` names; it does not connect yet.
pub(super) fn client(url: &Secret) -> Result<Client, QueueConfigError> {
    let refuse = |reason: String| QueueConfigError::Url { reason };
    let parsed = Url::parse(url.expose()).map_err(|error| refuse(error.to_string()))?;
    if !matches!(parsed.scheme(), "redis" | "rediss") {
        return Err(refuse(format!("unknown scheme `{}`", parsed.scheme())));
    }
    // The client would take `#insecure` for leave to trust every certificate.
    if parsed.fragment().is_some() {
        return Err(refuse("it must not have a `#`".to_owned()));
    }
    // What it says ends in the name of its kind, which is the library's own.
    let reason = |error: RedisError| error.to_string().split(" - ").next().unwrap_or_default().to_lowercase();
    Client::open(parsed).map_err(|error| refuse(reason(error)))
}

/// Whether the same call may work in a moment. One that was not answered in time has had its moment.
pub(super) fn is_transient(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => {
            matches!(kind, ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain | ServerErrorKind::MasterDown)
        }
        _ => error.is_io_error() && !error.is_timeout(),
    }
}

fn is_of_a_cluster(error: &RedisError) -> bool {
    let ErrorKind::Server(kind) = error.kind() else { return false };
    matches!(
        kind,
        ServerErrorKind::Ask | ServerErrorKind::ClusterDown | ServerErrorKind::CrossSlot | ServerErrorKind::Moved
    )
}

// === impl RedisQueue ===

impl RedisQueue {
    pub(super) async fn connect(url: &Secret, guard: Guard) -> Result<Self, QueueConfigError> {
        let client = client(url)?;
        let manager = manage(&client).map_err(|error| QueueConfigError::Url { reason: error.to_string() })?;
        let queue = Self {
            client,
            connection: Mutex::new(Connection { manager, number: 0 }),
            guard,
            join: Script::new(include_str!("join.lua")),
            leave: Script::new(include_str!("leave.lua")),
            figures: Script::new(include_str!("figures.lua")),
            write: Script::new("return redis.call('SET', KEYS[1], '1', 'PX', 1)"),
        };
        if let Err(error) = queue.write().await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the queue's Redis cannot be used: until it can, nobody can join a queue");
        }
        Ok(queue)
    }

    pub(super) async fn join(&self, event_id: Uuid, user_id: &str, rules: &Rules) -> Result<Place, QueueError> {
        let mut step = self.join.prepare_invoke();
        step.key(key(event_id, "order")).key(key(event_id, "waiting")).key(key(event_id, "admitted"));
        step.arg(user_id).arg(rules.max_size).arg(rules.admitted);
        step.arg(millis(rules.turn)).arg(millis(rules.patience));
        let place: Option<(u64, u64, bool, u64, bool)> = self.run(&step).await?;
        let (ahead, size, admitted, remaining_ms, joined) = place.ok_or(QueueError::Full)?;
        Ok(Place { ahead, size, admitted, remaining: Duration::from_millis(remaining_ms), joined })
    }

    pub(super) async fn leave(&self, event_id: Uuid, user_id: &str) -> Result<(), QueueError> {
        let mut step = self.leave.prepare_invoke();
        step.key(key(event_id, "order")).key(key(event_id, "waiting")).key(key(event_id, "admitted"));
        self.run(step.arg(user_id)).await
    }

    pub(super) async fn figures(&self, event_id: Uuid) -> Result<Figures, QueueError> {
        let mut step = self.figures.prepare_invoke();
        step.key(key(event_id, "waiting")).key(key(event_id, "admitted"));
        let (waiting, admitted): (u64, u64) = self.run(&step).await?;
        Ok(Figures { size: waiting + admitted, admitted })
    }

    /// Whether people can join, and how Redis is.
    ///
    /// Joining writes, so a write is what tells: a Redis whose memory or disk is full answers all else. Where nobody joins,
    /// nobody else would try whether the breaker may close, so the write is its trial too.
    pub(super) async fn health(&self) -> (bool, RedisHealth) {
        let writable = self.guard.probe(self.write()).await.is_ok();
        let connected = writable || self.ping().await.is_ok();
        let breaker = self.guard.state();
        let health = RedisHealth { connected, breaker, failures: self.guard.failures() };
        (writable && breaker != BreakerState::Open, health)
    }

    async fn write(&self) -> Result<(), QueueError> {
        let mut write = self.write.prepare_invoke();
        write.key("futura:queue:health");
        self.attempt(async |mut manager| write.invoke_async(&mut manager).await).await
    }

    async fn ping(&self) -> Result<(), QueueError> {
        let ping = redis::cmd("PING");
        self.attempt(async |mut manager| ping.query_async::<String>(&mut manager).await).await.map(drop)
    }

    /// A step may be tried again although it was done: joining or leaving twice is joining or leaving once.
    async fn run<T: FromRedisValue>(&self, step: &ScriptInvocation<'_>) -> Result<T, QueueError> {
        self.guard.call(|| self.attempt(async |mut manager| step.invoke_async(&mut manager).await)).await
    }

    async fn attempt<T>(
        &self,
        call: impl AsyncFnOnce(ConnectionManager) -> Result<T, RedisError>,
    ) -> Result<T, QueueError> {
        let Connection { manager, number } = self.connection().clone();
        let answer = match tokio::time::timeout(ATTEMPT_LIMIT, call(manager)).await {
            Ok(Err(error)) if is_of_a_cluster(&error) => Err(QueueError::Cluster),
            Ok(answer) => answer.map_err(QueueError::from),
            Err(_) => Err(QueueError::TimedOut(ATTEMPT_LIMIT)),
        };
        if answer.as_ref().is_err_and(calls_for_reconnecting) {
            self.reconnect(number);
        }
        answer
    }

    /// Lets the next call connect anew, unless another has seen to it.
    fn reconnect(&self, number: u64) {
        let mut connection = self.connection();
        if connection.number == number
            && let Ok(manager) = manage(&self.client)
        {
            *connection = Connection { manager, number: number + 1 };
        }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // It is replaced as a whole.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another connection may do better. The manager sees to those that break, but neither to one that is silent, nor
/// where connecting was refused, nor where Redis has become a replica; only what any connection would be told is as good as
/// an answer.
fn calls_for_reconnecting(error: &QueueError) -> bool {
    match error {
        QueueError::TimedOut(_) => true,
        QueueError::Redis(error) => !matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS")),
        QueueError::Full | QueueError::TooManyLines | QueueError::Rejected | QueueError::Cluster => false,
    }
}

/// A manager that connects when it is first used, and leaves it to the guard to try again.
fn manage(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(ATTEMPT_LIMIT))
        .set_response_timeout(Some(ATTEMPT_LIMIT));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

fn key(event_id: Uuid, part: &str) -> String {
    format!("futura:queue:{{{event_id}}}:{part}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
