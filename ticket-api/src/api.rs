//! The HTTP API: one list of resources, from which come the router, the OpenAPI document and the routes that are measured.

pub(crate) use self::{auth::Authentication, webhook::Webhook};

use std::{
    any::Any,
    panic,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{self, HeaderName, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futura_metrics::{
    Metrics, admin,
    http::{HttpLayer, HttpLayerError, in_request_scope},
    specs::http::Method,
};
use tokio_util::task::TaskTracker;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};
use utoipa::{OpenApi, openapi::PathItem};
use utoipa_axum::router::OpenApiRouter;

use self::{auth::BearerScheme, error::ApiError};
use crate::{box_office::BoxOffice, config::AllowedOrigins, queue::Queue};

mod auth;
mod docs;
mod drill;
mod error;
mod events;
mod extract;
mod health;
mod orders;
mod queue;
mod reservations;
mod webhook;

/// From the head of a request to the head of its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    authentication: Arc<Authentication>,
    box_office: Arc<BoxOffice>,
    queue: Arc<Queue>,
    /// Payments that are under way, each in a task that its client's going away does not end.
    payments: TaskTracker,
    webhook: Arc<Webhook>,
    /// `/metrics`, as the admin port serves it.
    metrics: Router,
    /// The OpenAPI document.
    document: Bytes,
    started: Instant,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ticket API",
        description = "Events, reservations, orders and tickets. Errors have one shape: a code for programs, a message for \
                       people, and the field that they are about.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&BearerScheme),
    tags(
        (name = "events", description = "What seats are sold for"),
        (name = "reservations", description = "Seats held for a time"),
        (name = "queue", description = "Waiting in line for an event"),
        (name = "orders", description = "Payments and tickets"),
        (name = "webhooks", description = "What payment providers call"),
        (name = "operations", description = "Health, metrics and this document"),
        (name = "drills", description = "Failures on purpose, to test alerting end to end"),
    )
)]
struct Document;

// === impl App ===

impl App {
    pub(crate) fn new(
        authentication: Authentication,
        box_office: Arc<BoxOffice>,
        queue: Arc<Queue>,
        payments: TaskTracker,
        webhook: Webhook,
        drill_routes: bool,
        metrics: &Metrics,
    ) -> Result<Self, serde_json::Error> {
        let document = Bytes::from(serde_json::to_vec_pretty(routes(drill_routes).get_openapi())?);
        let metrics = admin::metrics_route(metrics);
        let (authentication, webhook) = (Arc::new(authentication), Arc::new(webhook));
        Ok(Self { authentication, box_office, queue, payments, webhook, metrics, document, started: Instant::now() })
    }

    /// Does something to its end, though the client goes away or the request times out meanwhile.
    async fn finish<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.payments.spawn(in_request_scope(work)).await {
            Ok(done) => done,
            // Nobody aborts these tasks, so it panicked: that is this request's panic.
            Err(error) => panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Every route. A new endpoint is a handler and its line in its resource's `routes`.
fn routes(drill_routes: bool) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::with_openapi(Document::openapi())
        .merge(events::routes())
        .merge(reservations::routes())
        .merge(orders::routes())
        .merge(queue::routes())
        .merge(webhook::routes())
        .merge(health::routes())
        .merge(docs::routes());
    if drill_routes { routes.merge(drill::routes()) } else { routes }
}

/// The router, and the layer that measures its routes, which goes around it outermost.
pub(crate) fn router(
    app: App,
    origins: &AllowedOrigins,
    drill_routes: bool,
    metrics: &Metrics,
) -> Result<(Router, HttpLayer), HttpLayerError> {
    let (router, document) = routes(drill_routes).split_for_parts();
    let declared = document.paths.paths.iter();
    let declared = declared.flat_map(|(path, item)| methods(item).into_iter().map(|method| (method, path.as_str())));
    let layer = HttpLayer::with_routes(metrics, declared)?;
    let router = router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(limit_time))
        .layer(cors(origins))
        .with_state(app);
    Ok((router, layer))
}

fn methods(item: &PathItem) -> Vec<Method> {
    let operations = [
        (Method::Get, &item.get),
        (Method::Head, &item.head),
        (Method::Post, &item.post),
        (Method::Put, &item.put),
        (Method::Patch, &item.patch),
        (Method::Delete, &item.delete),
        (Method::Options, &item.options),
        (Method::Trace, &item.trace),
    ];
    operations.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method).collect()
}

fn cors(origins: &AllowedOrigins) -> CorsLayer {
    let sent = ["baggage", "sentry-trace", "traceparent", "tracestate"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(origins.0.clone())
        .allow_methods([http::Method::GET, http::Method::POST])
        .allow_headers(sent.into_iter().chain([header::AUTHORIZATION, header::CONTENT_TYPE]).collect::<Vec<_>>())
        .expose_headers([header::LOCATION, header::RETRY_AFTER, header::WWW_AUTHENTICATE])
        .max_age(Duration::from_secs(3600))
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the request took too long; what it began may still be done";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", message).into_response()
        }
    }
}

/// The panic hook has logged and reported it.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal().into_response()
}

async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no_such_route", "there is no such route; /docs lists those there are")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the route does not know this method; /docs lists those it knows",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{App, routes};

    #[test]
    fn each_route_of_the_router_is_in_the_document_that_declares_it_to_the_metrics() {
        for drill_routes in [false, true] {
            let (router, document) = routes(drill_routes).split_for_parts();
            // axum does not list a router's paths, but its debug output holds them as quoted texts.
            let router: axum::Router<App> = router;
            let text = format!("{router:?}");
            let text = text.split("fallback_router").next().unwrap();
            let routed: BTreeSet<&str> = text.split('"').filter(|part| part.starts_with('/')).collect();
            let declared: BTreeSet<&str> = document.paths.paths.keys().map(String::as_str).collect();
            assert!(routed.contains("/api/events/{eventId}"), "{text}");
            assert_eq!(routed, declared);
        }
    }
}
