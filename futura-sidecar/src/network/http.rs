//! One HTTP exchange over a connection of its own, each of its phases timed. Redirects are the business of who asks.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
};

use bytes::Bytes;
use futura_metrics::specs::checks::{Phase, Reason};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, HOST, LOCATION, USER_AGENT},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::spawn;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Position, Url};

use super::{
    Dialer, Failure, Proxy, Stream, Tls, Trace,
    http1::{self, Http1Body},
};
use crate::causes;

/// How large an answer's head may be over HTTP/2, in bytes.
const HEAD_LIMIT: u32 = 64 * 1024;

/// How much of an answer is in flight over HTTP/2, in bytes: a target cannot have us hold more than is read.
const WINDOW: u32 = 64 * 1024;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("futura-sidecar/", env!("CARGO_PKG_VERSION")));

/// Sends requests, each over a connection of its own. Clones share all.
#[derive(Clone)]
pub(crate) struct HttpClient {
    pub(crate) dialer: Dialer,
    /// What `https` is spoken with.
    pub(crate) tls: Option<Tls>,
    /// Whether HTTP/2 is spoken without asking; over TLS it is spoken where it was agreed on.
    pub(crate) http2: bool,
    /// What stands between, if anything.
    pub(crate) proxy: Option<Proxy>,
}

/// What is asked for.
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer whose body is still to be read. Dropped, it closes the connection.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    body: Body,
}

/// A body, and what reads it.
enum Body {
    Http1(Http1Body),
    /// Boxed, as every run would hold what few need.
    Http2(Box<(Incoming, Connection)>),
}

/// What reads and writes a connection whenever somebody waits for its answer; none once that has ended. A task of its own for each
/// run would cost memory and changes of thread.
struct Connection(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

// === impl HttpClient ===

impl HttpClient {
    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn send(&self, trace: &mut Trace, request: HttpRequest<'_>) -> Result<HttpResponse, Failure> {
        let ((host, port), secure) = (authority(request.url)?, request.url.scheme() == "https");
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.serves(&host));
        let stream = match proxy {
            // Boxed, here and below, as every run that waits would hold what few need, or need for a moment.
            Some(proxy) => Box::pin(proxy.connect(&self.dialer, trace, (&host, port), secure)).await?,
            None => self.dialer.connect(trace, &host, port).await?,
        };
        if !secure {
            return self.exchange(trace, Box::new(stream), (self.http2, proxy), request).await;
        }
        let tls = self.tls.as_ref().ok_or_else(|| Failure::new(Reason::Tls, "TLS is not spoken here"))?;
        let stream = Box::pin(tls.handshake(trace, stream, &host)).await?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.exchange(trace, Box::new(stream), (agreed || self.http2, None), request).await
    }

    async fn exchange(
        &self,
        trace: &mut Trace,
        stream: Box<dyn Stream>,
        (http2, proxy): (bool, Option<&Proxy>),
        mut request: HttpRequest<'_>,
    ) -> Result<HttpResponse, Failure> {
        trace.begin(Phase::FirstByte);
        if let Some(proxy) = proxy {
            request.headers.extend(proxy.headers().clone());
        }
        let request = request.build(http2, proxy.is_some())?;
        let response = match http2 {
            true => Box::pin(send_http2(stream, request)).await.map_err(|error| failure(&error))?,
            false => http1::send(stream, request).await.map_err(|error| failure(&error))?.map(Body::Http1),
        };
        trace.begin(Phase::Transfer);
        let (head, body) = response.into_parts();
        Ok(HttpResponse { status: head.status, version: head.version, headers: head.headers, body })
    }
}

async fn send_http2(stream: Box<dyn Stream>, request: Request<Bytes>) -> hyper::Result<http::Response<Body>> {
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEAD_LIMIT)
        .handshake(TokioIo::new(stream))
        .await?;
    // A task of its own reads what a target says that speaks no HTTP/2, before writing to it fails.
    let task = AbortOnDropHandle::new(spawn(connection));
    let mut connection = Connection(Some(Box::pin(async { task.await.unwrap_or(Ok(())) })));
    let response = connection.during(sender.send_request(request.map(Full::new))).await?;
    Ok(response.map(|body| Body::Http2(Box::new((body, connection)))))
}

// === impl Connection ===

impl Connection {
    /// Waits for `work`, and lets the connection go on meanwhile.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            // How the connection ends is seen where its answer is read.
            if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
                self.0 = None;
            }
            work.as_mut().poll(context)
        })
        .await
    }
}

// === impl HttpRequest ===

impl HttpRequest<'_> {
    /// `whole` has the request name all of the URL, as a proxy is asked.
    fn build(mut self, http2: bool, whole: bool) -> Result<Request<Bytes>, Failure> {
        let invalid = |_| Failure::new(Reason::Protocol, "the URL cannot be asked for");
        self.headers.entry(USER_AGENT).or_insert(AGENT);
        let url = &self.url[..Position::AfterQuery];
        let uri: Uri = match http2 {
            // HTTP/2 names the host in the URI.
            true => url.parse().map_err(invalid)?,
            false => {
                let host = self.url[Position::BeforeHost..Position::AfterPort].to_owned();
                let host = HeaderValue::try_from(host).map_err(|_| Failure::new(Reason::Protocol, "no host"))?;
                self.headers.entry(HOST).or_insert(host);
                self.headers.insert(CONNECTION, HeaderValue::from_static("close"));
                let start = if whole { Position::BeforeScheme } else { Position::BeforePath };
                self.url[start..Position::AfterQuery].parse().map_err(invalid)?
            }
        };
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = if http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

// === impl HttpResponse ===

impl HttpResponse {
    /// The next part of the body; none at its end, which ends the transfer.
    pub(crate) async fn chunk(&mut self, trace: &mut Trace) -> Result<Option<Bytes>, Failure> {
        loop {
            match self.frame(trace).await?.map(Frame::into_data) {
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// The next part of the body or its trailers; none at its end, which ends the transfer.
    pub(crate) async fn frame(&mut self, trace: &mut Trace) -> Result<Option<Frame<Bytes>>, Failure> {
        let frame = match &mut self.body {
            Body::Http1(body) => body.frame().await.map_err(|error| failure(&error))?,
            Body::Http2(two) => {
                let (body, connection) = &mut **two;
                connection.during(body.frame()).await.transpose().map_err(|error| failure(&error))?
            }
        };
        if frame.is_none() {
            trace.end();
        }
        Ok(frame)
    }

    /// Where the answer sends on to.
    pub(crate) fn redirect(&self, from: &Url) -> Option<Url> {
        let redirects = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let location = self.headers.get(LOCATION).filter(|_| redirects)?;
        from.join(location.to_str().ok()?).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The host as it is resolved, and the port.
fn authority(url: &Url) -> Result<(String, u16), Failure> {
    let host = url.host().map(|host| match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    });
    host.zip(url.port_or_known_default()).ok_or_else(|| Failure::new(Reason::Protocol, "the URL has no host"))
}

/// Judges what went wrong after the connection was there by the causes in its chain.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    match io.map(|io| (io.kind(), Failure::tls(io))) {
        Some((_, failure)) if failure.message.starts_with("received fatal alert") => failure,
        Some((
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe,
            failure,
        )) => Failure::new(Reason::Connect, failure.message),
        _ => Failure::new(Reason::Protocol, causes(error).last().map(ToString::to_string).unwrap_or_default()),
    }
}
