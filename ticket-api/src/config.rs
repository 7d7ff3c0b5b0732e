//! Configuration from the environment; each variable is also an option, so that `--help` lists it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt,
    net::IpAddr,
    time::Duration,
};

use axum::http::HeaderValue;
use clap::{CommandFactory, FromArgMatches, Parser, error::ContextKind};
use url::Url;

use crate::{
    bus::Brokers,
    domain::Currency,
    queue::QueueConfig,
    secret::Secret,
    store::{DatabaseConfig, SslMode},
};

/// The shortest key that HS256 may have, which is as long as its hash (RFC 7518, section 3.2).
const JWT_SECRET_BYTES: usize = 32;

const EXIT_CODES: &str = "\
Exit codes:
  0 after a graceful end, 1 when starting or running failed, 64 for a wrong command line or configuration,
  130 after a second signal
";

/// What the service is told from outside.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ticket-api",
    version,
    about = "The ticket API: events, orders, payments and tickets.",
    hide_possible_values = true
)]
pub struct Config {
    /// Address that both ports listen on.
    #[arg(long, env = "HOST", value_name = "HOST", default_value = "0.0.0.0", value_parser = parse_host, hide_env_values = true)]
    pub host: IpAddr,

    /// Port of the API; 0 takes any free one.
    #[arg(long, env = "PORT", value_name = "PORT", default_value = "3000", value_parser = parse_port, hide_env_values = true)]
    pub port: u16,

    /// Port of /metrics, /livez and /readyz; 0 takes any free one.
    #[arg(long, env = "METRICS_PORT", value_name = "METRICS_PORT", default_value = "9090", value_parser = parse_port, hide_env_values = true)]
    pub metrics_port: u16,

    /// Database: sqlite::memory:, sqlite://path/to/file.db or postgres://user:password@host/database.
    #[arg(long, env = "DATABASE_URL", value_name = "DATABASE_URL", default_value = "sqlite::memory:", value_parser = parse_secret, hide_env_values = true)]
    pub database_url: Secret,

    /// Connections to the database at most, 1 to 1000; a database in memory has one.
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", value_name = "DATABASE_MAX_CONNECTIONS", default_value = "10", value_parser = parse_max_connections, hide_env_values = true)]
    pub database_max_connections: u32,

    /// Connections to the database that stay open, 0 to DATABASE_MAX_CONNECTIONS.
    #[arg(long, env = "DATABASE_MIN_CONNECTIONS", value_name = "DATABASE_MIN_CONNECTIONS", default_value = "2", value_parser = parse_min_connections, hide_env_values = true)]
    pub database_min_connections: u32,

    /// TLS to PostgreSQL: disable, allow, prefer, require, verify-ca or verify-full; without it the URL decides.
    #[arg(long, env = "DATABASE_SSL_MODE", value_name = "DATABASE_SSL_MODE", value_parser = parse_ssl_mode, hide_env_values = true)]
    pub database_ssl_mode: Option<SslMode>,

    /// Seconds that requests in flight may take to finish after SIGTERM, 0 to 3600.
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "SHUTDOWN_TIMEOUT", default_value = "30", value_parser = parse_seconds, hide_env_values = true)]
    pub shutdown_timeout: Duration,

    /// Seconds from SIGTERM, when /readyz says no, to the last new connection, 0 to 3600: in Kubernetes 5, so that no
    /// request is still sent here.
    #[arg(long, env = "DRAIN_DELAY", value_name = "DRAIN_DELAY", default_value = "0", value_parser = parse_seconds, hide_env_values = true)]
    pub drain_delay: Duration,

    /// Origins that browsers may call from, separated by commas, such as `https://shop.example`; without it none.
    #[arg(long, env = "ALLOWED_ORIGINS", value_name = "ALLOWED_ORIGINS", default_value = "", hide_default_value = true, value_parser = parse_origins, hide_env_values = true)]
    pub allowed_origins: AllowedOrigins,

    /// Signing secret of the Stripe webhook; without it /stripe/webhook is off.
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", value_name = "STRIPE_WEBHOOK_SECRET", default_value = "", hide_default_value = true, value_parser = parse_secret, hide_env_values = true)]
    stripe_webhook_secret: Secret,

    /// Key of the tokens that callers show (JWT, HS256), at least 32 bytes; unset the API runs open, for a trial.
    #[arg(long, env = "JWT_SECRET", value_name = "JWT_SECRET", default_value = "", hide_default_value = true, value_parser = parse_secret, hide_env_values = true)]
    jwt_secret: Secret,

    /// Redis that keeps the virtual queue, such as `redis://user:password@host:6379/0`, or `rediss://` for TLS; without
    /// it the queue is in memory, and each process has its own. A cluster is not supported.
    #[arg(long, env = "REDIS_URL", value_name = "REDIS_URL", default_value = "", hide_default_value = true, value_parser = parse_secret, hide_env_values = true)]
    redis_url: Secret,

    /// People in an event's virtual queue at most, 1 to 1000000; in memory there is room for 200000 in all of them.
    #[arg(long, env = "QUEUE_MAX_SIZE", value_name = "QUEUE_MAX_SIZE", default_value = "1000", value_parser = parse_queue_size, hide_env_values = true)]
    pub queue_max_size: u32,

    /// Currency of every price, by its three letters; a webhook's payment in another is refused.
    #[arg(long, env = "CURRENCY", value_name = "CURRENCY", default_value = "usd", value_parser = parse_currency, hide_env_values = true)]
    pub currency: Currency,

    /// Brokers of the event bus (Redpanda, Kafka), such as `kafka-0:9092,kafka-1:9092`; without it the bus lies in the
    /// process. The topic ticketing.events is made where it is missing; its compression.type must be producer or uncompressed.
    #[arg(long, env = "REDPANDA_BROKERS", value_name = "REDPANDA_BROKERS", value_parser = parse_brokers, hide_env_values = true)]
    pub(crate) redpanda_brokers: Option<Brokers>,

    /// Adds POST /drill/panic and POST /drill/error, which fail on purpose to test alerting: true or false.
    #[arg(long, env = "DRILL_ROUTES", value_name = "DRILL_ROUTES", default_value = "false", action = clap::ArgAction::Set, value_parser = parse_bool, hide_env_values = true)]
    pub drill_routes: bool,
}

/// The whitelist of origins, in the form that browsers send them.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(pub(crate) Vec<HeaderValue>);

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// Help or version was asked for: this is the text.
    Asked(String),
    /// A variable or option is wrong: this is the line that says so.
    Usage(String),
}

// === impl Config ===

impl Config {
    /// Reads options and environment. `others` are further variables for `--help`: name, default, meaning.
    ///
    /// # Errors
    /// When a value is not allowed, or help was asked for.
    pub fn load(
        arguments: impl IntoIterator<Item = OsString>,
        others: &[(&str, &str, &str)],
    ) -> Result<Self, ConfigError> {
        // A variable that is set but empty counts as not set, as for those of telemetry. An empty key would open the API.
        let is_set = |name: &OsStr| env::var_os(name).is_some_and(|value| !value.is_empty());
        let command =
            Self::command().after_help(format!("{}\n{EXIT_CODES}", render_others(others))).mut_args(|argument| {
                let empty = argument.get_env().is_some_and(|name| env::var_os(name).is_some() && !is_set(name));
                if empty { argument.env(None::<&'static str>) } else { argument }
            });
        let matches = command.try_get_matches_from(arguments);
        let config = matches.and_then(|matches| Self::from_arg_matches(&matches)).map_err(ConfigError::from)?;
        if config.jwt_secret().is_none() && env::var_os("JWT_SECRET").is_some_and(|secret| secret.is_empty()) {
            let line = "JWT_SECRET: it is set and empty, so that anybody could use the API; unset it to run open";
            return Err(ConfigError::Usage(line.to_owned()));
        }
        config.check().map_err(ConfigError::Usage)?;
        Ok(config)
    }

    /// What no value shows by itself.
    fn check(&self) -> Result<(), String> {
        if self.port != 0 && self.port == self.metrics_port {
            return Err(format!("PORT and METRICS_PORT are both {}: give each a port of its own", self.port));
        }
        if self.database_min_connections > self.database_max_connections {
            return Err(format!(
                "DATABASE_MIN_CONNECTIONS: {} is more than DATABASE_MAX_CONNECTIONS, which is {}",
                self.database_min_connections, self.database_max_connections
            ));
        }
        self.jwt_secret().map_or(Ok(()), |secret| check_key(secret.expose()))?;
        self.queue().check().map_err(|error| error.to_string())?;
        self.database().check().map_err(|error| error.to_string())
    }

    /// The part that is the database's.
    pub fn database(&self) -> DatabaseConfig {
        DatabaseConfig {
            url: self.database_url.clone(),
            max_connections: self.database_max_connections,
            min_connections: self.database_min_connections,
            ssl_mode: self.database_ssl_mode,
        }
    }

    /// The part that is the virtual queue's.
    pub fn queue(&self) -> QueueConfig {
        QueueConfig { redis_url: not_empty(&self.redis_url), max_size: self.queue_max_size }
    }

    /// The signing secret of the Stripe webhook, if there is one.
    pub fn stripe_webhook_secret(&self) -> Option<Secret> {
        not_empty(&self.stripe_webhook_secret)
    }

    /// The key of callers' tokens, if they must show one.
    pub fn jwt_secret(&self) -> Option<Secret> {
        not_empty(&self.jwt_secret)
    }
}

// === impl ConfigError ===

impl From<clap::Error> for ConfigError {
    fn from(error: clap::Error) -> Self {
        if !error.use_stderr() {
            return Self::Asked(error.to_string());
        }
        let text = |kind| error.get(kind).map(ToString::to_string);
        let value = text(ContextKind::InvalidValue).filter(|value| !value.is_empty());
        let (Some(option), Some(reason)) = (text(ContextKind::InvalidArg), std::error::Error::source(&error)) else {
            let line = error.to_string();
            let line = line.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            return Self::Usage(format!("{line}; see --help"));
        };
        let variable = option.split(['<', '>']).nth(1).unwrap_or(&option).to_owned();
        Self::Usage(format!("{variable}=`{}`: expected {reason}", value.unwrap_or_default().escape_debug()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Asked(text) | Self::Usage(text)) = self;
        formatter.write_str(text)
    }
}

impl std::error::Error for ConfigError {}

/// Refuses a key that can be guessed.
fn check_key(key: &str) -> Result<(), String> {
    let (bytes, is_blank) = (key.as_bytes(), key.trim().is_empty());
    let guessed = match bytes.len() {
        count if count < JWT_SECRET_BYTES => format!("{count} bytes"),
        _ if is_blank || bytes.iter().all(|byte| *byte == bytes[0]) => "one character again and again".to_owned(),
        _ => return Ok(()),
    };
    Err(format!(
        "JWT_SECRET: {guessed} can be guessed; HS256 needs at least {JWT_SECRET_BYTES} random bytes, such as `openssl rand -hex 32` prints"
    ))
}

fn not_empty(secret: &Secret) -> Option<Secret> {
    Some(secret.clone()).filter(|secret| !secret.expose().is_empty())
}

fn render_others(others: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("Environment variables of logs, traces and error reports:\n");
    for (name, default, meaning) in others {
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        text.push_str(&format!("  {name}\n          {meaning}{default}\n"));
    }
    text
}

fn parse_host(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "an IP address such as 0.0.0.0 or 127.0.0.1")
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "a port from 0 to 65535")
}

fn parse_max_connections(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|count| (1..=1000).contains(count)).ok_or("a number from 1 to 1000")
}

fn parse_min_connections(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|count| *count <= 1000).ok_or("a number from 0 to DATABASE_MAX_CONNECTIONS")
}

fn parse_queue_size(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|size| (1..=1_000_000).contains(size)).ok_or("a number from 1 to 1000000")
}

fn parse_seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= 3600).ok_or("a number of seconds from 0 to 3600")?;
    Ok(Duration::from_secs(seconds))
}

fn parse_bool(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err("true or false"),
    }
}

fn parse_currency(text: &str) -> Result<Currency, &'static str> {
    text.parse()
}

fn parse_brokers(text: &str) -> Result<Brokers, String> {
    text.parse()
}

fn parse_ssl_mode(text: &str) -> Result<SslMode, &'static str> {
    clap::ValueEnum::from_str(text, true).map_err(|_| "disable, allow, prefer, require, verify-ca or verify-full")
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a parser that may fail")]
fn parse_secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text))
}

fn parse_origins(text: &str) -> Result<AllowedOrigins, String> {
    let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(parse_origin);
    origins.collect::<Result<_, _>>().map(AllowedOrigins)
}

fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let refused = || {
        format!("origins such as https://shop.example or http://localhost:5173, separated by commas; `{text}` is none")
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    // What a browser sends is exactly the origin's serialization: anything else would never match.
    let same = matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text;
    if same { HeaderValue::from_str(text).map_err(|_| refused()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigError};

    fn check(arguments: &[&str]) -> Result<Config, String> {
        let arguments = ["ticket-api"].iter().chain(arguments).map(|argument| (*argument).into());
        Config::load(arguments, &[]).map_err(|error| match error {
            ConfigError::Usage(line) => line,
            ConfigError::Asked(text) => panic!("{text}"),
        })
    }

    #[test]
    fn a_value_that_is_not_allowed_is_named_with_its_variable_and_what_is() {
        let refused = |arguments: &[&str]| check(arguments).unwrap_err();
        insta::assert_snapshot!(refused(&["--port", "70000"]), @"PORT=`70000`: expected a port from 0 to 65535");
        insta::assert_snapshot!(refused(&["--port="]), @"PORT=``: expected a port from 0 to 65535");
        insta::assert_snapshot!(refused(&["--host", "local\nhost"]), @r"HOST=`local\nhost`: expected an IP address such as 0.0.0.0 or 127.0.0.1");
        insta::assert_snapshot!(refused(&["--database-ssl-mode", "on"]), @r#"DATABASE_SSL_MODE=`on`: expected disable, allow, prefer, require, verify-ca or verify-full"#);
        insta::assert_snapshot!(refused(&["--allowed-origins", "https://a.example,b.example"]), @"ALLOWED_ORIGINS=`https://a.example,b.example`: expected origins such as https://shop.example or http://localhost:5173, separated by commas; `b.example` is none");
        insta::assert_snapshot!(refused(&["--database-max-connections", "1"]), @"DATABASE_MIN_CONNECTIONS: 2 is more than DATABASE_MAX_CONNECTIONS, which is 1");
        insta::assert_snapshot!(refused(&["--database-url", "mysql://me:hush@db/tickets"]), @"DATABASE_URL: unknown kind of database `mysql`; use sqlite::memory:, sqlite://path/to/file.db or postgres://user:password@host/database");
        insta::assert_snapshot!(refused(&["--currency", "euro"]), @"CURRENCY=`euro`: expected a currency's three letters (ISO 4217), such as eur");
        insta::assert_snapshot!(refused(&["--redpanda-brokers", "kafka-0:9092,kafka-1"]), @"REDPANDA_BROKERS=`kafka-0:9092,kafka-1`: expected brokers such as kafka-0:9092 or [::1]:9092, separated by commas; `kafka-1` is none");
        insta::assert_snapshot!(refused(&["--colour"]), @"unexpected argument '--colour' found; see --help");
    }

    #[test]
    fn help_lists_every_variable_and_no_secret_is_printed() {
        let others = [("RUST_LOG", "info", "What is logged.")];
        let Err(ConfigError::Asked(help)) = Config::load(["ticket-api".into(), "--help".into()], &others) else {
            panic!("help is an answer");
        };
        for variable in [
            "HOST",
            "METRICS_PORT",
            "DATABASE_SSL_MODE",
            "ALLOWED_ORIGINS",
            "DRILL_ROUTES",
            "RUST_LOG",
            "sqlite::memory:",
        ] {
            assert!(help.contains(variable), "{variable} is missing in {help}");
        }
        let config =
            check(&["--database-url", "postgres://me:hush@db/t", "--stripe-webhook-secret", "whsec_hush"]).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
