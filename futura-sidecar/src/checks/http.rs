//! `kind: http`: one request over a fresh connection; the answer's status and body are judged.

use std::{fmt, ops::RangeInclusive};

use bytes::Bytes;
use futura_metrics::specs::checks::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use regex::bytes::Regex;
use serde_yaml::Value;
use url::{ParseError, Url};

use super::pattern::{literal, pattern};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Guard, HttpClient, HttpRequest, HttpResponse, Network, Tls, TlsConfig, TlsError, Trace,
    },
};

/// How much of a body is looked at.
const BODY_LIMIT: usize = 1024 * 1024;

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
    /// The statuses that are right, each a code or a class: `200`, `2xx` or `[2xx, 304]`. Default `2xx`.
    pub status: Vec<RangeInclusive<u16>>,
    /// A text that the first mebibyte of the body holds. Default none.
    pub body_contains: Option<Regex>,
    /// A regular expression that matches within the first mebibyte of the body. Default none.
    pub body_matches: Option<Regex>,
    /// How many redirects are followed, up to 10; the answer after the last is judged. With `headers`, a redirect to
    /// another scheme, host or port is the last: they may hold secrets. Default 0.
    pub redirects: u8,
}

/// A check that can be run.
pub(super) struct HttpCheck {
    config: HttpConfig,
    client: HttpClient,
}

/// Writes ranges as they are configured.
struct Statuses<'a>(&'a [RangeInclusive<u16>]);

// === impl HttpConfig ===

impl HttpConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let url = section.required("url", url, EXAMPLE_URL);
        let method = section.or("method", method, Method::GET);
        let headers = section.or("headers", headers, HeaderMap::new());
        let status = section.or("status", statuses, vec![200..=299]);
        let body_contains = section.or("body_contains", |value| literal(value).map(Some), None);
        let body_matches = section.or("body_matches", |value| pattern(value).map(Some), None);
        let redirects = section.or("redirects", redirects, 0);
        Some(Self {
            url: url?,
            method: method?,
            headers: headers?,
            status: status?,
            body_contains: body_contains?,
            body_matches: body_matches?,
            redirects: redirects?,
        })
    }
}

// === impl HttpCheck ===

impl HttpCheck {
    pub(super) fn new(config: HttpConfig, network: &Network) -> Result<Self, TlsError> {
        // A redirect may lead to TLS.
        let speaks_tls = config.url.scheme() == "https" || config.redirects > 0;
        let tls = speaks_tls.then(|| Tls::new(&TlsConfig::default(), network, &[b"http/1.1"])).transpose()?;
        let dialer = Dialer::new(network.clone(), Guard::default());
        Ok(Self { config, client: HttpClient { dialer, tls, http2: false } })
    }

    /// The URL without its query, which may hold a secret.
    pub(super) fn target(&self) -> String {
        let mut url = self.config.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    }

    pub(super) async fn run(&self, trace: &mut Trace) -> Result<(), Failure> {
        let config = &self.config;
        let (mut response, stayed) = self.follow(trace).await?;
        let status = response.status;
        if !config.status.iter().any(|range| range.contains(&status.as_u16())) {
            let why = if stayed { ": the headers do not go to another origin" } else { "" };
            return Err(Failure::new(
                Reason::Status,
                format!("status {status}, expected {}{why}", Statuses(&config.status)),
            ));
        }
        let body = read_body(&mut response, trace).await?;
        for (pattern, what) in
            [(&config.body_contains, "contain the text"), (&config.body_matches, "match the pattern")]
        {
            if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&body)) {
                return Err(Failure::new(Reason::Body, format!("the body of {} bytes does not {what}", body.len())));
            }
        }
        Ok(())
    }

    /// The answer after the last redirect, and whether that one was not followed for the sake of the headers.
    async fn follow(&self, trace: &mut Trace) -> Result<(HttpResponse, bool), Failure> {
        let config = &self.config;
        let (mut url, mut method) = (config.url.clone(), config.method.clone());
        for left in (0..=config.redirects).rev() {
            let (headers, body) = (config.headers.clone(), Bytes::new());
            let request = HttpRequest { method: &method, url: &url, headers, body };
            let response = self.client.send(trace, request).await?;
            match response.redirect(&url) {
                Some(next) if left > 0 && (config.headers.is_empty() || next.origin() == config.url.origin()) => {
                    method = redirected(method, response.status);
                    url = next;
                }
                next => return Ok((response, next.is_some() && left > 0)),
            }
        }
        unreachable!("the last round returns")
    }
}

/// The method after a redirect: what was sent is not sent again, unless the target asks for that (RFC 9110, section 15.4).
fn redirected(method: Method, status: StatusCode) -> Method {
    match status {
        StatusCode::SEE_OTHER if method != Method::HEAD => Method::GET,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if method == Method::POST => Method::GET,
        _ => method,
    }
}

/// Reads the body up to the limit: it is part of the answer, and of the time that the answer takes.
async fn read_body(response: &mut HttpResponse, trace: &mut Trace) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk(trace).await? {
        let room = BODY_LIMIT - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == BODY_LIMIT {
            break;
        }
    }
    Ok(body)
}

// === impl Statuses ===

impl fmt::Display for Statuses<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            match range.start() == range.end() {
                true => write!(formatter, "{separator}{}", range.start())?,
                false => write!(formatter, "{separator}{}xx", range.start() / 100)?,
            }
        }
        Ok(())
    }
}

/// The URL is not repeated in messages: it may hold a secret.
fn url(value: &Value) -> Result<Url, String> {
    let url = Url::parse(&form::secret(value)?).map_err(|error| {
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
        return Err("credentials in a URL end up in logs: send a header `authorization: ${NAME}` instead".to_owned());
    }
    Ok(url)
}

fn method(value: &Value) -> Result<Method, String> {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let names = known.each_ref().map(Method::as_str).join(", ");
    let found = known.into_iter().find(|method| value.as_str() == Some(method.as_str()));
    found.ok_or_else(|| format!("{} is no method, allowed are {names}", form::shown(value)))
}

/// Headers, whose values are never shown.
pub(super) fn headers(value: &Value) -> Result<HeaderMap, String> {
    let Value::Mapping(mapping) = value else {
        return Err("no headers: write `{ accept: text/html }`".to_owned());
    };
    let mut headers = HeaderMap::new();
    for (name, value) in mapping {
        let name = form::text(name)?;
        let key = HeaderName::try_from(&name).map_err(|_| format!("`{name}` is not a header's name"))?;
        let value = form::secret(value).map_err(|message| format!("header `{name}`: {message}"))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| format!("the value of `{name}` has characters that no header may have"))?;
        value.set_sensitive(true);
        if headers.insert(key, value).is_some() {
            return Err(format!("header `{name}` stands twice"));
        }
    }
    Ok(headers)
}

fn statuses(value: &Value) -> Result<Vec<RangeInclusive<u16>>, String> {
    let read = match value {
        Value::Sequence(values) if !values.is_empty() => values.iter().map(status).collect(),
        value => status(value).map(|range| vec![range]),
    };
    read.ok_or_else(|| "no status: write one such as `200`, a class such as `2xx`, or a list of them".to_owned())
}

fn status(value: &Value) -> Option<RangeInclusive<u16>> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(class * 100..=class * 100 + 99);
    }
    let code = text.parse().ok().filter(|code| (100..=599).contains(code))?;
    Some(code..=code)
}

fn redirects(value: &Value) -> Result<u8, String> {
    let redirects = form::number(value).ok().and_then(|number| u8::try_from(number).ok());
    redirects
        .filter(|redirects| *redirects <= REDIRECTS_LIMIT)
        .ok_or_else(|| format!("{} is no number from 0 to {REDIRECTS_LIMIT}", form::shown(value)))
}
