//! The answer to a scrape: negotiated, compressed, off the runtime's threads, shared by all who ask for the same at once.

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hashbrown::HashMap;
use http::{HeaderMap, HeaderName, StatusCode, header};
use parking_lot::Mutex;
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use crate::{
    Counter, Gauge, Histogram, Metrics,
    exposition::{Selection, Wire, qualities},
};

/// How many scrapes that ask for different things may be in flight.
const MAX_FLIGHTS: usize = 8;

/// How long a scrape may take; Prometheus' own default is ten seconds.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The cheapest level of each: an exposition repeats itself so much that more effort costs far more than it saves.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// Answers the scrapes of one route.
pub(super) struct Scraper {
    metrics: Metrics,
    own: ScrapeMetrics,
    flights: Mutex<HashMap<Ask, Landing>>,
}

/// Where what a flight brings is waited for.
type Landing = watch::Receiver<Option<Arc<io::Result<Bytes>>>>;

/// A gathering that is under way; dropping it takes it out of the table, on a panic as well.
struct Flight {
    scraper: Arc<Scraper>,
    ask: Ask,
}

/// What the library tells of its scrapes.
#[derive(Clone)]
pub(crate) struct ScrapeMetrics {
    pub(crate) duration: Histogram,
    pub(crate) size: Gauge,
    pub(crate) refused: Counter,
    pub(crate) series: Gauge,
}

/// What a scrape asks for; scrapes that ask for the same share an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ask {
    wire: Wire,
    encoding: Encoding,
    selection: Selection,
}

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a scrape brought nothing.
#[derive(Debug)]
enum Refusal {
    /// Too many are in flight.
    Busy,
    /// Its gathering panicked.
    Lost,
}

pub(super) async fn answer(
    State(scraper): State<Arc<Scraper>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let ask = Ask::new(&headers, query.as_deref().unwrap_or_default());
    let answer = timeout(TIME_LIMIT, scraper.fly(&ask)).await;
    let (status, problem) = match answer.as_ref().map(|landed| landed.as_deref()) {
        Ok(Ok(Ok(body))) => return (ask.headers(), body.clone()).into_response(),
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "a scrape failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n")
        }
        Ok(Err(Refusal::Lost)) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be gathered\n"),
        Ok(Err(Refusal::Busy)) => (StatusCode::SERVICE_UNAVAILABLE, "too many scrapes are in flight\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the scrape took too long\n"),
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        scraper.own.refused.inc();
    }
    (status, [(header::RETRY_AFTER, "1")], problem).into_response()
}

// === impl Scraper ===

impl Scraper {
    pub(super) fn new(metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self { metrics: metrics.clone(), own: metrics.scrape_metrics(), flights: Mutex::default() })
    }

    /// Joins the flight that asks for the same, or starts one, and waits for what it brings.
    async fn fly(self: &Arc<Self>, ask: &Ask) -> Result<Arc<io::Result<Bytes>>, Refusal> {
        let mut landing = self.join(ask)?;
        let landed = landing.wait_for(Option::is_some).await.map_err(|_| Refusal::Lost)?;
        landed.clone().ok_or(Refusal::Lost)
    }

    fn join(self: &Arc<Self>, ask: &Ask) -> Result<Landing, Refusal> {
        let mut flights = self.flights.lock();
        if let Some(landing) = flights.get(ask) {
            return Ok(landing.clone());
        }
        if flights.len() >= MAX_FLIGHTS {
            return Err(Refusal::Busy);
        }
        let (land, landing) = watch::channel(None);
        flights.insert(ask.clone(), landing.clone());
        let flight = Flight { scraper: Arc::clone(self), ask: ask.clone() };
        // The work owns its entry: it ends, and the entry with it, whether or not anybody still waits.
        spawn_blocking(move || {
            let body = flight.ask.render(&flight.scraper.metrics, &flight.scraper.own);
            drop(flight);
            land.send_replace(Some(Arc::new(body)));
        });
        Ok(landing)
    }
}

// === impl Flight ===

impl Drop for Flight {
    fn drop(&mut self) {
        self.scraper.flights.lock().remove(&self.ask);
    }
}

// === impl Ask ===

impl Ask {
    fn new(headers: &HeaderMap, query: &str) -> Self {
        let joined = |name: HeaderName| {
            let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            values.join(",")
        };
        let names = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "name[]");
        Self {
            wire: Wire::negotiate(&joined(header::ACCEPT)),
            encoding: Encoding::negotiate(&joined(header::ACCEPT_ENCODING)),
            selection: Selection::only(names.map(|(_, name)| name.into_owned())),
        }
    }

    fn render(&self, metrics: &Metrics, own: &ScrapeMetrics) -> io::Result<Bytes> {
        let start = Instant::now();
        own.series.set(metrics.series() as f64);
        let plain = match self.wire {
            Wire::Text(format) => metrics.render_selected(format, &self.selection).into_bytes(),
            Wire::Protobuf => metrics.render_protobuf(&self.selection),
        };
        own.size.set(plain.len() as f64);
        let body = self.encoding.encode(plain)?;
        own.duration.observe_since(start);
        Ok(body)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(self.wire.content_type()));
        headers.insert(header::VARY, header::HeaderValue::from_static("accept, accept-encoding"));
        if let Some(encoding) = self.encoding.name() {
            headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static(encoding));
        }
        headers
    }
}

// === impl Encoding ===

impl Encoding {
    /// The best that `Accept-Encoding` likes; zstd before gzip where it likes both, as it is cheaper and smaller.
    fn negotiate(accept: &str) -> Self {
        let quality = |name: &str| {
            let named = qualities(accept).find(|(token, _)| token.eq_ignore_ascii_case(name));
            named.or_else(|| qualities(accept).find(|(token, _)| *token == "*")).map_or(0.0, |(_, quality)| quality)
        };
        let (zstd, gzip) = (quality("zstd"), quality("gzip"));
        match (zstd > 0.0, gzip > 0.0) {
            (true, _) if zstd >= gzip => Self::Zstd,
            (_, true) => Self::Gzip,
            _ => Self::Identity,
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    fn encode(self, plain: Vec<u8>) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(plain.into()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::new(GZIP_LEVEL));
                encoder.write_all(&plain)?;
                encoder.finish().map(Into::into)
            }
            Self::Zstd => zstd::bulk::compress(&plain, ZSTD_LEVEL).map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Encoding;

    #[test]
    fn the_encoding_is_the_one_liked_best() {
        let cases = [
            ("", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("gzip, zstd", Encoding::Zstd),
            ("gzip;q=1.0, zstd;q=0.5", Encoding::Gzip),
            ("zstd;q=0, gzip;q=0.1", Encoding::Gzip),
            ("gzip;q=0, *;q=0", Encoding::Identity),
            ("br, *;q=0.1", Encoding::Zstd),
            ("deflate", Encoding::Identity),
            ("GZIP ; Q=0.3", Encoding::Gzip),
        ];
        for (accept, expected) in cases {
            assert_eq!(Encoding::negotiate(accept), expected, "{accept}");
        }
    }
}
