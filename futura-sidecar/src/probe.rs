//! `/probe`: what blackbox_exporter answers, by its own configuration.
//!
//! A probe ends within its time whatever the target does, and a target that a stranger names is dialled only if the module's
//! guard has nothing against its address. How many probes run at once is bounded.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use ::http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futura_metrics::{
    Counter, Metrics, RegisterError,
    specs::{
        checks::{Phase, Reason},
        probe::{BLACKBOX_MODULE_UNKNOWN_TOTAL, PROBES_REFUSED_TOTAL},
    },
};
use ipnet::IpNet;
use serde_yaml::Value;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use self::{
    config::ProberConfig,
    samples::{Gauge, Samples},
};
use crate::network::{Failure, Network, TlsError, Trace};

pub(crate) use self::config::{ModuleConfig, Modules, read_modules};
pub use self::{
    config::network,
    server::{ModulesError, ModulesReloader, ProbeServer, ProbeServerConfig},
};

mod access;
mod config;
mod dns;
mod grpc;
mod http;
mod icmp;
mod oauth2;
mod pattern;
mod samples;
mod server;
mod tcp;
mod tls;

/// How many probes run at once; each holds some kilobytes and a connection.
const PROBES_LIMIT: usize = 2000;

/// What a probe may take where nobody says: the peer's.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

const DEFAULT_MODULE: &str = "http_2xx";

const FAILED_DUE_TO_REGEX: Gauge = Gauge::new("probe_failed_due_to_regex", "Indicates if probe failed due to regex");
const LOOKUP: Gauge =
    Gauge::new("probe_dns_lookup_time_seconds", "Returns the time taken for probe dns lookup in seconds");
const DURATION: Gauge = Gauge::new("probe_duration_seconds", "Returns how long the probe took to complete in seconds");
const SUCCESS: Gauge = Gauge::new("probe_success", "Displays whether or not the probe was a success");
const PROTOCOL: Gauge = Gauge::new("probe_ip_protocol", "Specifies whether probe ip protocol is IP4 or IP6");
const ADDRESS_HASH: Gauge = Gauge::new(
    "probe_ip_addr_hash",
    "Specifies the hash of IP address. It's useful to detect if the IP address changes.",
);

/// The modules, ready to probe. Clones share all.
#[derive(Clone)]
pub(crate) struct Probes {
    inner: Arc<Inner>,
}

struct Inner {
    modules: RwLock<Arc<HashMap<String, Arc<Module>>>>,
    network: Network,
    /// Taken from the time that Prometheus gives, for the way back.
    timeout_offset: Duration,
    allow: Vec<IpNet>,
    permits: Semaphore,
    unknown: Counter,
    refused: Counter,
}

/// How all modules probe.
#[derive(Clone, Debug)]
pub(crate) struct ProbesConfig {
    pub(crate) timeout_offset: Duration,
    /// Networks that every module may reach.
    pub(crate) allow: Vec<IpNet>,
}

struct Module {
    prober: Prober,
    timeout: Option<Duration>,
    shown: Value,
}

enum Prober {
    Dns(Box<dns::DnsProber>),
    Grpc(Box<grpc::GrpcProber>),
    Http(Box<http::HttpProber>),
    Icmp(icmp::IcmpProber),
    Tcp(Box<tcp::TcpProber>),
}

/// What is probed.
struct Target<'a> {
    text: &'a str,
    /// The name that is asked for in place of the target's.
    hostname: Option<&'a str>,
}

/// What is known of a probe so far.
#[derive(Default)]
struct Run {
    trace: Trace,
    samples: Samples,
    /// The address that was dialled first.
    address: Option<IpAddr>,
    log: Vec<String>,
}

// === impl Probes ===

impl Default for ProbesConfig {
    fn default() -> Self {
        Self { timeout_offset: Duration::from_millis(500), allow: Vec::new() }
    }
}

impl Probes {
    pub(crate) fn new(
        config: ProbesConfig,
        modules: &Modules,
        network: Network,
        metrics: &Metrics,
    ) -> Result<Self, ProbesError> {
        let inner = Inner {
            modules: RwLock::default(),
            network,
            timeout_offset: config.timeout_offset,
            allow: config.allow,
            permits: Semaphore::new(PROBES_LIMIT),
            unknown: metrics.counter(BLACKBOX_MODULE_UNKNOWN_TOTAL)?,
            refused: metrics.counter(PROBES_REFUSED_TOTAL)?,
        };
        let probes = Self { inner: Arc::new(inner) };
        probes.replace(modules)?;
        Ok(probes)
    }

    /// Puts other modules in the place of these, unless one of them cannot be made ready.
    pub(crate) fn replace(&self, modules: &Modules) -> Result<(), TlsError> {
        let ready: Result<HashMap<_, _>, TlsError> = modules
            .iter()
            .map(|(name, config)| Ok((name.clone(), Arc::new(Module::new(config.clone(), &self.inner)?))))
            .collect();
        *self.inner.modules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ready?);
        Ok(())
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new().route("/probe", get(probe)).with_state(self.clone())
    }

    fn modules(&self) -> Arc<HashMap<String, Arc<Module>>> {
        Arc::clone(&self.inner.modules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The modules as YAML, without secrets.
    fn shown(&self) -> String {
        let modules = self.modules();
        let mut named: Vec<_> = modules.iter().map(|(name, module)| (name, &module.shown)).collect();
        named.sort_unstable_by_key(|(name, _)| *name);
        let named = named.into_iter().map(|(name, shown)| (Value::String(name.clone()), shown.clone())).collect();
        let root = [(Value::String("modules".to_owned()), Value::Mapping(named))].into_iter().collect();
        serde_yaml::to_string(&Value::Mapping(root)).unwrap_or_default()
    }
}

/// Why the modules cannot probe.
#[derive(Debug, thiserror::Error)]
pub enum ProbesError {
    /// A file that TLS needs cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The metrics are registered already.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

async fn probe(
    State(probes): State<Probes>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let name = query.get("module").map(String::as_str).filter(|name| !name.is_empty()).unwrap_or(DEFAULT_MODULE);
    let Some(module) = probes.modules().get(name).cloned() else {
        probes.inner.unknown.inc();
        return (StatusCode::BAD_REQUEST, format!("Unknown module {name:?}\n")).into_response();
    };
    let text = query.get("target").map(String::as_str).unwrap_or_default();
    if text.is_empty() {
        return (StatusCode::BAD_REQUEST, "Target parameter is missing\n").into_response();
    }
    let target = Target { text, hostname: query.get("hostname").map(String::as_str).filter(|name| !name.is_empty()) };
    if target.hostname.is_some_and(|hostname| module.contradicts(hostname)) {
        let message = "Host header defined both in module configuration and with URL-parameter 'hostname'\n";
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let limit = match module.time_limit(&headers, probes.inner.timeout_offset) {
        Ok(limit) => limit,
        Err(message) => return (StatusCode::INTERNAL_SERVER_ERROR, message).into_response(),
    };
    drop(headers);
    let Ok(_permit) = probes.inner.permits.try_acquire() else {
        probes.inner.refused.inc();
        let message = format!("{PROBES_LIMIT} probes are running, the most allowed\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], message).into_response();
    };
    let run = module.probe(&target, limit).await;
    if query.get("debug").is_some_and(|debug| debug == "true") {
        return (StatusCode::OK, run.debug(&module)).into_response();
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], run.samples.to_string()).into_response()
}

// === impl Module ===

impl Module {
    fn new(config: ModuleConfig, inner: &Inner) -> Result<Self, TlsError> {
        let (mut guard, network) = (config.guard, &inner.network);
        guard.allow.extend_from_slice(&inner.allow);
        let prober = match config.prober {
            ProberConfig::Dns(module) => Prober::Dns(Box::new(dns::DnsProber::new(*module, guard, network)?)),
            ProberConfig::Grpc(module) => Prober::Grpc(Box::new(grpc::GrpcProber::new(*module, guard, network)?)),
            ProberConfig::Http(module) => Prober::Http(Box::new(http::HttpProber::new(*module, guard, network)?)),
            ProberConfig::Icmp(module) => Prober::Icmp(icmp::IcmpProber::new(&module, guard, network)),
            ProberConfig::Tcp(module) => Prober::Tcp(Box::new(tcp::TcpProber::new(*module, guard, network)?)),
        };
        Ok(Self { prober, timeout: config.timeout, shown: config.shown })
    }

    fn contradicts(&self, hostname: &str) -> bool {
        matches!(&self.prober, Prober::Http(prober) if prober.contradicts(hostname))
    }

    /// The time of the module, or of who asks if that is shorter.
    fn time_limit(&self, headers: &HeaderMap, offset: Duration) -> Result<Duration, String> {
        let given = match headers.get("x-prometheus-scrape-timeout-seconds") {
            None => DEFAULT_TIMEOUT,
            Some(value) => {
                let seconds = value.to_str().ok().and_then(|text| text.parse::<f64>().ok());
                let wrong =
                    || "Failed to parse timeout from Prometheus header: it is no number of seconds\n".to_owned();
                seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(wrong)?
            }
        };
        // A time that the offset would use up is meant as it is.
        let given = given.checked_sub(offset).filter(|left| !left.is_zero()).unwrap_or(given);
        Ok(self.timeout.map_or(given, |timeout| timeout.min(given)))
    }

    async fn probe(&self, target: &Target<'_>, limit: Duration) -> Run {
        let (start, mut run) = (Instant::now(), Run::default());
        run.log(format!("probing {} within {limit:?}", target.text));
        let ended = timeout(limit, self.prober.run(target, &mut run)).await;
        let result = ended.unwrap_or_else(|_| {
            let phase = run.trace.running().map_or("start", Phase::as_str);
            Err(Failure::new(Reason::Timeout, format!("the time ran out in the phase `{phase}`")))
        });
        run.trace.end();
        let took = start.elapsed();
        run.log(match &result {
            Ok(()) => format!("succeeded after {took:?}"),
            Err(failure) => format!("failed after {took:?} by {}: {}", failure.reason.as_str(), failure.message),
        });
        self.prober.describe(&mut run, result.as_ref().err());
        run.samples.set(DURATION, took.as_secs_f64());
        run.samples.set(SUCCESS, f64::from(u8::from(result.is_ok())));
        run
    }
}

// === impl Prober ===

/// What a phase is called in an answer, and which of ours it is.
type PhaseNames = &'static [(&'static str, &'static [Phase])];

impl Prober {
    async fn run(&self, target: &Target<'_>, run: &mut Run) -> Result<(), Failure> {
        match self {
            Self::Dns(prober) => prober.run(target, run).await,
            Self::Grpc(prober) => prober.run(target, run).await,
            Self::Http(prober) => prober.run(target, run).await,
            Self::Icmp(prober) => prober.run(target, run).await,
            Self::Tcp(prober) => prober.run(target, run).await,
        }
    }

    /// Tells of what the run left behind, be it a run that was given up.
    fn describe(&self, run: &mut Run, failure: Option<&Failure>) {
        // A target that could not be read was not looked up either.
        let looked_up = run.trace.phases().any(|(phase, _)| phase == Phase::Resolve);
        let address = run.address.or(run.trace.address);
        if looked_up {
            let lookup = run.duration(&[Phase::Resolve]);
            run.samples.set(LOOKUP, lookup);
            run.samples.set(PROTOCOL, address.map_or(0.0, |address| if address.is_ipv4() { 4.0 } else { 6.0 }));
            run.samples.set(ADDRESS_HASH, address.map_or(0.0, |address| f64::from(hash(address))));
        }
        if let Some((gauge, names)) = self.phases().filter(|_| looked_up) {
            let reached = address.is_some() || !matches!(self, Self::Http(_) | Self::Grpc(_));
            for (name, phases) in names.iter().filter(|(name, _)| reached || *name == "resolve") {
                let seconds = run.duration(phases);
                run.samples.set_with(gauge, &[("phase", name)], seconds);
            }
        }
        if let (Self::Grpc(_), Some(failure), Some(_)) = (self, failure, address) {
            grpc::describe(&mut run.samples, failure);
        }
        if let Some(chain) = run.trace.chain.take() {
            tls::describe(&mut run.samples, &chain, !matches!(self, Self::Grpc(_)));
        }
    }

    fn phases(&self) -> Option<(Gauge, PhaseNames)> {
        const DNS: PhaseNames = &[
            ("resolve", &[Phase::Resolve]),
            ("connect", &[Phase::Connect, Phase::Tls]),
            ("request", &[Phase::FirstByte, Phase::Transfer]),
        ];
        const GRPC: PhaseNames = &[
            ("resolve", &[Phase::Resolve]),
            ("check", &[Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Transfer]),
        ];
        const HTTP: PhaseNames = &[
            ("resolve", &[Phase::Resolve]),
            ("connect", &[Phase::Connect]),
            ("tls", &[Phase::Tls]),
            ("processing", &[Phase::FirstByte]),
            ("transfer", &[Phase::Transfer]),
        ];
        const ICMP: PhaseNames =
            &[("resolve", &[Phase::Resolve]), ("setup", &[Phase::Connect]), ("rtt", &[Phase::FirstByte])];
        match self {
            Self::Dns(_) => Some((Gauge::new("probe_dns_duration_seconds", "Duration of DNS request by phase"), DNS)),
            Self::Grpc(_) => {
                Some((Gauge::new("probe_grpc_duration_seconds", "Duration of gRPC request by phase"), GRPC))
            }
            Self::Http(_) => Some((
                Gauge::new(
                    "probe_http_duration_seconds",
                    "Duration of http request by phase, summed over all redirects",
                ),
                HTTP,
            )),
            Self::Icmp(_) => {
                Some((Gauge::new("probe_icmp_duration_seconds", "Duration of icmp request by phase"), ICMP))
            }
            Self::Tcp(_) => None,
        }
    }
}

/// FNV-1a over the bytes of an address, as the peer makes it.
fn hash(address: IpAddr) -> u32 {
    let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    match address {
        IpAddr::V4(address) => address.octets().iter().fold(0x811c_9dc5, fnv),
        IpAddr::V6(address) => address.octets().iter().fold(0x811c_9dc5, fnv),
    }
}

// === impl Target ===

impl<'a> Target<'a> {
    /// The two parts of `host:port`, with a port for a host that stands alone.
    fn host_and_port(&self, default: Option<u16>) -> Result<(&'a str, u16), Failure> {
        let bare = |host: &'a str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let split = self.text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        match split.map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => Ok((bare(host), port)),
            None if default.is_some() => Ok((bare(self.text), default.unwrap_or_default())),
            _ => Err(Failure::new(Reason::Protocol, format!("`{}` is no host and port", self.text))),
        }
    }
}

// === impl Run ===

impl Run {
    fn log(&mut self, line: String) {
        self.log.push(line);
    }

    fn duration(&self, phases: &[Phase]) -> f64 {
        let reached = self.trace.phases().filter(|(phase, _)| phases.contains(phase));
        reached.map(|(_, duration)| duration.as_secs_f64()).sum()
    }

    fn debug(&self, module: &Module) -> String {
        let (log, samples) = (self.log.join("\n"), &self.samples);
        let shown = serde_yaml::to_string(&module.shown).unwrap_or_default();
        format!(
            "Logs for the probe:\n{log}\n\n\n\nMetrics that would have been returned:\n{samples}\n\n\nModule configuration:\n{shown}"
        )
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Probes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
