//! `kind: tcp`: the target accepts a connection and, if so configured, says what it should.

use serde_yaml::Value;

use super::{HostPort, pattern::pattern};
use crate::{
    config::{Section, form},
    network::{Dialer, Failure, Guard, Network, Tls, TlsConfig, TlsError, Trace, Turn, converse},
};

/// How many turns a dialogue may have.
const TURNS_LIMIT: usize = 100;

/// A check of kind `tcp`.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// `host:port`; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// Speaks TLS from the start, or from the turn with `starttls`. Default none; `{}` is the default way.
    pub tls: Option<TlsConfig>,
    /// What is said, turn by turn: `expect` a line that matches, then `send` one, then `starttls`. Default nothing.
    pub(crate) dialogue: Vec<Turn>,
}

/// A check that can be run.
pub(super) struct TcpCheck {
    target: HostPort,
    dialer: Dialer,
    tls: Option<Tls>,
    dialogue: Vec<Turn>,
}

// === impl TcpConfig ===

impl TcpConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "127.0.0.1:6379");
        let tls = section.nested("tls", |tls| TlsConfig::read(tls).map(Some), None);
        let dialogue = section.each("dialogue", TURNS_LIMIT, read_turn);
        let (tls, dialogue) = (tls?, dialogue?);
        if tls.is_none() && dialogue.iter().any(|turn| turn.starttls) {
            section.report("dialogue", "`starttls` goes over to TLS: say how by `tls: {}`");
            return None;
        }
        Some(Self { target: target?, tls, dialogue })
    }
}

fn read_turn(section: &mut Section<'_, '_>) -> Option<Turn> {
    let expect = section.or("expect", |value| pattern(value).map(Some), None);
    let send = section.or("send", text_to_send, String::new());
    let starttls = section.or("starttls", form::flag, false);
    Some(Turn { expect: expect?, send: send?, starttls: starttls? })
}

/// What is sent may be a password, so no message shows it.
fn text_to_send(value: &Value) -> Result<String, String> {
    form::secret(value)
}

// === impl TcpCheck ===

impl TcpCheck {
    pub(super) fn new(config: TcpConfig, network: &Network) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls, network, &[])).transpose()?;
        let dialer = Dialer::new(network.clone(), Guard::default());
        Ok(Self { target: config.target, dialer, tls, dialogue: config.dialogue })
    }

    pub(super) fn host(&self) -> &str {
        &self.target.host
    }

    pub(super) fn target(&self) -> String {
        self.target.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let HostPort { host, port } = &self.target;
        let upgrades = self.dialogue.iter().any(|turn| turn.starttls);
        let (at_once, later) = if upgrades { (None, self.tls.as_ref()) } else { (self.tls.as_ref(), None) };
        let stream = self.dialer.open(trace, at_once, host, *port).await?;
        converse(stream, &self.dialogue, (later, host), trace).await
    }
}
