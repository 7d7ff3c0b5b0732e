//! How far a partition was heard, and hearing on from there.

use std::convert::Infallible;

use rskafka::{
    client::{error::ProtocolError, partition::PartitionClient},
    record::RecordAndOffset,
};
use tokio::{sync::mpsc::Sender, time::sleep};

use super::{
    PAUSE, TOPIC,
    call::{SessionError, call},
};
use crate::bus::{BATCH, Published, wire};

/// How much of a partition is asked for at once.
const FETCH_BYTES: i32 = 1 << 20;
/// How long the broker keeps the question when there is nothing new.
const FETCH_WAIT_MS: i32 = 500;
/// Answers that may be of no use at one place before it is skipped.
const MAX_FETCH_FAILURES: u32 = 3;

/// How far a partition was heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// The record to hear next; the end of the partition where there is none.
    pub(super) next: Option<i64>,
    /// Answers that were of no use there.
    failures: u32,
}

// === impl Position ===

impl Position {
    /// Hands on what is published in a partition.
    pub(super) async fn hear(
        &mut self,
        consumer: &PartitionClient,
        heard: &Sender<Vec<Published>>,
    ) -> Result<Infallible, SessionError> {
        loop {
            let (records, end) = self.fetch(consumer).await?;
            for records in records.chunks(BATCH) {
                let messages: Vec<_> = records.iter().filter_map(|record| message(consumer, record)).collect();
                if !messages.is_empty() {
                    heard.send(messages).await.map_err(|_| SessionError::Unheard)?;
                }
                *self = Self { next: records.last().map(|last| last.offset + 1), failures: 0 };
            }
            if records.is_empty() {
                self.found_nothing(consumer, end);
                sleep(PAUSE).await;
            }
        }
    }

    /// Asks for the records from here on, and the partition's end.
    pub(super) async fn fetch(
        &mut self,
        consumer: &PartitionClient,
    ) -> Result<(Vec<RecordAndOffset>, i64), SessionError> {
        // A session finds its positions before it listens.
        let next = self.next.unwrap_or_default();
        let fetched = call("fetching", consumer.fetch_records(next, 1..FETCH_BYTES, FETCH_WAIT_MS)).await;
        match fetched {
            Ok((records, end)) => Ok((records, end.max(next))),
            Err(error) => {
                self.failed(consumer, &error);
                Err(error)
            }
        }
    }

    /// Notes an empty answer. Where there should be records these are none for a consumer, such as a transaction's marks.
    fn found_nothing(&mut self, consumer: &PartitionClient, end: i64) {
        if self.next == Some(end) {
            self.failures = 0;
        } else if self.has_failed_too_often(consumer, None) {
            *self = Self { next: Some(end), failures: 0 };
        }
    }

    /// Notes a failure. What cannot be read, as it is too large or compressed, would end every session to come.
    fn failed(&mut self, consumer: &PartitionClient, error: &SessionError) {
        let is_lost = error.server_says(ProtocolError::OffsetOutOfRange);
        if is_lost || (error.is_of_the_records() && self.has_failed_too_often(consumer, Some(error))) {
            *self = Self::default();
        }
    }

    fn has_failed_too_often(&mut self, consumer: &PartitionClient, error: Option<&SessionError>) -> bool {
        self.failures += 1;
        let too_often = self.failures >= MAX_FETCH_FAILURES;
        if too_often {
            let (partition, offset, error) = (consumer.partition(), self.next, error.map(tracing::field::display));
            tracing::warn!(
                topic = TOPIC,
                partition,
                offset,
                error,
                "records cannot be read and are skipped, to the partition's end; the topic's compression.type must be \
                 producer or uncompressed"
            );
        }
        too_often
    }
}

/// The message in a record; others may write to the topic too, and what they write is passed over.
fn message(consumer: &PartitionClient, record: &RecordAndOffset) -> Option<Published> {
    let message = wire::decode(record.record.value.as_deref());
    if let Err(error) = &message {
        let (partition, offset) = (consumer.partition(), record.offset);
        tracing::debug!(topic = TOPIC, partition, offset, %error, "record is passed over");
    }
    message.ok()
}
