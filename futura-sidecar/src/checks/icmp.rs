//! `kind: icmp`: the target answers a ping.

use serde_yaml::Value;

use super::target::host_name;
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Guard, Network, Trace,
        icmp::{self, Echo},
    },
};

/// A check of kind `icmp`.
#[derive(Clone, Debug)]
pub struct IcmpConfig {
    /// A host's name or address. Required.
    pub target: String,
    echo: Echo,
}

/// A check that can be run.
pub(super) struct IcmpCheck {
    config: IcmpConfig,
    dialer: Dialer,
}

// === impl IcmpConfig ===

impl IcmpConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| host_name(&form::text(value)?), "10.0.0.1");
        let payload = section.or("payload", payload, 24);
        let dont_fragment = section.or("dont_fragment", form::flag, false);
        Some(Self { target: target?, echo: Echo { payload: payload?, dont_fragment: dont_fragment?, hop_limit: None } })
    }
}

fn payload(value: &Value) -> Result<usize, String> {
    let number = form::number(value).ok().and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| *number <= icmp::PAYLOAD_LIMIT)
        .ok_or_else(|| format!("{} is no number of bytes from 0 to {}", form::shown(value), icmp::PAYLOAD_LIMIT))
}

// === impl IcmpCheck ===

impl IcmpCheck {
    pub(super) fn new(config: IcmpConfig, network: &Network) -> Self {
        Self { config, dialer: Dialer::new(network.clone(), Guard::default()) }
    }

    pub(super) fn host(&self) -> &str {
        &self.config.target
    }

    pub(super) fn target(&self) -> String {
        self.config.target.clone()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        icmp::ping(&self.dialer, trace, &self.config.target, self.config.echo).await.map(drop)
    }
}
