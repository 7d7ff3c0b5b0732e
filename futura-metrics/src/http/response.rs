//! The response: its head as a future, its body as a stream, and what ends each.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::request::InFlight;
#[cfg(feature = "telemetry")]
use super::traced::RequestTrace;
#[cfg(feature = "telemetry")]
use crate::storage::SpanRef;

pin_project! {
    /// Waits for the head of a response.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        request: Option<InFlight>,
        trace: Trace,
    }
}

pin_project! {
    /// A response body that ends its request's measurement when it ends.
    pub struct MeasuredBody<B> {
        #[pin]
        inner: B,
        request: Option<(InFlight, StatusCode)>,
        // What is left of a body whose length was known: hyper does not poll past it.
        remaining: Option<u64>,
    }
}

#[cfg(feature = "telemetry")]
pub(super) type Trace = Option<RequestTrace>;
#[cfg(not(feature = "telemetry"))]
pub(super) type Trace = ();

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) fn new(inner: F, request: InFlight, trace: Trace) -> Self {
        Self { inner, request: Some(request), trace }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Default,
{
    type Output = Result<Response<MeasuredBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project();
        #[cfg(feature = "telemetry")]
        let entered = future.trace.as_ref().map(RequestTrace::enter);
        // After a panic the future is not polled again, so nothing sees a broken invariant of it.
        let polled = catch_unwind(AssertUnwindSafe(|| future.inner.poll(context)));
        let polled = polled.unwrap_or_else(|_| Poll::Ready(Ok(panicked())));
        let result = ready!(polled);
        #[cfg_attr(not(feature = "telemetry"), expect(unused_mut, reason = "only telemetry adds to it"))]
        let mut request = future.request.take().expect("a future is not polled after it is ready");
        let status = result.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, Response::status);
        #[cfg(feature = "telemetry")]
        {
            request.set_span(entered.as_ref().and_then(|_| SpanRef::current()));
            drop(entered);
            if let Some(trace) = future.trace.take() {
                trace.close(status, request.route());
            }
        }
        Poll::Ready(match result {
            Ok(response) => Ok(response.map(|body| MeasuredBody::new(body, request, status))),
            Err(error) => {
                request.finish(status);
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

// === impl MeasuredBody ===

impl<B: Body> MeasuredBody<B> {
    fn new(inner: B, request: InFlight, status: StatusCode) -> Self {
        let remaining = inner.size_hint().exact();
        if request.ends_at_head(status) || ended(&inner, remaining) {
            request.finish(status);
            return Self { inner, request: None, remaining };
        }
        Self { inner, request: Some((request, status)), remaining }
    }
}

impl<B: Body> Body for MeasuredBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut body = self.project();
        let frame = ready!(body.inner.as_mut().poll_frame(context));
        let ended = match &frame {
            None => Some(true),
            Some(Err(_)) => Some(false),
            Some(Ok(frame)) => {
                if let (Some(remaining), Some(data)) = (body.remaining.as_mut(), frame.data_ref()) {
                    *remaining = remaining.saturating_sub(bytes_of(data));
                }
                ended(&*body.inner, *body.remaining).then_some(true)
            }
        };
        if let Some(whole) = ended
            && let Some((request, status)) = body.request.take()
        {
            request.finish(if whole { status } else { StatusCode::INTERNAL_SERVER_ERROR });
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for MeasuredBody<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MeasuredBody").finish_non_exhaustive()
    }
}

/// Whether nothing is left of a body: by what was left of its length, or by its own word where that is not known.
fn ended(body: &impl Body, remaining: Option<u64>) -> bool {
    remaining.map_or_else(|| body.is_end_stream(), |remaining| remaining == 0)
}

fn panicked<B: Default>() -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn bytes_of(data: &impl bytes::Buf) -> u64 {
    data.remaining() as u64
}
