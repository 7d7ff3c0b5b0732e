//! `kind: postgres`: the server lets a user in and answers a query.

use futura_metrics::specs::checks::{Phase, Reason};
use serde_yaml::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::wire::Session;
use super::{Credentials, HostPort, connections};
use crate::{
    config::{Section, form},
    network::{Connections, Dialer, Failure, Guard, Network, Stream, Tls, TlsConfig, TlsError, Trace},
};

mod wire;

/// What asks a server to speak TLS: its length and the number that stands where a version does.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Connections of all databases and how many the server takes, which everybody may ask.
const CONNECTIONS: &str = "SELECT sum(numbackends), current_setting('max_connections') FROM pg_stat_database";

/// A check of kind `postgres`.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// `host:port`; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// Speaks TLS, and fails if the server does not. Default none; `{}` is the default way.
    pub tls: Option<TlsConfig>,
    /// The user, which is required, and the password, which is sent hashed. Without TLS it is never sent as it is.
    pub credentials: Credentials,
    /// The database. Default the one with the user's name.
    pub database: String,
    /// What is asked. Default `SELECT 1`.
    pub query: String,
    /// What the first column of the first row has to be, as text. Default anything.
    pub expect: Option<String>,
    /// How many more connections the server has to take at least; they are counted if this is there. Default none.
    pub connections_available_min: Option<u64>,
}

/// A check that can be run.
pub(super) struct PostgresCheck {
    config: PostgresConfig,
    dialer: Dialer,
    tls: Option<Tls>,
}

// === impl PostgresConfig ===

impl PostgresConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "127.0.0.1:5432");
        let tls = section.nested("tls", |tls| TlsConfig::read(tls).map(Some), None);
        let user = section.required("user", name, "monitor");
        let password = section.or("password", form::secret, String::new());
        let database = section.or("database", |value| name(value).map(Some), None);
        let query = section.or("query", query, "SELECT 1".to_owned());
        let expect = section.or("expect", |value| form::text(value).map(Some), None);
        let connections_available_min = connections::read(section);
        let user = user?;
        Some(Self {
            target: target?,
            tls: tls?,
            database: database?.unwrap_or_else(|| user.clone()),
            credentials: Credentials { user, password: password? },
            query: query?,
            expect: expect?,
            connections_available_min: connections_available_min?,
        })
    }
}

fn name(value: &Value) -> Result<String, String> {
    let name = form::text(value)?;
    if name.is_empty() || name.contains('\0') { Err(format!("`{name}` is no name")) } else { Ok(name) }
}

fn query(value: &Value) -> Result<String, String> {
    let query = form::text(value)?;
    if query.trim().is_empty() || query.contains('\0') { Err("there is no query in it".to_owned()) } else { Ok(query) }
}

// === impl PostgresCheck ===

impl PostgresCheck {
    pub(super) fn new(config: PostgresConfig, network: &Network) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls, network, &[b"postgresql"])).transpose()?;
        Ok(Self { config, dialer: Dialer::new(network.clone(), Guard::default()), tls })
    }

    pub(super) fn host(&self) -> &str {
        &self.config.target.host
    }

    pub(super) fn target(&self) -> String {
        format!("{}/{}", self.config.target, self.config.database)
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let config = &self.config;
        let mut session = Session::new(self.open(trace).await?);
        trace.begin(Phase::Auth);
        session.log_in(&config.credentials, &config.database, self.tls.is_some()).await?;
        trace.begin(Phase::FirstByte);
        // A query that is given up here would otherwise go on there.
        let limit = trace.left().map(|left| format!("SET LOCAL statement_timeout = {}; ", left.as_millis().max(1)));
        let query = format!("{}{}", limit.unwrap_or_default(), config.query);
        let row = session.query(&query, trace).await?;
        if let Some(expected) = &config.expect {
            let found = row.first().map_or("no row", String::as_str);
            if found != expected {
                return Err(Failure::new(Reason::Body, format!("the query found `{found}`, expected `{expected}`")));
            }
        }
        if let Some(least) = config.connections_available_min {
            let row = session.query(CONNECTIONS, trace).await?;
            let number = |index: usize| row.get(index).and_then(|text| text.parse::<u64>().ok());
            let (Some(current), Some(most)) = (number(0), number(1)) else {
                return Err(Failure::new(Reason::Protocol, "the server does not tell of its connections"));
            };
            connections::judge(Connections { current, available: most.saturating_sub(current) }, least, trace)?;
        }
        session.end().await;
        Ok(())
    }

    async fn open(&self, trace: &mut Trace) -> Result<Box<dyn Stream>, Failure> {
        let HostPort { host, port } = &self.config.target;
        let mut stream = self.dialer.connect(trace, host, *port).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        trace.begin(Phase::Tls);
        let asked = async {
            stream.write_all(&TLS_REQUEST).await?;
            // One byte and no more: what came before the handshake could be anybody's (CVE-2021-23222).
            stream.read_u8().await
        };
        match asked.await.map_err(|error| Failure::exchange(&error))? {
            b'S' => Ok(Box::new(tls.handshake(trace, stream, host).await?)),
            b'N' => Err(Failure::new(Reason::Tls, "the server does not speak TLS")),
            _ => Err(Failure::new(Reason::Protocol, "this is not PostgreSQL")),
        }
    }
}
