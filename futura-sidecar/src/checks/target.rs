//! `host:port`, as most kinds name what they check.

use std::{fmt, net::Ipv6Addr};

/// A host and a port; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

// === impl HostPort ===

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = split
            .filter(|(_, port)| *port != 0)
            .ok_or_else(|| format!("`{text}` is no host and port: write one such as `127.0.0.1:6379`"))?;
        Ok(Self { host: host_name(host)?, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(formatter, "[{host}]:{port}") } else { write!(formatter, "{host}:{port}") }
    }
}

/// The name or the address of a host, without brackets.
pub(super) fn host_name(host: &str) -> Result<String, String> {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = |host: &str| {
        !host.is_empty()
            && host.len() < 256
            && host.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
    };
    match bracketed {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => Ok(address.to_owned()),
        None if named(host) => Ok(host.to_owned()),
        _ => Err(format!("`{host}` is neither a host's name nor an address; an IPv6 address stands in brackets")),
    }
}

#[cfg(test)]
mod tests {
    use super::HostPort;

    #[test]
    fn targets_are_host_and_port() {
        for (text, host) in [
            ("localhost:1", "localhost"),
            ("[::1]:65535", "::1"),
            ("my-db.prod.svc.cluster.local.:5432", "my-db.prod.svc.cluster.local."),
        ] {
            let target = HostPort::try_from(text.to_owned()).expect("a target");
            assert_eq!((target.host.as_str(), target.to_string()), (host, text.to_owned()));
        }
        for text in ["", ":1", "a", "a:", "a:0", "a:65536", "::1:80", "[a]:80", "a b:80", "http://a:80", "a:80/x"] {
            assert!(HostPort::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
