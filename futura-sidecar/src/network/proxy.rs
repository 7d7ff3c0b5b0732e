//! A way to targets by an HTTP proxy: it is told where to go, for TLS by `CONNECT` (RFC 9110, section 9.3.6).

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futura_metrics::specs::checks::{Phase, Reason};
use http::{HeaderMap, HeaderValue, header::PROXY_AUTHORIZATION};
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use url::Url;

use super::{Dialer, Failure, HostPattern, Trace};

/// How long the proxy's answer to `CONNECT` may be, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// A proxy, and what goes past it. Clones share all.
#[derive(Clone)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    port: u16,
    headers: HeaderMap,
    except: Vec<HostPattern>,
    /// Whether the target's name is looked up here too, and its addresses judged; the proxy looks on its own in any case.
    resolves: bool,
}

// === impl Proxy ===

impl Proxy {
    /// Takes the URL `http://[user:password@]host[:port]` of a proxy, and what is told to it besides.
    pub(crate) fn new(
        url: &Url,
        mut headers: HeaderMap,
        except: Vec<HostPattern>,
        resolves: bool,
    ) -> Result<Self, String> {
        let wrong = || "it is no proxy: write one such as `http://proxy.example.org:3128`".to_owned();
        let host = url.host_str().filter(|_| url.scheme() == "http").ok_or_else(wrong)?;
        if !url.username().is_empty() {
            // `:` and `@` are written as `%3A` and `%40` in a URL, and are themselves in the header.
            let decoded = |text| percent_decode_str(text).collect::<Vec<_>>();
            let who = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
            let value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(who))).map_err(|_| wrong())?;
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        let (host, port) = (host.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(80));
        Ok(Self { inner: Arc::new(Inner { host, port, headers, except, resolves }) })
    }

    /// Whether a host is reached by it.
    pub(crate) fn serves(&self, host: &str) -> bool {
        !self.inner.except.iter().any(|pattern| pattern.matches(host))
    }

    /// What is told to it with each request.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// A connection to the proxy, and with `tunnel` through it to `host`. The dialer judges the target, not the proxy, which who
    /// configures has chosen.
    pub(crate) async fn connect(
        &self,
        dialer: &Dialer,
        trace: &mut Trace,
        (host, port): (&str, u16),
        tunnel: bool,
    ) -> Result<TcpStream, Failure> {
        let target = match self.inner.resolves {
            true => dialer.resolve(trace, host).await?.first().copied(),
            false => dialer.judge_unresolved(host).map(|()| None)?,
        };
        let mut stream = dialer.unguarded().connect(trace, &self.inner.host, self.inner.port).await?;
        // What is told of is the target.
        trace.address = target.or(trace.address);
        if tunnel {
            trace.begin(Phase::Connect);
            self.open(&mut stream, host, port).await?;
            trace.end();
        }
        Ok(stream)
    }

    async fn open(&self, stream: &mut TcpStream, host: &str, port: u16) -> Result<(), Failure> {
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
        for (name, value) in &self.inner.headers {
            request.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        request.extend_from_slice(b"\r\n");
        let exchanged = async {
            stream.write_all(&request).await?;
            let mut head = Vec::new();
            // Byte by byte: what comes after the head is the target's.
            while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_LIMIT {
                head.push(stream.read_u8().await?);
            }
            Ok(head)
        };
        let head = exchanged.await.map_err(|error| Failure::exchange(&error))?;
        let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
        match line.split(' ').nth(1) {
            Some(status) if line.starts_with("HTTP/1.") && status.starts_with('2') => Ok(()),
            Some("407") => Err(Failure::new(Reason::Auth, format!("the proxy says `{line}`"))),
            _ => Err(Failure::new(Reason::Connect, format!("the proxy says `{line}`"))),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("host", &self.inner.host).finish_non_exhaustive()
    }
}
