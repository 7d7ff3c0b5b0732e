//! `kind: mongodb`: the server answers a ping and, if so configured, takes more connections.

use futura_metrics::specs::checks::{Phase, Reason};
use serde_yaml::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::bson::{Document, Element, document};
use super::{
    Credentials, HostPort, connections,
    credentials::{Proof, Scram},
};
use crate::{
    config::{Section, form},
    network::{Connections, Dialer, Failure, Guard, Network, Stream, Tls, TlsConfig, TlsError, Trace},
};

mod bson;

/// How long an answer may be, in bytes: all of serverStatus is some hundred kilobytes.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// The number of the one message that newer servers speak, `OP_MSG`.
const OP_MSG: i32 = 2013;

/// What comes before the document: four numbers, the flags, and the kind of section.
const HEAD: usize = 21;

/// A check of kind `mongodb`.
#[derive(Clone, Debug)]
pub struct MongodbConfig {
    /// `host:port` of one server, be it one of a replica set; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// Speaks TLS. Default none; `{}` is the default way.
    pub tls: Option<TlsConfig>,
    /// The user and the password, which is proved by SCRAM-SHA-256 and never sent. Default none.
    pub credentials: Option<Credentials>,
    /// The database that knows the user. Default `admin`.
    pub auth_database: String,
    /// How many more connections the server has to take at least; they are counted by `serverStatus`, which takes the role
    /// `clusterMonitor`, if this is there. Default none.
    pub connections_available_min: Option<u64>,
}

/// A check that can be run.
pub(super) struct MongodbCheck {
    config: MongodbConfig,
    dialer: Dialer,
    tls: Option<Tls>,
}

/// A connection to a server.
struct Session {
    stream: Box<dyn Stream>,
}

// === impl MongodbConfig ===

impl MongodbConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "127.0.0.1:27017");
        let tls = section.nested("tls", |tls| TlsConfig::read(tls).map(Some), None);
        let credentials = Credentials::read(section);
        let auth_database = section.or("auth_database", database, "admin".to_owned());
        let connections_available_min = connections::read(section);
        Some(Self {
            target: target?,
            tls: tls?,
            credentials: credentials?,
            auth_database: auth_database?,
            connections_available_min: connections_available_min?,
        })
    }
}

fn database(value: &Value) -> Result<String, String> {
    let name = form::text(value)?;
    if name.is_empty() || name.contains('\0') { Err(format!("`{name}` is no database")) } else { Ok(name) }
}

// === impl MongodbCheck ===

impl MongodbCheck {
    pub(super) fn new(config: MongodbConfig, network: &Network) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls, network, &[])).transpose()?;
        Ok(Self { config, dialer: Dialer::new(network.clone(), Guard::default()), tls })
    }

    pub(super) fn host(&self) -> &str {
        &self.config.target.host
    }

    pub(super) fn target(&self) -> String {
        self.config.target.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let (config, HostPort { host, port }) = (&self.config, &self.config.target);
        let mut session = Session { stream: self.dialer.open(trace, self.tls.as_ref(), host, *port).await? };
        if let Some(who) = &config.credentials {
            trace.begin(Phase::Auth);
            session.log_in(who, &config.auth_database).await?;
        }
        trace.begin(Phase::FirstByte);
        session.command("admin", &[("ping", Element::Int32(1))]).await?;
        if let Some(least) = config.connections_available_min {
            trace.begin(Phase::Transfer);
            let answer = session.command("admin", STATUS).await?;
            let status = Document::of(&answer).document("connections");
            let number = |key: &str| status.and_then(|status| status.number(key)).map(|number| number.max(0.0) as u64);
            let (Some(current), Some(available)) = (number("current"), number("available")) else {
                return Err(Failure::new(Reason::Protocol, "serverStatus tells of no connections"));
            };
            connections::judge(Connections { current, available }, least, trace)?;
        }
        Ok(())
    }
}

/// What asks for the status, without its largest parts.
const STATUS: &[(&str, Element<'_>)] = &[
    ("serverStatus", Element::Int32(1)),
    ("locks", Element::Int32(0)),
    ("metrics", Element::Int32(0)),
    ("repl", Element::Int32(0)),
    ("wiredTiger", Element::Int32(0)),
];

// === impl Session ===

impl Session {
    /// Goes through SCRAM.
    async fn log_in(&mut self, who: &Credentials, database: &str) -> Result<(), Failure> {
        let scram = Scram::new(&who.user, &who.password);
        let first = scram.first();
        let start = [
            ("saslStart", Element::Int32(1)),
            ("mechanism", Element::Text("SCRAM-SHA-256")),
            ("payload", Element::Binary(first.as_bytes())),
        ];
        let answer = self.command(database, &start).await.map_err(unauthorized)?;
        let conversation = Document::of(&answer).number("conversationId").unwrap_or_default() as i32;
        let proof = scram.answer(payload(&answer)).await.map_err(wrong)?;
        let answer = self.go_on(database, conversation, proof.message.as_bytes()).await?;
        if !Proof::is_answered_by(&proof, &payload(&answer)) {
            return Err(wrong("it does not know the password"));
        }
        if Document::of(&answer).flag("done") != Some(true) {
            // The exchange ends with an empty message where the server did not end it.
            self.go_on(database, conversation, b"").await?;
        }
        Ok(())
    }

    async fn go_on(&mut self, database: &str, conversation: i32, payload: &[u8]) -> Result<Vec<u8>, Failure> {
        let go_on = [
            ("saslContinue", Element::Int32(1)),
            ("conversationId", Element::Int32(conversation)),
            ("payload", Element::Binary(payload)),
        ];
        self.command(database, &go_on).await.map_err(unauthorized)
    }

    /// The document that answers a command.
    async fn command(&mut self, database: &str, elements: &[(&str, Element<'_>)]) -> Result<Vec<u8>, Failure> {
        let body = document(&[elements, &[("$db", Element::Text(database))]].concat());
        let length = i32::try_from(HEAD + body.len()).map_err(|_| garbage())?;
        let mut message = Vec::with_capacity(HEAD + body.len());
        for number in [length, 1, 0, OP_MSG, 0] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&body);
        let exchanged = async {
            self.stream.write_all(&message).await?;
            self.stream.flush().await?;
            let mut head = [0; HEAD];
            self.stream.read_exact(&mut head).await?;
            Ok::<_, std::io::Error>(head)
        };
        let head = exchanged.await.map_err(|error| Failure::exchange(&error))?;
        let number = |at: usize| i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = usize::try_from(number(0)).ok().and_then(|length| length.checked_sub(HEAD));
        let length = length.filter(|length| *length <= ANSWER_LIMIT && number(12) == OP_MSG && head[20] == 0);
        let mut answer = vec![0; length.ok_or_else(garbage)?];
        self.stream.read_exact(&mut answer).await.map_err(|error| Failure::exchange(&error))?;
        judge(&answer)?;
        Ok(answer)
    }
}

fn garbage() -> Failure {
    Failure::new(Reason::Protocol, "this is not MongoDB")
}

fn wrong(what: &str) -> Failure {
    Failure::new(Reason::Auth, format!("SCRAM-SHA-256 with the server failed: {what}"))
}

/// What a failure is while logging in: whatever the server says, it does not take the user.
fn unauthorized(failure: Failure) -> Failure {
    if failure.reason == Reason::Status { Failure { reason: Reason::Auth, ..failure } } else { failure }
}

fn payload(answer: &[u8]) -> String {
    String::from_utf8_lossy(Document::of(answer).binary("payload").unwrap_or_default()).into_owned()
}

/// Fails if the server has refused.
fn judge(answer: &[u8]) -> Result<(), Failure> {
    let answer = Document::of(answer);
    match answer.number("ok") {
        Some(1.0) => Ok(()),
        Some(_) => {
            let (code, text) = (answer.number("code").unwrap_or_default(), answer.text("errmsg").unwrap_or_default());
            // Unauthorized, AuthenticationFailed.
            let reason = if matches!(code as i64, 13 | 18) { Reason::Auth } else { Reason::Status };
            Err(Failure::new(reason, format!("the server says {code}: {text}")))
        }
        None => Err(garbage()),
    }
}
