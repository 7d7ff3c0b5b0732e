//! `kind: dns`: a server knows a name, and says of it what it should.

use futura_metrics::specs::checks::Reason;
use regex::bytes::Regex;
use serde_yaml::Value;

use super::{HostPort, pattern::pattern};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Guard, Network, Tls, TlsConfig, TlsError, Trace,
        dns::{self, Answer, Question, Transport},
    },
};

/// A check of kind `dns`.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// The server: `host:port`; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// What is asked, under `record` for which type, such as `MX`. Default `A`.
    question: Question,
    /// The name that is asked for, under `query`. Required.
    pub query: String,
    transport: Transport,
    /// Speaks DNS over TLS. Default none; `{}` is the default way.
    pub tls: Option<TlsConfig>,
    /// The response code that is right. Default `NOERROR`.
    code: u8,
    /// How many records of the type have to be there. Default 1, and 0 with another `code`.
    pub answers_min: u64,
    /// What one of the records has to match, such as `^10 mail\.`. Default nothing.
    pub answer_matches: Option<Regex>,
}

/// A check that can be run.
pub(super) struct DnsCheck {
    config: DnsConfig,
    dialer: Dialer,
    tls: Option<Tls>,
}

// === impl DnsConfig ===

impl DnsConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "10.96.0.10:53");
        let name = section.required("query", form::text, "kubernetes.default.svc.cluster.local");
        let record = section.or("record", record, 1);
        let recursion = section.or("recursion", form::flag, true);
        let transport = section.or("transport", transport, None);
        let tls = section.nested("tls", |tls| TlsConfig::read(tls).map(Some), None);
        let code = section.or("code", code, 0);
        let answers_min = section.or("answers_min", |value| form::number(value).map(Some), None);
        let answer_matches = section.or("answer_matches", |value| pattern(value).map(Some), None);
        let (name, record, code, tls) = (name?, record?, code?, tls?);
        let question = Question::new(&name, record, 1, recursion?)
            .ok_or_else(|| format!("`{name}` is no name: write labels of 1 to 63 bytes, parted by dots"));
        let question = section.keep("query", question)?;
        let transport = transport?.unwrap_or(if tls.is_some() { Transport::Tcp } else { Transport::Udp });
        if transport == Transport::Udp && tls.is_some() {
            section.report("transport", "TLS is spoken over `tcp` alone");
            return None;
        }
        let answers_min = answers_min?.unwrap_or(u64::from(code == 0));
        let (target, answer_matches) = (target?, answer_matches?);
        Some(Self { target, question, query: name, transport, tls, code, answers_min, answer_matches })
    }
}

fn record(value: &Value) -> Result<u16, String> {
    let name = form::text(value)?;
    dns::kind(&name).ok_or_else(|| format!("`{name}` is no type of record: write one such as `A`, `MX` or `TYPE65`"))
}

fn transport(value: &Value) -> Result<Option<Transport>, String> {
    match value.as_str() {
        Some("udp") => Ok(Some(Transport::Udp)),
        Some("tcp") => Ok(Some(Transport::Tcp)),
        _ => Err(format!("{} is neither `udp` nor `tcp`", form::shown(value))),
    }
}

fn code(value: &Value) -> Result<u8, String> {
    let found = dns::CODES.iter().zip(0..).find(|(name, _)| value.as_str() == Some(name)).map(|(_, code)| code);
    found.ok_or_else(|| format!("{} is no response code, allowed are {}", form::shown(value), dns::CODES.join(", ")))
}

// === impl DnsCheck ===

impl DnsCheck {
    pub(super) fn new(config: DnsConfig, network: &Network) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls, network, &[b"dot"])).transpose()?;
        Ok(Self { config, dialer: Dialer::new(network.clone(), Guard::default()), tls })
    }

    pub(super) fn host(&self) -> &str {
        &self.config.target.host
    }

    pub(super) fn target(&self) -> String {
        format!("{} at {}", self.config.query, self.config.target)
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let DnsConfig { target: HostPort { host, port }, question, transport, .. } = &self.config;
        let over = (*transport, self.tls.as_ref());
        let mut answer = dns::query(&self.dialer, trace, (host, *port), over, question).await?;
        if answer.truncated && *transport == Transport::Udp {
            // What does not fit into a datagram is asked for again (RFC 7766).
            answer = dns::query(&self.dialer, trace, (host, *port), (Transport::Tcp, None), question).await?;
        }
        self.judge(&answer)
    }

    fn judge(&self, answer: &Answer) -> Result<(), Failure> {
        let config = &self.config;
        if answer.code != config.code {
            let expected = dns::CODES[usize::from(config.code)];
            return Err(Failure::new(Reason::Status, format!("{}, expected {expected}", answer.code_name())));
        }
        let records: Vec<_> = answer.of(&config.question).collect();
        if (records.len() as u64) < config.answers_min {
            let message = format!("{} records, expected at least {}", records.len(), config.answers_min);
            return Err(Failure::new(Reason::Body, message));
        }
        match &config.answer_matches {
            Some(pattern) if !records.iter().any(|record| pattern.is_match(record.data.as_bytes())) => {
                let first = records.first().map_or("none", |record| record.data.as_str());
                Err(Failure::new(
                    Reason::Body,
                    format!("none of {} records matches, the first is {first}", records.len()),
                ))
            }
            _ => Ok(()),
        }
    }
}
