//! Carries a request to the collector, by HTTP or, with the feature `grpc`, by gRPC.

use std::{error::Error, io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use prost::Message;
use reqwest::{Url, redirect::Policy};

use super::{PushConfig, PushProtocol};

#[cfg(feature = "grpc")]
mod grpc;

/// How much of an answer is read.
const ANSWER_LIMIT: usize = 64 * 1024;

const AGENT: &str = concat!("futura-metrics/", env!("CARGO_PKG_VERSION"));

/// A client that connects when it first sends.
pub(super) enum Client {
    #[cfg(feature = "grpc")]
    Grpc(Box<grpc::Client>),
    Http {
        client: reqwest::Client,
        url: Url,
        gzip: bool,
        headers: HeaderMap,
    },
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// It may be taken later.
    #[error("{reason}")]
    NotNow { reason: String, retry_after: Option<Duration> },
    /// It is refused as it is.
    #[error("{0}")]
    Refused(String),
}

// === impl Client ===

impl Client {
    /// A client of the runtime that this is called within.
    pub(super) fn new(config: &PushConfig) -> Result<Self, Box<dyn Error + Send + Sync>> {
        match config.protocol {
            #[cfg(feature = "grpc")]
            PushProtocol::Grpc => Ok(Self::Grpc(Box::new(grpc::Client::new(config)?))),
            PushProtocol::Http => {
                // A redirect would carry the headers to wherever it leads.
                let builder = reqwest::Client::builder().user_agent(AGENT).redirect(Policy::none());
                let client = builder.timeout(config.timeout).build()?;
                Ok(Self::Http {
                    client,
                    url: config.endpoint.parse()?,
                    gzip: config.gzip,
                    headers: config.headers.clone(),
                })
            }
        }
    }

    /// What the collector says to a request that it takes.
    pub(super) async fn send(
        &self,
        request: ExportMetricsServiceRequest,
    ) -> Result<ExportMetricsServiceResponse, SendError> {
        match self {
            #[cfg(feature = "grpc")]
            Self::Grpc(client) => client.send(request).await,
            Self::Http { client, url, gzip, headers } => {
                let body = request.encode_to_vec();
                let mut post = client.post(url.clone()).headers(headers.clone());
                post = post.header(CONTENT_TYPE, "application/x-protobuf");
                post = match gzip {
                    true => post.header(CONTENT_ENCODING, "gzip").body(compressed(&body)),
                    false => post.body(body),
                };
                answer(post.send().await.map_err(SendError::from_http)?).await
            }
        }
    }
}

// === impl SendError ===

impl SendError {
    pub(super) fn too_late() -> Self {
        Self::NotNow { reason: "it took longer than it may".to_owned(), retry_after: None }
    }

    fn from_http(error: reqwest::Error) -> Self {
        // The address may hold a password.
        Self::NotNow { reason: chain(&error.without_url()), retry_after: None }
    }
}

async fn answer(mut response: reqwest::Response) -> Result<ExportMetricsServiceResponse, SendError> {
    let status = response.status();
    if !status.is_success() {
        let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let (reason, retry_after) = (format!("the collector answered {status}"), after.map(Duration::from_secs));
        return Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => SendError::NotNow { reason, retry_after },
            _ => SendError::Refused(reason),
        });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(SendError::from_http)? {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_LIMIT - body.len())]);
        if body.len() == ANSWER_LIMIT {
            break;
        }
    }
    // It is taken, whatever else is said.
    Ok(ExportMetricsServiceResponse::decode(&body[..]).unwrap_or_default())
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Neither fails: it is written to memory.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// An error with its causes, which alone say what is wrong with a connection.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
