//! What every check and the forwarder reach targets by: names, addresses that may be dialled, TLS, HTTP; and what is told of
//! a run, [`Trace`] and [`Failure`].
//!
//! Names go to the system's resolver, so that `/etc/hosts` and `ndots` hold as for every other program of the pod. It
//! blocks, hence the permits: names that hang cannot take all threads from the spool.

use std::{
    error::Error,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, OnceLock},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::{sync::Semaphore, task::spawn_blocking};

pub use self::tls::{TlsConfig, TlsError};
pub(crate) use self::{
    authorization::{Authorization, Secret, read_file},
    chain::Chain,
    cookies::Jar,
    dial::{Dialer, Family, Stream},
    dialogue::{Turn, converse},
    failure::Failure,
    guard::{Guard, HostPattern},
    http::{HttpClient, HttpRequest, HttpResponse},
    proxy::Proxy,
    tls::Tls,
    trace::{Connections, Step, Trace},
};

mod authorization;
mod chain;
mod cookies;
mod dial;
mod dialogue;
pub(crate) mod dns;
mod failure;
pub(crate) mod grpc;
mod guard;
mod http;
mod http1;
pub(crate) mod icmp;
mod proxy;
mod tls;
mod trace;

/// How many names are looked up at once.
const LOOKUPS: usize = 16;

/// The network as checks and the forwarder use it. Clones share all.
#[derive(Clone)]
pub(crate) struct Network {
    resolver: Arc<dyn Resolve>,
    /// The certificates that are trusted, read when the first of a target is judged by them: without one, never.
    roots: Arc<OnceLock<Arc<RootCertStore>>>,
}

struct SystemResolver {
    permits: Arc<Semaphore>,
}

// === impl Network ===

impl Network {
    /// The system's resolver and certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    pub(crate) fn system() -> Self {
        let resolver = Arc::new(SystemResolver { permits: Arc::new(Semaphore::new(LOOKUPS)) });
        Self { resolver, roots: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn new(resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        Self { resolver, roots: Arc::new(OnceLock::from(Arc::new(roots))) }
    }

    /// The certificates that are trusted.
    fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(self.roots.get_or_init(|| Arc::new(system_roots())))
    }

    /// The same where it must not block: they are more than a hundred files.
    async fn roots_in_background(&self) -> Arc<RootCertStore> {
        if let Some(roots) = self.roots.get() {
            return Arc::clone(roots);
        }
        let network = self.clone();
        spawn_blocking(move || network.roots()).await.expect("reading certificates does not panic")
    }

    /// A client that goes to nobody but whom it is sent to: not to a proxy of the environment.
    pub(crate) fn client(&self, tls: bool) -> reqwest::ClientBuilder {
        let roots = if tls { self.roots() } else { Arc::new(RootCertStore::empty()) };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .dns_resolver(Arc::clone(&self.resolver))
            .tls_backend_preconfigured(config)
            .user_agent(concat!("futura-sidecar/", env!("CARGO_PKG_VERSION")))
    }

    /// The addresses of a host, which may be one itself.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn Error + Send + Sync>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let found = self.resolver.resolve(host.parse::<Name>()?).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        tracing::warn!("the system has no certificates, so every TLS connection fails; set SSL_CERT_FILE");
    }
    roots
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
