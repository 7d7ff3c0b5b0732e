//! Calls to other services by reqwest: a span for each, and the header that has the other side continue its trace.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    propagation::{Injector, TextMapPropagator},
    trace::Status,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::{Request, Response};
use tower::{Layer, Service};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Gives each call a span of kind client, and its `traceparent` to whom is called
/// (<https://www.w3.org/TR/trace-context/>). Without telemetry it passes calls on as they are.
///
/// ```no_run
/// use futura_metrics::telemetry::CallLayer;
/// use tower::{Layer, Service, ServiceExt};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = reqwest::Client::new();
/// let mut calls = CallLayer.layer(client.clone());
/// let request = client.get("http://payments.default.svc/charges/7").build()?;
/// let response = calls.ready().await?.call(request).await?;
/// # let _ = response;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CallLayer;

/// A client whose calls are traced. See [`CallLayer`].
#[derive(Clone, Debug)]
pub struct Calls<S>(S);

struct HeaderInjector<'a>(&'a mut HeaderMap);

// === impl CallLayer ===

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Calls(inner)
    }
}

// === impl Calls ===

impl<S> Service<Request> for Calls<S>
where
    S: Service<Request, Response = Response, Error = reqwest::Error>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let (method, url) = (request.method().as_str(), request.url());
        // The path may hold ids, and the query secrets: the host tells who is called.
        let span = tracing::info_span!(
            "call",
            otel.name = method,
            otel.kind = "client",
            http.request.method = method,
            server.address = url.host_str().unwrap_or_default(),
            server.port = url.port_or_known_default(),
        );
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(request.headers_mut()));
        let (answer, told) = (self.0.call(request), span.clone());
        let answer = async move {
            let answer = answer.await;
            match &answer {
                Ok(response) => {
                    told.set_attribute("http.response.status_code", i64::from(response.status().as_u16()));
                    if response.status().is_client_error() || response.status().is_server_error() {
                        told.set_status(Status::error(""));
                    }
                }
                // Its text may name the whole URL.
                Err(_) => told.set_status(Status::error("the call failed")),
            }
            answer
        };
        Box::pin(answer.instrument(span))
    }
}

// === impl HeaderInjector ===

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        // Without a trace the propagator sets nothing, or what says nothing.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
