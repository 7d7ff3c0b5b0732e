//! What an answer tells of a TLS handshake.

use std::fmt::Write as _;

use rustls::ProtocolVersion;
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, x509::X509Name};

use super::samples::{Gauge, Samples};
use crate::network::Chain;

pub(super) const EARLIEST_EXPIRY: Gauge =
    Gauge::new("probe_ssl_earliest_cert_expiry", "Returns last SSL chain expiry in unixtime");
const LAST_CHAIN_EXPIRY: Gauge =
    Gauge::new("probe_ssl_last_chain_expiry_timestamp_seconds", "Returns last SSL chain expiry in timestamp");
const CHAIN_INFO: Gauge = Gauge::new("probe_ssl_last_chain_info", "Contains SSL leaf certificate information");
const VERSION_INFO: Gauge = Gauge::new("probe_tls_version_info", "Returns the TLS version used or NaN when unknown");

/// The year 1, which is Go's time zero: what the peer tells of a chain that nobody verified.
const NEVER: f64 = -62_135_596_800.0;

/// The parts of a name that Go writes by these letters, in the order in which it does.
const PARTS: [(&str, &str); 9] = [
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.6", "C"),
];

/// Tells of a chain; `judged` with the expiry of the path that was verified, which is not told of gRPC.
pub(super) fn describe(samples: &mut Samples, chain: &Chain, judged: bool) {
    if let Some(expiry) = chain.expiry() {
        samples.set(EARLIEST_EXPIRY, expiry as f64);
    }
    let version = match chain.version {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "unknown",
    };
    samples.set_with(VERSION_INFO, &[("version", version)], 1.0);
    if judged {
        let verified = if chain.verified { chain.path_expiry() } else { None };
        samples.set(LAST_CHAIN_EXPIRY, verified.map_or(NEVER, |expiry| expiry as f64));
    }
    let (Some(der), Some(leaf)) = (chain.certificates.first(), chain.parsed().next()) else { return };
    let labels = [
        ("fingerprint_sha256", &*hex(&Sha256::digest(der))),
        ("issuer", &name(leaf.issuer())),
        ("subject", &name(leaf.subject())),
        ("subjectalternative", &alternatives(&leaf)),
    ];
    samples.set_with(CHAIN_INFO, &labels, 1.0);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

/// The names of hosts that a certificate is for.
fn alternatives(certificate: &X509Certificate<'_>) -> String {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    let hosts: Vec<_> = names
        .filter_map(|name| match name {
            GeneralName::DNSName(host) => Some(*host),
            _ => None,
        })
        .collect();
    hosts.join(",")
}

/// A name as Go writes it, in the manner of RFC 2253.
fn name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (oid, letters) in PARTS {
        let values: Vec<_> = name
            .iter_attributes()
            .filter(|attribute| attribute.attr_type().to_id_string() == oid)
            .map(|attribute| format!("{letters}={}", escaped(attribute.as_str().unwrap_or_default())))
            .collect();
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    parts.join(",")
}

fn escaped(value: &str) -> String {
    let mut text = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let special = matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (character == ' ' && (index == 0 || index == last))
            || (character == '#' && index == 0);
        if special {
            text.push('\\');
        }
        text.push(character);
    }
    text
}
