//! The client for gRPC, which speaks through tonic.

use std::error::Error;

use http::HeaderMap;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse, metrics_service_client::MetricsServiceClient,
};
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{AGENT, PushConfig, SendError};

/// A client that connects when it first sends.
pub(in super::super) struct Client {
    service: MetricsServiceClient<Channel>,
    headers: HeaderMap,
}

// === impl Client ===

impl Client {
    /// A client of the runtime that this is called within.
    pub(super) fn new(config: &PushConfig) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let endpoint = Endpoint::from_shared(config.endpoint.clone())?.user_agent(AGENT)?;
        let mut endpoint = endpoint.timeout(config.timeout).connect_timeout(config.timeout);
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        let mut service = MetricsServiceClient::new(endpoint.connect_lazy());
        if config.gzip {
            service = service.send_compressed(CompressionEncoding::Gzip);
        }
        let service = service.accept_compressed(CompressionEncoding::Gzip);
        Ok(Self { service, headers: config.headers.clone() })
    }

    /// What the collector says to a request that it takes.
    pub(super) async fn send(
        &self,
        request: ExportMetricsServiceRequest,
    ) -> Result<ExportMetricsServiceResponse, SendError> {
        let mut request = Request::new(request);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let answer = self.service.clone().export(request).await;
        answer.map(Response::into_inner).map_err(|status| refusal(&status))
    }
}

fn refusal(status: &Status) -> SendError {
    let reason = format!("the collector answered {:?}: {}", status.code(), status.message());
    // <https://opentelemetry.io/docs/specs/otlp/#failures>
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted
        // What tonic itself calls a connection that broke off.
        | Code::Unknown => SendError::NotNow { reason, retry_after: None },
        _ => SendError::Refused(reason),
    }
}
