//! What checks share of the network: how names are resolved and which certificates are trusted.
//!
//! Names go to the system's resolver, so that `/etc/hosts` and `ndots` hold as for every other program of the pod. It
//! blocks, hence the permits: names that hang cannot take all threads from the spool.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How many names are looked up at once.
const LOOKUPS: usize = 16;

/// The network as checks and the forwarder use it. Clones share all.
#[derive(Clone)]
pub(crate) struct Network {
    /// Whether certificates were looked for.
    pub(crate) speaks_tls: bool,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) tls: Arc<ClientConfig>,
}

struct SystemResolver {
    permits: Arc<Semaphore>,
}

// === impl Network ===

impl Network {
    /// The system's resolver and, where TLS is spoken, its certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    pub(crate) fn system(speaks_tls: bool) -> Self {
        let mut roots = RootCertStore::empty();
        if speaks_tls {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "a certificate of the system cannot be read");
            }
            let (trusted, _) = roots.add_parsable_certificates(found.certs);
            if trusted == 0 {
                tracing::warn!("the system has no certificates, so every TLS connection fails; set SSL_CERT_FILE");
            }
        }
        Self { speaks_tls, ..Self::new(Arc::new(SystemResolver { permits: Arc::new(Semaphore::new(LOOKUPS)) }), roots) }
    }

    pub(crate) fn new(resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and 1.3");
        Self { speaks_tls: true, resolver, tls: Arc::new(config.with_root_certificates(roots).with_no_client_auth()) }
    }

    /// A client that keeps no connection, and goes to nobody but whom it is sent to: not to a proxy of the environment.
    pub(crate) fn client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .referer(false)
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::clone(&self.resolver))
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .user_agent(concat!("futura-sidecar/", env!("CARGO_PKG_VERSION")))
    }

    /// The addresses of a host, which may be one itself.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.resolver.resolve(host.parse::<Name>()?).await?;
        Ok(found.map(|address| SocketAddr::new(address.ip(), port)).collect())
    }
}

// === impl SystemResolver ===

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let permits = Arc::clone(&self.permits);
        Box::pin(async move {
            let permit = permits.acquire_owned().await?;
            // The permit goes with the thread: a run that gives up leaves its lookup behind, hanging.
            let lookup = spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(permit);
                found
            });
            let found: Addrs = Box::new(lookup.await??);
            Ok(found)
        })
    }
}
