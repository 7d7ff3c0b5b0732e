//! `kind: tcp`: the target accepts a connection.

use std::{fmt, net::Ipv6Addr};

use crate::{
    config::{Section, form},
    network::{Dialer, Failure, Guard, Network, Trace},
};

/// A check of kind `tcp`.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// `host:port`; an IPv6 address stands in brackets. Required.
    pub target: TcpTarget,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTarget {
    host: String,
    port: u16,
}

/// A check that can be run.
pub(super) struct TcpCheck {
    target: TcpTarget,
    dialer: Dialer,
}

// === impl TcpConfig ===

impl TcpConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "127.0.0.1:6379");
        Some(Self { target: target? })
    }
}

// === impl TcpTarget ===

impl TryFrom<String> for TcpTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = split
            .filter(|(_, port)| *port != 0)
            .ok_or_else(|| format!("`{text}` is no host and port: write one such as `127.0.0.1:6379`"))?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = |host: &str| {
            !host.is_empty()
                && host.len() < 256
                && host.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
        };
        match bracketed {
            Some(address) if address.parse::<Ipv6Addr>().is_ok() => Ok(Self { host: address.to_owned(), port }),
            None if named(host) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(format!("`{host}` is neither a host's name nor an address; an IPv6 address stands in brackets")),
        }
    }
}

impl fmt::Display for TcpTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(formatter, "[{host}]:{port}") } else { write!(formatter, "{host}:{port}") }
    }
}

// === impl TcpCheck ===

impl TcpCheck {
    pub(super) fn new(config: TcpConfig, network: &Network) -> Self {
        Self { target: config.target, dialer: Dialer::new(network.clone(), Guard::default()) }
    }

    pub(super) fn target(&self) -> String {
        self.target.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        self.dialer.connect(trace, &self.target.host, self.target.port).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::TcpTarget;

    #[test]
    fn targets_are_host_and_port() {
        for (text, host) in [
            ("localhost:1", "localhost"),
            ("[::1]:65535", "::1"),
            ("my-db.prod.svc.cluster.local.:5432", "my-db.prod.svc.cluster.local."),
        ] {
            assert_eq!(TcpTarget::try_from(text.to_owned()).map(|target| target.host), Ok(host.to_owned()), "{text}");
        }
        for text in ["", ":1", "a", "a:", "a:0", "a:65536", "::1:80", "[a]:80", "a b:80", "http://a:80", "a:80/x"] {
            assert!(TcpTarget::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
