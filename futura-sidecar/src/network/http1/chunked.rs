//! A body in chunks (RFC 9112, section 7.1): out of whatever pieces it comes in.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{HEADERS_LIMIT, Http1Error, fields};

/// How long the line of a chunk's size may be, with its extensions, and how long all trailers together, in bytes.
const LINE_LIMIT: usize = 16 * 1024;

/// A decoder, which is where the body has come to.
#[derive(Default)]
pub(super) enum Chunked {
    /// Before the line of a size.
    #[default]
    Size,
    /// Within a chunk, of which so much is left.
    Data(u64),
    /// Before the end of a chunk's line.
    DataEnd,
    /// After the last chunk.
    Trailers,
}

/// A piece of the body.
pub(super) enum Part {
    Data(Bytes),
    End(Option<HeaderMap>),
}

// === impl Chunked ===

impl Chunked {
    /// Takes the next piece out of what was read; none when more has to be read before.
    pub(super) fn next(&mut self, read: &mut BytesMut) -> Result<Option<Part>, Http1Error> {
        loop {
            match self {
                Self::Size => {
                    let Some(line) = line(read)? else { return Ok(None) };
                    *self = match size(&line).ok_or(Http1Error::Chunk)? {
                        0 => Self::Trailers,
                        size => Self::Data(size),
                    };
                }
                Self::Data(_) if read.is_empty() => return Ok(None),
                Self::Data(left) => {
                    let count = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Some(Part::Data(read.split_to(count).freeze())));
                }
                Self::DataEnd if read.len() < 2 => return Ok(None),
                Self::DataEnd => {
                    if !read.starts_with(b"\r\n") {
                        return Err(Http1Error::Chunk);
                    }
                    read.advance(2);
                    *self = Self::Size;
                }
                Self::Trailers => return trailers(read),
            }
        }
    }
}

/// The next line without its end, which is taken with it.
fn line(read: &mut BytesMut) -> Result<Option<Bytes>, Http1Error> {
    match read.windows(2).position(|end| end == b"\r\n") {
        Some(end) if end <= LINE_LIMIT => {
            let line = read.split_to(end).freeze();
            read.advance(2);
            Ok(Some(line))
        }
        None if read.len() <= LINE_LIMIT => Ok(None),
        _ => Err(Http1Error::Chunk),
    }
}

/// The size that a line tells, whose extensions are passed over.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

fn trailers(read: &mut BytesMut) -> Result<Option<Part>, Http1Error> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(Part::End(None)));
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    match httparse::parse_headers(read, &mut headers)? {
        httparse::Status::Complete((size, headers)) => {
            let trailers = fields(headers)?;
            read.advance(size);
            Ok(Some(Part::End(Some(trailers))))
        }
        httparse::Status::Partial if read.len() <= LINE_LIMIT => Ok(None),
        httparse::Status::Partial => Err(Http1Error::Chunk),
    }
}
