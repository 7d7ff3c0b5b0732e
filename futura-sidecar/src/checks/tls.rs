//! `kind: tls`: the target's certificate is trusted, of the right name, and stays valid long enough.

use std::time::{Duration, SystemTime};

use super::HostPort;
use crate::{
    config::{Section, form},
    network::{Dialer, Failure, Guard, Network, Tls, TlsConfig, TlsError, Trace},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A check of kind `tls`.
#[derive(Clone, Debug)]
pub struct TlsCheckConfig {
    /// `host:port`; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// What is trusted and who we are. Default the system's certificates.
    pub tls: TlsConfig,
    /// For how long every certificate of the chain has to be valid still. Default `7d`.
    pub valid_for: Duration,
}

/// A check that can be run.
pub(super) struct TlsCheck {
    target: HostPort,
    dialer: Dialer,
    tls: Tls,
    valid_for: Duration,
}

// === impl TlsCheckConfig ===

impl TlsCheckConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "example.org:443");
        let tls = section.nested("tls", TlsConfig::read, TlsConfig::default());
        let valid_for = section.or("valid_for", form::duration, 7 * DAY);
        Some(Self { target: target?, tls: tls?, valid_for: valid_for? })
    }
}

// === impl TlsCheck ===

impl TlsCheck {
    pub(super) fn new(config: &TlsCheckConfig, network: &Network) -> Result<Self, TlsError> {
        let dialer = Dialer::new(network.clone(), Guard::default());
        let tls = Tls::new(&config.tls, network, &[])?;
        Ok(Self { target: config.target.clone(), dialer, tls, valid_for: config.valid_for })
    }

    pub(super) fn host(&self) -> &str {
        &self.target.host
    }

    pub(super) fn target(&self) -> String {
        self.target.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let HostPort { host, port } = &self.target;
        let stream = self.dialer.connect(trace, host, *port).await?;
        self.tls.handshake(trace, stream, host).await?;
        let chain = trace.chain.as_ref();
        chain.map_or(Ok(()), |chain| chain.outlasts(SystemTime::now() + self.valid_for))
    }
}
