//! Error forwarding: Sentry envelopes from the application, kept on disk until the upstream has taken them.
//!
//! An envelope is acknowledged when it is durable, and deleted when the upstream has acknowledged it. In between it may be
//! sent twice, never lost. Envelopes that the upstream refuses, or that fail while others get through, go to `dead/` in
//! the spool and hold nobody up.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futura_metrics::{shutdown::Shutdown, specs::errors::RejectReason};
use futures_util::future;
use http::{StatusCode, header};
use serde::Serialize;
use tokio::join;
use tokio_util::sync::CancellationToken;

use self::{destination::Destinations, forward::Forwarder, incoming::Incoming, logs::Follower, receive::Receiver};
use crate::{StartError, board::Board, network::Network};

pub use self::{
    config::{AllowedOrigins, ErrorsConfig, Upstream, UpstreamConfig},
    logs::LogConfig,
    scrub::{Explanation, Hit, RemovedItem, ScrubError, Scrubbed, Scrubber},
    spool::{Selection, SpoolError, SpoolFolder, SpooledEnvelope},
    storms::StormConfig,
};
pub(crate) use self::{destination::UpstreamSummary, last::LastError, metrics::ErrorsMetrics};

mod checks;
mod config;
mod destination;
mod envelope;
mod event;
mod forward;
mod framing;
mod incoming;
mod json;
mod last;
mod limits;
mod logs;
mod metrics;
mod receive;
mod reports;
mod scrub;
mod spool;
mod storms;

/// How the file of an envelope ends that is alone in it.
const ENVELOPE: &str = "envelope";

/// The receiving and the forwarding side.
pub(crate) struct Errors {
    receiver: Arc<Receiver>,
    allowed_origins: AllowedOrigins,
    destinations: Arc<Destinations>,
    incoming: Vec<Incoming>,
    forwarders: Vec<Option<Forwarder>>,
    metrics: ErrorsMetrics,
    /// What follows logs, where there are any.
    follower: Option<Follower>,
    /// Whether checks that fail are reported.
    reports_checks: bool,
}

/// What the status page tells.
pub(crate) struct ErrorsStatus {
    receiver: Arc<Receiver>,
    destinations: Arc<Destinations>,
    metrics: ErrorsMetrics,
}

/// What the status page tells, at one time.
#[derive(Serialize)]
pub(crate) struct ErrorsSummary {
    /// The first is the one that takes what no other does.
    pub(crate) upstreams: Vec<UpstreamSummary>,
    /// How many envelopes were not accepted since the start, by reason.
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// How many secrets and personal data were removed since the start.
    pub(crate) scrubbed: u64,
    /// How many events of storms were counted in the place of being sent since the start.
    pub(crate) suppressed: u64,
}

// === impl Errors ===

impl Errors {
    /// Opens the spools and takes over what they hold.
    pub(crate) fn open(config: &ErrorsConfig, metrics: &ErrorsMetrics, network: &Network) -> Result<Self, StartError> {
        let destinations = Arc::new(Destinations::open(config, metrics)?);
        let receiver = Receiver::new(Arc::clone(&destinations), config, metrics.clone())?;
        let receiver = Arc::new(receiver);
        let incoming =
            destinations.all().map(|destination| Incoming::new(Arc::clone(destination), Arc::clone(&receiver)));
        let forwarders = destinations.all().map(|destination| destination.forwarder(network));
        Ok(Self {
            incoming: incoming.collect(),
            forwarders: forwarders.collect::<Result<_, _>>()?,
            allowed_origins: config.allowed_origins.clone(),
            metrics: metrics.clone(),
            follower: (!config.logs.is_empty())
                .then(|| Follower::new(config.logs.clone(), &config.spool, Arc::clone(&receiver), metrics.clone())),
            reports_checks: config.checks,
            receiver,
            destinations,
        })
    }

    pub(crate) fn routes(&self) -> Router {
        let origins = self.allowed_origins.clone();
        receive::routes(Arc::clone(&self.receiver))
            .layer(origins.cors())
            .layer(from_fn_with_state(origins, refuse_other_origins))
    }

    pub(crate) fn status(&self) -> Arc<ErrorsStatus> {
        let (receiver, destinations) = (Arc::clone(&self.receiver), Arc::clone(&self.destinations));
        Arc::new(ErrorsStatus { receiver, destinations, metrics: self.metrics.clone() })
    }

    /// Starts forwarding, on the shutdown's tracker, until nothing can arrive any more.
    pub(crate) fn start(
        self,
        shutdown: &Shutdown,
        board: &Arc<Board>,
        closed: impl Future<Output = ()> + Send + 'static,
    ) {
        let (tracker, nothing_comes, reported) =
            (shutdown.tracker(), CancellationToken::new(), CancellationToken::new());
        for incoming in self.incoming {
            tracker.spawn(incoming.run(shutdown.requested()));
        }
        if let Some(follower) = self.follower {
            tracker.spawn(follower.run(shutdown.requested()));
        }
        if self.reports_checks {
            let (board, receiver) = (Arc::clone(board), Arc::clone(&self.receiver));
            tracker.spawn(checks::run(board, receiver, shutdown.requested()));
        }
        let (no_more, all_reported) = (nothing_comes.clone(), reported.clone());
        let (receiver, destinations) = (self.receiver, self.destinations);
        tracker.spawn(async move {
            closed.await;
            no_more.cancel();
        });
        tracker.spawn(async move {
            let reports = destinations.all().map(|destination| reports::run(destination, nothing_comes.cancelled()));
            join!(receiver.tell_storms(nothing_comes.cancelled()), future::join_all(reports));
            all_reported.cancel();
        });
        for forwarder in self.forwarders.into_iter().flatten() {
            // What was turned away to the end is still reported.
            tracker.spawn(forwarder.run(reported.clone().cancelled_owned()));
        }
    }
}

/// Refuses what pages send that may not: a browser asks beforehand for some requests only. What is no browser names no origin.
async fn refuse_other_origins(State(origins): State<AllowedOrigins>, request: Request, next: Next) -> Response {
    match request.headers().get(header::ORIGIN) {
        Some(origin) if !origins.has(origin) => {
            (StatusCode::FORBIDDEN, "this origin is not among `errors.allowed_origins`\n").into_response()
        }
        _ => next.run(request).await,
    }
}

// === impl ErrorsStatus ===

impl ErrorsStatus {
    pub(crate) fn summary(&self) -> ErrorsSummary {
        let rejected = RejectReason::ALL.iter().map(|reason| (reason.as_str(), self.metrics.rejected(*reason).get()));
        ErrorsSummary {
            upstreams: self.destinations.all().map(|destination| destination.summary()).collect(),
            rejected: rejected.collect(),
            scrubbed: self.metrics.scrubbed.get(),
            suppressed: self.metrics.suppressed.get(),
        }
    }

    /// The last events that were accepted, newest first.
    pub(crate) fn last(&self) -> Vec<LastError> {
        self.receiver.last()
    }
}
