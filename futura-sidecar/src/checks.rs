//! Synthetic checks: what one is, how a run is judged, and what is kept of it.
//!
//! A kind of check is a file in `checks/`, a variant of [`KindConfig`] and of `Target`. A run ends within its timeout
//! whatever the target does, and a failure has one reason of the closed set that `check_failures_total` is counted by.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futura_metrics::specs::checks::{CheckKind, Phase, Reason, Suspension};
use serde_yaml::Value;
use tokio::time::{Instant, timeout};

use self::standing::Standing;

use crate::{
    config::{Section, Source, form},
    history::History,
    network::{Failure, Network, TlsError, Trace},
};

pub use self::{
    credentials::Credentials,
    dns::DnsConfig,
    grpc::GrpcConfig,
    http::{Expectations, Http2, HttpConfig, HttpTransport},
    icmp::IcmpConfig,
    journey::{JourneyConfig, StepConfig, Variables},
    mongodb::MongodbConfig,
    postgres::PostgresConfig,
    redis::{RedisConfig, RedisRole},
    schedule::ScheduleConfig,
    target::HostPort,
    tcp::TcpConfig,
    tls::TlsCheckConfig,
};
pub(crate) use self::{maintenance::Window, metrics::ChecksMetrics};

mod connections;
mod credentials;
mod dns;
mod grpc;
mod http;
mod icmp;
mod journey;
mod maintenance;
mod metrics;
mod mongodb;
mod pattern;
mod postgres;
mod redis;
mod schedule;
mod standing;
mod target;
mod tcp;
mod tls;

/// How long a name may be.
const NAME_LIMIT: usize = 100;

/// One check as it is configured.
#[derive(Clone, Debug)]
pub struct CheckConfig {
    /// The name, which is the label `check` of its series: letters, digits, `-`, `_` and `.`. Required.
    pub name: String,
    /// When it is run and when it counts as down.
    pub schedule: ScheduleConfig,
    /// What is done.
    pub kind: KindConfig,
    /// What all of it but the maintenance was read from, with the variables in place: by it a check is known to be the same.
    pub(crate) source: Source,
}

/// What a check does, by its key `kind`.
#[derive(Clone, Debug)]
pub enum KindConfig {
    /// `dns`: asks a server for a name.
    Dns(Box<DnsConfig>),
    /// `grpc`: asks a server's health service.
    Grpc(Box<GrpcConfig>),
    /// `http`: sends a request and judges the answer.
    Http(Box<HttpConfig>),
    /// `icmp`: sends a ping.
    Icmp(IcmpConfig),
    /// `journey`: sends requests one after the other.
    Journey(Box<JourneyConfig>),
    /// `mongodb`: pings a server.
    Mongodb(Box<MongodbConfig>),
    /// `postgres`: logs in and asks a query.
    Postgres(Box<PostgresConfig>),
    /// `redis`: pings a server.
    Redis(Box<RedisConfig>),
    /// `tcp`: opens a connection and speaks in lines.
    Tcp(Box<TcpConfig>),
    /// `tls`: looks at a certificate.
    Tls(Box<TlsCheckConfig>),
}

/// A check that can be run, with all that is known of its runs.
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) schedule: ScheduleConfig,
    pub(crate) history: Arc<History>,
    target: Target,
    metrics: metrics::CheckMetrics,
    standing: Mutex<Standing>,
}

/// What came of one attempt of a run.
struct Attempt {
    took: Duration,
    failure: Option<Failure>,
    trace: Trace,
}

/// What a check does, made ready.
enum Target {
    Dns(Box<dns::DnsCheck>),
    Grpc(Box<grpc::GrpcCheck>),
    Http(Box<http::HttpCheck>),
    Icmp(icmp::IcmpCheck),
    Journey(Box<journey::JourneyCheck>),
    Mongodb(Box<mongodb::MongodbCheck>),
    Postgres(Box<postgres::PostgresCheck>),
    Redis(Box<redis::RedisCheck>),
    Tcp(Box<tcp::TcpCheck>),
    Tls(Box<tls::TlsCheck>),
}

// === impl CheckConfig ===

impl CheckConfig {
    /// Reads one check; none where something is wrong, which is a finding then.
    pub(crate) fn read(mut section: Section<'_, '_>, names: &mut HashSet<String>) -> Option<Self> {
        let name = section.required("name", name, "api-health");
        if let Some(name) = &name {
            section.about(&format!("check `{name}`"));
            if !names.insert(name.clone()) {
                section.report("name", "the name is taken: names tell the series apart, so give each check its own");
            }
        }
        let kind = section.required("kind", kind, "http");
        let schedule = ScheduleConfig::read(&mut section);
        // Without a kind nobody knows which keys are allowed.
        let kind = KindConfig::read(kind?, &mut section);
        let source = section.finish().without("maintenance");
        Some(Self { name: name?, schedule: schedule?, kind: kind?, source })
    }
}

// === impl KindConfig ===

impl KindConfig {
    /// Reads the keys of one kind.
    fn read(kind: CheckKind, section: &mut Section<'_, '_>) -> Option<Self> {
        match kind {
            CheckKind::Http => HttpConfig::read(section).map(Box::new).map(Self::Http),
            CheckKind::Dns => DnsConfig::read(section).map(Box::new).map(Self::Dns),
            CheckKind::Grpc => GrpcConfig::read(section).map(Box::new).map(Self::Grpc),
            CheckKind::Icmp => IcmpConfig::read(section).map(Self::Icmp),
            CheckKind::Journey => JourneyConfig::read(section).map(Box::new).map(Self::Journey),
            CheckKind::Mongodb => MongodbConfig::read(section).map(Box::new).map(Self::Mongodb),
            CheckKind::Postgres => PostgresConfig::read(section).map(Box::new).map(Self::Postgres),
            CheckKind::Redis => RedisConfig::read(section).map(Box::new).map(Self::Redis),
            CheckKind::Tcp => TcpConfig::read(section).map(Box::new).map(Self::Tcp),
            CheckKind::Tls => TlsCheckConfig::read(section).map(Box::new).map(Self::Tls),
        }
    }
}

fn name(value: &Value) -> Result<String, String> {
    let name = form::text(value)?;
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(plain) {
        return Err(format!(
            "`{name}` is no name: write 1 to {NAME_LIMIT} letters, digits, `-`, `_` and `.`, such as `api-health`"
        ));
    }
    Ok(name)
}

fn kind(value: &Value) -> Result<CheckKind, String> {
    let known = |kind: &&CheckKind| value.as_str() == Some(kind.as_str());
    CheckKind::ALL.iter().find(known).copied().ok_or_else(|| {
        let kinds: Vec<_> = CheckKind::ALL.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
        format!("{} is no kind of check, allowed are {}", form::shown(value), kinds.join(", "))
    })
}

// === impl Check ===

impl Check {
    pub(crate) fn new(config: CheckConfig, metrics: &ChecksMetrics, network: &Network) -> Result<Self, TlsError> {
        let target = match config.kind {
            KindConfig::Http(http) => Target::Http(Box::new(http::HttpCheck::new(*http, network)?)),
            KindConfig::Dns(dns) => Target::Dns(Box::new(dns::DnsCheck::new(*dns, network)?)),
            KindConfig::Grpc(grpc) => Target::Grpc(Box::new(grpc::GrpcCheck::new(*grpc, network)?)),
            KindConfig::Icmp(icmp) => Target::Icmp(icmp::IcmpCheck::new(icmp, network)),
            KindConfig::Journey(journey) => Target::Journey(Box::new(journey::JourneyCheck::new(*journey, network)?)),
            KindConfig::Mongodb(mongodb) => Target::Mongodb(Box::new(mongodb::MongodbCheck::new(*mongodb, network)?)),
            KindConfig::Postgres(postgres) => {
                Target::Postgres(Box::new(postgres::PostgresCheck::new(*postgres, network)?))
            }
            KindConfig::Redis(redis) => Target::Redis(Box::new(redis::RedisCheck::new(*redis, network)?)),
            KindConfig::Tcp(tcp) => Target::Tcp(Box::new(tcp::TcpCheck::new(*tcp, network)?)),
            KindConfig::Tls(tls) => Target::Tls(Box::new(tls::TlsCheck::new(&tls, network)?)),
        };
        Ok(Self {
            metrics: metrics.of(&config.name, target.kind(), target.steps()),
            standing: Mutex::new(Standing::new(config.schedule.maintenance.clone())),
            name: config.name,
            schedule: config.schedule,
            history: Arc::default(),
            target,
        })
    }

    pub(crate) fn kind(&self) -> CheckKind {
        self.target.kind()
    }

    /// What is checked, without what could be secret.
    pub(crate) fn target(&self) -> String {
        match &self.target {
            Target::Dns(check) => check.target(),
            Target::Grpc(check) => check.target(),
            Target::Http(check) => check.target(),
            Target::Icmp(check) => check.target(),
            Target::Journey(check) => check.target(),
            Target::Mongodb(check) => check.target(),
            Target::Postgres(check) => check.target(),
            Target::Redis(check) => check.target(),
            Target::Tcp(check) => check.target(),
            Target::Tls(check) => check.target(),
        }
    }

    /// Runs, again where it failed and may be repeated, and takes the result down.
    pub(crate) async fn run(&self) {
        let mut attempt = self.attempt().await;
        for _ in 0..self.schedule.retries {
            if attempt.failure.is_none() {
                break;
            }
            self.metrics.retry();
            attempt = self.attempt().await;
        }
        self.take_down(attempt);
    }

    async fn attempt(&self) -> Attempt {
        let (start, limit) = (Instant::now(), self.schedule.timeout);
        let mut trace = Trace::until(start + limit);
        // Boxed, so that a check that waits for its next run holds nothing of one.
        let result = timeout(limit, Box::pin(self.target.run(&mut trace))).await;
        let took = start.elapsed();
        let failure = match result {
            Ok(result) => result.err(),
            Err(_) => Some(out_of_time(limit, trace.running())),
        };
        trace.end();
        Attempt { took, failure, trace }
    }

    fn take_down(&self, Attempt { took, failure, trace }: Attempt) {
        if failure.is_some() && self.suspension() == Some(Suspension::Draining) {
            tracing::debug!(check = %self.name, "the check failed while its target was ending");
            return;
        }
        let changed = self.record(SystemTime::now(), took, failure.as_ref(), &trace);
        let (reason, up) = (failure.as_ref().map(|failure| failure.reason), self.is_up().unwrap_or(true));
        self.metrics.record(took, reason, up, &trace);
        let name = &self.name;
        match failure {
            Some(Failure { reason, message }) if changed => {
                tracing::warn!(check = %name, reason = reason.as_str(), detail = %message, "the check is down");
            }
            Some(Failure { reason, message }) => {
                tracing::debug!(check = %name, reason = reason.as_str(), detail = %message, ?took, "the check fails");
            }
            None if changed => tracing::info!(check = %name, ?took, "the check is up again"),
            None => tracing::debug!(check = %name, ?took, "the check succeeds"),
        }
        // It may have been suspended while it ran.
        self.refresh();
    }

    /// Keeps a result; tells whether it changed what the check counts as.
    pub(crate) fn record(&self, ended: SystemTime, took: Duration, failure: Option<&Failure>, trace: &Trace) -> bool {
        self.history.record(ended, took, failure, trace);
        self.standing().record(failure.is_some(), self.schedule.failure_threshold)
    }

    /// The time from the start of the last run to that of the next.
    pub(crate) fn interval(&self) -> Duration {
        if self.standing().is_failing() { self.schedule.interval_failing } else { self.schedule.interval }
    }

    /// Whether it counts as up, once it has run.
    pub(crate) fn is_up(&self) -> Option<bool> {
        self.standing().is_up()
    }

    /// Why it is not to be run now, if it is not.
    pub(crate) fn suspension(&self) -> Option<Suspension> {
        self.standing().suspension(SystemTime::now())
    }

    /// Tells in its series whether it is suspended.
    pub(crate) fn refresh(&self) {
        self.metrics.suspend(self.suspension());
    }

    /// Is not run, for good or for a time.
    pub(crate) fn pause(&self, time: Option<Duration>) {
        self.standing().pause(SystemTime::now(), time);
        self.refresh();
    }

    pub(crate) fn resume(&self) {
        self.standing().resume();
        self.refresh();
    }

    /// Is not run any more if its target is of the same pod, which is ending: what fails now is no failure. Or it is again, as
    /// the pod does not end after all.
    pub(crate) fn drain(&self, draining: bool) {
        if self.target.is_local() {
            self.standing().drain(draining);
            self.refresh();
        }
    }

    /// Goes on with what is known of the check that had the name before.
    pub(crate) fn inherit(&mut self, history: Arc<History>) {
        self.history = history;
    }

    /// Takes on the windows of all checks besides its own.
    pub(crate) fn keep_to(&self, own: &[Window], all: &[Window]) {
        self.standing().windows = [own, all].concat();
        self.refresh();
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves its series out of the exposition.
    pub(crate) fn forget(&self, metrics: &ChecksMetrics) {
        metrics.forget(&self.metrics);
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
            Self::Dns(_) => CheckKind::Dns,
            Self::Grpc(_) => CheckKind::Grpc,
            Self::Http(_) => CheckKind::Http,
            Self::Icmp(_) => CheckKind::Icmp,
            Self::Journey(_) => CheckKind::Journey,
            Self::Mongodb(_) => CheckKind::Mongodb,
            Self::Postgres(_) => CheckKind::Postgres,
            Self::Redis(_) => CheckKind::Redis,
            Self::Tcp(_) => CheckKind::Tcp,
            Self::Tls(_) => CheckKind::Tls,
        }
    }

    /// Whether it is of the same pod: its address is one of this host's own.
    fn is_local(&self) -> bool {
        let host = match self {
            Self::Dns(check) => check.host(),
            Self::Grpc(check) => check.host(),
            Self::Http(check) => check.host(),
            Self::Icmp(check) => check.host(),
            Self::Journey(check) => check.host(),
            Self::Mongodb(check) => check.host(),
            Self::Postgres(check) => check.host(),
            Self::Redis(check) => check.host(),
            Self::Tcp(check) => check.host(),
            Self::Tls(check) => check.host(),
        };
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        // Only an address of this host's can be bound.
        let is_own = |address: IpAddr| address.is_loopback() || UdpSocket::bind(SocketAddr::new(address, 0)).is_ok();
        host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(is_own)
    }

    /// The names of a journey's steps.
    fn steps(&self) -> Vec<String> {
        match self {
            Self::Journey(check) => check.steps().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        match self {
            Self::Dns(check) => check.run(trace).await,
            Self::Grpc(check) => check.run(trace).await,
            Self::Http(check) => check.run(trace).await,
            Self::Icmp(check) => check.run(trace).await,
            Self::Journey(check) => check.run(trace).await,
            Self::Mongodb(check) => check.run(trace).await,
            Self::Postgres(check) => check.run(trace).await,
            Self::Redis(check) => check.run(trace).await,
            Self::Tcp(check) => check.run(trace).await,
            Self::Tls(check) => check.run(trace).await,
        }
    }
}

fn out_of_time(timeout: Duration, phase: Option<Phase>) -> Failure {
    let during = phase.map(|phase| format!(": the time ran out in the phase `{}`", phase.as_str())).unwrap_or_default();
    Failure::new(Reason::Timeout, format!("no result within {timeout:?}{during}"))
}

#[cfg(test)]
mod tests;
