//! The receiving side: what SDKs speak, scrubbed, spooled and acknowledged when it is durable.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use futura_metrics::specs::errors::RejectReason;
use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    join, select,
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::timeout,
};
use uuid::Uuid;

pub(super) use self::error::ReceiveError;
use self::uploads::ReportQuery;
use super::{
    ErrorsConfig,
    destination::{Destination, Destinations},
    envelope::{ERROR, HEAD_LIMIT, Head},
    event::Outline,
    last::{LastError, LastErrors},
    metrics::ErrorsMetrics,
    scrub::{RemovedItem, ScrubError, Scrubber},
    spool::{SpoolError, Taken},
    storms::{Count, Storms},
};

mod alerts;
mod encoding;
mod error;
mod uploads;

/// How long an envelope may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many envelopes are received at once; further ones wait, within their time. It bounds the decoders' memory.
const CONCURRENT: usize = 16;

/// How many of them may be longer than [`SMALL`] or forms, as they are held in memory.
const UPLOADS: usize = 2;

/// Up to how many bytes an envelope is small.
const SMALL: u64 = 1024 * 1024;

/// From how many bytes on an envelope is scrubbed off the runtime's threads.
const LONG: usize = 64 * 1024;

/// An event or report that is no envelope may be this large, as at Sentry; it is held in memory.
const EVENT_LIMIT: u64 = 1024 * 1024;

/// Takes envelopes in.
pub(super) struct Receiver {
    destinations: Arc<Destinations>,
    limit: u64,
    permits: Semaphore,
    /// For what is large, and for who waits for that.
    uploads: Semaphore,
    waiting: Semaphore,
    metrics: ErrorsMetrics,
    scrubber: Scrubber,
    storms: Option<Storms>,
    last: LastErrors,
}

/// The endpoints of a Sentry server that SDKs and browsers send to, for any project and with any key.
pub(super) fn routes(receiver: Arc<Receiver>) -> Router {
    Router::new()
        .route("/api/{project}/envelope/", post(take_envelope))
        .route("/api/{project}/envelope", post(take_envelope))
        .route("/api/{project}/store/", post(take_event))
        .route("/api/{project}/store", post(take_event))
        .route("/api/{project}/security/", post(take_report))
        .route("/api/{project}/security", post(take_report))
        .route("/api/{project}/minidump/", post(take_minidump))
        .route("/api/{project}/minidump", post(take_minidump))
        .route("/alertmanager", post(take_alerts))
        // Each has limits of its own.
        .layer(DefaultBodyLimit::disable())
        .with_state(receiver)
}

async fn take_envelope(
    State(receiver): State<Arc<Receiver>>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = receiver.in_time(async {
        let envelope = receiver.read(&headers, body, receiver.limit).await?;
        receiver.take(Some(&project), envelope).await
    });
    receiver.answer(taken.await)
}

async fn take_event(
    State(receiver): State<Arc<Receiver>>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = receiver.in_time(async {
        let event = receiver.read(&headers, body, EVENT_LIMIT).await?;
        receiver.take(Some(&project), uploads::of_event(&event)?).await
    });
    receiver.answer(taken.await)
}

async fn take_report(
    State(receiver): State<Arc<Receiver>>,
    Path(project): Path<String>,
    Query(query): Query<ReportQuery>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = receiver.in_time(async {
        let report = receiver.read(&headers, body, EVENT_LIMIT).await?;
        receiver.take(Some(&project), uploads::of_report(&report, &query)?).await
    });
    receiver.answer(taken.await)
}

/// Acknowledges a notification when all its alerts are durable: Alertmanager repeats it otherwise.
async fn take_alerts(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Body) -> Response {
    let taken = receiver.in_time(async {
        let notification = receiver.read(&headers, body, EVENT_LIMIT).await?;
        for envelope in alerts::envelopes(&notification)? {
            receiver.take(None, envelope).await?;
        }
        Ok(None)
    });
    receiver.answer(taken.await)
}

/// Answers with the id alone, as crash reporters want it.
async fn take_minidump(
    State(receiver): State<Arc<Receiver>>,
    Path(project): Path<String>,
    request: Request,
) -> Response {
    let taken = receiver.in_time(async {
        let envelope = if uploads::is_minidump(request.headers()) {
            let (parts, body) = request.into_parts();
            uploads::of_minidump(&receiver.read(&parts.headers, body, receiver.limit).await?)?
        } else {
            let _permit = receiver.large().await?;
            uploads::of_form(request, receiver.limit).await?
        };
        receiver.take(Some(&project), envelope).await
    });
    match taken.await {
        Ok(Some(id)) => id.to_string().into_response(),
        taken => receiver.answer(taken),
    }
}

// === impl Receiver ===

impl Receiver {
    /// Opens what receiving needs beside the spools.
    pub(super) fn new(
        destinations: Arc<Destinations>,
        config: &ErrorsConfig,
        metrics: ErrorsMetrics,
    ) -> Result<Self, SpoolError> {
        Ok(Self {
            destinations,
            limit: config.envelope_max_bytes,
            permits: Semaphore::new(CONCURRENT),
            uploads: Semaphore::new(UPLOADS),
            waiting: Semaphore::new(CONCURRENT / 2),
            metrics,
            scrubber: config.scrub.clone(),
            storms: config.storm.map(|storm| Storms::open(&config.spool, storm)).transpose()?,
            last: LastErrors::default(),
        })
    }

    async fn in_time<T>(&self, receive: impl Future<Output = Result<T, ReceiveError>>) -> Result<T, ReceiveError> {
        let permitted = async {
            let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
            receive.await
        };
        timeout(TIMEOUT, permitted).await.unwrap_or(Err(ReceiveError::Timeout))
    }

    /// Reads a body to its end. Few at once may be large, as they are held in memory.
    async fn read(&self, headers: &HeaderMap, body: Body, limit: u64) -> Result<Vec<u8>, ReceiveError> {
        let (mut bytes, small) = (Vec::new(), SMALL.min(limit + 1));
        let mut reader = encoding::decoded(headers, body)?;
        (&mut reader).take(small).read_to_end(&mut bytes).await.map_err(ReceiveError::Body)?;
        if bytes.len() as u64 == small {
            let _permit = self.large().await?;
            let rest = (limit + 1).saturating_sub(small);
            reader.take(rest).read_to_end(&mut bytes).await.map_err(ReceiveError::Body)?;
        }
        if bytes.len() as u64 > limit { Err(ReceiveError::TooLarge(limit)) } else { Ok(bytes) }
    }

    /// Waits for a place among what is large. Few wait, so that what is small always finds a place of its own.
    async fn large(&self) -> Result<SemaphorePermit<'_>, ReceiveError> {
        let waiting = self.waiting.try_acquire().map_err(|_| ReceiveError::Busy)?;
        let permit = self.uploads.acquire().await.expect("the semaphore is never closed");
        drop(waiting);
        Ok(permit)
    }

    /// How large an envelope may be, in bytes.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes an event that is made here.
    pub(super) async fn take_event(&self, event: &Value) -> Result<(), ReceiveError> {
        self.take_whole(uploads::of_event(event.to_string().as_bytes())?).await
    }

    /// Takes an envelope that comes by no request.
    pub(super) async fn take_whole(&self, envelope: Vec<u8>) -> Result<(), ReceiveError> {
        self.take(None, envelope).await.map(drop)
    }

    /// Takes an envelope out of the folder of a destination's spool: what was put there for the first one is of any project,
    /// and what was put there for another was its own before.
    pub(super) async fn take_from(
        &self,
        destination: &Arc<Destination>,
        envelope: Vec<u8>,
    ) -> Result<(), ReceiveError> {
        if Arc::ptr_eq(destination, self.destinations.default()) {
            return self.take_whole(envelope).await;
        }
        let envelope = self.scrub(envelope).await?;
        let head = Head::parse(&envelope[..envelope.len().min(HEAD_LIMIT)])?;
        self.keep(destination, &head, envelope).await
    }

    /// Takes an envelope of a project without its secrets, and copies of it for who gets them. What cannot be scrubbed is not
    /// taken.
    async fn take(&self, project: Option<&str>, envelope: Vec<u8>) -> Result<Option<Uuid>, ReceiveError> {
        let envelope = self.scrub(envelope).await?;
        let head = Head::parse(&envelope[..envelope.len().min(HEAD_LIMIT)])?;
        let project = project.or_else(|| head.project());
        let is_read = head.category == ERROR && (self.storms.is_some() || self.last.is_due());
        let outline = if is_read { Outline::of(&envelope) } else { None };
        if let (Some(storms), Some(outline)) = (&self.storms, &outline)
            && !storms.admit(outline.kind, project, &envelope).await?
        {
            self.metrics.suppressed.inc();
            return Ok(head.event_id());
        }
        self.place(project, &head, envelope).await?;
        if let Some(outline) = outline.filter(|_| self.last.is_due()) {
            self.last.note(outline, project, head.event_id());
        }
        Ok(head.event_id())
    }

    /// The last events that were accepted, newest first.
    pub(super) fn last(&self) -> Vec<LastError> {
        self.last.all()
    }

    /// Tells what storms have counted until `closed`, and what is left then.
    pub(super) async fn tell_storms(&self, closed: impl Future<Output = ()>) {
        let Some(storms) = &self.storms else { return };
        let (mut closed, mut at_end) = (pin!(closed), false);
        while !at_end {
            let counts = select! {
                () = &mut closed => {
                    at_end = true;
                    storms.over(true).await
                }
                counts = storms.over(false) => counts,
            };
            for count in counts {
                match self.tell_storm(storms, &count).await {
                    Ok(()) => storms.told(&count).await,
                    Err(error) => tracing::warn!(%error, "what a storm has counted cannot be told yet"),
                }
            }
        }
    }

    async fn tell_storm(&self, storms: &Storms, count: &Count) -> Result<(), ReceiveError> {
        let envelope = storms.sample(count.clone()).await.map_err(ReceiveError::Body)?;
        let head = Head::parse(&envelope[..envelope.len().min(HEAD_LIMIT)])?;
        self.place(count.project.as_deref(), &head, envelope).await
    }

    /// Keeps an envelope of a project, and copies of it for who gets them.
    async fn place(&self, project: Option<&str>, head: &Head, envelope: Vec<u8>) -> Result<(), ReceiveError> {
        let copies = self.destinations.copies(project).map(|copy| self.keep_copy(copy, head, envelope.clone()));
        let copies = join_all(copies.collect::<Vec<_>>());
        // It is acknowledged when the copies are durable too, so that a crash leaves no upstream without its own.
        let (kept, _) = join!(self.keep(self.destinations.of(project), head, envelope), copies);
        kept
    }

    async fn keep(&self, destination: &Destination, head: &Head, envelope: Vec<u8>) -> Result<(), ReceiveError> {
        match destination.spool.put(head.category, head.known_by(), envelope).await {
            Ok(Taken::New) => {}
            // One that is known is acknowledged once more: its first acknowledgement was lost.
            Ok(Taken::Known) => self.metrics.rejected(RejectReason::Duplicate).inc(),
            // A spool that is full because of the upstream's limits hands them on, so that SDKs send no more of the kind.
            Err(SpoolError::Full) => {
                let Some(secs) = destination.limited_for(head.category) else { return Err(SpoolError::Full.into()) };
                // An SDK that is answered so reports nothing, as it takes the server to have counted.
                destination.discards.limited(head.category);
                return Err(ReceiveError::Limited { category: head.category, secs });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Keeps a copy where there is room for it: one upstream's outage is none of another's.
    async fn keep_copy(&self, destination: &Destination, head: &Head, envelope: Vec<u8>) {
        if let Err(error) = destination.spool.put(head.category, head.known_by(), envelope).await {
            self.metrics.rejected(RejectReason::CopyLost).inc();
            tracing::warn!(
                upstream = destination.name,
                error = crate::chain(&error),
                "a copy of an envelope could not be kept"
            );
        }
    }

    async fn scrub(&self, envelope: Vec<u8>) -> Result<Vec<u8>, ReceiveError> {
        let scrubber = self.scrubber.clone();
        let scrubbed = match envelope.len() {
            0..LONG => scrubber.envelope(envelope),
            // So much takes longer than other requests should wait.
            _ => spawn_blocking(move || scrubber.envelope(envelope)).await.unwrap_or(Err(ScrubError::Panic)),
        }?;
        if let Some(RemovedItem { kind, error }) = scrubbed.removed.into_iter().next() {
            return Err(ReceiveError::Item { kind, error });
        }
        self.metrics.scrubbed.add(scrubbed.hits.len() as u64);
        Ok(scrubbed.bytes)
    }

    fn answer(&self, taken: Result<Option<Uuid>, ReceiveError>) -> Response {
        let error = match taken {
            Ok(Some(id)) => return Json(json!({ "id": id.simple() })).into_response(),
            Ok(None) => return Json(json!({})).into_response(),
            Err(error) => error,
        };
        self.metrics.rejected(error.reason()).inc();
        match &error {
            // The application is told, and asked to come again; the disk is for the operator to see to.
            ReceiveError::Spool(SpoolError::Full) => tracing::warn!("the spool is full: an envelope was turned away"),
            ReceiveError::Spool(spool) => tracing::warn!(error = crate::chain(spool), "an envelope could not be kept"),
            _ => tracing::warn!(%error, "an envelope was turned away"),
        }
        error.into_response()
    }
}

#[cfg(test)]
mod tests;
