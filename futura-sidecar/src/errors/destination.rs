//! Where envelopes go: an upstream, and a spool for what is on its way there.
//!
//! Each upstream has a spool of its own, so that one that is down or limits us holds no other up.

use std::{collections::HashSet, path::Path, sync::Arc};

use futura_metrics::specs::errors::DropReason;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    ErrorsConfig, Upstream,
    forward::{Forwarder, LastFailure},
    limits::Paused,
    metrics::{DEFAULT_UPSTREAM, ErrorsMetrics},
    reports::Discards,
    spool::{Spool, SpoolError, SpoolLimits},
};
use crate::network::Network;

/// The folder of the spools of further upstreams, in that of the first.
pub(super) const FURTHER: &str = "upstreams";

/// An upstream with its spool.
pub(super) struct Destination {
    pub(super) name: String,
    pub(super) spool: Arc<Spool>,
    pub(super) discards: Discards,
    pub(super) metrics: ErrorsMetrics,
    /// The upstream, and what takes its place, with what they limit.
    upstreams: Vec<(Upstream, Paused)>,
    failure: LastFailure,
}

/// All of them, and which projects go where.
pub(super) struct Destinations {
    default: Arc<Destination>,
    further: Vec<Further>,
}

struct Further {
    destination: Arc<Destination>,
    projects: HashSet<String>,
    copy: bool,
}

/// What the status page tells of one, at one time.
#[derive(Serialize)]
pub(crate) struct UpstreamSummary {
    pub(crate) name: String,
    /// Where envelopes go: scheme, host and port; none where they are kept until there is a DSN.
    pub(crate) upstream: Option<String>,
    /// What takes its place while it is down.
    pub(crate) failover: Option<String>,
    pub(crate) received: u64,
    pub(crate) forwarded: u64,
    pub(crate) refused: u64,
    pub(crate) spooled: usize,
    pub(crate) spooled_bytes: u64,
    pub(crate) spool_limit: usize,
    pub(crate) spool_limit_bytes: u64,
    pub(crate) dead: u64,
    /// What the upstream limits.
    pub(crate) limits: Vec<LimitSummary>,
    /// The last failed delivery, if none succeeded after it.
    pub(crate) failure: Option<String>,
}

/// What an upstream limits.
#[derive(Serialize)]
pub(crate) struct LimitSummary {
    /// A category of Sentry's, or `all`.
    pub(crate) category: &'static str,
    pub(crate) seconds_left: u64,
}

// === impl Destinations ===

impl Destinations {
    /// Opens the spools and takes over what they hold.
    pub(super) fn open(config: &ErrorsConfig, metrics: &ErrorsMetrics) -> Result<Self, SpoolError> {
        let limits = SpoolLimits { envelopes: config.spool_max_envelopes, bytes: config.spool_max_bytes };
        let open = |name: &str, folder: &Path, upstreams: [Option<&Upstream>; 2]| {
            let upstreams = upstreams.into_iter().flatten().cloned().collect();
            Destination::open(name, folder, limits, upstreams, metrics.of(name)).map(Arc::new)
        };
        let first = [config.upstream.as_ref(), config.failover.as_ref()];
        let default = open(DEFAULT_UPSTREAM, &config.spool, first)?;
        let further = config.upstreams.iter().map(|further| {
            let folder = config.spool.join(FURTHER).join(&further.name);
            let destination = open(&further.name, &folder, [Some(&further.dsn), further.failover.as_ref()])?;
            Ok(Further { destination, projects: further.projects.clone(), copy: further.copy })
        });
        Ok(Self { further: further.collect::<Result<_, SpoolError>>()?, default })
    }

    pub(super) fn default(&self) -> &Arc<Destination> {
        &self.default
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Destination>> {
        let further = self.further.iter().map(|further| &further.destination);
        [&self.default].into_iter().chain(further)
    }

    /// Where an envelope of a project goes.
    pub(super) fn of(&self, project: Option<&str>) -> &Arc<Destination> {
        let takes =
            |further: &&Further| !further.copy && project.is_some_and(|project| further.projects.contains(project));
        self.further.iter().find(takes).map_or(&self.default, |further| &further.destination)
    }

    /// Where copies of it go besides.
    pub(super) fn copies(&self, project: Option<&str>) -> impl Iterator<Item = &Arc<Destination>> {
        let gets = move |further: &&Further| {
            let projects = &further.projects;
            further.copy && (projects.is_empty() || project.is_some_and(|project| projects.contains(project)))
        };
        self.further.iter().filter(gets).map(|further| &further.destination)
    }
}

// === impl Destination ===

impl Destination {
    fn open(
        name: &str,
        folder: &Path,
        limits: SpoolLimits,
        upstreams: Vec<Upstream>,
        metrics: ErrorsMetrics,
    ) -> Result<Self, SpoolError> {
        let spool = Arc::new(Spool::open(folder, limits, metrics.clone())?);
        let of = |(file, upstream): (&str, Upstream)| {
            let paused = Paused::open(&folder.join(file), hex(&Sha256::digest(upstream.0.to_string())));
            (upstream, paused)
        };
        Ok(Self {
            name: name.to_owned(),
            spool,
            discards: Discards::default(),
            metrics,
            upstreams: ["limits", "limits-failover"].into_iter().zip(upstreams).map(of).collect(),
            failure: LastFailure::default(),
        })
    }

    /// What sends the envelopes of its spool; none where they are kept until there is an upstream.
    pub(super) fn forwarder(&self, network: &Network) -> Result<Option<Forwarder>, reqwest::Error> {
        if self.upstreams.is_empty() {
            return Ok(None);
        }
        let (spool, upstreams) = (Arc::clone(&self.spool), self.upstreams.iter().cloned());
        let (metrics, failure, discards) = (self.metrics.clone(), self.failure.clone(), self.discards.clone());
        Forwarder::new(spool, upstreams, network, metrics, failure, discards).map(Some)
    }

    #[cfg(test)]
    pub(super) fn paused(&self) -> &Paused {
        &self.upstreams[0].1
    }

    /// For how many seconds the upstream still limits a category.
    pub(super) fn limited_for(&self, category: &str) -> Option<u64> {
        let (_, paused) = self.upstreams.first()?;
        paused.left(category, Instant::now()).map(|left| left.as_secs() + 1)
    }

    pub(super) fn summary(&self) -> UpstreamSummary {
        let (spooled, spooled_bytes) = self.spool.size();
        let origin = |place: usize| self.upstreams.get(place).map(|(upstream, _)| upstream.origin());
        let limits = self.upstreams.first().map(|(_, paused)| paused.all_left(Instant::now())).unwrap_or_default();
        let refused = [DropReason::Refused, DropReason::Undeliverable].map(|reason| self.metrics.dropped(reason).get());
        UpstreamSummary {
            name: self.name.clone(),
            upstream: origin(0),
            failover: origin(1),
            received: self.metrics.received.get(),
            forwarded: self.metrics.forwarded.get(),
            refused: refused.iter().sum(),
            spooled,
            spooled_bytes,
            spool_limit: self.metrics.spool_limit_envelopes.get() as usize,
            spool_limit_bytes: self.metrics.spool_limit_bytes.get() as u64,
            dead: self.metrics.dead_envelopes.get() as u64,
            limits: limits
                .into_iter()
                .map(|(category, left)| LimitSummary { category, seconds_left: left.as_secs() + 1 })
                .collect(),
            failure: self.failure.get(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
