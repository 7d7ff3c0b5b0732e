//! Content encodings that SDKs send.

use std::io;

use async_compression::{
    tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::body::Body;
use futures_util::TryStreamExt;
use http::{HeaderMap, header};
use tokio::io::{AsyncBufRead, AsyncRead};
use tokio_util::io::StreamReader;

use super::ReceiveError;

/// The window of zstd that RFC 9659 has receivers support: 2^23 bytes.
const ZSTD_WINDOW: u32 = 23;

/// The body without its content encoding. How much comes out is bounded where it is read.
pub(super) fn decoded(headers: &HeaderMap, body: Body) -> Result<Box<dyn AsyncRead + Send + Unpin>, ReceiveError> {
    let encodings: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    let encoding = match encodings[..] {
        [] => "identity",
        [encoding] => encoding.to_str().unwrap_or("?").trim(),
        _ => "several",
    };
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    Ok(match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Box::new(body),
        "gzip" | "x-gzip" => Box::new(multiple(GzipDecoder::new(body))),
        "deflate" => Box::new(ZlibDecoder::new(body)),
        "br" => Box::new(BrotliDecoder::new(body)),
        "zstd" => Box::new(ZstdDecoder::with_params(body, &[DParameter::window_log_max(ZSTD_WINDOW)])),
        _ => return Err(ReceiveError::Encoding(encoding.to_owned())),
    })
}

/// A gzip body may be several members in a row.
fn multiple<R: AsyncBufRead>(mut decoder: GzipDecoder<R>) -> GzipDecoder<R> {
    decoder.multiple_members(true);
    decoder
}
