//! `prober: http`.

use std::{net::IpAddr, path::PathBuf};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder};
use bytes::Bytes;
use futura_metrics::specs::checks::Reason;
use futures_util::stream::try_unfold;
use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, LAST_MODIFIED, WWW_AUTHENTICATE},
};
use serde_yaml::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;
use url::Url;

use super::{
    FAILED_DUE_TO_REGEX, Run, Target,
    access::Access,
    config::{HeaderRule, TlsModule, file, headers, list, method},
    oauth2::OAuth2,
    pattern::{BodyPattern, Search},
    samples::Gauge,
};
use crate::{
    config::{Section, form},
    network::{
        Dialer, Failure, Family, Guard, HttpClient, HttpRequest, HttpResponse, Jar, Network, Tls, TlsError, Trace,
        read_file,
    },
};

const CONTENT: Gauge = Gauge::new("probe_http_content_length", "Length of http content response");
const UNCOMPRESSED: Gauge = Gauge::new("probe_http_uncompressed_body_length", "Length of uncompressed response body");
const REDIRECTS: Gauge = Gauge::new("probe_http_redirects", "The number of redirects");
const SSL: Gauge = Gauge::new("probe_http_ssl", "Indicates if SSL was used for the final redirect");
const STATUS: Gauge = Gauge::new("probe_http_status_code", "Response HTTP status code");
const VERSION: Gauge = Gauge::new("probe_http_version", "Returns the version of HTTP of the probe response");
const MODIFIED: Gauge = Gauge::new(
    "probe_http_last_modified_timestamp_seconds",
    "Returns the Last-Modified HTTP response header in unixtime",
);

/// How much of a body is read where nobody says: more than any page has, and an end to what has none.
const DEFAULT_BODY_LIMIT: u64 = 256 * 1024 * 1024;

/// How many redirects are followed.
const REDIRECTS_LIMIT: u32 = 10;

/// What a module says of `http`.
#[derive(Clone, Debug)]
pub(super) struct HttpModule {
    family: Family,
    source: Option<IpAddr>,
    statuses: Vec<u16>,
    versions: Vec<String>,
    follow_redirects: bool,
    fail_if_ssl: bool,
    fail_if_not_ssl: bool,
    method: Method,
    headers: HeaderMap,
    fail_if_body_matches: Vec<BodyPattern>,
    fail_if_body_not_matches: Vec<BodyPattern>,
    fail_if_header_matches: Vec<HeaderRule>,
    fail_if_header_not_matches: Vec<HeaderRule>,
    body: Option<Bytes>,
    body_file: Option<PathBuf>,
    access: Access,
    tls_config: TlsModule,
    http2: bool,
    compression: Option<String>,
    body_limit: Option<u64>,
}

/// A probe that can be run.
pub(super) struct HttpProber {
    module: HttpModule,
    client: HttpClient,
    oauth2: Option<OAuth2>,
}

// === impl HttpModule ===

impl HttpModule {
    pub(super) fn read_below(section: &mut Section<'_, '_>) -> Option<Self> {
        section.nested_or_empty("http", Self::read)
    }

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let family = section.family();
        let source = section.source_address();
        let statuses = section.or("valid_status_codes", |value| list(value, status), Vec::new());
        let versions = section.or("valid_http_versions", |value| list(value, form::text), Vec::new());
        let follow_redirects = section.or("follow_redirects", form::flag, true);
        let no_follow_redirects = section.or("no_follow_redirects", form::flag, false);
        let fail_if_ssl = section.or("fail_if_ssl", form::flag, false);
        let fail_if_not_ssl = section.or("fail_if_not_ssl", form::flag, false);
        let method = section.or("method", method, Method::GET);
        let headers = section.or("headers", headers, HeaderMap::new());
        let fail_if_body_matches = section.body_patterns("fail_if_body_matches_regexp");
        let fail_if_body_not_matches = section.body_patterns("fail_if_body_not_matches_regexp");
        let fail_if_header_matches = section.header_rules("fail_if_header_matches");
        let fail_if_header_not_matches = section.header_rules("fail_if_header_not_matches");
        let body = section.or("body", |value| form::text(value).map(|text| Some(text.into())), None);
        let body_file = section.or("body_file", file, None);
        let access = Access::read(section);
        let tls_config = section.tls_module();
        let http2 = section.or("enable_http2", form::flag, true);
        let compression = section.or("compression", compression, None);
        let body_limit = section.or("body_size_limit", size, Some(DEFAULT_BODY_LIMIT));
        for (key, instead) in REFUSED {
            section.refuse(key, instead);
        }
        Some(Self {
            family: family?,
            source: source?,
            statuses: statuses?,
            versions: versions?,
            follow_redirects: follow_redirects? && !no_follow_redirects?,
            fail_if_ssl: fail_if_ssl?,
            fail_if_not_ssl: fail_if_not_ssl?,
            method: method?,
            headers: headers?,
            fail_if_body_matches: fail_if_body_matches?,
            fail_if_body_not_matches: fail_if_body_not_matches?,
            fail_if_header_matches: fail_if_header_matches?,
            fail_if_header_not_matches: fail_if_header_not_matches?,
            body: body?,
            body_file: body_file?,
            access: access?,
            tls_config: tls_config?,
            http2: http2?,
            compression: compression?,
            body_limit: body_limit?,
        })
    }
}

/// Keys of the format that are not built.
const REFUSED: [(&str, &str); 5] = [
    ("proxy_from_environment", "name the proxy as `proxy_url`"),
    ("http_headers", "write them as `headers`"),
    ("fail_if_body_json_matches_cel", "use a check of kind `http` with `json`, or a regular expression"),
    ("fail_if_body_json_not_matches_cel", "use a check of kind `http` with `json`, or a regular expression"),
    ("enable_http3", "HTTP/1.1 and HTTP/2 are spoken"),
];

fn status(value: &Value) -> Result<u16, String> {
    let status = form::number(value).ok().and_then(|number| u16::try_from(number).ok());
    status.ok_or_else(|| format!("{} is no status such as `200`", form::shown(value)))
}

fn compression(value: &Value) -> Result<Option<String>, String> {
    let name = form::text(value)?;
    match name.as_str() {
        "" | "identity" => Ok(None),
        "gzip" | "br" | "deflate" => Ok(Some(name)),
        _ => Err(format!("`{name}` is none of `gzip`, `br`, `deflate` and `identity`")),
    }
}

/// A number of bytes such as `10MB`, in powers of 1024 as the peer counts; none, which is no limit, for 0.
fn size(value: &Value) -> Result<Option<u64>, String> {
    let text = value.as_u64().map_or_else(|| form::text(value), |number| Ok(number.to_string()))?;
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let power = ["", "K", "M", "G", "T"]
        .iter()
        .position(|prefix| unit.trim().trim_end_matches('B').trim_end_matches('i') == *prefix);
    let bytes = number.parse::<f64>().ok().zip(power).map(|(number, power)| number * 1024_f64.powi(power as i32));
    match bytes {
        Some(bytes) if bytes < 1e15 => Ok(Some(bytes as u64).filter(|bytes| *bytes > 0)),
        _ => Err(format!("`{text}` is no size such as `10MB`")),
    }
}

// === impl HttpProber ===

impl HttpProber {
    pub(super) fn new(module: HttpModule, guard: Guard, network: &Network) -> Result<Self, TlsError> {
        let mut dialer = Dialer::new(network.clone(), guard);
        (dialer.family, dialer.source) = (module.family, module.source);
        let protocols: &[&[u8]] = if module.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        let TlsModule { config, versions } = &module.tls_config;
        let tls = Tls::with_versions(config, network, protocols, versions)?;
        let client = HttpClient { dialer, tls: Some(tls), http2: false, proxy: module.access.proxy.clone() };
        let oauth2 = module.access.oauth2.clone().map(|module| OAuth2::new(module, network)).transpose()?;
        Ok(Self { module, client, oauth2 })
    }

    /// Whether the module sets another `Host` than the one that was asked for by name.
    pub(super) fn contradicts(&self, hostname: &str) -> bool {
        self.module.headers.get(HOST).is_some_and(|host| host.as_bytes() != hostname.as_bytes())
    }

    pub(super) async fn run(&self, target: &Target<'_>, run: &mut Run) -> Result<(), Failure> {
        for gauge in [FAILED_DUE_TO_REGEX, CONTENT, UNCOMPRESSED, REDIRECTS, SSL, STATUS, VERSION] {
            run.samples.set(gauge, 0.0);
        }
        let text = if target.text.starts_with("http://") || target.text.starts_with("https://") {
            target.text.to_owned()
        } else {
            format!("http://{}", target.text)
        };
        let url = Url::parse(&text)
            .map_err(|error| Failure::new(Reason::Protocol, format!("`{text}` is no target: {error}")))?;
        let (response, ssl, whole) = self.follow(url, target.hostname, run).await?;
        let status = response.status.as_u16();
        run.samples.set(STATUS, f64::from(status));
        run.samples.set(VERSION, version(response.version));
        run.samples.set(SSL, f64::from(u8::from(ssl)));
        run.samples.set(CONTENT, length(&response));
        if let Some(modified) = last_modified(&response.headers) {
            run.samples.set(MODIFIED, modified);
        }
        let judged = self.judge_head(&response, run);
        let bodied = if whole { self.judge_body(response, judged.is_ok(), run).await } else { Ok(()) };
        judged.and(bodied)?;
        match ssl {
            true if self.module.fail_if_ssl => Err(Failure::new(Reason::Tls, "the last answer came over TLS")),
            false if self.module.fail_if_not_ssl => Err(Failure::new(Reason::Tls, "the last answer came without TLS")),
            _ => Ok(()),
        }
    }

    /// The last answer, whether it came over TLS, and whether it was to be the last.
    async fn follow(
        &self,
        mut url: Url,
        hostname: Option<&str>,
        run: &mut Run,
    ) -> Result<(HttpResponse, bool, bool), Failure> {
        let (module, origin, mut method) = (&self.module, url.origin(), self.module.method.clone());
        let (mut redirects, mut jar) = (0, Jar::default());
        let client = HttpClient { tls: self.client.tls.as_ref().map(|tls| tls.named(hostname)), ..self.client.clone() };
        let authorization = match &self.oauth2 {
            Some(oauth2) => {
                // No token is fetched for a target that cannot be probed.
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
                run.address = client.dialer.resolve(&mut run.trace, host).await?.first().copied();
                Some(Box::pin(oauth2.authorization()).await?)
            }
            None => module.access.authorization.clone(),
        };
        let mut body = match &module.body_file {
            Some(file) => read_file(file).await?.into(),
            None => module.body.clone().unwrap_or_default(),
        };
        loop {
            let mut headers = module.headers.clone();
            if let Some(encoding) = module.compression.as_ref().and_then(|name| HeaderValue::try_from(name).ok()) {
                headers.entry(ACCEPT_ENCODING).or_insert(encoding);
            }
            if let Some(authorization) = &authorization {
                headers.insert(AUTHORIZATION, authorization.header().await?);
            }
            if let Some(host) = hostname.and_then(|host| HeaderValue::try_from(host).ok()) {
                headers.insert(HOST, host);
            }
            if url.origin() != origin {
                // What was meant for one host is not for another.
                [AUTHORIZATION, COOKIE, WWW_AUTHENTICATE, HOST].iter().for_each(|name| drop(headers.remove(name)));
            }
            jar.add_to(&mut headers, &url);
            // The chain that is told of is the last answer's.
            run.trace.chain = None;
            let client = if url.origin() == origin { &client } else { &self.client };
            let request = HttpRequest { method: &method, url: &url, headers, body: body.clone() };
            let sent = client.send(&mut run.trace, request).await;
            run.address = run.address.or(run.trace.address);
            let response = sent?;
            jar.take_from(&response.headers, &url);
            let Some(next) = response.redirect(&url) else { return Ok((response, url.scheme() == "https", true)) };
            redirects += 1;
            run.samples.set(REDIRECTS, f64::from(redirects));
            if redirects > REDIRECTS_LIMIT || !module.follow_redirects {
                return Ok((response, url.scheme() == "https", false));
            }
            if matches!(response.status.as_u16(), 301..=303) {
                if method != Method::HEAD {
                    method = Method::GET;
                }
                body = Bytes::new();
            }
            run.log(format!("redirected to {next}"));
            url = next;
        }
    }

    /// Judges status, headers and version.
    fn judge_head(&self, response: &HttpResponse, run: &mut Run) -> Result<(), Failure> {
        let (module, status) = (&self.module, response.status.as_u16());
        let right =
            if module.statuses.is_empty() { (200..300).contains(&status) } else { module.statuses.contains(&status) };
        if !right {
            return Err(Failure::new(Reason::Status, format!("status {}", response.status)));
        }
        let broken = module
            .fail_if_header_matches
            .iter()
            .find(|rule| rule.is_met(&response.headers) != Some(false) && !rule.may_miss(&response.headers));
        let broken = broken.or_else(|| {
            module
                .fail_if_header_not_matches
                .iter()
                .find(|rule| rule.is_met(&response.headers) != Some(true) && !rule.may_miss(&response.headers))
        });
        if let Some(rule) = broken {
            run.samples.set(FAILED_DUE_TO_REGEX, 1.0);
            return Err(Failure::new(Reason::Header, format!("the header `{}` is not as it should be", rule.header)));
        }
        let version = format!("{:?}", response.version);
        if !module.versions.is_empty() && !module.versions.contains(&version) {
            return Err(Failure::new(Reason::Protocol, format!("the answer is in {version}")));
        }
        Ok(())
    }

    /// Reads the whole body and, if the head was right, judges it.
    async fn judge_body(&self, response: HttpResponse, judges: bool, run: &mut Run) -> Result<(), Failure> {
        let module = &self.module;
        let patterns = module.fail_if_body_matches.iter().chain(&module.fail_if_body_not_matches);
        let mut searches: Vec<_> = patterns.filter(|_| judges).map(BodyPattern::search).collect();
        let encoding = module.compression.as_deref();
        let (length, result) = read_body(response, encoding, module.body_limit, &mut searches, &mut run.trace).await;
        run.samples.set(UNCOMPRESSED, length as f64);
        if result.is_err() && !searches.is_empty() {
            // Of a body that broke off nobody knows what it would have matched.
            run.samples.set(FAILED_DUE_TO_REGEX, 1.0);
        }
        result?;
        if !judges {
            return Ok(());
        }
        let forbidden = module.fail_if_body_matches.len();
        let found: Vec<_> = searches.into_iter().map(Search::finish).collect();
        let broken = found.iter().enumerate().position(|(place, found)| *found == (place < forbidden));
        let Some(place) = broken else { return Ok(()) };
        run.samples.set(FAILED_DUE_TO_REGEX, 1.0);
        let patterns = [&module.fail_if_body_matches[..], &module.fail_if_body_not_matches].concat();
        let what = if place < forbidden { "matches" } else { "does not match" };
        Err(Failure::new(Reason::Body, format!("the body {what} `{}`", patterns[place])))
    }
}

/// Reads a body to its end, through its encoding, and searches it; tells how long it was as far as it came.
async fn read_body(
    response: HttpResponse,
    encoding: Option<&str>,
    limit: Option<u64>,
    searches: &mut [Search<'_>],
    trace: &mut Trace,
) -> (u64, Result<(), Failure>) {
    let chunks = try_unfold((response, trace), async |(mut response, trace)| {
        let chunk = response.chunk(trace).await.map_err(|failure| std::io::Error::other(failure.message))?;
        Ok::<_, std::io::Error>(chunk.map(|chunk| (chunk, (response, trace))))
    });
    let plain = StreamReader::new(Box::pin(chunks));
    let mut reader: std::pin::Pin<Box<dyn AsyncRead + Send + '_>> = match encoding {
        Some("gzip") => Box::pin(GzipDecoder::new(plain)),
        Some("br") => Box::pin(BrotliDecoder::new(plain)),
        Some("deflate") => Box::pin(ZlibDecoder::new(plain)),
        _ => Box::pin(plain),
    };
    let (mut length, mut buffer) = (0, vec![0; 16 * 1024]);
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => return (length, Ok(())),
            Ok(count) => {
                length += count as u64;
                if let Some(limit) = limit.filter(|limit| length > *limit) {
                    return (limit, Err(Failure::new(Reason::Body, "the body is larger than `body_size_limit`")));
                }
                searches.iter_mut().for_each(|search| search.feed(&buffer[..count]));
            }
            Err(error) => return (length, Err(Failure::new(Reason::Protocol, format!("the body broke off: {error}")))),
        }
    }
}

fn version(version: Version) -> f64 {
    match version {
        Version::HTTP_10 => 1.0,
        Version::HTTP_2 => 2.0,
        _ => 1.1,
    }
}

/// The length that is told beforehand; -1 where none is.
fn length(response: &HttpResponse) -> f64 {
    let told = response.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
    told.unwrap_or(if matches!(response.status.as_u16(), 204 | 304) { 0.0 } else { -1.0 })
}

fn last_modified(headers: &HeaderMap) -> Option<f64> {
    let time = httpdate::parse_http_date(headers.get(LAST_MODIFIED)?.to_str().ok()?).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64())
}

// === impl HeaderRule ===

impl HeaderRule {
    /// Whether one of the header's values matches; none without the header.
    fn is_met(&self, headers: &HeaderMap) -> Option<bool> {
        let mut values = headers.get_all(&self.header).iter().peekable();
        values.peek()?;
        Some(values.any(|value| self.pattern.is_match(value.as_bytes())))
    }

    fn may_miss(&self, headers: &HeaderMap) -> bool {
        self.allow_missing && !headers.contains_key(&self.header)
    }
}
