//! The event bus: bounded, and publishing never waits. It lies in the process, or between the replicas on a broker.
//!
//! A message is a hint that something happened, never its only trace: what is lost when the bus is full or the process
//! ends is made up for by the box office's upkeep, and a message that comes twice changes nothing.

pub(crate) use self::brokers::Brokers;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use futura_metrics::{
    Counter, Metrics, RegisterError,
    specs::event_bus::{
        EVENT_BUS_MESSAGES_CONSUMED_TOTAL, EVENT_BUS_MESSAGES_PUBLISHED_TOTAL, EVENT_BUS_PUBLISH_ERRORS_TOTAL,
    },
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::kafka::Kafka;
use crate::{settings::Settings, timestamp::Timestamp};

mod brokers;
mod kafka;
mod wire;

/// Messages that a consumer takes at once.
const BATCH: usize = 64;
/// Batches that were heard from a broker and wait to be consumed.
const HEARD: usize = 4;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    OrderCreated { order_id: Uuid },
    PaymentApproved { order_id: Uuid },
    PaymentRefused { order_id: Uuid },
    TicketsIssued { order_id: Uuid, event_id: Uuid },
}

/// The publishing end.
#[derive(Debug)]
pub(crate) struct Bus {
    sender: Sender<Published>,
    /// Absent where a broker has to acknowledge a message before it counts.
    published: Option<Counter>,
    errors: Counter,
    /// Whether the broker is known to be out of reach; never without one.
    cut_off: Arc<AtomicBool>,
}

/// The consuming end.
#[derive(Debug)]
pub(crate) struct Subscription {
    source: Source,
    consumed: Counter,
}

/// A message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) message: Message,
    pub(crate) time: Timestamp,
}

#[derive(Debug)]
enum Source {
    Process(Receiver<Published>),
    Broker(Kafka),
}

/// A bus; with `brokers` its messages go to every replica.
pub(crate) fn bus(
    settings: &Settings,
    brokers: Option<&Brokers>,
    metrics: &Metrics,
) -> Result<(Bus, Subscription), RegisterError> {
    let (sender, receiver) = channel(settings.bus_capacity);
    let published = metrics.counter(EVENT_BUS_MESSAGES_PUBLISHED_TOTAL)?;
    let errors = metrics.counter(EVENT_BUS_PUBLISH_ERRORS_TOTAL)?;
    let consumed = metrics.counter(EVENT_BUS_MESSAGES_CONSUMED_TOTAL)?;
    let cut_off = Arc::new(AtomicBool::new(false));
    let (published, source) = match brokers {
        None => (Some(published), Source::Process(receiver)),
        Some(brokers) => {
            let counters = (published, errors.clone());
            let kafka = Kafka::new(brokers.clone(), receiver, settings.bus_flush_limit, counters, Arc::clone(&cut_off));
            (None, Source::Broker(kafka))
        }
    };
    Ok((Bus { sender, published, errors, cut_off }, Subscription { source, consumed }))
}

// === impl Message ===

impl Message {
    pub(crate) fn order_id(self) -> Uuid {
        match self {
            Self::OrderCreated { order_id }
            | Self::PaymentApproved { order_id }
            | Self::PaymentRefused { order_id }
            | Self::TicketsIssued { order_id, .. } => order_id,
        }
    }
}

// === impl Bus ===

impl Bus {
    /// Publishes a message, or counts that it could not.
    pub(crate) fn publish(&self, message: Message) {
        match self.sender.try_send(Published { message, time: Timestamp::now() }) {
            Ok(()) => {
                if let Some(published) = &self.published {
                    published.inc();
                }
            }
            Err(error) => {
                self.errors.inc();
                // The counter has an alert; a line for each message would flood the log just when the service is busy.
                tracing::debug!(%error, "message not published");
            }
        }
    }

    /// Whether a message that is published now gets to whoever consumes it, as far as is known.
    pub(crate) fn is_available(&self) -> bool {
        self.sender.capacity() > 0 && !self.sender.is_closed() && !self.cut_off.load(Relaxed)
    }
}

// === impl Subscription ===

impl Subscription {
    /// Hands batches of messages to `consume` until `closed`. What is left in the queue then is consumed as well, or
    /// goes to the broker.
    pub(crate) async fn run<F: Future<Output = ()>>(
        self,
        closed: CancellationToken,
        consume: impl Fn(Vec<Published>) -> F,
    ) {
        let (source, consumed) = (self.source, &self.consumed);
        let consume = |batch: Vec<Published>| {
            let (count, consuming) = (batch.len() as u64, consume(batch));
            async move {
                consuming.await;
                consumed.add(count);
            }
        };
        match source {
            Source::Process(mut receiver) => {
                let mut batch = Vec::new();
                while take(&mut receiver, &mut batch, &closed).await {
                    consume(mem::take(&mut batch)).await;
                }
            }
            Source::Broker(kafka) => {
                // Apart from the sessions with the broker, whose end must not break off what is being consumed.
                let (heard, mut batches) = channel(HEARD);
                let consuming = async {
                    while let Some(batch) = batches.recv().await {
                        consume(batch).await;
                    }
                };
                tokio::join!(kafka.run(&closed, heard), consuming);
            }
        }
    }
}

/// Waits for messages and takes a batch of them; there are no more once the queue was `closed` and is empty.
async fn take(receiver: &mut Receiver<Published>, batch: &mut Vec<Published>, closed: &CancellationToken) -> bool {
    loop {
        tokio::select! {
            biased;
            count = receiver.recv_many(batch, BATCH) => return count > 0,
            () = closed.cancelled(), if !receiver.is_closed() => receiver.close(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futura_metrics::{Metrics, testing::sample};
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::{Message, Published, Settings, bus};

    #[tokio::test]
    async fn a_full_bus_counts_what_it_refuses_and_keeps_what_it_took() {
        let metrics = Metrics::new();
        let settings = Settings { bus_capacity: 2, ..Settings::default() };
        let (bus, subscription) = bus(&settings, None, &metrics).unwrap();
        for _ in 0..3 {
            bus.publish(Message::OrderCreated { order_id: Uuid::nil() });
        }
        assert!(!bus.is_available());
        let closed = CancellationToken::new();
        closed.cancel();
        let consumed = Cell::new(0);
        let consume = async |batch: Vec<Published>| consumed.set(consumed.get() + batch.len());
        subscription.run(closed, consume).await;
        bus.publish(Message::OrderCreated { order_id: Uuid::nil() });
        assert_eq!(consumed.get(), 2);
        for name in ["messages_published_total", "messages_consumed_total", "publish_errors_total"] {
            assert_eq!(sample(&metrics, &format!("event_bus_{name}"), []), 2.0, "{name}");
        }
    }

    #[test]
    fn what_no_broker_got_is_counted_however_the_bus_ends() {
        let metrics = Metrics::new();
        let brokers = "127.0.0.1:1".parse().unwrap();
        let (bus, subscription) = bus(&Settings::default(), Some(&brokers), &metrics).unwrap();
        bus.publish(Message::OrderCreated { order_id: Uuid::nil() });
        drop(subscription);
        assert_eq!(sample(&metrics, "event_bus_publish_errors_total", []), 1.0);
    }
}
