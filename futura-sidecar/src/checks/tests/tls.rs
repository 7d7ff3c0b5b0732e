//! What is judged of certificates, and what is shown of our own.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::{Format, Metrics, OK, Reason, answer, check_of, fails, run, run_trusting, serve};

#[tokio::test]
async fn certificates_are_verified() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["good.local".to_owned()]).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .expect("a key that fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = serve_answer(acceptor).await;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let (good, other) = (
        format!("kind: http, url: \"https://good.local:{}/\"", address.port()),
        format!("kind: http, url: \"https://other.local:{}/\"", address.port()),
    );
    assert_eq!(run_trusting(&good, roots.clone()).await, Ok(()));
    fails(run_trusting(&other, roots.clone()).await, Reason::Tls, "certificate not valid for name");
    fails(run(&good).await, Reason::Tls, "UnknownIssuer");

    let plain = serve(|mut stream| async move { stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await }).await;
    fails(run(&format!("kind: http, url: \"https://{plain}/\"")).await, Reason::Tls, "");
    let hanging_up = serve(|mut stream| async move { stream.shutdown().await }).await;
    fails(run(&format!("kind: http, url: \"https://{hanging_up}/\"")).await, Reason::Tls, "eof");
}

/// Answers each request with success.
async fn serve_answer(acceptor: TlsAcceptor) -> SocketAddr {
    let answers = move |stream| {
        let acceptor = acceptor.clone();
        async move { answer(&mut acceptor.accept(stream).await?, OK).await }
    };
    serve(answers).await
}

/// Closes each connection after its handshake.
async fn serve_handshake(acceptor: TlsAcceptor) -> SocketAddr {
    let handshakes = move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.map(drop) }
    };
    serve(handshakes).await
}

/// A TLS server's side for these names, and the roots that trust it.
pub(super) fn certified(names: &[&str], not_after: Option<(i32, u8, u8)>) -> (TlsAcceptor, RootCertStore) {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    if let Some((year, month, day)) = not_after {
        params.not_after = rcgen::date_time_ymd(year, month, day);
    }
    self_signed(&params)
}

fn self_signed(params: &CertificateParams) -> (TlsAcceptor, RootCertStore) {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.clone().self_signed(&key).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a key that fits");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a root");
    (TlsAcceptor::from(Arc::new(config)), roots)
}

#[tokio::test]
async fn an_authority_is_no_server() {
    let mut params = CertificateParams::new(["good.local".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (acceptor, roots) = self_signed(&params);
    let address = serve_handshake(acceptor).await;
    let keys = format!("kind: tls, target: \"good.local:{}\"", address.port());
    fails(run_trusting(&keys, roots).await, Reason::Tls, "is an authority's");
}

#[tokio::test]
async fn a_certificate_is_known_even_if_it_is_not_trusted() {
    let (acceptor, roots) = certified(&["old.local"], Some((2020, 2, 3)));
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await?.read_to_end(&mut Vec::new()).await.map(drop) }
    })
    .await;
    // Whoever trusts it sees that it has expired, and whoever does not sees that too.
    for roots in [roots, RootCertStore::empty()] {
        let metrics = Metrics::new();
        let check = check_of(&format!("kind: tls, target: \"old.local:{}\"", address.port()), roots, &metrics);
        check.run().await;
        let state = check.history.state();
        assert_eq!(state.last.certificate_expiry, Some(1_580_688_000));
        fails(Err(state.last_failure.expect("a failure").failure), Reason::Expired, "expired");
        let text = metrics.render(Format::Text);
        assert!(
            text.contains("check_certificate_expiry_timestamp_seconds{check=\"c\",kind=\"tls\"} 1580688000\n"),
            "{text}"
        );
        assert!(text.contains("check_last_phase_duration_seconds{check=\"c\",kind=\"tls\",phase=\"tls\"}"), "{text}");
    }
}

/// A client's certificate and its key in two files, and the roots of who trusts it.
fn client_certificate(folder: &Path) -> RootCertStore {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut roots = RootCertStore::empty();
    roots.add(authority.self_signed(&authority_key).expect("a certificate").der().clone()).expect("a root");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["client".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).expect("a certificate");
    std::fs::write(folder.join("client.pem"), certificate.pem()).expect("a file");
    std::fs::write(folder.join("client.key"), key.serialize_pem()).expect("a file");
    roots
}

#[tokio::test]
async fn a_client_shows_its_certificate_and_takes_the_one_that_is_renewed() {
    let (old, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    client_certificate(old.path());
    let trusted = client_certificate(new.path());
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["good.local".to_owned()]).expect("a certificate");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
        .expect("a key that fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = serve_answer(acceptor).await;
    std::fs::write(old.path().join("ca.pem"), cert.pem()).expect("a file");
    let file = |name: &str| old.path().join(name).display().to_string();
    let keys = format!(
        "kind: http, url: \"https://good.local:{}/\", tls: {{ ca: {}, certificate: {}, key: {} }}",
        address.port(),
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    let check = check_of(&keys, RootCertStore::empty(), &Metrics::new());
    let result = async || {
        check.run().await;
        check.history.state().samples.back().and_then(|sample| sample.failure)
    };
    assert_eq!(result().await, Some(Reason::Tls), "the server does not trust it");
    let renew = |name: &str| std::fs::copy(new.path().join(name), file(name)).map(|_| ()).expect("a file");
    renew("client.pem");
    assert_eq!(result().await, Some(Reason::Tls), "half of it does not fit, and what was before goes on");
    renew("client.key");
    assert_eq!(result().await, None);
    let without =
        format!("kind: http, url: \"https://good.local:{}/\", tls: {{ ca: {} }}", address.port(), file("ca.pem"));
    fails(run(&without).await, Reason::Tls, "CertificateRequired");
}

#[tokio::test]
async fn a_certificate_is_judged_by_name_and_by_how_long_it_lasts() {
    let next_year = time::UtcDateTime::now() + time::Duration::days(200);
    let expiry = (next_year.year(), next_year.month().into(), next_year.day());
    let (acceptor, roots) = certified(&["good.local"], Some(expiry));
    let address = serve_handshake(acceptor).await;
    let keys = format!("kind: tls, target: \"good.local:{}\"", address.port());
    assert_eq!(run_trusting(&keys, roots.clone()).await, Ok(()));
    let longer = format!("{keys}, valid_for: 300d");
    fails(run_trusting(&longer, roots.clone()).await, Reason::Expired, "is valid until");
    let other = format!("kind: tls, target: \"other.local:{}\"", address.port());
    fails(run_trusting(&other, roots.clone()).await, Reason::Tls, "not valid for name");
    assert_eq!(run_trusting(&format!("{other}, tls: {{ server_name: good.local }}"), roots).await, Ok(()));
    assert_eq!(run(&format!("{other}, tls: {{ verify: false }}")).await, Ok(()));
}
