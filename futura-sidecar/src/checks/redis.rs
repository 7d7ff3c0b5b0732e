//! `kind: redis`: the server answers a PING and, if so configured, keeps a key, has a role and takes more connections.
//!
//! It is spoken to in RESP2, which every Redis, Valkey and KeyDB understands.

use std::fmt::Write as _;

use futura_metrics::specs::checks::{Phase, Reason};
use serde_yaml::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::{Credentials, HostPort, connections};
use crate::{
    config::{Section, form},
    network::{Connections, Dialer, Failure, Guard, Network, Stream, Tls, TlsConfig, TlsError, Trace},
};

/// How long an answer may be, in bytes: all of INFO is some kilobytes.
const ANSWER_LIMIT: u64 = 256 * 1024;

/// How long the key of a round trip is kept if this run does not come to delete it, in seconds.
const KEY_SECONDS: &str = "60";

/// A check of kind `redis`.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `host:port`; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// Speaks TLS. Default none; `{}` is the default way.
    pub tls: Option<TlsConfig>,
    /// The user, `default` for the one of `requirepass`, and the password. Default none.
    pub credentials: Option<Credentials>,
    /// The database that is selected. Default 0.
    pub database: u64,
    /// The role that the server has to have, `primary` or `replica`; a replica's link has to be up. Default either.
    pub role: Option<RedisRole>,
    /// A key that is written, read and deleted again, with a suffix of its own for each run. Default none.
    pub key: Option<String>,
    /// How many more connections the server has to take at least; they are counted if this is there. Default none.
    pub connections_available_min: Option<u64>,
}

/// What a server is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisRole {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// A check that can be run.
pub(super) struct RedisCheck {
    config: RedisConfig,
    dialer: Dialer,
    tls: Option<Tls>,
}

/// A connection to a server.
struct Session {
    stream: BufReader<Box<dyn Stream>>,
}

// === impl RedisConfig ===

impl RedisConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "127.0.0.1:6379");
        let tls = section.nested("tls", |tls| TlsConfig::read(tls).map(Some), None);
        let credentials = Credentials::read(section);
        let database = section.or("database", form::number, 0);
        let role = section.or("role", |value| role(value).map(Some), None);
        let key = section.or("key", |value| key(value).map(Some), None);
        let connections_available_min = connections::read(section);
        Some(Self {
            target: target?,
            tls: tls?,
            credentials: credentials?,
            database: database?,
            role: role?,
            key: key?,
            connections_available_min: connections_available_min?,
        })
    }
}

fn role(value: &Value) -> Result<RedisRole, String> {
    match value.as_str() {
        Some("primary") => Ok(RedisRole::Primary),
        Some("replica") => Ok(RedisRole::Replica),
        _ => Err(format!("{} is neither `primary` nor `replica`", form::shown(value))),
    }
}

fn key(value: &Value) -> Result<String, String> {
    let key = form::text(value)?;
    if key.is_empty() || key.len() > 200 { Err("a key has 1 to 200 bytes".to_owned()) } else { Ok(key) }
}

// === impl RedisCheck ===

impl RedisCheck {
    pub(super) fn new(config: RedisConfig, network: &Network) -> Result<Self, TlsError> {
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
        let stream = self.dialer.open(trace, self.tls.as_ref(), host, *port).await?;
        let mut session = Session { stream: BufReader::new(stream) };
        if let Some(Credentials { user, password }) = &config.credentials {
            trace.begin(Phase::Auth);
            // Servers before 6.0 have no users, and take the password alone.
            let (named, unnamed) = (["AUTH", user, password], ["AUTH", password]);
            session.expect(if user == "default" { &unnamed } else { &named }, "OK").await?;
        }
        trace.begin(Phase::FirstByte);
        if config.database != 0 {
            session.expect(&["SELECT", &config.database.to_string()], "OK").await?;
        }
        session.expect(&["PING"], "PONG").await?;
        trace.begin(Phase::Transfer);
        if let Some(key) = &config.key {
            session.round_trip(key).await?;
        }
        if config.role.is_some() || config.connections_available_min.is_some() {
            let info = session.ask(&["INFO"]).await?;
            self.judge(&info, trace)?;
        }
        Ok(())
    }

    fn judge(&self, info: &str, trace: &mut Trace) -> Result<(), Failure> {
        let said = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
        if let Some(role) = self.config.role {
            let (wanted, is) = (role.as_str(), said("role").unwrap_or("nothing"));
            if wanted != is {
                return Err(Failure::new(Reason::Body, format!("the role is `{is}`, expected `{wanted}`")));
            }
            let link = said("master_link_status").filter(|link| *link != "up");
            if let Some(link) = link {
                return Err(Failure::new(Reason::Body, format!("the link to the primary is `{link}`")));
            }
        }
        if let Some(least) = self.config.connections_available_min {
            let number = |key: &str| said(key).and_then(|text| text.parse::<u64>().ok());
            // `maxclients` is in INFO from Redis 7.0 on.
            let (Some(current), Some(most)) = (number("connected_clients"), number("maxclients")) else {
                return Err(Failure::new(Reason::Protocol, "INFO tells of no `maxclients`, as from Redis 7.0 on"));
            };
            let counted = Connections { current, available: most.saturating_sub(current) };
            connections::judge(counted, least, trace)?;
        }
        Ok(())
    }
}

// === impl RedisRole ===

impl RedisRole {
    /// The name of the protocol's.
    fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "master",
            Self::Replica => "slave",
        }
    }
}

// === impl Session ===

impl Session {
    /// Asks and fails if the answer is another than expected.
    async fn expect(&mut self, command: &[&str], expected: &str) -> Result<(), Failure> {
        let answer = self.ask(command).await?;
        match answer == expected {
            true => Ok(()),
            false => Err(Failure::new(Reason::Body, format!("{} is answered with `{answer}`", command[0]))),
        }
    }

    /// Writes a value under a key of this run, reads it back and deletes it.
    async fn round_trip(&mut self, key: &str) -> Result<(), Failure> {
        let value = fastrand::u64(..).to_string();
        let key = format!("{key}:{value}");
        self.expect(&["SET", &key, &value, "EX", KEY_SECONDS], "OK").await?;
        let read = self.ask(&["GET", &key]).await?;
        self.expect(&["DEL", &key], "1").await?;
        match read == value {
            true => Ok(()),
            false => Err(Failure::new(Reason::Body, format!("the key `{key}` came back as `{read}`"))),
        }
    }

    /// Sends a command and reads its answer, whatever its type.
    async fn ask(&mut self, command: &[&str]) -> Result<String, Failure> {
        let mut request = format!("*{}\r\n", command.len());
        for part in command {
            write!(request, "${}\r\n{part}\r\n", part.len()).expect("a string takes all that is written");
        }
        let asked = async {
            self.stream.write_all(request.as_bytes()).await?;
            self.stream.flush().await
        };
        asked.await.map_err(|error| Failure::exchange(&error))?;
        self.answer(command[0]).await
    }

    async fn answer(&mut self, command: &str) -> Result<String, Failure> {
        let line = self.line().await?;
        let garbage =
            || Failure::new(Reason::Protocol, format!("{command} is answered with `{line}`, which is not RESP"));
        let (kind, rest) = line.split_at_checked(1).ok_or_else(garbage)?;
        match kind {
            "+" | ":" => Ok(rest.to_owned()),
            "-" => Err(refused(command, rest)),
            "$" if rest == "-1" => Ok(String::new()),
            "$" => {
                let length = rest.parse::<u64>().ok().filter(|length| *length <= ANSWER_LIMIT).ok_or_else(garbage)?;
                // With the end of the line.
                let mut value = vec![0; length as usize + 2];
                self.stream.read_exact(&mut value).await.map_err(|error| Failure::exchange(&error))?;
                value.truncate(length as usize);
                Ok(String::from_utf8_lossy(&value).into_owned())
            }
            _ => Err(garbage()),
        }
    }

    async fn line(&mut self) -> Result<String, Failure> {
        let mut line = Vec::new();
        let reading = (&mut self.stream).take(ANSWER_LIMIT).read_until(b'\n', &mut line).await;
        reading.map_err(|error| Failure::exchange(&error))?;
        if line.is_empty() {
            return Err(Failure::new(Reason::Connect, "the server has closed the connection"));
        }
        if !line.ends_with(b"\n") {
            return Err(Failure::new(Reason::Protocol, format!("a line of {} bytes without an end", line.len())));
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// The failure that an error of the server's is.
fn refused(command: &str, error: &str) -> Failure {
    let reason = match error.split(' ').next() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => Reason::Auth,
        _ if command == "AUTH" => Reason::Auth,
        _ => Reason::Status,
    };
    Failure::new(reason, format!("{command} is refused: {error}"))
}
