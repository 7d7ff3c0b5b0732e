//! The virtual queue: the same promises in memory and in Redis, and what happens when Redis goes away.

use std::{
    collections::BTreeSet,
    io,
    net::TcpListener,
    ops::Range,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use ticket_api::{BreakerConfig, Settings};

use crate::harness::{Answer, Log, Peer, Service, Setup, eventually};

/// A Redis of one test.
struct Redis {
    folder: TempDir,
    port: u16,
    options: &'static [&'static str],
    process: Peer,
}

// === impl Redis ===

impl Redis {
    /// Starts one; where it is not installed there is nothing to test.
    async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    async fn start_with(options: &'static [&'static str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // It is free now; whoever takes it meanwhile fails this test and no other.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Self::spawn(&folder, port, options)?;
        let redis = Self { folder, port, options, process };
        redis.answers().await;
        Some(redis)
    }

    #[expect(clippy::print_stderr, reason = "says why a test tests nothing")]
    fn spawn(folder: &TempDir, port: u16, options: &[&str]) -> Option<Peer> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--requirepass", "hush", "--dir"]);
        command.arg(folder.path()).args(["--port", &port.to_string()]).args(options).stdout(Stdio::null());
        match Peer::start(&mut command) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: redis-server is not installed");
                None
            }
            process => Some(process.unwrap()),
        }
    }

    async fn restart(&mut self) {
        self.process = Self::spawn(&self.folder, self.port, self.options).unwrap();
        self.answers().await;
    }

    fn url(&self) -> String {
        format!("redis://:hush@127.0.0.1:{}", self.port)
    }

    async fn answers(&self) {
        eventually("Redis answers", async || self.ask::<String>(&["PING"]).await.is_ok()).await;
    }

    /// Asks it something directly.
    async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        redis::Cmd::new().arg(words).query_async(&mut connection).await
    }
}

/// Two have their turn at the same time.
fn setup() -> Setup {
    let standard = Setup::default();
    Setup { settings: Settings { queue_admitted: 2, ..standard.settings }, ..standard }
}

async fn join(service: &Service, event_id: &str, user: &str) -> Answer {
    let body = json!({"userId": user, "userInfo": {"name": "Ada Lovelace"}});
    service.post(&format!("/api/queue/{event_id}/join"), &body).await
}

async fn leave(service: &Service, event_id: &str, user: &str) -> StatusCode {
    service.post(&format!("/api/queue/{event_id}/leave"), &json!({"userId": user})).await.status
}

/// Many users join at once, each by the service that the number picks.
async fn crowd(services: &[&Service], event_id: &str, users: Range<usize>) -> Vec<Answer> {
    let joining =
        users.map(|user| async move { join(services[user % services.len()], event_id, &format!("user-{user}")).await });
    join_all(joining).await
}

fn positions(crowd: &[Answer]) -> BTreeSet<u64> {
    crowd.iter().map(|answer| answer.json()["position"].as_u64().unwrap()).collect()
}

/// What a user is told, without what is different each time.
async fn told(service: &Service, event_id: &str, user: &str) -> String {
    let answer = join(service, event_id, user).await;
    let place = answer.json();
    let fields = ["position", "ahead", "size", "status"].map(|field| place[field].to_string());
    format!("{} {}", answer.status.as_u16(), fields.join(" "))
}

/// Everything that a queue must do, wherever it is.
async fn keeps_its_promises(setup: Setup) {
    let service = setup.with("queue-max-size", "60").start().await;
    let event_id = &service.event(5).await;
    let told = async |user| told(&service, event_id, user).await;
    assert_eq!(told("ada").await, r#"201 1 0 1 "admitted""#);
    assert_eq!(told("bob").await, r#"201 2 1 2 "admitted""#);
    assert_eq!(told("cyd").await, r#"201 3 2 3 "waiting""#);
    assert_eq!(told("dan").await, r#"201 4 3 4 "waiting""#);
    assert_eq!(told("cyd").await, r#"200 3 2 4 "waiting""#, "asking again changes nothing");
    assert_eq!(leave(&service, event_id, "ada").await, StatusCode::NO_CONTENT);
    assert_eq!(leave(&service, event_id, "ada").await, StatusCode::NO_CONTENT, "twice is once");
    let figures = service.get(&format!("/api/queue/{event_id}")).await.expect(StatusCode::OK);
    assert_eq!(figures, json!({"eventId": event_id, "size": 3, "admitted": 1, "capacity": 60}));
    assert_eq!(told("dan").await, r#"200 3 2 3 "waiting""#, "those behind move up");
    assert_eq!(told("cyd").await, r#"200 2 1 3 "admitted""#);
    assert_eq!(told("ada").await, r#"201 4 3 4 "waiting""#, "who left begins at the end");

    let first = join(&service, event_id, "bob").await.json();
    assert_eq!(join(&service, event_id, "bob").await.json()["status"], first["status"]);

    // Each event has a line of its own, and a crowd gets a place each.
    let event_id = &service.event(5).await;
    let joined = crowd(&[&service], event_id, 0..50).await;
    assert_eq!(positions(&joined), (1..=50).collect());
    assert_eq!(joined.iter().filter(|answer| answer.expect(StatusCode::CREATED)["status"] == "admitted").count(), 2);
    let again = crowd(&[&service], event_id, 0..50).await;
    for (before, after) in joined.iter().zip(&again) {
        assert_eq!(before.json()["position"], after.expect(StatusCode::OK)["position"]);
    }

    let late = crowd(&[&service], event_id, 50..80).await;
    let (taken, refused): (Vec<_>, Vec<_>) = late.iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!((taken.len(), refused.len()), (10, 20));
    for answer in refused {
        assert_eq!(answer.expect(StatusCode::TOO_MANY_REQUESTS)["error"]["code"], "queue_full");
        assert_eq!(answer.header("retry-after"), "30");
    }
    assert_eq!(join(&service, event_id, "user-7").await.status, StatusCode::OK, "who is in it stays in it");
    assert_eq!(leave(&service, event_id, "user-7").await, StatusCode::NO_CONTENT);
    assert_eq!(join(&service, event_id, "one-more").await.json()["position"], 60);
    service.stop().await;
}

#[tokio::test]
async fn a_queue_in_memory_keeps_its_promises() {
    keeps_its_promises(setup()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_in_redis_keeps_its_promises() {
    let Some(redis) = Redis::start().await else { return };
    keeps_its_promises(setup().with("redis-url", &redis.url())).await;
}

#[tokio::test]
async fn what_is_refused_names_its_field_and_unknown_events_have_no_queue() {
    let service = Service::start().await;
    let event_id = service.event(5).await;
    let check = async |body: Value| service.post(&format!("/api/queue/{event_id}/join"), &body).await.line();
    insta::assert_snapshot!(check(json!({})).await, @r#"422 {"error":{"code":"validation_failed","message":"missing field `userId`","field":"userId"}}"#);
    insta::assert_snapshot!(check(json!({"userId": ""})).await, @r#"422 {"error":{"code":"validation_failed","message":"an id has 1 to 128 characters and no control characters","field":"userId"}}"#);
    insta::assert_snapshot!(check(json!({"userId": "a\u{7}"})).await, @r#"422 {"error":{"code":"validation_failed","message":"an id has 1 to 128 characters and no control characters","field":"userId"}}"#);
    insta::assert_snapshot!(check(json!({"userId": "é".repeat(129)})).await, @r#"422 {"error":{"code":"validation_failed","message":"an id has 1 to 128 characters and no control characters","field":"userId"}}"#);
    insta::assert_snapshot!(check(json!({"userId": "ada", "userInfo": {}})).await, @r#"422 {"error":{"code":"validation_failed","message":"missing field `name`","field":"userInfo.name"}}"#);
    insta::assert_snapshot!(check(json!({"userId": "ada", "userInfo": {"name": " "}})).await, @r#"422 {"error":{"code":"validation_failed","message":"a name has 1 to 200 characters and no control characters","field":"userInfo.name"}}"#);
    insta::assert_snapshot!(check(json!({"userId": "ada", "userInfo": {"name": "Ada", "mail": "a@b"}})).await, @r#"422 {"error":{"code":"validation_failed","message":"unknown field `mail`, expected `name`","field":"userInfo.mail"}}"#);
    assert!(check(json!({"userId": "é".repeat(128)})).await.starts_with("201 "));
    assert!(check(json!({"userId": "ada", "userInfo": null})).await.starts_with("201 "));

    let unknown = "00000000-0000-7000-8000-000000000000";
    assert_eq!(join(&service, unknown, "ada").await.expect(StatusCode::NOT_FOUND)["error"]["code"], "event_not_found");
    assert_eq!(leave(&service, unknown, "ada").await, StatusCode::NOT_FOUND);
    assert_eq!(service.get(&format!("/api/queue/{unknown}")).await.status, StatusCode::NOT_FOUND);
    insta::assert_snapshot!(join(&service, "1", "ada").await.line(), @r#"400 {"error":{"code":"invalid_parameter","message":"an id is a UUID","field":"eventId"}}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_redis_nobody_stays_for_ever_and_neither_does_a_key() {
    let Some(redis) = Redis::start().await else { return };
    let mut setup = setup().with("redis-url", &redis.url());
    let patience = Duration::from_millis(300);
    setup.settings = Settings { queue_turn: patience, queue_patience: patience, ..setup.settings };
    let service = setup.start().await;
    let event_id = service.event(5).await;
    for user in ["ada", "bob", "cyd"] {
        join(&service, &event_id, user).await.expect(StatusCode::CREATED);
    }
    for key in redis.ask::<Vec<String>>(&["KEYS", "*"]).await.unwrap() {
        assert_ne!(redis.ask::<i64>(&["PTTL", &key]).await.unwrap(), -1, "{key} has no end");
    }
    let asked = async || {
        // Who goes on asking keeps the place and comes to the front as those in front have had their turn.
        let place = join(&service, &event_id, "cyd").await;
        place.json()["status"] == "admitted"
    };
    eventually("it is the turn of one who waits", asked).await;
    eventually("no key is left", async || redis.ask::<Vec<String>>(&["KEYS", "*"]).await.unwrap().is_empty()).await;
    let figures = service.get(&format!("/api/queue/{event_id}")).await.expect(StatusCode::OK);
    assert_eq!((&figures["size"], &figures["admitted"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn services_share_a_line_in_redis_and_one_that_lost_a_part_begins_anew() {
    let Some(redis) = Redis::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/tickets.db", folder.path().display());
    let start = async || setup().with("redis-url", &redis.url()).with("database-url", &database).start().await;
    let (one, other) = (start().await, start().await);
    let event_id = &one.event(5).await;
    assert_eq!(positions(&crowd(&[&one, &other], event_id, 0..20).await), (1..=20).collect());

    // As Redis does by itself when memory is short.
    assert_eq!(redis.ask::<u64>(&["DEL", &format!("futura:queue:{{{event_id}}}:waiting")]).await.unwrap(), 1);
    assert_eq!(told(&other, event_id, "user-19").await, r#"201 1 0 1 "admitted""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_redis_the_queue_says_so_and_recovers_while_the_rest_goes_on() {
    let Some(mut redis) = Redis::start().await else { return };
    let mut setup = setup().with("redis-url", &redis.url());
    let breaker = BreakerConfig { failures: 3, open: Duration::from_millis(200) };
    setup.settings = Settings { redis_breaker: breaker, ..setup.settings };
    let service = setup.start().await;
    let event_id = service.event(5).await;
    join(&service, &event_id, "ada").await.expect(StatusCode::CREATED);
    let health = service.get("/health").await.expect(StatusCode::OK);
    assert_eq!(health["status"], "ok");
    let connected = json!({"status": "connected", "circuitBreaker": {"state": "CLOSED", "failureCount": 0}});
    assert_eq!(health["services"]["redis"], connected);

    redis.process.kill();
    for _ in 0..4 {
        let refused = join(&service, &event_id, "bob").await;
        assert_eq!(refused.expect(StatusCode::SERVICE_UNAVAILABLE)["error"]["code"], "unavailable");
        assert_eq!(refused.header("retry-after"), "5");
    }
    assert!(service.value("retry_exhausted_total{operation=\"redis\"}").await >= 3.0);
    let health = service.get("/health").await.expect(StatusCode::OK);
    assert_eq!(
        (&health["status"], &health["services"]["redis"]["status"]),
        (&json!("degraded"), &json!("disconnected"))
    );
    assert_eq!(health["services"]["redis"]["circuitBreaker"]["failureCount"], 3);
    assert_eq!(health["services"]["queue"], json!({"status": "enabled", "available": false}));
    service.order(&service.reservation(&event_id, 1).await, "tok_visa").await.expect(StatusCode::CREATED);

    redis.restart().await;
    // Asking is enough: nobody has joined since.
    let health = service.eventually("/health", |health| health["status"] == "ok").await;
    assert_eq!(health["services"]["redis"], connected);
    assert_eq!(told(&service, &event_id, "bob").await, r#"201 2 1 2 "admitted""#, "Redis has kept the line on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_at_the_start_is_used_once_it_is() {
    let Some(mut redis) = Redis::start().await else { return };
    redis.process.kill();
    let mut setup = setup().with("redis-url", &redis.url());
    let breaker = BreakerConfig { failures: 3, open: Duration::from_millis(200) };
    setup.settings = Settings { redis_breaker: breaker, ..setup.settings };
    let service = setup.start().await;
    let event_id = service.event(5).await;
    assert_eq!(join(&service, &event_id, "ada").await.status, StatusCode::SERVICE_UNAVAILABLE);
    redis.restart().await;
    // A password that Redis refuses for a while is no end either.
    redis.ask::<String>(&["CONFIG", "SET", "requirepass", "another"]).await.unwrap();
    eventually("the queue is reached and refused", async || {
        join(&service, &event_id, "ada").await.status == StatusCode::SERVICE_UNAVAILABLE
            && service.get("/health").await.json()["services"]["redis"]["status"] == "disconnected"
    })
    .await;
    redis.process.kill();
    redis.restart().await;
    eventually("people can join", async || join(&service, &event_id, "ada").await.status == StatusCode::CREATED).await;
}

#[tokio::test]
async fn when_no_queue_has_room_health_says_so_and_the_log_does_once() {
    let (log, _listening) = Log::listen();
    let mut setup = setup();
    setup.settings.queue_room = 3;
    let service = setup.start().await;
    let (event_id, other) = (&service.event(5).await, &service.event(5).await);
    for (event_id, user) in [(event_id, "ada"), (event_id, "bob"), (other, "ada")] {
        assert_eq!(service.get("/health").await.json()["services"]["queue"]["available"], true);
        join(&service, event_id, user).await.expect(StatusCode::CREATED);
    }
    for user in ["cyd", "dan"] {
        let refused = join(&service, other, user).await;
        assert_eq!(refused.expect(StatusCode::TOO_MANY_REQUESTS)["error"]["code"], "queue_full");
    }
    let health = service.get("/health").await.expect(StatusCode::OK);
    assert_eq!((&health["status"], &health["services"]["queue"]["available"]), (&json!("degraded"), &json!(false)));
    let told = log.records().iter().filter(|record| record.contains("the queues are full")).count();
    assert_eq!(told, 1, "{:#?}", log.records());
    leave(&service, event_id, "ada").await;
    join(&service, other, "cyd").await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_is_in_more_than_ten_lines_in_memory() {
    let service = Service::start().await;
    for _ in 0..10 {
        join(&service, &service.event(5).await, "eve").await.expect(StatusCode::CREATED);
    }
    let event_id = service.event(5).await;
    insta::assert_snapshot!(join(&service, &event_id, "eve").await.line(), @r#"429 {"error":{"code":"too_many_queues","message":"the user is in 10 lines already: leave one of them first"}}"#);
    join(&service, &event_id, "ada").await.expect(StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_is_no_queue_until_it_does() {
    let Some(redis) = Redis::start().await else { return };
    let mut setup = setup().with("redis-url", &redis.url());
    let breaker = BreakerConfig { failures: 3, open: Duration::from_millis(100) };
    setup.settings = Settings { redis_breaker: breaker, ..setup.settings };
    let service = setup.start().await;
    let event_id = service.event(5).await;
    join(&service, &event_id, "ada").await.expect(StatusCode::CREATED);

    redis.ask::<String>(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let health = service.get("/health").await.expect(StatusCode::OK);
    assert_eq!(health["services"]["queue"]["available"], false, "before anybody has tried to join");
    for _ in 0..3 {
        assert_eq!(join(&service, &event_id, "bob").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let (rejections, failures) =
        ("circuit_breaker_rejections_total{breaker=\"redis\"}", "circuit_breaker_failures_total{breaker=\"redis\"}");
    // Long enough for some trials, which fail as joining would.
    while service.value(failures).await < 6.0 {
        let health = service.get("/health").await.expect(StatusCode::OK);
        let queue = (&health["services"]["redis"]["status"], &health["services"]["queue"]["available"]);
        assert_eq!(queue, (&json!("connected"), &json!(false)));
        assert_eq!(health["services"]["redis"]["circuitBreaker"]["state"], "OPEN");
    }
    assert_eq!(service.value(rejections).await, 0.0, "nobody was rejected by being told how Redis is");

    redis.ask::<String>(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    service.eventually("/health", |health| health["status"] == "ok").await;
    join(&service, &event_id, "bob").await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_redis_that_hangs_is_told_of_once_and_not_by_every_caller() {
    let (log, _listening) = Log::listen();
    let Some(redis) = Redis::start().await else { return };
    let service = setup().with("redis-url", &redis.url()).start().await;
    let event_id = service.event(5).await;
    join(&service, &event_id, "ada").await.expect(StatusCode::CREATED);
    redis.process.freeze();
    for answer in crowd(&[&service], &event_id, 0..300).await {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let records = log.records();
    let told: Vec<_> = records.iter().filter(|record| record.contains("breaker=\"redis\"")).collect();
    assert_eq!(told.len(), 2, "the first failure, and those that open the breaker: {records:#?}");
    assert!(told[1].contains("from=Closed to=Open"), "{told:#?}");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_called_that() {
    let (log, _listening) = Log::listen();
    let Some(redis) = Redis::start_with(&["--cluster-enabled", "yes"]).await else { return };
    let _service = setup().with("redis-url", &redis.url()).start().await;
    let records = log.records();
    assert!(
        records.iter().any(|record| record.contains("Redis is a node of a cluster, which is not supported")),
        "{records:#?}"
    );
}
