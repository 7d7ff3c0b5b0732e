//! Modules, in blackbox_exporter's own format: `https://github.com/prometheus/blackbox_exporter/blob/master/CONFIGURATION.md`.
//!
//! Every key of that format is known. What is not built is refused with a word on what to do instead, never passed over. One key
//! is ours: `guard`, which networks a module may reach.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use regex::bytes::Regex;
use rustls::{SupportedProtocolVersion, version};
use serde_yaml::{Mapping, Value};

use super::{
    dns::DnsModule,
    grpc::GrpcModule,
    http::HttpModule,
    icmp::IcmpModule,
    pattern::{BodyPattern, body_pattern, pattern},
    tcp::TcpModule,
};
use crate::{
    config::{Section, form},
    network::{Family, Guard, HostPattern, TlsConfig},
};

/// How many modules there may be.
const MODULES_LIMIT: usize = 1000;

/// How many patterns, turns and the like one list may hold.
const LIST_LIMIT: usize = 100;

/// Keys whose values nobody is shown.
const SECRETS: [&str; 13] = [
    "body",
    "password",
    "credentials",
    "bearer_token",
    "client_secret",
    "authorization",
    "cookie",
    "x-api-key",
    "key",
    "proxy-authorization",
    "send",
    "proxy_url",
    "proxy_connect_header",
];

/// All modules, by name.
pub(crate) type Modules = BTreeMap<String, ModuleConfig>;

/// One module.
#[derive(Clone, Debug)]
pub(crate) struct ModuleConfig {
    pub(super) prober: ProberConfig,
    /// How long a probe may take; none leaves that to who asks.
    pub(super) timeout: Option<Duration>,
    pub(super) guard: Guard,
    /// What was read, without secrets.
    pub(super) shown: Value,
}

#[derive(Clone, Debug)]
pub(super) enum ProberConfig {
    Dns(Box<DnsModule>),
    Grpc(Box<GrpcModule>),
    Http(Box<HttpModule>),
    Icmp(IcmpModule),
    Tcp(Box<TcpModule>),
}

/// Which versions of TLS are spoken, and with whom.
#[derive(Clone, Debug)]
pub(super) struct TlsModule {
    pub(super) config: TlsConfig,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
}

/// A header that an answer may not, or has to, carry.
#[derive(Clone, Debug)]
pub(super) struct HeaderRule {
    pub(super) header: HeaderName,
    pub(super) pattern: Regex,
    pub(super) allow_missing: bool,
}

/// Reads `modules`; none where something is wrong, which is a finding then.
pub(crate) fn read_modules(section: &mut Section<'_, '_>) -> Option<Modules> {
    section.entries("modules", MODULES_LIMIT, ModuleConfig::read).map(BTreeMap::from_iter)
}

// === impl ModuleConfig ===

impl ModuleConfig {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let prober = section.required("prober", prober, "http");
        let timeout = section.or("timeout", |value| duration(value).map(Some), None);
        let guard = section.nested("guard", read_guard, Guard::strangers());
        // Each is read, so that a mistake in what is not used is found too.
        let http = HttpModule::read_below(section);
        let tcp = TcpModule::read_below(section);
        let dns = section.value("dns").is_some().then(|| DnsModule::read_below(section));
        let icmp = IcmpModule::read_below(section);
        let grpc = GrpcModule::read_below(section);
        let prober = match prober? {
            "dns" => match dns {
                Some(dns) => ProberConfig::Dns(Box::new(dns?)),
                None => {
                    section.report("dns", "it is missing: write one such as `dns: { query_name: example.org }`");
                    return None;
                }
            },
            "grpc" => ProberConfig::Grpc(Box::new(grpc?)),
            "http" => ProberConfig::Http(Box::new(http?)),
            "icmp" => ProberConfig::Icmp(icmp?),
            _ => ProberConfig::Tcp(Box::new(tcp?)),
        };
        // What another prober says wrong is a finding and ends the reading all the same.
        Some(Self { prober, timeout: timeout?, guard: guard?, shown: masked(section.mapping()) })
    }
}

fn prober(value: &Value) -> Result<&'static str, String> {
    let known = ["dns", "grpc", "http", "icmp", "tcp"];
    let found = known.into_iter().find(|known| value.as_str() == Some(known));
    found.ok_or_else(|| format!("{} is no prober, allowed are `{}`", form::shown(value), known.join("`, `")))
}

fn masked(mapping: &Mapping) -> Value {
    let mask = |(key, value): (&Value, &Value)| {
        let secret = key.as_str().is_some_and(|key| SECRETS.iter().any(|secret| key.eq_ignore_ascii_case(secret)));
        let value = match value {
            Value::Mapping(inner) if !secret || inner.contains_key("credentials") => masked(inner),
            Value::Sequence(values) if !secret => Value::Sequence(
                values.iter().map(|value| value.as_mapping().map_or_else(|| value.clone(), masked)).collect(),
            ),
            _ if secret => Value::String("<secret>".to_owned()),
            other => other.clone(),
        };
        (key.clone(), value)
    };
    Value::Mapping(mapping.iter().map(mask).collect())
}

/// A duration as Prometheus writes it: `1m30s`.
fn duration(value: &Value) -> Result<Duration, String> {
    let text = if value.is_number() { return form::duration(value) } else { form::text(value)? };
    let (mut total, mut rest) = (Duration::ZERO, text.as_str());
    while !rest.is_empty() {
        let unit = rest.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(rest.len());
        let end =
            rest[unit..].find(|character: char| !character.is_ascii_alphabetic()).map_or(rest.len(), |end| unit + end);
        total += form::duration(&Value::String(rest[..end].to_owned()))?;
        rest = &rest[end..];
    }
    if total.is_zero() { Err(format!("`{text}` is no time in which a probe could end")) } else { Ok(total) }
}

fn read_guard(section: &mut Section<'_, '_>) -> Option<Guard> {
    let allow = section.or("allow", networks, Vec::new());
    let deny = section.or("deny", networks, Vec::new());
    let allow_hosts = section.or("allow_hosts", |value| list(value, host), Vec::new());
    let deny_hosts = section.or("deny_hosts", |value| list(value, host), Vec::new());
    let only_allowed = section.or("only_allowed", form::flag, false);
    let (allow_hosts, closed) = (allow_hosts?, only_allowed?);
    if !closed && !allow_hosts.is_empty() {
        section.report("allow_hosts", "every host is allowed already: add `only_allowed: true`");
        return None;
    }
    Some(Guard { allow: allow?, deny: deny?, allow_hosts, deny_hosts: deny_hosts?, closed, ..Guard::strangers() })
}

fn host(value: &Value) -> Result<HostPattern, String> {
    form::text(value)?.try_into()
}

fn networks(value: &Value) -> Result<Vec<IpNet>, String> {
    let Value::Sequence(values) = value else {
        return Err(format!("{} is no list of networks such as `[10.0.0.0/8]`", form::shown(value)));
    };
    values.iter().map(|value| network(&form::text(value)?)).collect()
}

/// A network such as `10.0.0.0/8`, or one address.
///
/// # Errors
/// When the text is neither, with what would be right.
pub fn network(text: &str) -> Result<IpNet, String> {
    let read = text.parse().ok().or_else(|| text.parse().ok().map(|address: std::net::IpAddr| address.into()));
    read.ok_or_else(|| format!("`{text}` is no network: write one such as `10.0.0.0/8` or `fd00::/8`"))
}

/// What the probers read alike.
impl Section<'_, '_> {
    /// The version of IP that is preferred, and whether the other will do.
    pub(super) fn family(&mut self) -> Option<Family> {
        let version = self.or("preferred_ip_protocol", ip_version, true);
        let fallback = self.or("ip_protocol_fallback", form::flag, true);
        Some(Family::First { ipv6: version?, fallback: fallback? })
    }

    pub(super) fn source_address(&mut self) -> Option<Option<std::net::IpAddr>> {
        let address = |value: &Value| {
            let text = form::text(value)?;
            text.parse().map(Some).map_err(|_| format!("`{text}` is no IP address"))
        };
        self.or("source_ip_address", address, None)
    }

    pub(super) fn tls_module(&mut self) -> Option<TlsModule> {
        self.nested("tls_config", TlsModule::read, TlsModule::default())
    }

    pub(super) fn body_patterns(&mut self, key: &'static str) -> Option<Vec<BodyPattern>> {
        self.or(key, |value| list(value, body_pattern), Vec::new())
    }

    pub(super) fn patterns(&mut self, key: &'static str) -> Option<Vec<Regex>> {
        self.or(key, |value| list(value, pattern), Vec::new())
    }

    pub(super) fn header_rules(&mut self, key: &'static str) -> Option<Vec<HeaderRule>> {
        self.each(key, LIST_LIMIT, |section| {
            let header = section.required("header", header_name, "content-type");
            let pattern = section.required("regexp", pattern, "text/html");
            let allow_missing = section.or("allow_missing", form::flag, false);
            Some(HeaderRule { header: header?, pattern: pattern?, allow_missing: allow_missing? })
        })
    }

    /// Refuses a key of the format that is not built.
    pub(super) fn refuse(&mut self, key: &'static str, instead: &str) {
        if self.says(key) {
            self.report(key, format!("this is not supported: {instead}"));
        }
    }
}

fn ip_version(value: &Value) -> Result<bool, String> {
    match value.as_str() {
        Some("ip6" | "") => Ok(true),
        Some("ip4") => Ok(false),
        _ => Err(format!("{} is neither `ip4` nor `ip6`", form::shown(value))),
    }
}

/// A list of values of one form.
pub(super) fn list<T>(value: &Value, form: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::Sequence(values) if values.len() <= LIST_LIMIT => values.iter().map(form).collect(),
        Value::Sequence(_) => Err(format!("more than {LIST_LIMIT} are too many")),
        other => Err(format!("{} is no list", form::shown(other))),
    }
}

pub(super) fn header_name(value: &Value) -> Result<HeaderName, String> {
    let name = form::text(value)?;
    HeaderName::try_from(&name).map_err(|_| format!("`{name}` is not a header's name"))
}

pub(super) fn headers(value: &Value) -> Result<HeaderMap, String> {
    let Value::Mapping(mapping) = value else { return Err(format!("{} is no mapping of headers", form::shown(value))) };
    let pairs = mapping.iter().map(|(name, value)| {
        let name = header_name(name)?;
        let value =
            HeaderValue::try_from(form::secret(value).map_err(|message| format!("header `{name}`: {message}"))?)
                .map_err(|_| format!("the value of `{name}` has characters that no header may have"))?;
        Ok((name, value))
    });
    pairs.collect()
}

pub(super) fn method(value: &Value) -> Result<Method, String> {
    let name = form::text(value)?;
    Method::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no method"))
}

pub(super) fn file(value: &Value) -> Result<Option<PathBuf>, String> {
    form::text(value).map(|text| Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
}

// === impl TlsModule ===

impl Default for TlsModule {
    fn default() -> Self {
        Self { config: TlsConfig::default(), versions: rustls::DEFAULT_VERSIONS.to_vec() }
    }
}

impl TlsModule {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let insecure = section.or("insecure_skip_verify", form::flag, false);
        let ca = section.or("ca_file", file, None);
        let certificate = section.or("cert_file", file, None);
        let key = section.or("key_file", file, None);
        let server_name = section.or(
            "server_name",
            |value| form::text(value).map(|name| Some(name).filter(|name| !name.is_empty())),
            None,
        );
        let min = section.or("min_version", tls_version, 12);
        let max = section.or("max_version", tls_version, 13);
        for (key, instead) in [
            ("ca", "put the certificates into a file and name it in `ca_file`"),
            ("cert", "put the certificate into a file and name it in `cert_file`"),
            ("key", "put the key into a file and name it in `key_file`"),
        ] {
            section.refuse(key, instead);
        }
        let (min, max) = (min?, max?);
        let versions: Vec<_> = [(12, &version::TLS12), (13, &version::TLS13)]
            .into_iter()
            .filter(|(number, _)| (min..=max).contains(number))
            .map(|(_, version)| version)
            .collect();
        if versions.is_empty() {
            section.report("max_version", "no version of TLS is left: TLS 1.2 and 1.3 are spoken");
            return None;
        }
        let config =
            TlsConfig { ca: ca?, certificate: certificate?, key: key?, server_name: server_name?, verify: !insecure? };
        Some(Self { config: config.usable(section, ["ca_file", "cert_file", "key_file"])?, versions })
    }
}

fn tls_version(value: &Value) -> Result<u8, String> {
    match value.as_str() {
        Some("TLS13") => Ok(13),
        // Older versions have no ciphers that are safe, so that asking for them at least asks for this.
        Some("TLS12" | "TLS11" | "TLS10") => Ok(12),
        _ => Err(format!("{} is no version: write `TLS12` or `TLS13`", form::shown(value))),
    }
}
