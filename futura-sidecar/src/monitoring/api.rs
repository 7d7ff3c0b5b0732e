//! The HTTP API of Prometheus or Alertmanager: who asks, how long an answer may take and how large it may be.

use std::{path::PathBuf, time::Duration};

use http::{Method, StatusCode, header};
use reqwest::redirect::Policy;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use crate::network::{Authorization, Network, Secret};

/// How large an answer may be, in bytes: what is asked for is counts and lists of alerts.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// How much of an answer that is none is shown, in characters.
const EXCERPT: usize = 120;

/// Where an API is, who asks, and for how long.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Its address, below which its paths are.
    pub url: Url,
    /// Who asks; by default nobody in particular.
    pub access: Option<Access>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Who asks. The files are read for each request.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever has the token in this file.
    Bearer(PathBuf),
    /// A user, and the file with the password.
    Basic(String, PathBuf),
}

/// Why an API did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    /// The secret cannot be had.
    #[error("{0}")]
    Secret(String),
    /// There was no answer.
    #[error("`{url}` cannot be asked: {reason}")]
    Unreachable {
        /// What was asked.
        url: Url,
        /// Why.
        reason: String,
    },
    /// There was no answer in time.
    #[error("`{url}` gave no answer within {limit:?}")]
    Late {
        /// What was asked.
        url: Url,
        /// How long it had.
        limit: Duration,
    },
    /// It answered that it will not.
    #[error("`{url}` answered {status}: {message}")]
    Refused {
        /// What was asked.
        url: Url,
        /// The status.
        status: StatusCode,
        /// What it said, and what to do about it.
        message: String,
    },
    /// The answer is not one of this API.
    #[error("`{url}` answered what this API does not: {excerpt}")]
    Foreign {
        /// What was asked.
        url: Url,
        /// How the answer begins, or what is wrong with it.
        excerpt: String,
    },
}

/// An API, ready to be asked.
#[derive(Clone)]
pub(super) struct Api {
    client: reqwest::Client,
    config: ApiConfig,
    authorization: Option<Authorization>,
}

/// What both APIs say of an error.
#[derive(Deserialize)]
struct Complaint {
    #[serde(alias = "message")]
    error: String,
}

// === impl Api ===

impl Api {
    pub(super) fn new(config: ApiConfig) -> Result<Self, ApiError> {
        // A redirect would turn a question into a GET and take the secret elsewhere.
        let client = Network::system().client(config.url.scheme() == "https").redirect(Policy::none());
        let client = client.build().map_err(ApiError::Client)?;
        let authorization = config.access.clone().map(|access| match access {
            Access::Bearer(file) => Authorization::bearer(Secret::File(file)),
            Access::Basic(user, file) => Authorization::basic(user, Secret::File(file)),
        });
        Ok(Self { client, config, authorization })
    }

    /// Asks with parameters in the body, which may be long.
    pub(super) async fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        let body = body.extend_pairs(parameters).finish();
        let content = Some(("application/x-www-form-urlencoded", body.into_bytes()));
        let (url, answer) = self.exchange(Method::POST, self.url(path), content).await?;
        read(url, &answer)
    }

    /// Reads what is at a path.
    pub(super) async fn get<T: for<'a> Deserialize<'a>>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let mut url = self.url(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let (url, answer) = self.exchange(Method::GET, url, None).await?;
        read(url, &answer)
    }

    /// Reads the text at the address itself.
    pub(super) async fn page(&self) -> Result<String, ApiError> {
        let (_, answer) = self.exchange(Method::GET, self.config.url.clone(), None).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Sends JSON, of whose answer nothing but its status counts.
    pub(super) async fn send(&self, path: &str, body: Vec<u8>) -> Result<(), ApiError> {
        self.exchange(Method::POST, self.url(path), Some(("application/json", body))).await.map(drop)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.config.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    async fn exchange(
        &self,
        method: Method,
        url: Url,
        content: Option<(&str, Vec<u8>)>,
    ) -> Result<(Url, Vec<u8>), ApiError> {
        let limit = self.config.timeout;
        let mut request = self.client.request(method, url.clone());
        if let Some(authorization) = &self.authorization {
            let header = authorization.header().await.map_err(|failure| ApiError::Secret(failure.message))?;
            request = request.header(header::AUTHORIZATION, header);
        }
        if let Some((kind, body)) = content {
            request = request.header(header::CONTENT_TYPE, kind).body(body);
        }
        let Ok(answered) = timeout(limit, exchanged(request, &url)).await else {
            return Err(ApiError::Late { url, limit });
        };
        let (status, answer) = answered?;
        if status.is_success() { Ok((url, answer)) } else { Err(refused(url, status, &answer)) }
    }
}

async fn exchanged(request: reqwest::RequestBuilder, url: &Url) -> Result<(StatusCode, Vec<u8>), ApiError> {
    let unreachable =
        |error: reqwest::Error| ApiError::Unreachable { url: url.clone(), reason: crate::chain(&error.without_url()) };
    let mut response = request.send().await.map_err(unreachable)?;
    let mut answer = Vec::new();
    while let Some(part) = response.chunk().await.map_err(unreachable)? {
        if answer.len() + part.len() > ANSWER_LIMIT {
            let excerpt = format!("more than {ANSWER_LIMIT} bytes");
            return Err(ApiError::Foreign { url: url.clone(), excerpt });
        }
        answer.extend_from_slice(&part);
    }
    Ok((response.status(), answer))
}

fn read<T: for<'a> Deserialize<'a>>(url: Url, answer: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(answer).map_err(|_| ApiError::Foreign { url, excerpt: excerpt(answer) })
}

fn refused(url: Url, status: StatusCode, answer: &[u8]) -> ApiError {
    let said = serde_json::from_slice::<Complaint>(answer).map(|complaint| complaint.error);
    // Alertmanager says some of its complaints as a mere string.
    let said = said.or_else(|_| serde_json::from_slice(answer)).unwrap_or_else(|_| excerpt(answer));
    let message = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "give --bearer-token-file, or --user and --password-file".to_owned()
        }
        _ if status.is_redirection() => "it sends elsewhere: give the address that it sends to".to_owned(),
        _ => said,
    };
    ApiError::Refused { url, status, message }
}

fn excerpt(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(&answer[..answer.len().min(4 * EXCERPT)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "nothing".to_owned() } else { line.chars().take(EXCERPT).collect() }
}
