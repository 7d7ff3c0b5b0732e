//! TLS as a client: the handshake takes any certificate, records it, and only then judges it, so that nothing is sent to a
//! target that is not trusted and yet its certificate is known.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use futura_metrics::specs::checks::{Phase, Reason};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use serde_yaml::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Chain, Failure, Network, Trace};
use crate::config::{Section, form};

/// How TLS is spoken with a target.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The file of certificates (PEM) that are trusted in place of the system's. Default the system's.
    pub ca: Option<PathBuf>,
    /// The file of the client's certificate and those that lead to its root (PEM). Default none; needs `key`.
    pub certificate: Option<PathBuf>,
    /// The file of the client's private key (PEM).
    pub key: Option<PathBuf>,
    /// The name that is asked for and that the certificate has to have. Default the host that is connected to.
    pub server_name: Option<String>,
    /// Whether the certificate has to be trusted, current and of the right name. Default true.
    pub verify: bool,
}

/// TLS that is ready to be spoken, with what is in its files now. Clones share all.
#[derive(Clone)]
pub(crate) struct Tls {
    source: Arc<Source>,
    server_name: Option<String>,
}

/// What TLS is made ready from, and what was made of its files when they were as their stamps say.
struct Source {
    recipe: Recipe,
    ready: Mutex<(Vec<Option<Stamp>>, Ready)>,
}

struct Recipe {
    config: TlsConfig,
    network: Network,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

#[derive(Clone)]
struct Ready {
    client: Arc<ClientConfig>,
    trust: Trust,
}

/// What certificates are judged by.
#[derive(Clone)]
enum Trust {
    /// Any is good.
    All,
    Roots(Arc<RootCertStore>),
    /// The certificates of the system.
    System(Network),
}

/// What tells a file from the one that had its name before.
type Stamp = (u64, u64, SystemTime);

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct TlsError {
    /// The key whose value is at fault.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// Takes every certificate, and yet holds the target to own the key of the one that it shows.
#[derive(Debug)]
struct Recording(Arc<CryptoProvider>);

// === impl TlsConfig ===

impl Default for TlsConfig {
    fn default() -> Self {
        Self { ca: None, certificate: None, key: None, server_name: None, verify: true }
    }
}

impl TlsConfig {
    /// Reads the keys of a mapping `tls`, and tries the files that it names.
    pub(crate) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let path = |value: &Value| form::text(value).map(|text| Some(PathBuf::from(text)));
        let ca = section.or("ca", path, None);
        let certificate = section.or("certificate", path, None);
        let key = section.or("key", path, None);
        let server_name = section.or("server_name", server_name, None);
        let verify = section.or("verify", form::flag, true);
        let config = Self { ca: ca?, certificate: certificate?, key: key?, server_name: server_name?, verify: verify? };
        config.usable(section, ["ca", "certificate", "key"])
    }

    /// Tries the files that are named; what is wrong with one is a finding at its key, which is one of `keys` in their order.
    pub(crate) fn usable(self, section: &mut Section<'_, '_>, keys: [&'static str; 3]) -> Option<Self> {
        let usable = self.load_roots().map(drop).and_then(|()| self.load_identity().map(drop));
        match usable {
            Ok(()) => Some(self),
            Err(TlsError { key, message }) => {
                let place = ["ca", "certificate", "key"].iter().position(|known| *known == key);
                section.report(place.map_or(key, |place| keys[place]), message);
                None
            }
        }
    }

    fn load_roots(&self) -> Result<Option<RootCertStore>, TlsError> {
        let Some(file) = &self.ca else { return Ok(None) };
        let wrong =
            |message: String| TlsError { key: "ca", message: format!("the file `{}` {message}", file.display()) };
        let mut roots = RootCertStore::empty();
        let (trusted, _) = roots.add_parsable_certificates(read_certificates(file).map_err(wrong)?);
        if trusted == 0 { Err(wrong("holds no certificate that can be trusted".to_owned())) } else { Ok(Some(roots)) }
    }

    fn load_identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => {
                return Err(TlsError { key: "certificate", message: "it needs its private key: add `key`".to_owned() });
            }
            (None, Some(_)) => {
                return Err(TlsError {
                    key: "key",
                    message: "it belongs to a certificate: add `certificate`".to_owned(),
                });
            }
        };
        let chain = read_certificates(certificate).map_err(|message| TlsError {
            key: "certificate",
            message: format!("the file `{}` {message}", certificate.display()),
        })?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError {
            key: "key",
            message: format!("the file `{}` holds no private key: {error}", key.display()),
        })?;
        Ok(Some((chain, private)))
    }
}

fn read_certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err("holds no certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("holds no certificates: {error}")),
    }
}

fn server_name(value: &Value) -> Result<Option<String>, String> {
    let name = form::text(value)?;
    match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(Some(name)),
        Err(_) => Err(format!("`{name}` is neither a host's name nor an address")),
    }
}

// === impl Tls ===

impl Tls {
    /// Makes ready what a configuration says; `alpn` are the protocols that are offered, the preferred first.
    pub(crate) fn new(config: &TlsConfig, network: &Network, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        Self::with_versions(config, network, alpn, rustls::DEFAULT_VERSIONS)
    }

    /// The same, with these versions of TLS alone.
    pub(crate) fn with_versions(
        config: &TlsConfig,
        network: &Network,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, TlsError> {
        let recipe = Recipe {
            config: config.clone(),
            network: network.clone(),
            alpn: alpn.iter().map(|protocol| protocol.to_vec()).collect(),
            versions: versions.to_vec(),
        };
        let ready = Mutex::new((recipe.stamps(), recipe.make_ready()?));
        Ok(Self { source: Arc::new(Source { recipe, ready }), server_name: config.server_name.clone() })
    }

    /// The same for another name, unless one is configured.
    pub(crate) fn named(&self, name: Option<&str>) -> Self {
        let server_name = self.server_name.clone().or(name.map(str::to_owned));
        Self { server_name, ..self.clone() }
    }

    /// Speaks TLS over a connection to `host`. What the target showed is in the trace, be it good or not.
    pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        trace: &mut Trace,
        stream: S,
        host: &str,
    ) -> Result<TlsStream<S>, Failure> {
        let host = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host)
            .map_err(|_| Failure::new(Reason::Tls, format!("`{host}` is no name that a certificate could have")))?
            .to_owned();
        let Ready { client, trust } = self.source.ready();
        // Reading the system's certificates is no time of the target's.
        let roots = trust.roots().await;
        trace.begin(Phase::Tls);
        let connector = TlsConnector::from(client);
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| Failure::tls(&error))?;
        let (_, session) = stream.get_ref();
        let chain = Chain {
            certificates: session.peer_certificates().unwrap_or_default().to_vec(),
            version: session.protocol_version(),
            verified: false,
        };
        let chain = trace.chain.insert(chain);
        if let Some(roots) = roots {
            chain.verify(&roots, &name)?;
            chain.verified = true;
        }
        trace.end();
        Ok(stream)
    }
}

// === impl Source ===

impl Source {
    /// What is ready, made anew where a file is another than it was: certificates are renewed while this runs. Files that do not
    /// fit, such as one of two that are being replaced, leave what was ready, and are looked at again when one changes.
    fn ready(&self) -> Ready {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.recipe.stamps();
        if stamps != ready.0 {
            ready.0 = stamps;
            match self.recipe.make_ready() {
                Ok(renewed) => ready.1 = renewed,
                Err(error) => tracing::warn!(%error, "a file of TLS has changed and cannot be used, the one before is"),
            }
        }
        ready.1.clone()
    }
}

// === impl Recipe ===

impl Recipe {
    /// What tells all files from others. To ask for them takes microseconds, and reading them is as quick.
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let TlsConfig { ca, certificate, key, .. } = &self.config;
        let stamp = |file: &PathBuf| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
        };
        [ca, certificate, key].into_iter().flatten().map(stamp).collect()
    }

    fn make_ready(&self) -> Result<Ready, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .expect("ring has suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Recording(provider)));
        let mut client = match self.config.load_identity()? {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsError { key: "key", message: format!("it does not fit: {error}") })?,
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols.clone_from(&self.alpn);
        // Each run is to see the whole handshake, certificates and all.
        client.resumption = Resumption::disabled();
        let trust = match self.config.load_roots()? {
            _ if !self.config.verify => Trust::All,
            Some(roots) => Trust::Roots(Arc::new(roots)),
            None => Trust::System(self.network.clone()),
        };
        Ok(Ready { client: Arc::new(client), trust })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

// === impl Trust ===

impl Trust {
    /// The certificates that one of them has to lead to; none where any is good.
    async fn roots(&self) -> Option<Arc<RootCertStore>> {
        match self {
            Self::All => None,
            Self::Roots(roots) => Some(Arc::clone(roots)),
            Self::System(network) => Some(network.roots_in_background().await),
        }
    }
}

// === impl Recording ===

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
