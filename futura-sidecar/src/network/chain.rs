//! The certificates that a target shows, recorded before they are judged: an expired one still tells when it expired.

use std::time::SystemTime;

use futura_metrics::specs::checks::Reason;
use rustls::{
    CertificateError, ProtocolVersion, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::Failure;

/// What a target showed of itself in a TLS handshake.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// The leaf first, as they were sent.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) version: Option<ProtocolVersion>,
    /// Whether a root that is trusted vouches for it.
    pub(crate) verified: bool,
}

// === impl Chain ===

impl Chain {
    /// The certificates that can be read, as far as they can.
    pub(crate) fn parsed(&self) -> impl Iterator<Item = X509Certificate<'_>> {
        self.certificates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate))
    }

    /// When the first of the certificates expires, in seconds since the Unix epoch.
    pub(crate) fn expiry(&self) -> Option<i64> {
        self.parsed().map(|certificate| certificate.validity().not_after.timestamp()).min()
    }

    /// When the first of those certificates expires that lead from the leaf upwards: what else was sent does not count.
    pub(crate) fn path_expiry(&self) -> Option<i64> {
        let certificates: Vec<_> = self.parsed().collect();
        let mut next = certificates.first();
        let mut earliest = None;
        for _ in &certificates {
            let Some(certificate) = next else { break };
            let expiry = certificate.validity().not_after.timestamp();
            earliest = Some(earliest.map_or(expiry, |earliest: i64| earliest.min(expiry)));
            let issuer = certificate.issuer().as_raw();
            next = certificates
                .iter()
                .find(|other| other.subject().as_raw() == issuer && !std::ptr::eq(*other, certificate));
        }
        earliest
    }

    /// Judges the chain as a client does that trusts `roots` and asked for `name`.
    pub(crate) fn verify(&self, roots: &RootCertStore, name: &ServerName<'_>) -> Result<(), Failure> {
        let verified = || {
            let (leaf, intermediates) =
                self.certificates.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
            let leaf = ParsedCertificate::try_from(leaf)?;
            let algorithms = ring::default_provider().signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, UnixTime::now(), algorithms)?;
            verify_server_name(&leaf, name)
        };
        verified().map_err(|error| match error {
            rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Failure::new(Reason::Expired, error.to_string())
            }
            // As `openssl req -x509` makes it; the library has no words for it.
            rustls::Error::InvalidCertificate(CertificateError::Other(other))
                if format!("{other:?}").contains("CaUsedAsEndEntity") =>
            {
                let message = "the certificate is an authority's (`CA:TRUE`), which is taken from no server: make it with `CA:FALSE`";
                Failure::new(Reason::Tls, message)
            }
            error => Failure::new(Reason::Tls, error.to_string()),
        })
    }

    /// Fails if a certificate expires before `time`.
    pub(crate) fn outlasts(&self, time: SystemTime) -> Result<(), Failure> {
        let limit = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let expiring = self.parsed().find(|certificate| {
            u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default() < limit
        });
        match expiring {
            Some(certificate) => {
                let (subject, validity) = (certificate.subject(), certificate.validity());
                Err(Failure::new(Reason::Expired, format!("`{subject}` is valid until {}", validity.not_after)))
            }
            None => Ok(()),
        }
    }
}
