//! The event bus over a broker that speaks Kafka's protocol: Redpanda, Kafka.
//!
//! Every replica hears all that is published from its start on, its own messages too: there are no consumer groups, so that
//! none has to be trusted to have done something, and a message that comes twice changes nothing. One session with the
//! broker does everything. Whatever fails in it ends it, and the next one takes up where it was.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    future::pending,
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futura_metrics::Counter;
use futures_util::{StreamExt, future::try_join_all, stream::FuturesUnordered};
use rskafka::{
    BackoffConfig, ConnectionError,
    chrono::{DateTime, Utc},
    client::{
        Client, ClientBuilder,
        error::{Error as ClientError, ProtocolError, RequestError},
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::{Record, RecordAndOffset},
};
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Dispatch, Level, dispatcher, instrument::WithSubscriber};

use super::{BATCH, Brokers, Published, take, wire};

/// Where the messages are; the bus makes it where it is missing and the broker lets it.
const TOPIC: &str = "ticketing.events";
/// How many partitions it gets then. Who wants another number makes the topic first.
const PARTITIONS: i32 = 3;
/// As many copies as the broker gives a topic by default.
const REPLICATION: i16 = -1;
/// How long a topic that was made just now may take to show.
const TOPIC_LIMIT: Duration = Duration::from_secs(5);
/// From one look at the topic's partitions to the next.
const TOPIC_INTERVAL: Duration = Duration::from_secs(300);

/// How long any call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The client gives up at the first failure: the next session starts from what is true then.
const CLIENT_RETRIES: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(50),
    max_backoff: Duration::from_millis(500),
    base: 2.0,
    deadline: Some(Duration::ZERO),
};
/// The wait after the first session that failed; it doubles with each further one.
const RECONNECT_BASE: Duration = Duration::from_millis(250);
const RECONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A session that lasted this long was a good one: the wait starts small again.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// The longest answer that is read; the topics of the whole cluster are in one.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How much of a partition is asked for at once.
const FETCH_BYTES: i32 = 1 << 20;
/// How long the broker keeps the question when there is nothing new.
const FETCH_WAIT_MS: i32 = 500;
/// The pause after an empty answer, for brokers that do not wait.
const EMPTY_PAUSE: Duration = Duration::from_millis(50);
/// Answers that may be of no use at one place before it is skipped.
const MAX_FETCH_FAILURES: u32 = 3;

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

/// How far a partition was heard.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// The record to hear next; the end of the partition where there is none.
    next: Option<i64>,
    /// Answers that were of no use there.
    failures: u32,
}

/// What the log was told last about the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    New,
    Up,
    Down,
}

/// One session's connections to the topic, by partition. A fetch holds up what comes after it on the same connection, so
/// publishing has its own.
struct Session {
    client: Client,
    partitions: Vec<i32>,
    producers: Vec<PartitionClient>,
    consumers: Vec<PartitionClient>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("{call} failed: {}", root(&**reason))]
    Call { call: &'static str, reason: Box<ClientError> },
    #[error("{call} took longer than {CALL_LIMIT:?}")]
    Late { call: &'static str },
    #[error("the topic {TOPIC} was made and does not show")]
    NoTopic,
    #[error("the topic {TOPIC} has other partitions than before")]
    TopicChanged,
    #[error("nothing consumes what is heard")]
    Unheard,
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

// === impl Session ===

impl Session {
    /// A session in which everything works: that the broker tells of the topic says nothing of reading and writing it.
    async fn prove(
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
    async fn publish(&self, batch: &mut Vec<Published>, published: &Counter) -> Result<(), SessionError> {
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
    async fn watch(&self) -> SessionError {
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

// === impl Position ===

impl Position {
    /// Hands on what is published in a partition.
    async fn hear(
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
                sleep(EMPTY_PAUSE).await;
            }
        }
    }

    /// Asks for the records from here on, and the partition's end.
    async fn fetch(&mut self, consumer: &PartitionClient) -> Result<(Vec<RecordAndOffset>, i64), SessionError> {
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

// === impl SessionError ===

impl SessionError {
    fn server_says(&self, error: ProtocolError) -> bool {
        let Self::Call { reason, .. } = self else { return false };
        matches!(&**reason, ClientError::ServerError { protocol_error, .. } if *protocol_error == error)
    }

    /// Whether there was an answer and the records in it were the trouble, so that there will be no other next time.
    fn is_of_the_records(&self) -> bool {
        let Self::Call { reason, .. } = self else { return false };
        let unreadable = [ProtocolError::CorruptMessage, ProtocolError::UnsupportedCompressionType];
        unreadable.into_iter().any(|error| self.server_says(error)) || is_unreadable(&**reason)
    }
}

/// Makes a call within its limit. The client has its own words for every attempt, some of them errors to it alone: they are
/// for those who ask for them.
async fn call<T>(call: &'static str, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, SessionError> {
    let asked_for = tracing::enabled!(target: "rskafka", Level::DEBUG);
    let log = if asked_for { dispatcher::get_default(Dispatch::clone) } else { Dispatch::none() };
    match timeout(CALL_LIMIT, work.with_subscriber(log)).await {
        Ok(result) => result.map_err(|error| SessionError::Call { call, reason: Box::new(error) }),
        Err(_) => Err(SessionError::Late { call }),
    }
}

/// Whether an answer came that the client cannot read.
fn is_unreadable(error: &(dyn Error + 'static)) -> bool {
    match (error.downcast_ref::<ClientError>(), error.downcast_ref::<RequestError>()) {
        (Some(ClientError::InvalidResponse(_)), _) => true,
        // It does not name its source as such.
        (_, Some(RequestError::Poisoned(source))) => is_unreadable(&**source),
        (
            _,
            Some(RequestError::ReadError(_) | RequestError::ReadVersionedError(_) | RequestError::TooMuchData { .. }),
        ) => true,
        // A frame that is too large, and not one that broke off.
        (_, Some(RequestError::ReadFramedMessageError(error))) => {
            error.source().and_then(|source| source.downcast_ref::<io::Error>()).is_none()
        }
        _ => error.source().is_some_and(is_unreadable),
    }
}

/// What went wrong, without the client's words for giving up.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let source = match error.downcast_ref() {
        // It does not name its source as such.
        Some(ConnectionError::RetryFailed(source)) => Some(source as &dyn Error),
        _ => error.source(),
    };
    source.map_or(error, root)
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
                Ok(None) => sleep(EMPTY_PAUSE).await,
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

/// The message in a record; others may write to the topic too, and what they write is passed over.
fn message(consumer: &PartitionClient, record: &RecordAndOffset) -> Option<Published> {
    let message = wire::decode(record.record.value.as_deref());
    if let Err(error) = &message {
        let (partition, offset) = (consumer.partition(), record.offset);
        tracing::debug!(topic = TOPIC, partition, offset, %error, "record is passed over");
    }
    message.ok()
}

/// The wait after so many failed sessions in a row: half of it by chance, so that replicas do not come back in step.
fn reconnect_wait(failures: u32) -> Duration {
    let ceiling = RECONNECT_BASE.saturating_mul(1 << (failures - 1).min(16)).min(RECONNECT_LIMIT);
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}
