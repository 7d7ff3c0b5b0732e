//! HTTP/1.1 as a client, for one exchange over a connection that is closed after it (RFC 9112).
//!
//! A probe that waits costs what it holds: nothing but the request is here before an answer comes, and what is read of that is
//! handed on as it comes.

use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::Poll,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWrite};

use self::chunked::{Chunked, Part};
use super::Stream;

mod chunked;

/// How large an answer's head may be, in bytes, with those that announce it.
const HEAD_LIMIT: usize = 64 * 1024;

/// How many headers an answer may have.
const HEADERS_LIMIT: usize = 100;

/// How much is read at first, in bytes; what fills it is followed by twice as much.
const FIRST_READ: usize = 512;

/// How much is read at once at the most, in bytes.
const LONGEST_READ: usize = 16 * 1024;

/// The body of an answer, and the connection that it comes on.
pub(super) struct Http1Body {
    source: Source,
    framing: Framing,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Http1Error {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("connection closed before message completed")]
    Incomplete,
    #[error("invalid HTTP: {0}")]
    Parse(#[from] httparse::Error),
    #[error("the answer's head is longer than {HEAD_LIMIT} bytes")]
    HeadTooLong,
    #[error("the answer says in two ways how long it is")]
    Lengths,
    #[error("the answer says of its length what is no number")]
    Length,
    #[error("a chunk of the answer is none")]
    Chunk,
}

/// A connection and what was read of it.
struct Source {
    stream: Box<dyn Stream>,
    read: BytesMut,
    /// How much to read next.
    size: usize,
}

/// How the end of a body is told.
enum Framing {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Ended,
}

/// What there is of the request to be sent.
struct Outgoing {
    bytes: Bytes,
    is_flushed: bool,
    /// Why no more could be sent, which an answer may explain.
    error: Option<io::Error>,
}

/// Sends a request and reads the head of the answer.
pub(super) async fn send(stream: Box<dyn Stream>, request: Request<Bytes>) -> Result<Response<Http1Body>, Http1Error> {
    let method = request.method().clone();
    let mut outgoing = Outgoing { bytes: render(request), is_flushed: false, error: None };
    let mut source = Source { stream, read: BytesMut::new(), size: FIRST_READ };
    let (mut parsed, mut announced) = (0, 0);
    loop {
        let length = source.read.len();
        // As a whole when its end is there, and before that seldom enough for one that comes byte by byte.
        if length >= 2 * parsed.max(1) - 1 || ends(&source.read, parsed) {
            parsed = length;
            if let Some((head, size)) = parse(&source.read)? {
                source.read.advance(size);
                announced += size;
                let status = head.status();
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    (parsed, source.size) = (0, FIRST_READ);
                    if announced > HEAD_LIMIT {
                        return Err(Http1Error::HeadTooLong);
                    }
                    continue;
                }
                let framing = framing(&method, &head)?;
                return Ok(head.map(|()| Http1Body { source, framing }));
            }
        }
        if announced + length > HEAD_LIMIT {
            return Err(Http1Error::HeadTooLong);
        }
        if exchange(&mut source, &mut outgoing).await? == 0 {
            return Err(outgoing.error.map_or(Http1Error::Incomplete, Http1Error::Io));
        }
    }
}

/// The request as it is sent. It is short, so its body is copied after its head.
fn render(request: Request<Bytes>) -> Bytes {
    let (head, body) = request.into_parts();
    let mut bytes = Vec::with_capacity(256 + body.len());
    let target = head.uri.to_string();
    for part in [head.method.as_str(), " ", &target, " HTTP/1.1\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    let own = |name: &HeaderName| *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING;
    for (name, value) in head.headers.iter().filter(|(name, _)| !own(name)) {
        write_header(&mut bytes, name, value.as_bytes());
    }
    let expects_body = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
    if expects_body || !body.is_empty() {
        write_header(&mut bytes, &CONTENT_LENGTH, body.len().to_string().as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes.into()
}

fn write_header(bytes: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
}

/// Whether a head's end is in what came after the first `seen` bytes.
fn ends(bytes: &[u8], seen: usize) -> bool {
    let new = &bytes[seen.saturating_sub(3)..];
    new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
}

/// The head at the beginning of what was read, if all of it is there, and its length.
fn parse(bytes: &[u8]) -> Result<Option<(Response<()>, usize)>, Http1Error> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_LIMIT];
    let mut answer = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut headers)?;
    let httparse::Status::Complete(size) = parsed else { return Ok(None) };
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(|_| httparse::Error::Status)?;
    *head.version_mut() = if answer.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    *head.headers_mut() = fields(answer.headers)?;
    Ok(Some((head, size)))
}

fn fields(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, Http1Error> {
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| httparse::Error::HeaderValue)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// How the end of the body is told (RFC 9112, section 6.3).
fn framing(method: &Method, head: &Response<()>) -> Result<Framing, Http1Error> {
    let status = head.status();
    if method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Ok(Framing::Ended);
    }
    let headers = head.headers();
    if let Some(codings) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
        let last = codings.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if is_chunked { Framing::Chunked(Chunked::default()) } else { Framing::UntilClose });
    }
    let mut length = None;
    let values = headers.get_all(CONTENT_LENGTH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for value in values {
        let digits = value.trim_ascii();
        // A sign is no digit, though a number for the parser.
        let number = digits.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(digits).ok()?.parse::<u64>().ok());
        let number = number.flatten().ok_or(Http1Error::Length)?;
        if length.is_some_and(|length| length != number) {
            return Err(Http1Error::Lengths);
        }
        length = Some(number);
    }
    Ok(match length {
        Some(0) => Framing::Ended,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// Sends what can be sent, and reads what there is: who answers early may read no more. Returns how much was read.
async fn exchange(source: &mut Source, outgoing: &mut Outgoing) -> Result<usize, Http1Error> {
    poll_fn(|context| {
        while outgoing.error.is_none() && !outgoing.is_flushed {
            let mut stream = Pin::new(&mut source.stream);
            let sent = match outgoing.bytes.is_empty() {
                false => stream.as_mut().poll_write(context, &outgoing.bytes),
                true => stream.as_mut().poll_flush(context).map_ok(|()| 0),
            };
            match sent {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) if outgoing.bytes.is_empty() => outgoing.is_flushed = true,
                Poll::Ready(Ok(0)) => outgoing.error = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => outgoing.bytes.advance(count),
                Poll::Ready(Err(error)) => outgoing.error = Some(error),
            }
        }
        pin!(source.fill()).poll(context).map_err(Http1Error::Io)
    })
    .await
}

// === impl Source ===

impl Source {
    /// Reads once; returns how much, which is nothing at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        self.read.reserve(self.size);
        let count = (&mut self.stream).take(self.size as u64).read_buf(&mut self.read).await?;
        if count == self.size {
            self.size = (2 * self.size).min(LONGEST_READ);
        }
        Ok(count)
    }
}

// === impl Http1Body ===

impl Http1Body {
    /// The next part of the body or its trailers; none at its end.
    pub(super) async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Http1Error> {
        loop {
            let source = &mut self.source;
            match &mut self.framing {
                Framing::Ended => return Ok(None),
                Framing::Length(left) if !source.read.is_empty() => {
                    let count = source.read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    if *left == 0 {
                        self.framing = Framing::Ended;
                    }
                    return Ok(Some(Frame::data(source.read.split_to(count).freeze())));
                }
                Framing::UntilClose if !source.read.is_empty() => {
                    return Ok(Some(Frame::data(source.read.split().freeze())));
                }
                Framing::Chunked(chunked) => match chunked.next(&mut source.read)? {
                    Some(Part::Data(data)) => return Ok(Some(Frame::data(data))),
                    Some(Part::End(trailers)) => {
                        self.framing = Framing::Ended;
                        return Ok(trailers.map(Frame::trailers));
                    }
                    None => {}
                },
                Framing::Length(_) | Framing::UntilClose => {}
            }
            if source.fill().await? == 0 {
                return match self.framing {
                    Framing::UntilClose => {
                        self.framing = Framing::Ended;
                        Ok(None)
                    }
                    _ => Err(Http1Error::Incomplete),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
