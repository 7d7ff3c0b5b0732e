//! Each way in which a target can be well or fail, against servers on real sockets.

use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futura_metrics::{
    Metrics,
    exposition::Format,
    specs::checks::{Reason, Suspension},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair, generate_simple_self_signed};
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::{RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::{Check, ChecksMetrics};
use crate::{
    config::Config,
    network::{Failure, Network},
};

mod databases;
mod journey;
mod peers;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A resolver that knows `hangs`, which never resolves, `two`, which has two addresses, and the names that end in `.local`, which are
/// this host.
struct TestResolver;

impl Resolve for TestResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match name.as_str() {
                "hangs" => pending().await,
                "two" => Ok(Box::new([2, 1].map(|last| SocketAddr::from(([127, 0, 0, last], 0))).into_iter()) as _),
                name if name.ends_with(".local") => {
                    Ok(Box::new([SocketAddr::from(([127, 0, 0, 1], 0))].into_iter()) as _)
                }
                _ => Err(io::Error::other("no such name").into()),
            }
        })
    }
}

/// Serves connections one after the other.
async fn serve<F: Future<Output = io::Result<()>> + Send>(
    handle: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A check that has seen enough goes away.
            let _ = handle(stream).await;
        }
    });
    address
}

/// Serves the same bytes to all and closes.
async fn serve_bytes(answer: &'static str) -> SocketAddr {
    serve(move |mut stream| async move {
        head(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    })
    .await
}

/// Reads a request's head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) -> io::Result<()> {
    head(stream).await?;
    stream.write_all(answer.as_bytes()).await
}

fn check_of(keys: &str, roots: RootCertStore, metrics: &Metrics) -> Check {
    let text = format!("checks: [{{ name: c, interval: 1m, {keys} }}]");
    let config = Config::parse(&text, |_| None).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let network = Network::new(Arc::new(TestResolver), roots);
    let check = config.checks.into_iter().next().expect("one check");
    Check::new(check, &ChecksMetrics::register(metrics).expect("free names"), &network).expect("a client")
}

/// Runs a check once.
async fn run_trusting(keys: &str, roots: RootCertStore) -> Result<(), Failure> {
    let check = check_of(keys, roots, &Metrics::new());
    check.run().await;
    let state = check.history.state();
    assert_eq!(state.samples.len(), 1);
    assert_eq!(state.samples[0].failure, state.last_failure.as_ref().map(|last| last.failure.reason));
    state.last_failure.map_or(Ok(()), |last| Err(last.failure))
}

async fn run(keys: &str) -> Result<(), Failure> {
    run_trusting(keys, RootCertStore::empty()).await
}

#[track_caller]
fn fails(result: Result<(), Failure>, reason: Reason, part: &str) {
    let failure = result.expect_err("a failure");
    assert_eq!(failure.reason, reason, "{failure:?}");
    assert!(failure.message.contains(part), "{failure:?}");
}

/// A port that nothing listens on.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

#[tokio::test]
async fn a_right_answer_succeeds() {
    let address = serve_bytes(OK).await;
    assert_eq!(run(&format!("kind: http, url: \"http://{address}/\"")).await, Ok(()));
    let body = "body_contains: \"ell\", body_matches: \"^h.*o$\", status: [200, 3xx]";
    assert_eq!(run(&format!("kind: http, url: \"http://{address}/\", {body}")).await, Ok(()));
    let by_name = format!("kind: http, url: \"http://a.local:{}/\"", address.port());
    assert_eq!(run(&by_name).await, Ok(()));
}

#[tokio::test]
async fn the_request_is_as_configured_and_its_connection_new() {
    let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(String::new())));
    let (counter, heads) = (Arc::clone(&connections), Arc::clone(&seen));
    let address = serve(move |mut stream| {
        counter.fetch_add(1, Relaxed);
        let heads = Arc::clone(&heads);
        async move {
            let head = head(&mut stream).await?;
            *heads.lock().expect("no panic") = head;
            // The connection could be kept alive: the answer has an end, and nobody closes.
            stream.write_all(OK.as_bytes()).await?;
            stream.read_u8().await.map(drop)
        }
    })
    .await;
    let metrics = Metrics::new();
    let keys = format!(
        "kind: http, url: \"http://{address}/a?b=c#d\", method: POST, headers: {{ X-Token: secret, host: example.org }}"
    );
    let check = check_of(&keys, RootCertStore::empty(), &metrics);
    for _ in 0..3 {
        check.run().await;
    }
    assert!(check.history.state().samples.iter().all(|sample| sample.failure.is_none()));
    assert_eq!(connections.load(Relaxed), 3);
    let head = seen.lock().expect("no panic").clone();
    assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-token: secret\r\n") && head.contains("host: example.org\r\n"), "{head}");
    assert_eq!(check.target(), format!("http://{address}/a"));
}

#[tokio::test]
async fn a_wrong_answer_fails_by_what_is_wrong() {
    let missing = serve_bytes("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("kind: http, url: \"http://{missing}/\"");
    fails(run(&url).await, Reason::Status, "status 404 Not Found, expected 2xx");
    assert_eq!(run(&format!("{url}, status: 404")).await, Ok(()));

    let ok = serve_bytes(OK).await;
    let url = format!("kind: http, url: \"http://{ok}/\"");
    fails(run(&format!("{url}, status: [204, 3xx]")).await, Reason::Status, "expected 204 or 3xx");
    fails(run(&format!("{url}, body_contains: \"h.llo\"")).await, Reason::Body, "does not contain");
    fails(run(&format!("{url}, body_matches: \"^ello\"")).await, Reason::Body, "does not match");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_allowed() {
    let address = serve(|mut stream| async move {
        let head = head(&mut stream).await?;
        let step: u32 = head.split_whitespace().nth(1).and_then(|path| path[1..].parse().ok()).unwrap_or_default();
        let answer = match step {
            3 => OK.to_owned(),
            step => format!("HTTP/1.1 302 Found\r\nlocation: /{}\r\ncontent-length: 0\r\n\r\n", step + 1),
        };
        stream.write_all(answer.as_bytes()).await
    })
    .await;
    let url = format!("kind: http, url: \"http://{address}/0\"");
    fails(run(&url).await, Reason::Status, "302");
    fails(run(&format!("{url}, redirects: 2")).await, Reason::Status, "302");
    assert_eq!(run(&format!("{url}, redirects: 3, body_contains: hello")).await, Ok(()));
    assert_eq!(run(&format!("{url}, status: 302")).await, Ok(()));
}

#[tokio::test]
async fn headers_follow_redirects_only_within_the_origin() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let other = serve(move |mut stream| {
        counter.fetch_add(1, Relaxed);
        async move { answer(&mut stream, OK).await }
    })
    .await;
    let address = serve(move |mut stream| async move {
        let target =
            if head(&mut stream).await?.starts_with("GET /0 ") { "/1".to_owned() } else { format!("http://{other}/") };
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await
    })
    .await;
    let url = format!("kind: http, url: \"http://{address}/0\", redirects: 5");
    let result = run(&format!("{url}, headers: {{ x-api-key: secret }}")).await;
    fails(result, Reason::Status, "status 302 Found, expected 2xx: the headers do not go to another origin");
    assert_eq!(requests.load(Relaxed), 0);
    assert_eq!(run(&url).await, Ok(()));
    assert_eq!(requests.load(Relaxed), 1);
}

#[tokio::test]
async fn no_connection_fails_by_why() {
    let closed = closed_port().await;
    fails(run(&format!("kind: tcp, target: \"{closed}\"")).await, Reason::Connect, "refused");
    fails(run(&format!("kind: http, url: \"http://{closed}/\"")).await, Reason::Connect, "refused");
    fails(run("kind: tcp, target: \"nowhere:1\"").await, Reason::Dns, "nowhere: no such name");
    fails(run("kind: http, url: \"http://nowhere/\"").await, Reason::Dns, "nowhere: no such name");

    let reset = serve(|mut stream| async move {
        head(&mut stream).await?;
        stream.set_zero_linger()
    })
    .await;
    fails(run(&format!("kind: http, url: \"http://{reset}/\"")).await, Reason::Connect, "reset");
}

#[tokio::test]
async fn an_address_that_hangs_leaves_the_next_one_its_share_of_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // A queue that is full lets nobody in and turns nobody away.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address = SocketAddr::from(([127, 0, 0, 2], port));
    full.bind(&address.into()).expect("the same port");
    full.listen(0).expect("a socket that is bound");
    let mut waiting = Vec::new();
    let patience = std::time::Duration::from_millis(200);
    while let Ok(Ok(stream)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    assert_eq!(run(&format!("kind: tcp, target: \"two:{port}\", timeout: 2s")).await, Ok(()));
    drop(listener);
    fails(run(&format!("kind: tcp, target: \"two:{port}\", timeout: 400ms")).await, Reason::Connect, "refused");
}

#[test]
fn only_checks_of_the_own_host_drain() {
    for (keys, own) in [
        ("kind: tcp, target: \"127.0.0.1:1\"", true),
        ("kind: redis, target: \"localhost:1\"", true),
        ("kind: http, url: \"http://[::1]:1/\"", true),
        ("kind: http, url: \"http://api.localhost/\"", true),
        ("kind: dns, target: \"192.0.2.1:53\", query: a", false),
        ("kind: tcp, target: \"example.org:1\"", false),
        ("kind: journey, steps: [{ name: a, url: \"http://127.0.0.1:1/{{run_id}}\" }]", true),
        ("kind: journey, base_url: \"http://192.0.2.1\", steps: [{ name: a, url: / }]", false),
    ] {
        let check = check_of(keys, RootCertStore::empty(), &Metrics::new());
        check.drain();
        assert_eq!(check.suspension(), own.then_some(Suspension::Draining), "{keys}");
    }
}

#[tokio::test]
async fn a_connection_is_all_that_tcp_asks_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    assert_eq!(run(&format!("kind: tcp, target: \"127.0.0.1:{port}\"")).await, Ok(()));
    assert_eq!(run(&format!("kind: tcp, target: \"b.local:{port}\"")).await, Ok(()));
}

#[tokio::test]
async fn what_is_not_http_fails_by_protocol() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    ] {
        let address = serve_bytes(answer).await;
        fails(run(&format!("kind: http, url: \"http://{address}/\"")).await, Reason::Protocol, "");
    }
}

#[tokio::test]
async fn the_timeout_holds_whatever_the_target_does() {
    let silent = serve(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    let dripping = serve(|mut stream| async move {
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
        loop {
            stream.write_all(b".").await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let heads = serve(|mut stream| async move {
        answer(&mut stream, "HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"a: b\r\n").await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    for url in [
        format!("http://{silent}/"),
        format!("https://{silent}/"),
        format!("http://{dripping}/"),
        format!("http://{heads}/"),
        "http://hangs/".to_owned(),
    ] {
        fails(
            run(&format!("kind: http, url: \"{url}\", timeout: 200ms")).await,
            Reason::Timeout,
            "no result within 200ms",
        );
    }
    fails(run("kind: tcp, target: \"hangs:1\", timeout: 50ms").await, Reason::Timeout, "");
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_limit() {
    let endless = serve(|mut stream| async move {
        answer(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await?;
        loop {
            stream.write_all(&[b'.'; 65536]).await?;
        }
    })
    .await;
    let url = format!("kind: http, url: \"http://{endless}/\", timeout: 30s");
    assert_eq!(run(&url).await, Ok(()));
    fails(run(&format!("{url}, body_contains: x")).await, Reason::Body, "the body of 1048576 bytes");
}

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
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move { answer(&mut acceptor.accept(stream).await?, OK).await }
    })
    .await;
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

/// A TLS server's side for these names, and the roots that trust it.
fn certified(names: &[&str], not_after: Option<(i32, u8, u8)>) -> (TlsAcceptor, RootCertStore) {
    let mut params =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
    if let Some((year, month, day)) = not_after {
        params.not_after = rcgen::date_time_ymd(year, month, day);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
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
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move { answer(&mut acceptor.accept(stream).await?, OK).await }
    })
    .await;
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
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.map(drop) }
    })
    .await;
    let keys = format!("kind: tls, target: \"good.local:{}\"", address.port());
    assert_eq!(run_trusting(&keys, roots.clone()).await, Ok(()));
    let longer = format!("{keys}, valid_for: 300d");
    fails(run_trusting(&longer, roots.clone()).await, Reason::Expired, "is valid until");
    let other = format!("kind: tls, target: \"other.local:{}\"", address.port());
    fails(run_trusting(&other, roots.clone()).await, Reason::Tls, "not valid for name");
    assert_eq!(run_trusting(&format!("{other}, tls: {{ server_name: good.local }}"), roots).await, Ok(()));
    assert_eq!(run(&format!("{other}, tls: {{ verify: false }}")).await, Ok(()));
}

#[tokio::test]
async fn a_dialogue_goes_line_by_line_and_over_to_tls() {
    let (acceptor, roots) = certified(&["mail.local"], None);
    let address = serve(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            stream.write_all(b"hold on\r\n220 mail.local ready\r\n").await?;
            expect_line(&mut stream, "EHLO mail.local").await?;
            stream.write_all(b"250-SIZE 1\r\n250 STARTTLS\r\n").await?;
            expect_line(&mut stream, "STARTTLS").await?;
            stream.write_all(b"220 go ahead\r\n").await?;
            let mut stream = acceptor.accept(stream).await?;
            expect_line(&mut stream, "QUIT").await?;
            stream.write_all(b"221 bye\r\n").await?;
            stream.shutdown().await
        }
    })
    .await;
    let dialogue = "[{ expect: \"^220 ([a-z.]+) ready$\", send: \"EHLO ${1}\" }, { expect: \"^250 STARTTLS\", send: STARTTLS }, \
                     { expect: \"^220\", starttls: true }, { send: QUIT }, { expect: \"^221\" }]";
    // `${1}` would be a variable of the environment: it is written `$1` where it stands alone.
    let dialogue = dialogue.replace("${1}", "$1");
    let keys = format!("kind: tcp, target: \"mail.local:{}\", tls: {{}}, dialogue: {dialogue}", address.port());
    assert_eq!(run_trusting(&keys, roots).await, Ok(()));

    let banner = serve(|mut stream| async move { stream.write_all(b"SSH-2.0-x\n").await }).await;
    let keys = format!("kind: tcp, target: \"{banner}\", dialogue: [{{ expect: \"^SSH-1\" }}]");
    fails(run(&keys).await, Reason::Body, "no line matched `^SSH-1` in turn 1");
    let endless = serve(|mut stream| async move {
        loop {
            stream.write_all(&[b'.'; 65536]).await?;
        }
    })
    .await;
    let keys = format!("kind: tcp, target: \"{endless}\", dialogue: [{{ expect: x }}]");
    fails(run(&keys).await, Reason::Protocol, "a line of more than 65536 bytes");
    let hasty = serve(|mut stream| async move {
        stream.write_all(b"220 go ahead\r\n250 forged\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let keys = format!("kind: tcp, target: \"{hasty}\", tls: {{}}, dialogue: [{{ expect: \"^220\", starttls: true }}]");
    fails(run(&keys).await, Reason::Protocol, "went on in plain text");
}

async fn expect_line(stream: &mut (impl AsyncRead + Unpin), expected: &str) -> io::Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(stream.read_u8().await?);
    }
    assert_eq!(String::from_utf8_lossy(&line), format!("{expected}\n"));
    Ok(())
}

/// Answers each query over UDP with the same flags and records.
async fn serve_dns(flags: u16, answers: u16, records: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let mut answer = query[..length].to_vec();
            answer[2..4].copy_from_slice(&flags.to_be_bytes());
            answer[6..8].copy_from_slice(&answers.to_be_bytes());
            answer.extend_from_slice(records);
            // Somebody else's answer comes first: it has another number.
            let forged = [&[!query[0]][..], &answer[1..]].concat();
            drop(socket.send_to(&forged, from).await);
            drop(socket.send_to(&answer, from).await);
        }
    });
    address
}

#[tokio::test]
async fn dns_is_judged_by_code_and_records() {
    let a = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    let good = serve_dns(0x8180, 1, a).await;
    let keys = format!("kind: dns, target: \"{good}\", query: example.org");
    assert_eq!(run(&keys).await, Ok(()));
    assert_eq!(run(&format!("{keys}, answer_matches: \"^192\\\\.0\"")).await, Ok(()));
    fails(run(&format!("{keys}, answer_matches: \"^10\"")).await, Reason::Body, "the first is 192.0.2.1");
    fails(run(&format!("{keys}, answers_min: 2")).await, Reason::Body, "1 records, expected at least 2");
    fails(run(&format!("{keys}, record: MX")).await, Reason::Body, "0 records");
    let unknown = serve_dns(0x8183, 0, b"").await;
    let keys = format!("kind: dns, target: \"{unknown}\", query: example.org");
    fails(run(&keys).await, Reason::Status, "NXDOMAIN, expected NOERROR");
    assert_eq!(run(&format!("{keys}, code: NXDOMAIN")).await, Ok(()));
    let garbage = serve_dns(0x8180, 9, b"\xc0").await;
    fails(
        run(&format!("kind: dns, target: \"{garbage}\", query: a")).await,
        Reason::Protocol,
        "no answer to the query",
    );
    let closed = closed_port().await;
    fails(run(&format!("kind: dns, target: \"{closed}\", query: a")).await, Reason::Connect, "refused");
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address)).expect("an address");
    let keys = format!("kind: dns, target: \"{}\", query: a, timeout: 50ms", silent.1);
    fails(run(&keys).await, Reason::Timeout, "in the phase `first_byte`");
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let socket = UdpSocket::bind(address).await.expect("the same port");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            query[2..4].copy_from_slice(&0x8380_u16.to_be_bytes());
            drop(socket.send_to(&query[..length], from).await);
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = usize::from(stream.read_u16().await.expect("a length"));
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await.expect("a query");
            answer[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
            answer[7] = 1;
            answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
            let length = u16::try_from(answer.len()).expect("short");
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await.expect("a reader");
        }
    });
    assert_eq!(run(&format!("kind: dns, target: \"{address}\", query: example.org")).await, Ok(()));
}

#[tokio::test]
async fn a_ping_of_this_host_comes_back_where_the_kernel_permits_it() {
    for target in ["127.0.0.1", "::1"] {
        let target = if target.contains(':') { format!("[{target}]") } else { target.to_owned() };
        match run(&format!("kind: icmp, target: \"{target}\", payload: 1000")).await {
            Ok(()) => {}
            Err(failure) => fails(Err(failure), Reason::Connect, "ping_group_range"),
        }
    }
}

/// A health service over HTTP/2 without TLS that answers with these trailers.
async fn serve_grpc(message: &'static [u8], status: &'static str) -> SocketAddr {
    serve(move |stream| async move {
        let answer = service_fn(move |request: http::Request<Incoming>| async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let trailers =
                HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))]);
            let body = Full::new(Bytes::from_static(message)).with_trailers(async move { Some(Ok(trailers)) });
            Ok::<_, io::Error>(http::Response::new(body))
        });
        let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        served.map_err(io::Error::other)
    })
    .await
}

#[tokio::test]
async fn grpc_is_judged_by_what_the_health_service_says() {
    let check =
        async |message, status| run(&format!("kind: grpc, target: \"{}\"", serve_grpc(message, status).await)).await;
    assert_eq!(check(&[0, 0, 0, 0, 2, 8, 1], "0").await, Ok(()));
    fails(check(&[0, 0, 0, 0, 2, 8, 2], "0").await, Reason::Body, "the service is NOT_SERVING");
    fails(check(&[], "5").await, Reason::Status, "status NOT_FOUND, expected OK");
    let plain = serve_bytes(OK).await;
    fails(run(&format!("kind: grpc, target: \"{plain}\"")).await, Reason::Protocol, "");
    let silent = serve(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    fails(run(&format!("kind: grpc, target: \"{silent}\", timeout: 200ms")).await, Reason::Timeout, "first_byte");
}

#[tokio::test]
async fn counters_are_there_before_the_first_run_and_gauges_after_it() {
    let metrics = Metrics::new();
    let check = check_of("kind: tcp, target: \"nowhere:1\"", RootCertStore::empty(), &metrics);
    let before = metrics.render(Format::Text);
    for reason in Reason::ALL {
        let series = format!("check_failures_total{{check=\"c\",kind=\"tcp\",reason=\"{}\"}} 0\n", reason.as_str());
        assert!(before.contains(&series), "{series} is not in\n{before}");
    }
    assert!(!before.contains("check_success{"), "{before}");
    check.run().await;
    let after = metrics.render(Format::Text);
    for series in [
        "check_runs_total{check=\"c\",kind=\"tcp\"} 1\n",
        "check_successes_total{check=\"c\",kind=\"tcp\"} 0\n",
        "check_failures_total{check=\"c\",kind=\"tcp\",reason=\"dns\"} 1\n",
        "check_duration_seconds_count{check=\"c\",kind=\"tcp\"} 1\n",
        "check_success{check=\"c\",kind=\"tcp\"} 0\n",
    ] {
        assert!(after.contains(series), "{series} is not in\n{after}");
    }
    assert!(after.contains("check_last_run_timestamp_seconds{"), "{after}");
}
