//! Error forwarding: Sentry envelopes from the application, kept on disk until the upstream has taken them.
//!
//! An envelope is acknowledged when it is durable, and deleted when the upstream has acknowledged it. In between it may be
//! sent twice, never lost. Envelopes that the upstream refuses, or that fail while others get through, go to `dead/` in
//! the spool and hold nobody up.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use futura_metrics::{shutdown::Shutdown, specs::errors::DropReason};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use sentry_types::{Dsn, Scheme};
use serde::Serialize;
use serde_yaml::Value;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;

use self::{
    forward::Forwarder,
    incoming::Incoming,
    limits::Paused,
    receive::Receiver,
    reports::Discards,
    spool::{Spool, SpoolLimits},
};
use crate::{
    StartError,
    config::{Section, form},
    listener::Address,
    network::Network,
};

pub(crate) use self::metrics::ErrorsMetrics;
pub use self::{
    scrub::{Explanation, Hit, RemovedItem, ScrubError, Scrubbed, Scrubber},
    spool::{Selection, SpoolError, SpoolFolder, SpooledEnvelope},
};

mod envelope;
mod forward;
mod incoming;
mod limits;
mod metrics;
mod receive;
mod reports;
mod scrub;
mod spool;

/// How the file of an envelope ends that is alone in it.
const ENVELOPE: &str = "envelope";

/// Where envelopes are taken unless the configuration says otherwise.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9470);

/// Sentry envelopes to accept and forward.
#[derive(Clone, Debug)]
pub struct ErrorsConfig {
    /// Where the application's DSN points: a loopback address or `unix:/path`. Default `127.0.0.1:9470`.
    pub listen: Address,
    /// Allows `listen` to be an address that others reach: whoever can connect can send. Default `false`.
    pub listen_publicly: bool,
    /// Origins whose pages may send from browsers, or `*` for all. Default none.
    pub allowed_origins: AllowedOrigins,
    /// The DSN of the Sentry server. Default none, as an empty one: envelopes are kept until there is one.
    pub upstream: Option<Upstream>,
    /// The folder that envelopes are kept in. Default `./spool`.
    pub spool: PathBuf,
    /// How many envelopes are kept; further ones are answered 503, or 429 where the upstream limits them. A quarter is for errors alone, of the bytes too.
    /// Default 10000.
    pub spool_max_envelopes: usize,
    /// How many bytes of envelopes are kept, uncompressed. Default 268435456, which is 256 MiB.
    pub spool_max_bytes: u64,
    /// How large one envelope may be in bytes, uncompressed. Default 20971520, which is 20 MiB.
    pub envelope_max_bytes: u64,
    /// What is removed from events before they are kept. Default what [`Scrubber::default`] removes.
    pub scrub: Scrubber,
}

/// Whose pages may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<HeaderValue>);

/// Where envelopes go: a DSN, which does not print its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream(Dsn);

/// The receiving and the forwarding side over one spool.
pub(crate) struct Errors {
    receiver: Arc<Receiver>,
    allowed_origins: AllowedOrigins,
    incoming: Incoming,
    discards: Discards,
    forwarder: Option<Forwarder>,
    status: Arc<ErrorsStatus>,
}

/// What the status page tells.
pub(crate) struct ErrorsStatus {
    spool: Arc<Spool>,
    metrics: ErrorsMetrics,
    upstream: Option<String>,
    failure: forward::LastFailure,
}

/// What the status page tells, at one time.
#[derive(Serialize)]
pub(crate) struct ErrorsSummary {
    /// Where envelopes go: scheme, host and port.
    pub(crate) upstream: Option<String>,
    pub(crate) received: u64,
    pub(crate) forwarded: u64,
    pub(crate) refused: u64,
    pub(crate) spooled: usize,
    pub(crate) spooled_bytes: u64,
    /// The last failed delivery, if none succeeded after it.
    pub(crate) failure: Option<String>,
}

// === impl ErrorsConfig ===

impl ErrorsConfig {
    /// Reads the keys; none where something is wrong, which is a finding then.
    pub(crate) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let listen = section.or("listen", |value| form::text(value)?.try_into(), SocketAddr::from(LISTEN).into());
        let listen_publicly = section.or("listen_publicly", form::flag, false);
        let allowed_origins = section.or("allowed_origins", origins, AllowedOrigins::default());
        let upstream = section.or("upstream", upstream, None);
        // The default folder must be usable as well.
        let spool = section.value("spool").map_or_else(|| form::usable("./spool".into()), form::folder);
        let spool = section.keep("spool", spool);
        let spool_max_envelopes = section.or("spool_max_envelopes", envelopes, 10_000);
        let spool_max_bytes = section.or("spool_max_bytes", form::number, 256 * 1024 * 1024);
        let envelope_max_bytes = section.or("envelope_max_bytes", form::number, 20 * 1024 * 1024);
        let scrub = scrub::read(section);
        let errors = Self {
            listen: listen?,
            listen_publicly: listen_publicly?,
            allowed_origins: allowed_origins?,
            upstream: upstream?,
            spool: spool?,
            spool_max_envelopes: spool_max_envelopes?,
            spool_max_bytes: spool_max_bytes?,
            envelope_max_bytes: envelope_max_bytes?,
            scrub: scrub?,
        };
        errors.check(section);
        Some(errors)
    }

    /// Finds what one key says against another.
    fn check(&self, section: &mut Section<'_, '_>) {
        if let Address::Tcp(address) = &self.listen
            && !address.ip().is_loopback()
            && !self.listen_publicly
        {
            section.report(
                "listen",
                format!("`{address}` is not a loopback address: set `listen_publicly: true` if others may send"),
            );
        }
        if let (Address::Tcp(address), Some(Upstream(dsn))) = (&self.listen, &self.upstream) {
            let host = dsn.host().trim_matches(['[', ']']);
            let ip = host.parse::<IpAddr>();
            let local = host == "localhost"
                || ip.is_ok_and(|ip| ip == address.ip() || (ip.is_loopback() && address.ip().is_unspecified()));
            if local && dsn.port() == address.port() {
                section.report(
                    "upstream",
                    format!("it points at `{address}`, where the sidecar itself listens: give the Sentry server's DSN"),
                );
            }
        }
        if self.envelope_max_bytes == 0 || self.envelope_max_bytes > self.spool_max_bytes {
            let most = self.spool_max_bytes;
            section.report("envelope_max_bytes", format!("between 1 and `spool_max_bytes`, which is {most}"));
        }
    }
}

fn envelopes(value: &Value) -> Result<usize, String> {
    let number = form::number(value)?;
    usize::try_from(number)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("`{number}` is too few: at least 1"))
}

fn origins(value: &Value) -> Result<AllowedOrigins, String> {
    let no_list =
        || format!("{} is no list: write one such as `[\"https://tickets.example.org\"]`", form::shown(value));
    value.as_sequence().ok_or_else(no_list)?.iter().map(origin).collect::<Result<_, _>>().map(AllowedOrigins)
}

fn origin(value: &Value) -> Result<HeaderValue, String> {
    let text = form::text(value)?;
    let origin = text.parse().is_ok_and(|url: Url| url.origin().ascii_serialization() == text);
    let origin = Some(&text).filter(|text| origin || *text == "*").and_then(|text| HeaderValue::try_from(text).ok());
    origin.ok_or_else(|| {
        format!("`{text}` is no origin: write scheme, host and port alone, such as `https://tickets.example.org`")
    })
}

/// The DSN is not repeated in messages: it holds a key.
fn upstream(value: &Value) -> Result<Option<Upstream>, String> {
    let text = form::secret(value)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let read = text.parse().map(|dsn| Some(Upstream(dsn)));
    read.map_err(|_| {
        "not a DSN: write `https://KEY@HOST/PROJECT`, such as `https://0123456789abcdef@sentry.example.org/42`"
            .to_owned()
    })
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn speaks_tls(&self) -> bool {
        self.0.scheme() == Scheme::Https
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.0.scheme(), self.0.host(), self.0.port())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Upstream").field(&self.origin()).finish()
    }
}

// === impl Errors ===

impl Errors {
    /// Opens the spool and takes over what it holds.
    pub(crate) fn open(config: &ErrorsConfig, metrics: ErrorsMetrics, network: &Network) -> Result<Self, StartError> {
        let limits = SpoolLimits { envelopes: config.spool_max_envelopes, bytes: config.spool_max_bytes };
        let spool = Arc::new(Spool::open(&config.spool, limits, metrics.clone())?);
        let failure = forward::LastFailure::default();
        let status = Arc::new(ErrorsStatus {
            spool: Arc::clone(&spool),
            metrics: metrics.clone(),
            upstream: config.upstream.as_ref().map(Upstream::origin),
            failure: failure.clone(),
        });
        let (paused, discards) = (Paused::default(), Discards::default());
        let limit = config.envelope_max_bytes;
        let receiver = Arc::new(Receiver::new(
            Arc::clone(&spool),
            limit,
            metrics.clone(),
            paused.clone(),
            discards.clone(),
            config.scrub.clone(),
        ));
        let incoming = Incoming::new(&config.spool, Arc::clone(&receiver));
        let forwarder = match config.upstream.clone() {
            Some(upstream) => {
                let shared = (paused, discards.clone());
                Some(Forwarder::new(spool, upstream, network, metrics, failure, shared)?)
            }
            None => None,
        };
        let allowed_origins = config.allowed_origins.clone();
        Ok(Self { receiver, allowed_origins, incoming, discards, forwarder, status })
    }

    pub(crate) fn routes(&self) -> Router {
        let origins = self.allowed_origins.clone();
        receive::routes(Arc::clone(&self.receiver))
            .layer(origins.cors())
            .layer(from_fn_with_state(origins, refuse_other_origins))
    }

    pub(crate) fn status(&self) -> Arc<ErrorsStatus> {
        Arc::clone(&self.status)
    }

    /// Starts forwarding, on the shutdown's tracker, until nothing can arrive any more.
    pub(crate) fn start(self, shutdown: &Shutdown, closed: impl Future<Output = ()> + Send + 'static) {
        let (tracker, reported) = (shutdown.tracker(), CancellationToken::new());
        tracker.spawn(self.incoming.run(shutdown.requested()));
        let (discards, receiver, all) = (self.discards, self.receiver, reported.clone());
        tracker.spawn(async move {
            discards.run(receiver, closed).await;
            all.cancel();
        });
        if let Some(forwarder) = self.forwarder {
            // What was turned away to the end is still reported.
            tracker.spawn(forwarder.run(reported.cancelled_owned()));
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

// === impl AllowedOrigins ===

impl AllowedOrigins {
    fn has(&self, origin: &HeaderValue) -> bool {
        self.0.iter().any(|allowed| allowed == "*" || allowed == origin)
    }

    /// What SDKs in browsers need to send, and to see of limits.
    fn cors(&self) -> CorsLayer {
        let limits = ["retry-after", "x-sentry-error", "x-sentry-rate-limits"].map(HeaderName::from_static);
        let allowed = self.clone();
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, _| allowed.has(origin)))
            .allow_methods([Method::POST])
            .allow_headers([header::CONTENT_TYPE, header::CONTENT_ENCODING, HeaderName::from_static("x-sentry-auth")])
            .expose_headers(limits)
            .max_age(Duration::from_secs(3600))
    }
}

// === impl ErrorsStatus ===

impl ErrorsStatus {
    pub(crate) fn summary(&self) -> ErrorsSummary {
        let (spooled, spooled_bytes) = self.spool.size();
        ErrorsSummary {
            upstream: self.upstream.clone(),
            received: self.metrics.received.get(),
            forwarded: self.metrics.forwarded.get(),
            refused: self.metrics.dropped(DropReason::Refused).get()
                + self.metrics.dropped(DropReason::Undeliverable).get(),
            spooled,
            spooled_bytes,
            failure: self.failure.get(),
        }
    }
}
