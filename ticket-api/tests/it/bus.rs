//! The event bus over a real broker: `TEST_TANSU` names the program, which `cargo xtask test` installs.

use std::{
    collections::BTreeMap,
    env, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futura_metrics::{Metrics, shutdown::Drained, testing::sample};
use reqwest::StatusCode;
use rskafka::{
    chrono::DateTime,
    client::{
        ClientBuilder,
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener as TokioListener, TcpStream},
};

use crate::harness::{Log, Peer, Service, Setup, eventually};

const PUBLISHED: &str = "event_bus_messages_published_total";
const CONSUMED: &str = "event_bus_messages_consumed_total";
const ERRORS: &str = "event_bus_publish_errors_total";

/// What a sale says on the bus.
const SALE: f64 = 3.0;

/// Kafka's number of the call that reads records.
const FETCH: u16 = 1;

/// A broker with its topics in memory: they are gone when it is killed.
struct Broker {
    program: PathBuf,
    address: SocketAddr,
    /// What it says that its address is.
    advertised: SocketAddr,
    process: Peer,
}

/// A way to a broker that can be closed to fetches: each then breaks its connection.
struct Door {
    address: SocketAddr,
    is_open: AtomicBool,
    broken: AtomicUsize,
}

// === impl Door ===

impl Door {
    /// A broker that says that it is behind the door, so that all its clients go through it.
    async fn before_a_broker(is_open: bool) -> Option<(Arc<Self>, Broker)> {
        let listener = TokioListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let broker = Broker::start_behind(Some(address)).await?;
        let (is_open, broken) = (AtomicBool::new(is_open), AtomicUsize::new(0));
        let (door, behind) = (Arc::new(Self { address, is_open, broken }), broker.address);
        let opened = Arc::clone(&door);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let door = Arc::clone(&opened);
                tokio::spawn(async move { door.pass(client, behind).await });
            }
        });
        Some((door, broker))
    }

    /// Passes on requests one by one, and answers as they come, until either side has had enough.
    async fn pass(&self, client: TcpStream, broker: SocketAddr) -> io::Result<()> {
        let (mut requests, mut answers) = client.into_split();
        let (mut from_broker, mut to_broker) = TcpStream::connect(broker).await?.into_split();
        let passing = async {
            loop {
                let length = requests.read_u32().await?;
                let mut request = vec![0; length as usize];
                requests.read_exact(&mut request).await?;
                if u16::from_be_bytes([request[0], request[1]]) == FETCH && !self.is_open.load(Relaxed) {
                    self.broken.fetch_add(1, Relaxed);
                    return Ok(());
                }
                to_broker.write_u32(length).await?;
                to_broker.write_all(&request).await?;
            }
        };
        tokio::select! {
            result = passing => result,
            result = tokio::io::copy(&mut from_broker, &mut answers) => result.map(drop),
        }
    }

    async fn has_broken(&self, fetches: usize) {
        let before = self.broken.load(Relaxed);
        eventually("fetches were broken off", async || self.broken.load(Relaxed) >= before + fetches).await;
    }
}

// === impl Broker ===

impl Broker {
    /// A running broker, if there is a program.
    async fn start() -> Option<Self> {
        Self::start_behind(None).await
    }

    #[expect(clippy::print_stderr, reason = "a test that was skipped should say so")]
    async fn start_behind(advertised: Option<SocketAddr>) -> Option<Self> {
        let Some(program) = env::var_os("TEST_TANSU") else {
            eprintln!("SKIPPED: set TEST_TANSU to the Kafka broker tansu, as `cargo xtask test` does");
            return None;
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let program = PathBuf::from(program);
        let advertised = advertised.unwrap_or(address);
        let process = Self::spawn(&program, address, advertised);
        let broker = Self { program, address, advertised, process };
        broker.listens().await;
        Some(broker)
    }

    fn spawn(program: &PathBuf, address: SocketAddr, advertised: SocketAddr) -> Peer {
        let (url, advertised) = (format!("tcp://{address}"), format!("tcp://{advertised}"));
        let mut command = Command::new(program);
        command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &advertised]);
        command.args(["--storage-engine", "memory://tansu/"]).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Peer::start(&mut command).unwrap()
    }

    async fn listens(&self) {
        let listening = async {
            let mut interval = tokio::time::interval(Duration::from_millis(5));
            while TcpStream::connect(self.address).await.is_err() {
                interval.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listening).await.expect("the broker listens");
    }

    async fn start_again(&mut self) {
        self.process = Self::spawn(&self.program, self.address, self.advertised);
        self.listens().await;
    }

    fn setup(&self) -> Setup {
        Setup::default().with("redpanda-brokers", &self.address.to_string())
    }

    /// The topic's partitions, for those who write to it besides the service.
    async fn partitions(&self) -> Vec<PartitionClient> {
        let client = ClientBuilder::new(vec![self.address.to_string()]).build().await.unwrap();
        let topics = client.list_topics().await.unwrap();
        let topic = topics.into_iter().find(|topic| topic.name == "ticketing.events").expect("the service made it");
        let mut partitions = Vec::new();
        for number in topic.partitions {
            partitions.push(client.partition_client(&topic.name, number, UnknownTopicHandling::Error).await.unwrap());
        }
        partitions
    }
}

async fn sell(service: &Service, event_id: &str) {
    let reservation_id = service.reservation(event_id, 1).await;
    service.order(&reservation_id, "tok_visa").await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn what_one_replica_publishes_is_heard_by_every_replica() {
    let Some(broker) = Broker::start().await else { return };
    let folder = TempDir::new().unwrap();
    let setup = || broker.setup().with("database-url", &format!("sqlite://{}/tickets.db", folder.path().display()));
    let first = setup().start().await;
    let event_id = first.event(10).await;
    sell(&first, &event_id).await;
    first.eventually_value(CONSUMED, SALE).await;

    let second = setup().start().await;
    sell(&second, &event_id).await;
    second.eventually_value(PUBLISHED, SALE).await;
    first.eventually_value(CONSUMED, 2.0 * SALE).await;
    // Where a topic ends the broker does not tell exactly, so that the second may have heard the first sale too.
    for _ in 0..2 {
        sell(&first, &event_id).await;
    }
    second.eventually_series(CONSUMED, |consumed| consumed > 2.0 * SALE).await;
    first.eventually_value(CONSUMED, 4.0 * SALE).await;
    first.expect_values(&[(PUBLISHED, 3.0 * SALE), (ERRORS, 0.0)]).await;
    second.expect_values(&[(PUBLISHED, SALE), (ERRORS, 0.0)]).await;
    for service in [first, second] {
        assert_eq!(service.stop().await, Drained::InTime);
    }
}

#[tokio::test]
async fn a_broker_that_dies_under_load_costs_messages_and_no_sales() {
    let Some(mut broker) = Broker::start().await else { return };
    let mut setup = broker.setup();
    setup.settings.bus_capacity = 4;
    let service = setup.start().await;
    let event_id = service.event(1000).await;
    sell(&service, &event_id).await;
    service.eventually_value(CONSUMED, SALE).await;

    // What is on its way to the broker when that dies goes to the next one.
    broker.process.freeze();
    sell(&service, &event_id).await;
    broker.process.kill();
    let mut sales = 2.0;
    while service.value(ERRORS).await == 0.0 {
        sell(&service, &event_id).await;
        sales += 1.0;
    }
    let health = service.get("/health").await.expect(StatusCode::OK);
    assert_eq!((&health["status"], &health["services"]["eventBus"]["available"]), (&"degraded".into(), &false.into()));

    broker.start_again().await;
    service.eventually_series(PUBLISHED, |published| published > SALE).await;
    service.eventually("/health", |health| health["services"]["eventBus"]["available"] == true).await;
    sell(&service, &event_id).await;
    sales += 1.0;
    let lost = service.value(ERRORS).await;
    service.eventually_value(PUBLISHED, sales * SALE - lost).await;
    // All that the new topic holds: the first sale went with the old one.
    service.eventually_value(CONSUMED, sales * SALE - lost).await;
    service.eventually(&format!("/api/events/{event_id}"), |event| event["sales"]["tickets"] == sales).await;
}

#[tokio::test]
async fn what_others_write_to_the_topic_does_no_harm() {
    let Some(broker) = Broker::start().await else { return };
    let service = broker.setup().start().await;
    let event_id = service.event(10).await;
    sell(&service, &event_id).await;
    service.eventually_value(CONSUMED, SALE).await;

    let values = [
        None,
        Some(Vec::new()),
        Some(b"\xff\x00 not JSON".to_vec()),
        Some(b"{\"type\":\"order.created\"}".to_vec()),
        Some("[".repeat(1_000_000).into_bytes()),
        Some(record("order.shipped")),
        // Of an event of another environment, which shares the broker.
        Some(record("tickets.issued")),
    ];
    let partitions = broker.partitions().await;
    for partition in &partitions {
        for value in &values {
            write(partition, value.clone()).await;
        }
    }
    sell(&service, &event_id).await;
    service.eventually_value(CONSUMED, 2.0 * SALE + partitions.len() as f64).await;
    service.eventually(&format!("/api/events/{event_id}"), |event| event["sales"]["tickets"] == 2).await;
}

#[tokio::test]
async fn a_record_that_no_answer_can_hold_is_skipped() {
    let Some(broker) = Broker::start().await else { return };
    let service = broker.setup().start().await;
    let event_id = service.event(10).await;
    sell(&service, &event_id).await;
    service.eventually_value(CONSUMED, SALE).await;
    let partition = &broker.partitions().await[0];
    write(partition, Some(vec![b' '; 17 << 20])).await;
    // What is written before the place is skipped goes with it. Each new session may hear the sale again, as the broker does
    // not tell exactly where a partition ends; many records are those that come after.
    let writing = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        loop {
            write(partition, Some(record("order.created"))).await;
            interval.tick().await;
        }
    };
    tokio::select! {
        () = service.eventually_series(CONSUMED, |consumed| consumed > 100.0) => {}
        () = writing => {}
    }
    sell(&service, &event_id).await;
    service.eventually_value(PUBLISHED, 2.0 * SALE).await;
}

/// A record's value as a replica writes it, of an order and an event that are not there.
fn record(kind: &str) -> Vec<u8> {
    let id = "01930f5e-0000-4000-8000-000000000001";
    let value = json!({"type": kind, "orderId": id, "eventId": id, "time": "2030-12-31T20:00:00Z"});
    value.to_string().into_bytes()
}

async fn write(partition: &PartitionClient, value: Option<Vec<u8>>) {
    let record = Record { key: None, value, headers: BTreeMap::new(), timestamp: DateTime::UNIX_EPOCH };
    partition.produce(vec![record], Compression::NoCompression).await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_the_broker_to_take_what_is_left() {
    let Some(mut broker) = Broker::start().await else { return };
    let metrics = Metrics::new();
    let mut setup = broker.setup();
    setup.settings.bus_flush_limit = Duration::from_secs(30);
    let mut service = setup.start_with(&metrics, None).await;
    let event_id = service.event(10).await;
    sell(&service, &event_id).await;
    service.eventually_value(PUBLISHED, SALE).await;

    broker.process.kill();
    sell(&service, &event_id).await;
    service.begin_stop();
    broker.start_again().await;
    assert_eq!(service.ended().await, Drained::InTime);
    assert_eq!((sample(&metrics, PUBLISHED, []), sample(&metrics, ERRORS, [])), (2.0 * SALE, 0.0));
}

#[tokio::test]
async fn a_broker_that_is_never_there_keeps_neither_sales_nor_the_stop_waiting() {
    let metrics = Metrics::new();
    // Nothing listens on port 1, and nothing that starts meanwhile is given it.
    let mut setup = Setup::default().with("redpanda-brokers", "127.0.0.1:1,[::1]:1");
    setup.settings.bus_flush_limit = Duration::from_millis(10);
    let service = setup.start_with(&metrics, None).await;
    sell(&service, &service.event(10).await).await;
    assert_eq!(service.stop().await, Drained::InTime);
    assert_eq!((sample(&metrics, PUBLISHED, []), sample(&metrics, ERRORS, [])), (0.0, SALE));
}

#[tokio::test]
async fn a_broker_that_cannot_be_read_is_not_called_connected_and_costs_no_record() {
    let (log, _listening) = Log::listen();
    let Some((door, broker)) = Door::before_a_broker(true).await else { return };
    let service = Setup::default().with("redpanda-brokers", &door.address.to_string()).start().await;
    let event_id = service.event(10).await;
    sell(&service, &event_id).await;
    service.eventually_value(CONSUMED, SALE).await;

    let connected = || log.records().iter().filter(|record| record.contains("is connected to its broker")).count();
    assert_eq!(connected(), 1);
    door.is_open.store(false, Relaxed);
    // So often in one of the three partitions that what is in it would be skipped if it could not be read.
    door.has_broken(7).await;
    assert_eq!(connected(), 1, "{:#?}", log.records());
    for partition in broker.partitions().await {
        for _ in 0..10 {
            write(&partition, Some(record("order.created"))).await;
        }
    }
    door.is_open.store(true, Relaxed);
    // Where a topic ends the broker does not tell exactly, so that some may be heard again.
    service.eventually_series(CONSUMED, |consumed| consumed >= SALE + 30.0).await;
    assert_eq!(connected(), 2);
    assert!(!log.records().iter().any(|record| record.contains("skipped")), "{:#?}", log.records());
}

#[tokio::test]
async fn a_stop_with_nothing_left_does_not_wait_for_a_broker_that_is_silent() {
    let Some(broker) = Broker::start().await else { return };
    broker.process.freeze();
    // A call to the broker may take ten seconds.
    let mut setup = broker.setup().with("shutdown-timeout", "5");
    setup.settings.bus_flush_limit = Duration::from_secs(3600);
    let service = setup.start().await;
    service.event(10).await;
    // A stop that waited would be cut off by the end of the grace.
    assert_eq!(service.stop().await, Drained::InTime);
}
