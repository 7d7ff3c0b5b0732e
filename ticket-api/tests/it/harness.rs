//! A running service and what tests ask of it.

use std::{
    fmt::{self, Write},
    io,
    net::SocketAddr,
    process::{Child, Command},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::{Metrics, shutdown::Drained, telemetry::Telemetry};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use sha2::Sha256;
use ticket_api::{Config, PaymentGateway, RetryConfig, SandboxGateway, Server, Settings};
use tokio::{sync::oneshot, task::JoinHandle};
use tracing::{
    Event, Level, Metadata, Subscriber,
    dispatcher::DefaultGuard,
    field::{Field, Visit},
    span,
};

/// How long anything may take before a test calls it hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// A key for tokens, and the header of those that it signs.
pub(crate) const SECRET: &str = "a-secret-of-32-bytes-and-a-little";
pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub(crate) struct Service {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Drained>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// How to start a service.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) gateway: Arc<dyn PaymentGateway>,
    pub(crate) arguments: Vec<String>,
}

/// The log of a test, without what is for debugging: one line a record. It hears what happens on its thread, which is all there is to a test
/// whose runtime has one.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

// === impl Setup ===

impl Setup {
    pub(crate) fn with(mut self, option: &str, value: &str) -> Self {
        self.arguments.push(format!("--{option}={value}"));
        self
    }

    pub(crate) async fn start(self) -> Service {
        self.start_with(&Metrics::new(), None).await
    }

    pub(crate) async fn start_with(self, metrics: &Metrics, telemetry: Option<&Telemetry>) -> Service {
        let standard = ["ticket-api", "--host=127.0.0.1", "--port=0", "--metrics-port=0"].map(String::from);
        // Nothing of the developer's environment must be used.
        let own = ["--database-url=sqlite::memory:", "--redis-url=", "--jwt-secret="].into_iter().filter(|argument| {
            let option = argument.split('=').next().unwrap();
            !self.arguments.iter().any(|given| given.starts_with(option))
        });
        let arguments = standard.into_iter().chain(own.map(String::from)).chain(self.arguments.iter().cloned());
        let config = Config::load(arguments.map(Into::into), &[]).unwrap();
        let server = Server::bind(&config, self.settings, self.gateway, metrics, telemetry).await.unwrap();
        let (address, admin) = (server.address(), server.admin_address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            // A test that ends drops the sender, which stops the service too.
            let _ = stopped.await;
        }));
        Service { stop: Some(stop), running: Some(running), ..Service::at(address, admin) }
    }
}

impl Default for Setup {
    fn default() -> Self {
        let retry = RetryConfig { base: Duration::from_millis(1), ..RetryConfig::default() };
        let settings = Settings { upkeep_interval: Duration::from_millis(20), retry, ..Settings::default() };
        Self { settings, gateway: Arc::new(SandboxGateway::default()), arguments: Vec::new() }
    }
}

// === impl Service ===

impl Service {
    /// A service that something else runs.
    pub(crate) fn at(address: SocketAddr, admin: SocketAddr) -> Self {
        // An error says that another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { client, address, admin, stop: None, running: None }
    }

    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.client.post(self.url(path)).json(body)).await
    }

    /// Posts as the bearer of a token.
    pub(crate) async fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        Answer::of(self.client.post(self.url(path)).bearer_auth(token).json(body)).await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        Answer::of(self.client.get(self.url(path)).bearer_auth(token)).await
    }

    pub(crate) async fn request(&self, method: Method, path: &str) -> Answer {
        Answer::of(self.client.request(method, self.url(path))).await
    }

    /// Creates an event and returns its id.
    pub(crate) async fn event(&self, capacity: i64) -> String {
        let event =
            json!({"name": "Night", "startsAt": "2030-12-31T20:00:00Z", "capacity": capacity, "priceCents": 2500});
        self.post("/api/events", &event).await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    /// Reserves seats and returns the reservation's id.
    pub(crate) async fn reservation(&self, event_id: &str, quantity: i64) -> String {
        let reserved = self.post("/api/reservations", &json!({"eventId": event_id, "quantity": quantity})).await;
        reserved.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn order(&self, reservation_id: &str, token: &str) -> Answer {
        self.post("/api/orders", &json!({"reservationId": reservation_id, "paymentToken": token})).await
    }

    /// The value of one series, which must exist; `name` holds its labels.
    pub(crate) async fn value(&self, name: &str) -> f64 {
        self.find_value(name).await.unwrap_or_else(|| panic!("there is no series {name}"))
    }

    /// Asserts the values of series.
    pub(crate) async fn expect_values(&self, expected: &[(&str, f64)]) {
        for (name, value) in expected {
            assert_eq!(self.value(name).await, *value, "{name}");
        }
    }

    async fn find_value(&self, name: &str) -> Option<f64> {
        let scrape = Answer::of(self.client.get(format!("http://{}/metrics", self.admin))).await;
        let line = scrape.text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Asks until the answer's JSON is as wanted.
    pub(crate) async fn eventually(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            let mut interval = tokio::time::interval(Duration::from_millis(5));
            loop {
                interval.tick().await;
                let answer = self.get(path).await.json();
                if wanted(&answer) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} never became as wanted"))
    }

    /// Scrapes until a series has a value.
    pub(crate) async fn eventually_value(&self, name: &str, wanted: f64) {
        self.eventually_series(name, |value| value == wanted).await;
    }

    /// Scrapes until a series is as wanted.
    pub(crate) async fn eventually_series(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let scraping = async {
            let mut interval = tokio::time::interval(Duration::from_millis(5));
            while !self.find_value(name).await.is_some_and(&wanted) {
                interval.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, scraping).await.is_err() {
            panic!("{name} is {:?} and never became as wanted", self.find_value(name).await);
        }
    }

    /// Begins to stop.
    pub(crate) fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(self) -> Drained {
        tokio::time::timeout(PATIENCE, self.running.unwrap()).await.expect("the service stops").unwrap()
    }

    pub(crate) async fn stop(mut self) -> Drained {
        self.begin_stop();
        self.ended().await
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// Status and body in one line, for snapshots.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.text)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

// === impl Log ===

impl Log {
    /// Hears until the guard is dropped.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        (log.clone(), tracing::subscriber::set_default(log))
    }

    pub(crate) fn records(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("ticket_api")
    }

    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                write!(self.0, " {field}={value:?}").unwrap();
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Asks until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        while !is_so().await {
            interval.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("it never came to be that {what}"));
}

/// A token of `user` that is good for an hour.
pub(crate) fn token(user: &str, role: &str) -> String {
    sign(HS256, &json!({"sub": user, "role": role, "exp": unix_time() + 3600}), SECRET)
}

/// A token of any header and claims, made without the library that checks it.
pub(crate) fn sign(header: &str, claims: &Value, secret: &str) -> String {
    let signed = format!("{}.{}", base64_url(header.as_bytes()), base64_url(claims.to_string().as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", base64_url(&mac.finalize().into_bytes()))
}

pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |digit| char::from(DIGITS[bits >> (18 - 6 * digit) & 63]))
    });
    digits.collect()
}

/// Another program that a test needs; it ends with the test.
pub(crate) struct Peer(Child);

impl Peer {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// Makes it deaf and dumb, with its connections open.
    pub(crate) fn freeze(&self) {
        let stopped = Command::new("kill").args(["-STOP", &self.0.id().to_string()]).status().unwrap();
        assert!(stopped.success());
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that was killed already is just waited for again.
        self.kill();
    }
}
