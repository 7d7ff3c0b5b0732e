//! The event bus inside the process: bounded, and publishing never waits.
//!
//! A message is a hint that something happened, never its only trace: what is lost when the bus is full or the process
//! ends is made up for by the box office's upkeep.

use futura_metrics::{
    Counter, Metrics, RegisterError,
    specs::event_bus::{
        EVENT_BUS_MESSAGES_CONSUMED_TOTAL, EVENT_BUS_MESSAGES_PUBLISHED_TOTAL, EVENT_BUS_PUBLISH_ERRORS_TOTAL,
    },
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Messages that a consumer takes at once.
const BATCH: usize = 64;

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
    sender: Sender<Message>,
    published: Counter,
    errors: Counter,
}

/// The consuming end.
#[derive(Debug)]
pub(crate) struct Subscription {
    receiver: Receiver<Message>,
    consumed: Counter,
}

/// A bus that holds up to `capacity` messages.
pub(crate) fn bus(capacity: usize, metrics: &Metrics) -> Result<(Bus, Subscription), RegisterError> {
    let (sender, receiver) = channel(capacity);
    let published = metrics.counter(EVENT_BUS_MESSAGES_PUBLISHED_TOTAL)?;
    let errors = metrics.counter(EVENT_BUS_PUBLISH_ERRORS_TOTAL)?;
    let consumed = metrics.counter(EVENT_BUS_MESSAGES_CONSUMED_TOTAL)?;
    Ok((Bus { sender, published, errors }, Subscription { receiver, consumed }))
}

// === impl Bus ===

impl Bus {
    /// Publishes a message, or counts that it could not.
    pub(crate) fn publish(&self, message: Message) {
        match self.sender.try_send(message) {
            Ok(()) => self.published.inc(),
            Err(error) => {
                self.errors.inc();
                // The counter has an alert; a line for each message would flood the log just when the service is busy.
                tracing::debug!(%error, "message not published");
            }
        }
    }

    /// Whether a message would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        self.sender.capacity() > 0 && !self.sender.is_closed()
    }
}

// === impl Subscription ===

impl Subscription {
    /// Hands batches of messages to `consume` until `closed`, and then what is left.
    pub(crate) async fn run<F: Future<Output = ()>>(
        mut self,
        closed: CancellationToken,
        consume: impl Fn(Vec<Message>) -> F,
    ) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                _ = self.receiver.recv_many(&mut batch, BATCH) => {}
                () = closed.cancelled(), if !self.receiver.is_closed() => {
                    self.receiver.close();
                    continue;
                }
            }
            let count = batch.len() as u64;
            if count == 0 {
                return;
            }
            consume(batch).await;
            self.consumed.add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futura_metrics::{Metrics, testing::sample};
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::{Message, bus};

    #[tokio::test]
    async fn a_full_bus_counts_what_it_refuses_and_keeps_what_it_took() {
        let metrics = Metrics::new();
        let (bus, subscription) = bus(2, &metrics).unwrap();
        for _ in 0..3 {
            bus.publish(Message::OrderCreated { order_id: Uuid::nil() });
        }
        assert!(!bus.has_room());
        let closed = CancellationToken::new();
        closed.cancel();
        let consumed = Cell::new(0);
        let consume = async |batch: Vec<Message>| consumed.set(consumed.get() + batch.len());
        subscription.run(closed, consume).await;
        bus.publish(Message::OrderCreated { order_id: Uuid::nil() });
        assert_eq!(consumed.get(), 2);
        for name in ["messages_published_total", "messages_consumed_total", "publish_errors_total"] {
            assert_eq!(sample(&metrics, &format!("event_bus_{name}"), []), 2.0, "{name}");
        }
    }
}
