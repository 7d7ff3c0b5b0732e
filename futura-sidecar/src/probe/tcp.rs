//! `prober: tcp`.

use futura_metrics::specs::checks::Reason;
use std::net::IpAddr;

use super::{FAILED_DUE_TO_REGEX, Run, Target, config::TlsModule, pattern::pattern};
use crate::{
    config::{Section, form},
    network::{Dialer, Failure, Family, Guard, Network, Tls, TlsError, Turn, converse},
};

/// How many turns a dialogue may have.
const TURNS_LIMIT: usize = 100;

/// What a module says of `tcp`.
#[derive(Clone, Debug)]
pub(super) struct TcpModule {
    family: Family,
    source: Option<IpAddr>,
    query_response: Vec<Turn>,
    tls: bool,
    tls_config: TlsModule,
}

/// A probe that can be run.
pub(super) struct TcpProber {
    dialer: Dialer,
    query_response: Vec<Turn>,
    tls: Tls,
    tls_from_start: bool,
}

// === impl TcpModule ===

impl TcpModule {
    pub(super) fn read_below(section: &mut Section<'_, '_>) -> Option<Self> {
        section.nested_or_empty("tcp", Self::read)
    }

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let family = section.family();
        let source = section.source_address();
        let query_response = section.each("query_response", TURNS_LIMIT, |turn| {
            let expect = turn.or("expect", |value| pattern(value).map(Some), None);
            let send = turn.or("send", form::secret, String::new());
            let starttls = turn.or("starttls", form::flag, false);
            turn.refuse("labels", "what a line says becomes no label, since a target could make any number of series");
            turn.refuse("expect_bytes", "expect a line by `expect`");
            Some(Turn { expect: expect?, send: send?, starttls: starttls? })
        });
        let tls = section.or("tls", form::flag, false);
        let tls_config = section.tls_module();
        Some(Self {
            family: family?,
            source: source?,
            query_response: query_response?,
            tls: tls?,
            tls_config: tls_config?,
        })
    }
}

// === impl TcpProber ===

impl TcpProber {
    pub(super) fn new(module: TcpModule, guard: Guard, network: &Network) -> Result<Self, TlsError> {
        let mut dialer = Dialer::new(network.clone(), guard);
        (dialer.family, dialer.source) = (module.family, module.source);
        let tls = Tls::with_versions(&module.tls_config.config, network, &[], &module.tls_config.versions)?;
        Ok(Self { dialer, query_response: module.query_response, tls, tls_from_start: module.tls })
    }

    pub(super) async fn run(&self, target: &Target<'_>, run: &mut Run) -> Result<(), Failure> {
        run.samples.set(FAILED_DUE_TO_REGEX, 0.0);
        let (host, port) = target.host_and_port(None)?;
        let tls = self.tls.named(target.hostname);
        let stream = self.dialer.open(&mut run.trace, self.tls_from_start.then_some(&tls), host, port).await?;
        let result = converse(stream, &self.query_response, (Some(&tls), host), &mut run.trace).await;
        if result.as_ref().is_err_and(|failure| failure.reason == Reason::Body) {
            run.samples.set(FAILED_DUE_TO_REGEX, 1.0);
        }
        result
    }
}
