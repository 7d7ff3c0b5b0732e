//! `kind: grpc`: a server's health service says that it serves.

use futura_metrics::specs::checks::Reason;
use http::HeaderMap;
use serde_yaml::Value;
use url::Url;

use super::{HostPort, http::headers};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Guard, HttpClient, Network, Tls, TlsConfig, TlsError, Trace,
        grpc::{self, ServingStatus},
    },
};

/// A check of kind `grpc`.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    /// `host:port`; an IPv6 address stands in brackets. Required.
    pub target: HostPort,
    /// The service that is asked about. Default the server as a whole.
    pub service: String,
    /// Metadata of the call; its values are never shown. Default none.
    pub metadata: HeaderMap,
    /// Speaks TLS. Default none; `{}` is the default way.
    pub tls: Option<TlsConfig>,
}

/// A check that can be run.
pub(super) struct GrpcCheck {
    config: GrpcConfig,
    origin: Url,
    client: HttpClient,
}

// === impl GrpcConfig ===

impl GrpcConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let target = section.required("target", |value| form::text(value)?.try_into(), "127.0.0.1:50051");
        let service = section.or("service", service, String::new());
        let metadata = section.or("metadata", headers, HeaderMap::new());
        let tls = section.nested("tls", |tls| TlsConfig::read(tls).map(Some), None);
        Some(Self { target: target?, service: service?, metadata: metadata?, tls: tls? })
    }
}

fn service(value: &Value) -> Result<String, String> {
    let name = form::text(value)?;
    if name.len() > 1000 { Err("no service has a name of more than 1000 bytes".to_owned()) } else { Ok(name) }
}

// === impl GrpcCheck ===

impl GrpcCheck {
    pub(super) fn new(config: GrpcConfig, network: &Network) -> Result<Self, TlsError> {
        let tls = config.tls.as_ref().map(|tls| Tls::new(tls, network, &[b"h2"])).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let origin = Url::parse(&format!("{scheme}://{}/", config.target)).expect("a host and a port make a URL");
        let client =
            HttpClient { dialer: Dialer::new(network.clone(), Guard::default()), tls, http2: true, proxy: None };
        Ok(Self { config, origin, client })
    }

    pub(super) fn host(&self) -> &str {
        &self.config.target.host
    }

    pub(super) fn target(&self) -> String {
        self.config.target.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let GrpcConfig { service, metadata, .. } = &self.config;
        let health = grpc::check(&self.client, trace, &self.origin, service, metadata).await?;
        match health.serving {
            Some(ServingStatus::Serving) => Ok(()),
            Some(other) => Err(Failure::new(Reason::Body, format!("the service is {}", other.as_str()))),
            None => {
                let (status, message) = (health.status_name(), &health.message);
                Err(Failure::new(Reason::Status, format!("status {status}, expected OK: {message}")))
            }
        }
    }
}
