//! The event bus over a broker that speaks Kafka's protocol: Redpanda, Kafka.
//!
//! Every replica hears all that is published from its start on, its own messages too: there are no consumer groups, so that
//! none has to be trusted to have done something, and a message that comes twice changes nothing. One session with the
//! broker does everything. Whatever fails in it ends it, and the next one takes up where it was.

use std::{
    collections::BTreeMap,
    future::pending,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futura_metrics::Counter;
use futures_util::future::try_join_all;
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{call::SessionError, position::Position, session::Session};
use super::{Brokers, Published, take};

mod call;
mod position;
mod session;

/// Where the messages are; the bus makes it where it is missing and the broker lets it.
const TOPIC: &str = "ticketing.events";

/// The wait after the first session that failed; it doubles with each further one.
const RECONNECT_BASE: Duration = Duration::from_millis(250);
const RECONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A session that lasted this long was a good one: the wait starts small again.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// The pause before the same is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// The bus's end at the broker.
#[derive(Debug)]
pub(super) struct Kafka {
    brokers: Brokers,
    receiver: Receiver<Published>,
    /// What was taken from the queue and the broker has not acknowledged yet.
    unacknowledged: Vec<Published>,
    positions: BTreeMap<i32, Position>,
    link: Link,
    /// Tells the publishing end when the link is down.
    cut_off: Arc<AtomicBool>,
    /// How long the queue may take to empty when the service stops.
    flush_limit: Duration,
    published: Counter,
    errors: Counter,
}

/// What the log was told last about the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    New,
    Up,
    Down,
}

// === impl Kafka ===

impl Kafka {
    pub(super) fn new(
        brokers: Brokers,
        receiver: Receiver<Published>,
        flush_limit: Duration,
        (published, errors): (Counter, Counter),
        cut_off: Arc<AtomicBool>,
    ) -> Self {
        let (unacknowledged, positions, link) = (Vec::new(), BTreeMap::new(), Link::New);
        Self { brokers, receiver, unacknowledged, positions, link, cut_off, flush_limit, published, errors }
    }

    /// Publishes what is in the queue and hands on what is `heard`, until `closed` and the queue is empty.
    pub(super) async fn run(mut self, closed: &CancellationToken, heard: Sender<Vec<Published>>) {
        let flush_limit = self.flush_limit;
        let overdue = async {
            closed.cancelled().await;
            sleep(flush_limit).await;
        };
        tokio::select! {
            () = self.talk(closed, &heard) => {}
            () = overdue => {}
        }
    }

    /// One session after the other, until the queue is closed and empty.
    async fn talk(&mut self, closed: &CancellationToken, heard: &Sender<Vec<Published>>) {
        let mut failures = 0;
        loop {
            if closed.is_cancelled() {
                self.receiver.close();
                if self.left() == 0 {
                    return;
                }
            }
            let start = Instant::now();
            let Err(error) = self.session(closed, heard).await else { return };
            failures = if start.elapsed() > GOOD_SESSION { 1 } else { failures + 1 };
            self.failed(&error, failures);
            tokio::select! {
                () = sleep(reconnect_wait(failures)) => {}
                () = closed.cancelled(), if !closed.is_cancelled() => {}
            }
        }
    }

    /// Ends when something fails, or with success once the queue is closed and empty.
    async fn session(
        &mut self,
        closed: &CancellationToken,
        heard: &Sender<Vec<Published>>,
    ) -> Result<(), SessionError> {
        let nothing_left = self.unacknowledged.is_empty();
        let no_use = async {
            closed.cancelled().await;
            if !nothing_left || !self.receiver.is_empty() {
                pending::<()>().await;
            }
        };
        let ready = Session::prove(&self.brokers, &mut self.positions, &mut self.unacknowledged, &self.published);
        let session = tokio::select! {
            session = ready => session?,
            () = no_use => return Ok(()),
        };
        self.back(&session);
        let hear = session.consumers.iter().zip(self.positions.values_mut());
        let hear = try_join_all(hear.map(|(consumer, position)| position.hear(consumer, heard)));
        let publish = async {
            while !self.unacknowledged.is_empty() || take(&mut self.receiver, &mut self.unacknowledged, closed).await {
                session.publish(&mut self.unacknowledged, &self.published).await?;
            }
            Ok(())
        };
        tokio::select! {
            result = publish => result,
            Err(error) = hear => Err(error),
            error = session.watch() => Err(error),
        }
    }

    fn back(&mut self, session: &Session) {
        if mem::replace(&mut self.link, Link::Up) != Link::Up {
            let partitions = session.partitions.len();
            self.cut_off.store(false, Relaxed);
            tracing::info!(brokers = %self.brokers, topic = TOPIC, partitions, "event bus is connected to its broker");
        }
    }

    /// Tells a failure once, and one that the next session made good never: leaders change, topics take a moment to be there.
    fn failed(&mut self, error: &SessionError, failures: u32) {
        let brokers = &self.brokers;
        let is_news = failures > 1 && self.link != Link::Down;
        if !is_news {
            tracing::debug!(%brokers, %error, failures, "session with the event broker failed");
            return;
        }
        self.cut_off.store(true, Relaxed);
        match mem::replace(&mut self.link, Link::Down) {
            Link::Up => tracing::warn!(%brokers, %error, "event broker is lost; messages wait in the queue"),
            Link::New | Link::Down => {
                tracing::warn!(%brokers, %error, "event broker is not reached; messages wait in the queue");
            }
        }
    }

    /// Messages that the broker has not got.
    fn left(&self) -> usize {
        self.unacknowledged.len() + self.receiver.len()
    }
}

impl Drop for Kafka {
    /// Counts what the broker will not get any more, also where the service ends before this could.
    fn drop(&mut self) {
        self.receiver.close();
        let messages = self.left();
        if messages > 0 {
            self.errors.add(messages as u64);
            tracing::warn!(brokers = %self.brokers, messages, "the service stops with messages that were not published");
        }
    }
}

/// The wait after so many failed sessions in a row: half of it by chance, so that replicas do not come back in step.
fn reconnect_wait(failures: u32) -> Duration {
    let ceiling = RECONNECT_BASE.saturating_mul(1 << (failures - 1).min(16)).min(RECONNECT_LIMIT);
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}
