//! `prober: grpc`.

use futura_metrics::specs::checks::Reason;
use http::HeaderMap;
use url::Url;

use super::{
    Run, Target,
    config::TlsModule,
    samples::{Gauge, Samples},
    tls::EARLIEST_EXPIRY,
};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Family, Guard, HttpClient, Network, Tls, TlsError,
        grpc::{self, ServingStatus},
    },
};

const SSL: Gauge = Gauge::new("probe_grpc_ssl", "Indicates if SSL was used for the connection");
const STATUS: Gauge = Gauge::new("probe_grpc_status_code", "Response gRPC status code");
const HEALTH: Gauge = Gauge::new("probe_grpc_healthcheck_response", "Response HealthCheck response");

/// Codes of gRPC, from its documentation of status codes.
const DEADLINE_EXCEEDED: u32 = 4;
const UNAVAILABLE: u32 = 14;

/// What a module says of `grpc`.
#[derive(Clone, Debug)]
pub(super) struct GrpcModule {
    service: String,
    tls: bool,
    tls_config: TlsModule,
    family: Family,
    metadata: HeaderMap,
}

/// A probe that can be run.
pub(super) struct GrpcProber {
    service: String,
    metadata: HeaderMap,
    client: HttpClient,
}

// === impl GrpcModule ===

impl GrpcModule {
    pub(super) fn read_below(section: &mut Section<'_, '_>) -> Option<Self> {
        section.nested_or_empty("grpc", Self::read)
    }

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let service = section.or("service", form::text, String::new());
        let tls = section.or("tls", form::flag, false);
        let tls_config = section.tls_module();
        let family = section.family();
        let metadata = section.or("metadata", super::config::headers, HeaderMap::new());
        Some(Self { service: service?, tls: tls?, tls_config: tls_config?, family: family?, metadata: metadata? })
    }
}

// === impl GrpcProber ===

impl GrpcProber {
    pub(super) fn new(module: GrpcModule, guard: Guard, network: &Network) -> Result<Self, TlsError> {
        let mut dialer = Dialer::new(network.clone(), guard);
        dialer.family = module.family;
        let TlsModule { config, versions } = &module.tls_config;
        let tls = module.tls.then(|| Tls::with_versions(config, network, &[b"h2"], versions)).transpose()?;
        let client = HttpClient { dialer, tls, http2: true, proxy: None };
        Ok(Self { service: module.service, metadata: module.metadata, client })
    }

    pub(super) async fn run(&self, target: &Target<'_>, run: &mut Run) -> Result<(), Failure> {
        run.samples.set(SSL, 0.0);
        run.samples.set(STATUS, 0.0);
        // A quirk of the peer's, which its users' rules may know.
        run.samples.set(EARLIEST_EXPIRY, 0.0);
        let tls = self.client.tls.is_some();
        let bare = target.text.trim_start_matches("http://").trim_start_matches("https://");
        let scheme = if tls { "https" } else { "http" };
        let origin = Url::parse(&format!("{scheme}://{bare}"))
            .map_err(|error| Failure::new(Reason::Protocol, format!("`{bare}` is no target: {error}")))?;
        let health = grpc::check(&self.client, &mut run.trace, &origin, &self.service, &self.metadata).await?;
        run.samples.set(SSL, f64::from(u8::from(tls)));
        tell(&mut run.samples, health.status, health.serving);
        match health.serving {
            Some(ServingStatus::Serving) => Ok(()),
            Some(other) => Err(Failure::new(Reason::Body, format!("the service is {}", other.as_str()))),
            None => Err(Failure::new(Reason::Status, format!("status {}: {}", health.status_name(), health.message))),
        }
    }
}

/// Tells of a run that had no answer, by the codes of gRPC for that.
pub(super) fn describe(samples: &mut Samples, failure: &Failure) {
    match failure.reason {
        // Then there was an answer.
        Reason::Body | Reason::Status => {}
        Reason::Timeout => tell(samples, DEADLINE_EXCEEDED, None),
        _ => tell(samples, UNAVAILABLE, None),
    }
}

fn tell(samples: &mut Samples, status: u32, serving: Option<ServingStatus>) {
    samples.set(STATUS, f64::from(status));
    for known in ServingStatus::ALL {
        let held = if serving == Some(known) { 1.0 } else { 0.0 };
        samples.set_with(HEALTH, &[("serving_status", known.as_str())], held);
    }
}
