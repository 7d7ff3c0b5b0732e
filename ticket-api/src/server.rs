//! The service as a whole: `bind` builds it from its parts and takes its ports, `run` serves until it is told to stop.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use axum::Router;
use futura_metrics::{
    Metrics, RegisterError,
    admin::{self, Readiness},
    http::{HttpLayerError, HttpService},
    serve::{Address, Limits, Listener},
    shutdown::{Drained, Shutdown, ShutdownConfig},
    specs::resilience::{Breaker, Operation},
    telemetry::Telemetry,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Layer;

use crate::{
    api::{self, App, Authentication, Webhook},
    box_office::BoxOffice,
    bus::{Subscription, bus},
    config::Config,
    payments::{PaymentGateway, Payments},
    queue::{Queue, QueueConfigError},
    resilience::ResilienceMetrics,
    settings::Settings,
    store::{self, DatabaseError, Store},
};

/// How many buyers are connected at once; a proxy in front keeps the others waiting.
const CONNECTIONS: usize = 4_096;

/// The service, with its database open and its ports taken.
pub struct Server {
    api: Listener,
    admin: Listener,
    service: HttpService<Router>,
    admin_routes: Router,
    box_office: Arc<BoxOffice>,
    subscription: Subscription,
    payments: TaskTracker,
    readiness: Readiness,
    shutdown: ShutdownConfig,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be listened on.
    #[error("cannot listen on {variable} {address}")]
    Listen {
        /// The variable that names the port.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The virtual queue cannot be where it should.
    #[error(transparent)]
    Queue(#[from] QueueConfigError),
    /// The database was opened and then could not be read.
    #[error("cannot read the database")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A metric's name is taken.
    #[error(transparent)]
    Metrics(#[from] RegisterError),
    /// A route cannot be measured.
    #[error(transparent)]
    Routes(#[from] HttpLayerError),
    /// The OpenAPI document cannot be written.
    #[error("cannot write the OpenAPI document")]
    Document(#[from] serde_json::Error),
}

// === impl Server ===

impl Server {
    /// Opens the database, brings it up to date and takes both ports; nothing is served yet.
    ///
    /// # Errors
    /// When any part of it fails; then nothing is left open.
    pub async fn bind(
        config: &Config,
        settings: Settings,
        gateway: Arc<dyn PaymentGateway>,
        metrics: &Metrics,
        telemetry: Option<&Telemetry>,
    ) -> Result<Self, StartError> {
        let api = listen("PORT", SocketAddr::new(config.host, config.port)).await?;
        let admin = listen("METRICS_PORT", SocketAddr::new(config.host, config.metrics_port)).await?;
        let database = store::connect(&config.database()).await?;
        let resilience = ResilienceMetrics::register(metrics)?;
        let guard = resilience.guard(Breaker::Database, settings.database_breaker, Operation::Database, settings.retry);
        let store = Arc::new(Store::new(database, guard, metrics)?);
        let guard = resilience.guard(Breaker::Payment, settings.payment_breaker, Operation::Payment, settings.retry);
        let provider = Payments::new(gateway, guard, settings.payment_timeout, metrics)?;
        let guard = resilience.guard(Breaker::Redis, settings.redis_breaker, Operation::Redis, settings.retry);
        let queue = Queue::connect(&config.queue(), &settings, guard).await?;
        let (bus, subscription) = bus(&settings, config.redpanda_brokers.as_ref(), metrics)?;
        let box_office = Arc::new(BoxOffice::new(store, provider, bus, settings, metrics)?);
        box_office.refresh_active_tickets().await.map_err(|error| StartError::Read(error.into()))?;

        let payments = TaskTracker::new();
        let webhook = Webhook::new(config.stripe_webhook_secret(), metrics)?;
        let authentication = Authentication::new(config.jwt_secret().as_ref());
        let (seller, payers) = (Arc::clone(&box_office), payments.clone());
        let app = App::new(authentication, seller, queue, payers, webhook, config.drill_routes, metrics)?;
        let (router, layer) = api::router(app, &config.allowed_origins, config.drill_routes, metrics)?;
        let layer = match telemetry {
            Some(telemetry) => layer.traced(telemetry),
            None => layer,
        };
        let readiness = Readiness::default();
        Ok(Self {
            api,
            admin,
            service: layer.layer(router),
            admin_routes: admin::routes(metrics, &readiness),
            box_office,
            subscription,
            payments,
            readiness,
            shutdown: ShutdownConfig { drain_delay: config.drain_delay, grace: config.shutdown_timeout },
        })
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        tcp_address(&self.api)
    }

    /// The address of `/metrics`, `/livez` and `/readyz`.
    pub fn admin_address(&self) -> SocketAddr {
        tcp_address(&self.admin)
    }

    /// Serves until `signal`, then drains; the admin port stays until the end.
    pub async fn run(self, signal: impl Future<Output = ()>) -> Drained {
        let shutdown = Shutdown::new(self.shutdown, self.readiness.clone());
        let tracker = shutdown.tracker();
        let bus_closed = CancellationToken::new();

        // Not tracked: probes and scrapes are answered to the end.
        let admin = tokio::spawn(self.admin.serve(self.admin_routes, Limits::default(), shutdown.drained()));
        let (box_office, stop) = (Arc::clone(&self.box_office), shutdown.requested());
        tracker.spawn(async move { box_office.run_upkeep(stop).await });
        let box_office = Arc::clone(&self.box_office);
        let consume = move |batch| Arc::clone(&box_office).consume(batch);
        tracker.spawn(self.subscription.run(bus_closed.clone(), consume));
        let limits = Limits { connections: CONNECTIONS, linger: self.shutdown.grace, ..Limits::default() };
        let (api, payments) = (self.api.serve(self.service, limits, shutdown.draining()), self.payments);
        tracker.spawn(async move {
            api.await;
            // A payment outlives its request when the client goes away, and publishes until its end.
            payments.close();
            payments.wait().await;
            bus_closed.cancel();
        });

        self.readiness.set(true);
        let drained = shutdown.run(signal).await;
        if let Err(error) = admin.await {
            tracing::error!(%error, "the admin port was not served to the end");
        }
        self.box_office.store().close().await;
        drained
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("api", &self.api).field("admin", &self.admin).finish_non_exhaustive()
    }
}

async fn listen(variable: &'static str, address: SocketAddr) -> Result<Listener, StartError> {
    Listener::bind(&address.into()).await.map_err(|source| StartError::Listen { variable, address, source })
}

fn tcp_address(listener: &Listener) -> SocketAddr {
    match listener.address() {
        Address::Tcp(address) => *address,
        Address::Unix(_) => unreachable!("both ports are bound to TCP addresses"),
    }
}
