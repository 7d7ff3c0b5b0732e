//! Synthetic checks: what one is, how a run is judged, and what is kept of it.
//!
//! A kind of check is a file in `checks/`, a variant of [`KindConfig`] and of `Target`. A run ends within its timeout
//! whatever the target does, and a failure has one reason of the closed set that `check_failures_total` is counted by.

use std::time::{Duration, SystemTime};

use futura_metrics::specs::checks::{CheckKind, Reason};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::{
    config::{self, with_unit},
    history::History,
};

pub(crate) use self::{failure::Failure, metrics::ChecksMetrics, network::Network};
pub use self::{
    http::HttpConfig,
    tcp::{TcpConfig, TcpTarget},
};

mod failure;
mod http;
mod metrics;
mod network;
mod tcp;

/// The shortest interval: below it a check is a load test.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// How long a name may be.
const NAME_LIMIT: usize = 100;

/// One check as it is configured.
#[derive(Clone, Debug)]
pub struct CheckConfig {
    /// The name, which is the label `check` of its series: letters, digits, `-`, `_` and `.`. Required.
    pub name: String,
    /// The time from one start to the next. Default `10s`.
    pub interval: Duration,
    /// How long one run may take in all, at most the interval. Default `2s`.
    pub timeout: Duration,
    /// What is done.
    pub kind: KindConfig,
}

/// What a check does, by its key `kind`.
#[derive(Clone, Debug)]
pub enum KindConfig {
    /// `http`: sends a request and judges the answer.
    Http(Box<HttpConfig>),
    /// `tcp`: opens a connection.
    Tcp(TcpConfig),
}

/// The keys that every kind of check has.
#[derive(Deserialize)]
pub(crate) struct CommonConfig {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    #[serde(default = "default_interval", deserialize_with = "with_unit")]
    pub(crate) interval: Duration,
    #[serde(default = "default_timeout", deserialize_with = "with_unit")]
    pub(crate) timeout: Duration,
}

/// The values of the key `kind`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Http,
    Tcp,
}

/// A check that can be run, with all that is known of its runs.
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) history: History,
    target: Target,
    metrics: metrics::CheckMetrics,
}

/// What a check does, made ready.
enum Target {
    Http(Box<http::HttpCheck>),
    Tcp(tcp::TcpCheck),
}

// === impl KindConfig ===

impl KindConfig {
    /// Whether a connection may be one of TLS, be it after a redirect.
    pub(crate) fn speaks_tls(&self) -> bool {
        match self {
            Self::Http(http) => http.url.scheme() == "https" || http.redirects > 0,
            Self::Tcp(_) => false,
        }
    }

    /// Reads the keys of one kind, or says at which of them what is wrong.
    pub(crate) fn read(kind: Kind, value: &serde_yaml::Value) -> Result<Self, (Vec<config::Segment>, String)> {
        let read = match kind {
            Kind::Http => config::typed(value).map(Self::Http),
            Kind::Tcp => config::typed(value).map(Self::Tcp),
        };
        read.map_err(|(path, message)| {
            let unknown = message.starts_with("unknown field");
            let common = if unknown { ", or of every check `name`, `kind`, `interval`, `timeout`" } else { "" };
            (path, message + common)
        })
    }
}

// === impl CommonConfig ===

impl CommonConfig {
    pub(crate) const KEYS: &[&str] = &["name", "kind", "interval", "timeout"];

    /// What types cannot say: the key and what is wrong with it.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if self.name.is_empty() || self.name.len() > NAME_LIMIT || !self.name.chars().all(plain) {
            problems.push(("name", format!("a name is 1 to {NAME_LIMIT} letters, digits, `-`, `_` and `.`")));
        }
        if self.interval < SHORTEST_INTERVAL {
            problems.push(("interval", format!("at least {SHORTEST_INTERVAL:?}")));
        }
        if self.timeout.is_zero() {
            problems.push(("timeout", "more than nothing".to_owned()));
        }
        if self.timeout > self.interval {
            let (timeout, interval) = (self.timeout, self.interval);
            problems.push((
                "timeout",
                format!("{timeout:?} is longer than the interval of {interval:?}, so runs would overlap"),
            ));
        }
        problems
    }
}

fn default_interval() -> Duration {
    Duration::from_secs(10)
}

fn default_timeout() -> Duration {
    Duration::from_secs(2)
}

// === impl Check ===

impl Check {
    pub(crate) fn new(config: CheckConfig, metrics: &ChecksMetrics, network: &Network) -> Result<Self, reqwest::Error> {
        let target = match config.kind {
            KindConfig::Http(http) => Target::Http(Box::new(http::HttpCheck::new(*http, network)?)),
            KindConfig::Tcp(tcp) => Target::Tcp(tcp::TcpCheck::new(tcp, network)),
        };
        Ok(Self {
            metrics: metrics.of(&config.name, target.kind()),
            name: config.name,
            interval: config.interval,
            timeout: config.timeout,
            history: History::default(),
            target,
        })
    }

    pub(crate) fn kind(&self) -> CheckKind {
        self.target.kind()
    }

    /// What is checked, without what could be secret.
    pub(crate) fn target(&self) -> String {
        match &self.target {
            Target::Http(check) => check.target(),
            Target::Tcp(check) => check.target(),
        }
    }

    /// Runs once and takes the result down.
    pub(crate) async fn run(&self) {
        let start = Instant::now();
        let result = match timeout(self.timeout, self.target.run()).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Reason::Timeout, format!("no result within {:?}", self.timeout))),
        };
        let took = start.elapsed();
        let failure = result.err();
        self.metrics.record(took, failure.as_ref().map(|failure| failure.reason));
        let name = &self.name;
        let changed = self.history.record(SystemTime::now(), took, failure.as_ref());
        match failure {
            Some(Failure { reason, message }) if changed => {
                tracing::warn!(check = %name, reason = reason.as_str(), detail = %message, "the check fails");
            }
            Some(Failure { reason, message }) => {
                tracing::debug!(check = %name, reason = reason.as_str(), detail = %message, ?took, "the check still fails");
            }
            None if changed => tracing::info!(check = %name, ?took, "the check succeeds"),
            None => tracing::debug!(check = %name, ?took, "the check still succeeds"),
        }
    }

    /// Takes down that runs were left out.
    pub(crate) fn skipped(&self, runs: u64) {
        self.metrics.skip(runs);
    }
}

// === impl Target ===

impl Target {
    fn kind(&self) -> CheckKind {
        match self {
            Self::Http(_) => CheckKind::Http,
            Self::Tcp(_) => CheckKind::Tcp,
        }
    }

    async fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Http(check) => check.run().await,
            Self::Tcp(check) => check.run().await,
        }
    }
}

#[cfg(test)]
mod tests;
