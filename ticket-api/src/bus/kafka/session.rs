//! One session with the broker: its connections, and what is published over them.

use std::{collections::BTreeMap, time::Duration};

use futura_metrics::Counter;
use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use rskafka::{
    BackoffConfig,
    chrono::{DateTime, Utc},
    client::{
        Client, ClientBuilder,
        error::ProtocolError,
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use tokio::time::{sleep, timeout};

use super::{
    PAUSE, TOPIC,
    call::{SessionError, call},
    position::Position,
};
use crate::bus::{Brokers, Published, wire};

/// How many partitions the topic gets where it is missing. Who wants another number makes the topic first.
const PARTITIONS: i32 = 3;
/// As many copies as the broker gives a topic by default.
const REPLICATION: i16 = -1;
/// How long a topic that was made just now may take to show.
const TOPIC_LIMIT: Duration = Duration::from_secs(5);
/// From one look at the topic's partitions to the next.
const TOPIC_INTERVAL: Duration = Duration::from_secs(300);

/// The client gives up at the first failure: the next session starts from what is true then.
const CLIENT_RETRIES: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(50),
    max_backoff: Duration::from_millis(500),
    base: 2.0,
    deadline: Some(Duration::ZERO),
};

/// The longest answer that is read; the topics of the whole cluster are in one.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One session's connections to the topic, by partition. A fetch holds up what comes after it on the same connection, so
/// publishing has its own.
pub(super) struct Session {
    client: Client,
    pub(super) partitions: Vec<i32>,
    producers: Vec<PartitionClient>,
    pub(super) consumers: Vec<PartitionClient>,
}

// === impl Session ===

impl Session {
    /// A session in which everything works: that the broker tells of the topic says nothing of reading and writing it.
    pub(super) async fn prove(
        brokers: &Brokers,
        positions: &mut BTreeMap<i32, Position>,
        unacknowledged: &mut Vec<Published>,
        published: &Counter,
    ) -> Result<Self, SessionError> {
        let session = Self::open(brokers).await?;
        // Before anything is published, so that this replica hears its own first message.
        session.find_positions(positions).await?;
        let fetches = session.consumers.iter().zip(positions.values_mut());
        let fetch = try_join_all(fetches.map(async |(consumer, position)| position.fetch(consumer).await.map(drop)));
        let (published, fetched) = tokio::join!(session.publish(unacknowledged, published), fetch);
        published.and(fetched)?;
        Ok(session)
    }

    async fn open(brokers: &Brokers) -> Result<Self, SessionError> {
        let client = ClientBuilder::new(brokers.addresses().to_vec())
            .client_id(env!("CARGO_PKG_NAME"))
            .max_message_size(MAX_ANSWER_BYTES)
            .backoff_config(CLIENT_RETRIES);
        let client = call("connecting", client.build()).await?;
        let partitions = match topic_partitions(&client).await? {
            Some(partitions) => partitions,
            None => make_topic(&client).await?,
        };
        let connect = || {
            let connect = |partition: &i32| {
                let partition = client.partition_client(TOPIC, *partition, UnknownTopicHandling::Error);
                call("connecting to a partition's leader", partition)
            };
            try_join_all(partitions.iter().map(connect))
        };
        let (producers, consumers) = tokio::try_join!(connect(), connect())?;
        Ok(Self { client, partitions, producers, consumers })
    }

    /// Brings the positions to these partitions: where they were, or at the end of a partition that is new or shorter now.
    async fn find_positions(&self, positions: &mut BTreeMap<i32, Position>) -> Result<(), SessionError> {
        let ends = self
            .consumers
            .iter()
            .map(|consumer| call("asking for a partition's end", consumer.get_offset(OffsetAt::Latest)));
        let ends = try_join_all(ends).await?;
        positions.retain(|partition, _| self.partitions.contains(partition));
        for (&partition, end) in self.partitions.iter().zip(ends) {
            let position = positions.entry(partition).or_default();
            position.next = Some(position.next.map_or(end, |next| next.min(end)));
        }
        Ok(())
    }

    /// Publishes a batch, and takes from it what the broker has acknowledged.
    pub(super) async fn publish(&self, batch: &mut Vec<Published>, published: &Counter) -> Result<(), SessionError> {
        // Always the same partition for an order, so that its messages keep their order.
        let index =
            |published: &Published| (published.message.order_id().as_u128() % self.producers.len() as u128) as usize;
        let producing = self.producers.iter().enumerate().map(|(number, producer)| {
            let records = batch.iter().filter(|published| index(published) == number).map(record).collect();
            async move { (number, call("publishing", producer.produce(records, Compression::NoCompression)).await) }
        });
        let mut producing: FuturesUnordered<_> = producing.collect();
        let mut result = Ok(());
        while let Some((number, produced)) = producing.next().await {
            match produced {
                // At once: where the session ends before the others are done, these must not be published again.
                Ok(_) => {
                    let before = batch.len();
                    batch.retain(|published| index(published) != number);
                    published.add((before - batch.len()) as u64);
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Ends when the topic's partitions are others than at the session's start.
    pub(super) async fn watch(&self) -> SessionError {
        loop {
            sleep(TOPIC_INTERVAL).await;
            match topic_partitions(&self.client).await {
                Ok(Some(partitions)) if partitions == self.partitions => {}
                Ok(_) => return SessionError::TopicChanged,
                Err(error) => return error,
            }
        }
    }
}

/// The topic's partitions in order, if there is such a topic.
async fn topic_partitions(client: &Client) -> Result<Option<Vec<i32>>, SessionError> {
    let topics = call("asking for the topics", client.list_topics()).await?;
    let topic = topics.into_iter().find(|topic| topic.name == TOPIC);
    Ok(topic.map(|topic| topic.partitions.into_iter().collect::<Vec<_>>()).filter(|partitions| !partitions.is_empty()))
}

/// Makes the topic and waits until it shows, which is not at once where there are several brokers.
async fn make_topic(client: &Client) -> Result<Vec<i32>, SessionError> {
    let make = async {
        let limit_ms = i32::try_from(TOPIC_LIMIT.as_millis()).unwrap_or(i32::MAX);
        client.controller_client()?.create_topic(TOPIC, PARTITIONS, REPLICATION, limit_ms).await
    };
    match call("making the topic", make).await {
        Ok(()) => tracing::info!(topic = TOPIC, partitions = PARTITIONS, "topic of the event bus was made"),
        // Another replica was faster.
        Err(error) if error.server_says(ProtocolError::TopicAlreadyExists) => {}
        Err(error) => return Err(error),
    }
    let appear = async {
        loop {
            match topic_partitions(client).await {
                Ok(None) => sleep(PAUSE).await,
                Ok(Some(partitions)) => return Ok(partitions),
                Err(error) => return Err(error),
            }
        }
    };
    timeout(TOPIC_LIMIT, appear).await.unwrap_or(Err(SessionError::NoTopic))
}

fn record(published: &Published) -> Record {
    let (key, value) = wire::encode(published);
    let timestamp = DateTime::<Utc>::from_timestamp_millis(published.time.as_millis()).unwrap_or_default();
    Record { key: Some(key.into()), value: Some(value), headers: BTreeMap::new(), timestamp }
}
