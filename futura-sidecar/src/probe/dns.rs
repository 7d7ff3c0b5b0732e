//! `prober: dns`.

use std::net::IpAddr;

use futura_metrics::specs::checks::Reason;
use regex::bytes::Regex;
use serde_yaml::Value;

use super::{
    Run, Target,
    config::{TlsModule, list},
    samples::Gauge,
};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Family, Guard, Network, Tls, TlsError,
        dns::{self, Answer, Question, Record, Transport},
    },
};

const ANSWERS: Gauge =
    Gauge::new("probe_dns_answer_rrs", "Returns number of entries in the answer resource record list");
const AUTHORITY: Gauge =
    Gauge::new("probe_dns_authority_rrs", "Returns number of entries in the authority resource record list");
const ADDITIONAL: Gauge =
    Gauge::new("probe_dns_additional_rrs", "Returns number of entries in the additional resource record list");
const SUCCEEDED: Gauge =
    Gauge::new("probe_dns_query_succeeded", "Displays whether or not the query was executed successfully");
const SERIAL: Gauge = Gauge::new("probe_dns_serial", "Returns the serial number of the zone");

/// What a module says of `dns`.
#[derive(Clone, Debug)]
pub(super) struct DnsModule {
    family: Family,
    source: Option<IpAddr>,
    transport: Transport,
    tls: bool,
    tls_config: TlsModule,
    question: Question,
    codes: Vec<String>,
    answers: RecordRules,
    authority: RecordRules,
    additional: RecordRules,
}

/// What the records of a section have to be like.
#[derive(Clone, Debug, Default)]
struct RecordRules {
    fail_if_any: Vec<Regex>,
    fail_if_all: Vec<Regex>,
    fail_if_not_all: Vec<Regex>,
    fail_if_none: Vec<Regex>,
}

/// A probe that can be run.
pub(super) struct DnsProber {
    module: DnsModule,
    dialer: Dialer,
    tls: Option<Tls>,
}

// === impl DnsModule ===

impl DnsModule {
    pub(super) fn read_below(section: &mut Section<'_, '_>) -> Option<Self> {
        section.nested_or_empty("dns", Self::read)
    }

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let family = section.family();
        let source = section.source_address();
        let transport = section.or("transport_protocol", transport, Transport::Udp);
        let tls = section.or("dns_over_tls", form::flag, false);
        let tls_config = section.tls_module();
        let name = section.required("query_name", form::text, "example.org");
        let kind = section.or("query_type", |value| known(value, dns::kind, "type"), 255);
        let class = section.or("query_class", |value| known(value, dns::class, "class"), 1);
        let recursion = section.or("recursion_desired", form::flag, true);
        let codes = section.or("valid_rcodes", |value| list(value, form::text), Vec::new());
        let answers = section.nested("validate_answer_rrs", RecordRules::read, RecordRules::default());
        let authority = section.nested("validate_authority_rrs", RecordRules::read, RecordRules::default());
        let additional = section.nested("validate_additional_rrs", RecordRules::read, RecordRules::default());
        let (name, tls, transport) = (name?, tls?, transport?);
        let question = Question::new(&name, kind?, class?, recursion?).ok_or_else(|| format!("`{name}` is no name"));
        if tls && transport == Transport::Udp {
            section.report("dns_over_tls", "TLS is spoken over TCP alone: add `transport_protocol: tcp`");
            return None;
        }
        Some(Self {
            family: family?,
            source: source?,
            transport,
            tls,
            tls_config: tls_config?,
            question: section.keep("query_name", question)?,
            codes: codes?,
            answers: answers?,
            authority: authority?,
            additional: additional?,
        })
    }
}

fn transport(value: &Value) -> Result<Transport, String> {
    match value.as_str() {
        Some("udp" | "") => Ok(Transport::Udp),
        Some("tcp") => Ok(Transport::Tcp),
        _ => Err(format!("{} is neither `udp` nor `tcp`", form::shown(value))),
    }
}

fn known(value: &Value, number: impl Fn(&str) -> Option<u16>, what: &str) -> Result<u16, String> {
    let name = form::text(value)?;
    number(&name).ok_or_else(|| format!("`{name}` is no {what} of record"))
}

// === impl RecordRules ===

impl RecordRules {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let fail_if_any = section.patterns("fail_if_matches_regexp");
        let fail_if_all = section.patterns("fail_if_all_match_regexp");
        let fail_if_not_all = section.patterns("fail_if_not_matches_regexp");
        let fail_if_none = section.patterns("fail_if_none_matches_regexp");
        Some(Self {
            fail_if_any: fail_if_any?,
            fail_if_all: fail_if_all?,
            fail_if_not_all: fail_if_not_all?,
            fail_if_none: fail_if_none?,
        })
    }

    fn judge(&self, records: &[Record]) -> Result<(), Failure> {
        let texts: Vec<String> = records.iter().map(ToString::to_string).collect();
        let any = |pattern: &&Regex| texts.iter().any(|text| pattern.is_match(text.as_bytes()));
        let all = |pattern: &&Regex| texts.iter().all(|text| pattern.is_match(text.as_bytes()));
        let broken = self.fail_if_any.iter().find(any).map(|pattern| (pattern, "a record matches"));
        let broken = broken.or_else(|| {
            let all = self.fail_if_all.iter().find(|pattern| !texts.is_empty() && all(pattern));
            all.map(|pattern| (pattern, "every record matches"))
        });
        let broken = broken.or_else(|| {
            let not = self.fail_if_not_all.iter().find(|pattern| texts.is_empty() || !all(pattern));
            not.map(|pattern| (pattern, "a record does not match"))
        });
        let broken = broken.or_else(|| {
            self.fail_if_none.iter().find(|pattern| !any(pattern)).map(|pattern| (pattern, "no record matches"))
        });
        match broken {
            Some((pattern, what)) => Err(Failure::new(Reason::Body, format!("{what} `{pattern}`"))),
            None => Ok(()),
        }
    }
}

// === impl DnsProber ===

impl DnsProber {
    pub(super) fn new(module: DnsModule, guard: Guard, network: &Network) -> Result<Self, TlsError> {
        let mut dialer = Dialer::new(network.clone(), guard);
        (dialer.family, dialer.source) = (module.family, module.source);
        let TlsModule { config, versions } = &module.tls_config;
        let tls = module.tls.then(|| Tls::with_versions(config, network, &[b"dot"], versions)).transpose()?;
        Ok(Self { module, dialer, tls })
    }

    pub(super) async fn run(&self, target: &Target<'_>, run: &mut Run) -> Result<(), Failure> {
        [ANSWERS, AUTHORITY, ADDITIONAL, SUCCEEDED].into_iter().for_each(|gauge| run.samples.set(gauge, 0.0));
        let target = target.host_and_port(Some(if self.module.tls { 853 } else { 53 }))?;
        let over = (self.module.transport, self.tls.as_ref());
        let answer = dns::query(&self.dialer, &mut run.trace, target, over, &self.module.question).await?;
        run.samples.set(SUCCEEDED, 1.0);
        run.samples.set(ANSWERS, answer.answers.len() as f64);
        run.samples.set(AUTHORITY, answer.authority.len() as f64);
        run.samples.set(ADDITIONAL, answer.additional.len() as f64);
        if let Some(serial) = answer.answers.iter().find_map(|record| record.serial) {
            run.samples.set(SERIAL, f64::from(serial));
        }
        self.judge(&answer)
    }

    fn judge(&self, answer: &Answer) -> Result<(), Failure> {
        let (module, code) = (&self.module, answer.code_name());
        let right = if module.codes.is_empty() { code == "NOERROR" } else { module.codes.contains(&code) };
        if !right {
            return Err(Failure::new(Reason::Status, format!("the response code is {code}")));
        }
        module.answers.judge(&answer.answers)?;
        module.authority.judge(&answer.authority)?;
        module.additional.judge(&answer.additional)
    }
}
