//! The virtual queue: who waits for an event's seats, in which order, and whose turn it is.
//!
//! It orders people and tells them; nothing here keeps anyone from buying. Each event has a line of its own. Those at its
//! front, when they ask, are admitted for one turn; the others keep their place as long as they go on asking. The line is in
//! the process's memory, or in Redis, where several processes share it.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use self::{memory::MemoryQueue, redis::RedisQueue};
use crate::{
    resilience::{BreakerState, Failure, FailureClass, Guard},
    secret::Secret,
    settings::Settings,
};

mod memory;
mod redis;

/// People that a queue in memory has room for, over all lines: some hundred megabytes.
pub(crate) const MEMORY_ROOM: u32 = 200_000;

/// What the queue is told from outside.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// `redis://…` or `rediss://…`; without it the queue is in memory.
    pub redis_url: Option<Secret>,
    /// People in an event's line at most.
    pub max_size: u32,
}

/// Why the configuration is refused. No message holds the URL's password.
#[derive(Debug, thiserror::Error)]
pub enum QueueConfigError {
    /// The URL is none of a Redis.
    #[error("REDIS_URL: {reason}; use redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// A line could get longer than there is room for.
    #[error(
        "QUEUE_MAX_SIZE: {0} is more than the {MEMORY_ROOM} people that all queues in memory have room for; set REDIS_URL"
    )]
    Size(u32),
}

/// The virtual queue of every event.
#[derive(Debug)]
pub(crate) struct Queue {
    lines: Lines,
    rules: Rules,
}

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// How many are in front.
    pub(crate) ahead: u64,
    /// How many are in the line.
    pub(crate) size: u64,
    /// Whether it is their turn.
    pub(crate) admitted: bool,
    /// Until the turn ends, or until they must have asked again.
    pub(crate) remaining: Duration,
    /// Whether they were not in the line before.
    pub(crate) joined: bool,
}

/// An event's line as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// How many are in it.
    pub(crate) size: u64,
    /// How many of them have their turn.
    pub(crate) admitted: u64,
}

/// How the queue is, as `/health` tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueHealth {
    /// Whether people can join.
    pub(crate) available: bool,
    /// How Redis is, if the queue is there.
    pub(crate) redis: Option<RedisHealth>,
}

/// How Redis is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedisHealth {
    pub(crate) connected: bool,
    pub(crate) breaker: BreakerState,
    pub(crate) failures: u32,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("the queue is full")]
    Full,
    #[error("the user is in {} lines already", memory::LINES_OF_ONE)]
    TooManyLines,
    #[error("the circuit breaker of Redis is open")]
    Rejected,
    #[error("Redis did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("Redis is a node of a cluster, which is not supported: REDIS_URL must name one that stands by itself")]
    Cluster,
    #[error(transparent)]
    Redis(#[from] ::redis::RedisError),
}

/// How long anybody may stay, and how many.
#[derive(Clone, Copy, Debug)]
struct Rules {
    max_size: u32,
    /// People over all lines, where they are in memory.
    room: usize,
    admitted: u32,
    turn: Duration,
    patience: Duration,
}

#[derive(Debug)]
enum Lines {
    Memory(MemoryQueue),
    Redis(Box<RedisQueue>),
}

// === impl QueueConfig ===

impl QueueConfig {
    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// When the URL is none of a Redis, or there is none and a line could be too long for the memory.
    pub fn check(&self) -> Result<(), QueueConfigError> {
        match &self.redis_url {
            Some(url) => redis::client(url).map(drop),
            None if self.max_size > MEMORY_ROOM => Err(QueueConfigError::Size(self.max_size)),
            None => Ok(()),
        }
    }
}

// === impl Queue ===

impl Queue {
    /// The queue that `config` asks for. A Redis that does not answer is warned of, and asked again when it is needed.
    pub(crate) async fn connect(
        config: &QueueConfig,
        settings: &Settings,
        guard: Guard,
    ) -> Result<Arc<Self>, QueueConfigError> {
        let lines = match &config.redis_url {
            Some(url) => Lines::Redis(Box::new(RedisQueue::connect(url, guard).await?)),
            None => Lines::Memory(MemoryQueue::default()),
        };
        let rules = Rules {
            max_size: config.max_size,
            room: settings.queue_room,
            admitted: settings.queue_admitted,
            turn: settings.queue_turn,
            patience: settings.queue_patience,
        };
        Ok(Arc::new(Self { lines, rules }))
    }

    /// Puts somebody at the end of an event's line, or tells where they stand, which keeps their place.
    pub(crate) async fn join(&self, event_id: Uuid, user_id: &str) -> Result<Place, QueueError> {
        match &self.lines {
            Lines::Memory(lines) => lines.join(event_id, user_id, &self.rules),
            Lines::Redis(lines) => lines.join(event_id, user_id, &self.rules).await,
        }
    }

    /// Takes somebody out of an event's line, if they are in it.
    pub(crate) async fn leave(&self, event_id: Uuid, user_id: &str) -> Result<(), QueueError> {
        match &self.lines {
            Lines::Memory(lines) => {
                lines.leave(event_id, user_id);
                Ok(())
            }
            Lines::Redis(lines) => lines.leave(event_id, user_id).await,
        }
    }

    pub(crate) async fn figures(&self, event_id: Uuid) -> Result<Figures, QueueError> {
        match &self.lines {
            Lines::Memory(lines) => Ok(lines.figures(event_id)),
            Lines::Redis(lines) => lines.figures(event_id).await,
        }
    }

    pub(crate) fn max_size(&self) -> u32 {
        self.rules.max_size
    }

    pub(crate) async fn health(&self) -> QueueHealth {
        match &self.lines {
            Lines::Memory(lines) => QueueHealth { available: lines.has_room(&self.rules), redis: None },
            Lines::Redis(lines) => {
                let (available, redis) = lines.health().await;
                QueueHealth { available, redis: Some(redis) }
            }
        }
    }
}

// === impl QueueError ===

impl Failure for QueueError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Full | Self::TooManyLines => FailureClass::Refusal,
            Self::Redis(error) if redis::is_transient(error) => FailureClass::Transient,
            Self::Rejected | Self::TimedOut(_) | Self::Cluster | Self::Redis(_) => FailureClass::Fault,
        }
    }

    fn rejected() -> Self {
        Self::Rejected
    }
}
