//! `prober: icmp`.

use std::net::IpAddr;

use serde_yaml::Value;

use super::{Run, Target, samples::Gauge};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Family, Guard, Network,
        icmp::{self, Echo},
    },
};

const HOP_LIMIT: Gauge = Gauge::new("probe_icmp_reply_hop_limit", "Replied packet hop limit (TTL for ipv4)");

/// What a module says of `icmp`.
#[derive(Clone, Debug)]
pub(super) struct IcmpModule {
    family: Family,
    source: Option<IpAddr>,
    echo: Echo,
}

/// A probe that can be run.
pub(super) struct IcmpProber {
    dialer: Dialer,
    echo: Echo,
}

// === impl IcmpModule ===

impl IcmpModule {
    pub(super) fn read_below(section: &mut Section<'_, '_>) -> Option<Self> {
        section.nested_or_empty("icmp", Self::read)
    }

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let family = section.family();
        let source = section.source_address();
        let payload = section.or("payload_size", |value| at_most(value, icmp::PAYLOAD_LIMIT as u64), 24);
        let dont_fragment = section.or("dont_fragment", form::flag, false);
        let ttl = section.or("ttl", |value| at_most(value, u64::from(u8::MAX)), 64);
        let echo = Echo {
            payload: usize::try_from(payload?).ok()?,
            dont_fragment: dont_fragment?,
            hop_limit: u8::try_from(ttl?).ok(),
        };
        Some(Self { family: family?, source: source?, echo })
    }
}

fn at_most(value: &Value, limit: u64) -> Result<u64, String> {
    let number = form::number(value)?;
    if number > limit { Err(format!("{number} is more than {limit}")) } else { Ok(number) }
}

// === impl IcmpProber ===

impl IcmpProber {
    pub(super) fn new(module: &IcmpModule, guard: Guard, network: &Network) -> Self {
        let mut dialer = Dialer::new(network.clone(), guard);
        (dialer.family, dialer.source) = (module.family, module.source);
        Self { dialer, echo: module.echo }
    }

    pub(super) async fn run(&self, target: &Target<'_>, run: &mut Run) -> Result<(), Failure> {
        let reply = icmp::ping(&self.dialer, &mut run.trace, target.text, self.echo).await?;
        if let Some(limit) = reply.hop_limit {
            run.samples.set(HOP_LIMIT, f64::from(limit));
        }
        Ok(())
    }
}
