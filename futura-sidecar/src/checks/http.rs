//! `kind: http`: one request over a fresh connection, whose answer is judged; and what a journey shares with it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::AUTHORIZATION};
use serde_yaml::Value;
use tokio::time::Instant;
use url::{ParseError, Url};

use crate::{
    config::{Section, form},
    network::{
        Authorization, Dialer, Failure, Guard, HttpClient, HttpRequest, HttpResponse, Jar, Network, Secret, Tls,
        TlsConfig, TlsError, Trace,
    },
};

pub use self::expectations::Expectations;
pub(super) use self::{
    expectations::{document, text},
    json_path::JsonPath,
};

mod expectations;
mod json_path;

/// How much of a body is read, in bytes, where nobody says.
const DEFAULT_BODY_LIMIT: u64 = 1024 * 1024;

/// How much of a body may be read at most, in bytes: it is held in memory.
const BODY_LIMIT: u64 = 16 * 1024 * 1024;

/// How many redirects may be followed.
const REDIRECTS_LIMIT: u8 = 10;

const EXAMPLE_URL: &str = "http://127.0.0.1:3000/health";

/// A check of kind `http`.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where the request goes: an `http` or `https` URL. Required.
    pub url: Url,
    /// The method. Default `GET`.
    pub method: Method,
    /// Headers of the request; their values are never shown, and redirects do not take them to another origin. Default none.
    pub headers: HeaderMap,
    /// The body of the request. Default none.
    pub body: Bytes,
    /// How the answer is fetched.
    pub transport: HttpTransport,
    /// What the answer has to be like.
    pub expect: Expectations,
}

/// How answers are fetched.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    /// Who asks: `{ user, password }` or `{ user, password_file }`, `{ bearer }` or `{ bearer_file }`; files are read for each
    /// request. Default nobody.
    pub(crate) authorization: Option<Authorization>,
    /// How many redirects are followed, up to 10; the answer after the last is judged. With `headers` or `authorization`, a
    /// redirect to another scheme, host or port is the last: they may hold secrets. Default 0.
    pub redirects: u8,
    /// How many bytes of a body are read, up to 16 MiB. Default 1 MiB.
    pub body_limit_bytes: u64,
    /// Whether HTTP/2 is spoken: `offer` where TLS agrees on it, `never`, or `only`, without asking. Default `offer`.
    pub http2: Http2,
    /// How TLS is spoken with an `https` URL. Default `{}`.
    pub tls: TlsConfig,
}

/// Whether HTTP/2 is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    /// Where TLS agrees on it.
    Offer,
    /// HTTP/1.1 alone.
    Never,
    /// Without asking, also over plain TCP.
    Only,
}

/// A check that can be run.
pub(super) struct HttpCheck {
    config: HttpConfig,
    client: Client,
}

/// What fetches answers.
pub(super) struct Client {
    transport: HttpTransport,
    http: HttpClient,
}

/// What is asked for.
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer with as much of its body as may be read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether a redirect was not followed for the sake of the headers.
    pub(crate) stayed: bool,
    pub(crate) took: Duration,
}

// === impl HttpConfig ===

impl HttpConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let url = section.required("url", url, EXAMPLE_URL);
        let method = section.or("method", method, Method::GET);
        let headers = section.or("headers", headers, HeaderMap::new());
        let body = section.or("body", |value| form::secret(value).map(Bytes::from), Bytes::new());
        let expect = Expectations::read(section);
        let transport = HttpTransport::read(section);
        Some(Self {
            url: url?,
            method: method?,
            headers: headers?,
            body: body?,
            transport: transport?,
            expect: expect?,
        })
    }
}

// === impl HttpTransport ===

impl HttpTransport {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let authorization = section.nested("authorization", read_authorization, None);
        let redirects = section.or("redirects", redirects, 0);
        let body_limit_bytes = section.or("body_limit_bytes", body_limit, DEFAULT_BODY_LIMIT);
        let http2 = section.or("http2", http2, Http2::Offer);
        let tls = section.nested("tls", TlsConfig::read, TlsConfig::default());
        Some(Self {
            authorization: authorization?,
            redirects: redirects?,
            body_limit_bytes: body_limit_bytes?,
            http2: http2?,
            tls: tls?,
        })
    }
}

fn read_authorization(section: &mut Section<'_, '_>) -> Option<Option<Authorization>> {
    let file = |value: &Value| form::text(value).map(|text| Some(Secret::File(text.into())));
    let secret = |value: &Value| form::secret(value).map(|text| Some(Secret::Text(text)));
    let user = section.or("user", |value| form::text(value).map(Some), None);
    let password = section.or("password", secret, None);
    let password_file = section.or("password_file", file, None);
    let bearer = section.or("bearer", secret, None);
    let bearer_file = section.or("bearer_file", file, None);
    let (password, bearer) = (password?.xor(password_file?), bearer?.xor(bearer_file?));
    match (user?, password, bearer) {
        (Some(user), Some(password), None) => Some(Some(Authorization::basic(user, password))),
        (None, None, Some(token)) => Some(Some(Authorization::bearer(token))),
        _ => {
            let ways = "`user` with `password` or `password_file`, or else `bearer` or `bearer_file`";
            section.report("user", format!("this says nothing or too much: write {ways}"));
            None
        }
    }
}

// === impl HttpCheck ===

impl HttpCheck {
    pub(super) fn new(config: HttpConfig, network: &Network) -> Result<Self, TlsError> {
        // A redirect may lead to TLS.
        let speaks_tls = config.url.scheme() == "https" || config.transport.redirects > 0;
        let client = Client::new(config.transport.clone(), speaks_tls, network)?;
        Ok(Self { config, client })
    }

    pub(super) fn host(&self) -> &str {
        self.config.url.host_str().unwrap_or_default()
    }

    /// The URL without its query, which may hold a secret.
    pub(super) fn target(&self) -> String {
        let mut url = self.config.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let HttpConfig { url, method, headers, body, expect, .. } = &self.config;
        let request =
            Request { url: url.clone(), method: method.clone(), headers: headers.clone(), body: body.clone() };
        let answer = self.client.fetch(request, &mut Jar::default(), trace).await?;
        expect.judge(&answer)
    }
}

// === impl Client ===

impl Client {
    pub(super) fn new(transport: HttpTransport, speaks_tls: bool, network: &Network) -> Result<Self, TlsError> {
        let protocols: &[&[u8]] = match transport.http2 {
            Http2::Offer => &[b"h2", b"http/1.1"],
            Http2::Never => &[b"http/1.1"],
            Http2::Only => &[b"h2"],
        };
        let tls = speaks_tls.then(|| Tls::new(&transport.tls, network, protocols)).transpose()?;
        let dialer = Dialer::new(network.clone(), Guard::default());
        let http = HttpClient { dialer, tls, http2: transport.http2 == Http2::Only, proxy: None };
        Ok(Self { transport, http })
    }

    /// Fetches the answer after the last redirect that may be followed.
    pub(super) async fn fetch(&self, request: Request, jar: &mut Jar, trace: &mut Trace) -> Result<Answer, Failure> {
        let start = Instant::now();
        let (mut response, stayed) = self.follow(request, jar, trace).await?;
        let body = self.read_body(&mut response, trace).await?;
        let HttpResponse { status, headers, .. } = response;
        Ok(Answer { status, headers, body, stayed, took: start.elapsed() })
    }

    /// The answer after the last redirect, and whether that one was not followed for the sake of the headers.
    async fn follow(
        &self,
        mut request: Request,
        jar: &mut Jar,
        trace: &mut Trace,
    ) -> Result<(HttpResponse, bool), Failure> {
        let origin = request.url.origin();
        if let Some(authorization) = &self.transport.authorization {
            request.headers.insert(AUTHORIZATION, authorization.header().await?);
        }
        let stays = !request.headers.is_empty();
        for left in (0..=self.transport.redirects).rev() {
            let Request { url, method, body, .. } = &request;
            let mut headers = request.headers.clone();
            jar.add_to(&mut headers, url);
            let response = self.http.send(trace, HttpRequest { method, url, headers, body: body.clone() }).await?;
            jar.take_from(&response.headers, url);
            match response.redirect(url) {
                Some(next) if left > 0 && (!stays || next.origin() == origin) => {
                    request.redirect(next, response.status);
                }
                next => return Ok((response, next.is_some() && left > 0)),
            }
        }
        unreachable!("the last round returns")
    }

    /// Reads the body up to the limit: it is part of the answer, and of the time that the answer takes.
    async fn read_body(&self, response: &mut HttpResponse, trace: &mut Trace) -> Result<Vec<u8>, Failure> {
        let (limit, mut body) = (self.transport.body_limit_bytes as usize, Vec::new());
        while let Some(chunk) = response.chunk(trace).await? {
            let room = limit - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == limit {
                break;
            }
        }
        Ok(body)
    }
}

// === impl Request ===

impl Request {
    /// What was sent is not sent again after a redirect, unless the target asks for that (RFC 9110, section 15.4).
    fn redirect(&mut self, to: Url, status: StatusCode) {
        self.url = to;
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            (self.method, self.body) = (Method::GET, Bytes::new());
        }
    }
}

/// The URL is not repeated in messages: it may hold a secret.
fn url(value: &Value) -> Result<Url, String> {
    parse_url(&form::secret(value)?)
}

/// An `http` or `https` URL without credentials.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        let why = match error {
            ParseError::RelativeUrlWithoutBase => "it begins with neither `http://` nor `https://`".to_owned(),
            error => error.to_string(),
        };
        format!("not a URL, {why}: write one such as `{EXAMPLE_URL}`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let scheme = url.scheme();
        return Err(format!("`{scheme}:` is neither `http:` nor `https:`: write a URL such as `{EXAMPLE_URL}`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials in a URL end up in logs: write them as `authorization`".to_owned());
    }
    Ok(url)
}

pub(super) fn method(value: &Value) -> Result<Method, String> {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let names = known.each_ref().map(Method::as_str).join(", ");
    let found = known.into_iter().find(|method| value.as_str() == Some(method.as_str()));
    found.ok_or_else(|| format!("{} is no method, allowed are {names}", form::shown(value)))
}

/// Headers, whose values are never shown.
pub(super) fn headers(value: &Value) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (key, value) in header_texts(value)? {
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| format!("the value of `{key}` has characters that no header may have"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Headers as they are written, each once.
pub(super) fn header_texts(value: &Value) -> Result<Vec<(HeaderName, String)>, String> {
    let Value::Mapping(mapping) = value else {
        return Err("no headers: write `{ accept: text/html }`".to_owned());
    };
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    for (name, value) in mapping {
        let name = form::text(name)?;
        let key = HeaderName::try_from(&name).map_err(|_| format!("`{name}` is not a header's name"))?;
        let value = form::secret(value).map_err(|message| format!("header `{name}`: {message}"))?;
        if headers.iter().any(|(known, _)| *known == key) {
            return Err(format!("header `{name}` stands twice"));
        }
        headers.push((key, value));
    }
    Ok(headers)
}

fn redirects(value: &Value) -> Result<u8, String> {
    let redirects = form::number(value).ok().and_then(|number| u8::try_from(number).ok());
    redirects
        .filter(|redirects| *redirects <= REDIRECTS_LIMIT)
        .ok_or_else(|| format!("{} is no number from 0 to {REDIRECTS_LIMIT}", form::shown(value)))
}

fn body_limit(value: &Value) -> Result<u64, String> {
    let limit = form::number(value)?;
    if (1..=BODY_LIMIT).contains(&limit) { Ok(limit) } else { Err(format!("{limit} is not from 1 to {BODY_LIMIT}")) }
}

fn http2(value: &Value) -> Result<Http2, String> {
    match value.as_str() {
        Some("offer") => Ok(Http2::Offer),
        Some("never") => Ok(Http2::Never),
        Some("only") => Ok(Http2::Only),
        _ => Err(format!("{} is none of `offer`, `never` and `only`", form::shown(value))),
    }
}
