//! `oauth2`: a token that is fetched for each probe, by a client's own credentials (RFC 6749, section 4.4).

use bytes::Bytes;
use futura_metrics::specs::checks::Reason;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde_yaml::Value;
use url::{Url, form_urlencoded};

use super::config::{TlsModule, file, list};
use crate::{
    config::{Section, form},
    network::{Authorization, Dialer, Failure, Guard, HttpClient, HttpRequest, Network, Secret, Tls, TlsError, Trace},
};

/// How long an answer may be, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// What a module says of `oauth2`.
#[derive(Clone)]
pub(super) struct OAuth2Module {
    client: String,
    secret: Secret,
    scopes: Vec<String>,
    url: Url,
    params: Vec<(String, String)>,
    tls_config: TlsModule,
}

/// What fetches tokens. The server of tokens is who configures chose, so no guard judges it.
pub(super) struct OAuth2 {
    module: OAuth2Module,
    client: HttpClient,
}

// === impl OAuth2Module ===

impl OAuth2Module {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Option<Self>> {
        let client = section.required("client_id", form::text, "probe");
        let secret = section.or("client_secret", form::secret, String::new());
        let secret_file = section.or("client_secret_file", file, None);
        let scopes = section.or("scopes", |value| list(value, form::text), Vec::new());
        let url = section.required("token_url", url, "https://login.example.org/token");
        let params = section.or("endpoint_params", params, Vec::new());
        let tls_config = section.tls_module();
        section.refuse("proxy_url", "tokens are not fetched through proxies");
        let secret = secret?;
        Some(Some(Self {
            client: client?,
            secret: secret_file?.map_or(Secret::Text(secret), Secret::File),
            scopes: scopes?,
            url: url?,
            params: params?,
            tls_config: tls_config?,
        }))
    }
}

fn url(value: &Value) -> Result<Url, String> {
    let url = Url::parse(&form::text(value)?).map_err(|error| format!("it is no URL: {error}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err("it is no URL of `https` or `http`".to_owned()) }
}

fn params(value: &Value) -> Result<Vec<(String, String)>, String> {
    let Value::Mapping(mapping) = value else { return Err(format!("{} is no mapping", form::shown(value))) };
    mapping.iter().map(|(name, value)| Ok((form::text(name)?, form::secret(value)?))).collect()
}

impl std::fmt::Debug for OAuth2Module {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OAuth2Module").field("client", &self.client).finish_non_exhaustive()
    }
}

// === impl OAuth2 ===

impl OAuth2 {
    pub(super) fn new(module: OAuth2Module, network: &Network) -> Result<Self, TlsError> {
        let TlsModule { config, versions } = &module.tls_config;
        let tls = Some(Tls::with_versions(config, network, &[b"http/1.1"], versions)?);
        let dialer = Dialer::new(network.clone(), Guard::default());
        Ok(Self { module, client: HttpClient { dialer, tls, http2: false, proxy: None } })
    }

    /// Who the probe says it is.
    pub(super) async fn authorization(&self) -> Result<Authorization, Failure> {
        // The credentials go into a header, as the RFC prefers, and into the body for servers that know no better.
        let token = match self.fetch(true).await {
            Err(failure) if failure.reason == Reason::Auth => self.fetch(false).await?,
            fetched => fetched?,
        };
        Ok(Authorization::bearer(Secret::Text(token)))
    }

    async fn fetch(&self, in_header: bool) -> Result<String, Failure> {
        let OAuth2Module { client, secret, scopes, url, params, .. } = &self.module;
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let mut pairs = vec![("grant_type".to_owned(), "client_credentials".to_owned())];
        if !scopes.is_empty() {
            pairs.push(("scope".to_owned(), scopes.join(" ")));
        }
        pairs.extend_from_slice(params);
        if in_header {
            headers.insert(AUTHORIZATION, Authorization::basic(client.clone(), secret.clone()).header().await?);
        } else {
            pairs.push(("client_id".to_owned(), client.clone()));
            pairs.push(("client_secret".to_owned(), secret.read().await?));
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = HttpRequest { method: &Method::POST, url, headers, body: Bytes::from(body) };
        // The phases that are told of are the target's.
        let mut trace = Trace::default();
        let mut response = self.client.send(&mut trace, request).await.map_err(|failure| told(&failure))?;
        if response.status != StatusCode::OK {
            return Err(Failure::new(Reason::Auth, format!("the server of tokens says {}", response.status)));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk(&mut trace).await.map_err(|failure| told(&failure))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_LIMIT {
                break;
            }
        }
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = answer["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| Failure::new(Reason::Protocol, "the server of tokens sends none"))
    }
}

fn told(failure: &Failure) -> Failure {
    Failure::new(failure.reason, format!("the server of tokens: {}", failure.message))
}
