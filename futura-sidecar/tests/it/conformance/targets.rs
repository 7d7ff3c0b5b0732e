//! What is probed: a real nginx for HTTP, and small servers for what nginx does not speak.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::Differs::{self, InMoreOfTls, Nowhere};
use crate::{exporter::closed_port, sentry::wait_until};

/// How far the certificates of the test reach into the past and future, as dates.
const VALID: [(i32, u8, u8); 2] = [(2024, 2, 3), (2049, 5, 6)];
const EXPIRED: [(i32, u8, u8); 2] = [(2020, 2, 3), (2021, 5, 6)];

/// Its module and target, whether it is to succeed, and how the answers may differ.
pub(super) type Probe = (&'static str, String, bool, Differs);

/// Of the plain server: module, path, and whether the probe is to succeed.
const PLAIN: &[(&str, &str, bool)] = &[
    ("http_2xx", "/text", true),
    ("http_2xx", "/missing", false),
    ("http_2xx", "/redirect", true),
    ("http_2xx", "/loop", false),
    ("http_2xx", "/nowhere", false),
    ("http_2xx", "/cookie", true),
    ("http_2xx", "/empty", true),
    ("http_2xx", "/gzip", true),
    ("http_4xx", "/missing", true),
    ("http_4xx", "/text", false),
    ("http_stay", "/redirect", true),
    ("http_version", "/text", false),
    ("http_plain_only", "/text", true),
    ("http_tls_only", "/text", false),
    ("http_body", "/text", true),
    ("http_body", "/empty", false),
    ("http_body", "/missing", false),
    ("http_no_body", "/text", false),
    ("http_header", "/text", true),
    ("http_header", "/empty", false),
    ("http_no_header", "/text", false),
    ("http_missing", "/text", true),
    ("http_post", "/text", true),
    ("http_post", "/redirect", true),
    ("http_gzip", "/gzip", true),
    ("http_gzip", "/text", false),
    ("http_limit", "/text", false),
    ("http_basic", "/basic", true),
    ("http_wrong", "/basic", false),
    ("http_2xx", "/basic", false),
    ("http_bearer", "/bearer", true),
    ("http_host", "/host", true),
    ("http_proxy", "/text", true),
    ("http_proxy", "/missing", false),
    ("http_proxy_encoded", "/text", true),
    ("http_proxy_refusing", "/text", false),
    ("http_oauth2", "/bearer", true),
    ("http_oauth2_wrong", "/bearer", false),
];

/// Of the name server: module, and whether the probe is to succeed.
const DNS: &[(&str, bool)] = &[
    ("dns_a", true),
    ("dns_soa", true),
    ("dns_tcp", true),
    ("dns_nx", false),
    ("dns_nx_valid", true),
    ("dns_match", true),
    ("dns_no_match", false),
    ("dns_silent", false),
];

/// Each runs until the value goes.
pub(super) struct Targets {
    nginx: Child,
    pub(super) plain: SocketAddr,
    /// With a good certificate, one that has expired, one that signs itself, one of another name.
    tls: [SocketAddr; 4],
    lines: SocketAddr,
    dns: SocketAddr,
    grpc: [SocketAddr; 2],
    ancient: SocketAddr,
    broken: SocketAddr,
    silent: SocketAddr,
}

impl Targets {
    pub(super) async fn start(nginx: &Path, folder: &Path) -> Self {
        certificates(folder);
        let (plain, tls) = (closed_port(), [(); 4].map(|()| closed_port()));
        let nginx = start_nginx(nginx, folder, plain, tls).await;
        let mut config = server_config(folder, "good");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let ancient = serve(|stream| async move {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|length| length > 2) {
                line.clear();
            }
            let answer = b"HTTP/1.0 200 OK\r\nLast-Modified: Tue, 03 Feb 2026 04:05:06 GMT\r\n\r\nhello from long ago";
            drop(stream.write_all(answer).await);
        });
        let broken = serve(|mut stream| async move {
            drop(stream.read(&mut [0; 1024]).await);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello wor").await);
        });
        let silent = serve(|mut stream| async move { drop(stream.read_to_end(&mut Vec::new()).await) });
        let lines = {
            let acceptor = acceptor.clone();
            serve(move |stream| speak_lines(stream, acceptor.clone()))
        };
        let grpc = {
            let tls = serve(move |stream| {
                let acceptor = acceptor.clone();
                async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve_health(TokioIo::new(stream)).await;
                    }
                }
            });
            [serve(|stream| serve_health(TokioIo::new(stream))).await, tls.await]
        };
        let (lines, dns, ancient) = (lines.await, serve_dns().await, ancient.await);
        let (broken, silent) = (broken.await, silent.await);
        Self { nginx, plain, tls, lines, dns, grpc, ancient, broken, silent }
    }

    /// Every probe.
    pub(super) fn probes(&self) -> Vec<Probe> {
        let plain = PLAIN.iter().map(|(module, path, succeeds)| (*module, at(self.plain, path), *succeeds, Nowhere));
        let dns = DNS.iter().map(|(module, succeeds)| (*module, self.dns.to_string(), *succeeds, Nowhere));
        plain.chain(self.http()).chain(self.https()).chain(self.others()).chain(dns).collect()
    }

    fn http(&self) -> Vec<Probe> {
        let closed = closed_port();
        vec![
            ("http_2xx", format!("{}/text", self.plain), true, Nowhere),
            ("http_2xx", at(self.ancient, "/"), true, Nowhere),
            ("http_body", at(self.ancient, "/"), true, Nowhere),
            ("http_2xx", at(self.lines, "/"), false, Nowhere),
            ("http_2xx", at(self.broken, "/"), false, Nowhere),
            ("http_body", at(self.broken, "/"), false, Nowhere),
            ("http_2xx", "http://[::1".to_owned(), false, Nowhere),
            ("http_2xx", at(closed, "/"), false, Nowhere),
            ("http_short", at(self.silent, "/"), false, Nowhere),
            ("http_2xx", "http://nowhere.invalid/".to_owned(), false, Nowhere),
            ("http_ip4", format!("http://localhost:{}/text", self.plain.port()), true, Nowhere),
            ("http_ip6", at(self.plain, "/text"), false, Nowhere),
            ("http_host", format!("{}&hostname=example.org", at(self.plain, "/host")), true, Nowhere),
            ("http_2xx", format!("{}&hostname=example.org", at(self.plain, "/host")), true, Nowhere),
        ]
    }

    fn https(&self) -> Vec<Probe> {
        let secure = |index: usize| format!("https://{}/text", self.tls[index]);
        let named = format!("https://localhost:{}/text", self.tls[0].port());
        vec![
            ("https", secure(0), true, Nowhere),
            ("https_1", secure(0), true, Nowhere),
            ("https_proxy", secure(0), true, Nowhere),
            ("https_proxy", secure(1), false, InMoreOfTls),
            ("https_proxy_refusing", secure(0), false, Nowhere),
            ("https_1_2", secure(0), true, Nowhere),
            ("https_any", secure(0), true, Nowhere),
            ("https", secure(1), false, InMoreOfTls),
            ("https", secure(2), false, InMoreOfTls),
            ("https", secure(3), false, InMoreOfTls),
            ("https_any", secure(1), true, Nowhere),
            ("https_any", secure(2), true, Nowhere),
            ("https_named", secure(0), true, Nowhere),
            ("https_any", named.clone(), true, Nowhere),
            ("https_any", at(self.tls[0], "/text"), false, Nowhere),
            ("https", at(self.plain, "/text").replace("http:", "https:"), false, Nowhere),
            ("http_plain_only", secure(0), false, InMoreOfTls),
            ("http_tls_only", named, false, InMoreOfTls),
        ]
    }

    fn others(&self) -> Vec<Probe> {
        let closed = closed_port();
        vec![
            ("tcp", self.plain.to_string(), true, Nowhere),
            ("tcp", closed.to_string(), false, Nowhere),
            ("tcp", "nowhere.invalid:80".to_owned(), false, Nowhere),
            ("tcp", "no-port".to_owned(), false, Nowhere),
            ("tcp_tls", self.tls[0].to_string(), true, Nowhere),
            ("tcp_tls", self.tls[1].to_string(), false, InMoreOfTls),
            ("tcp_tls_any", self.tls[1].to_string(), true, Nowhere),
            ("tcp_tls", self.plain.to_string(), false, Nowhere),
            ("tcp_lines", self.lines.to_string(), true, Nowhere),
            ("tcp_unexpected", self.lines.to_string(), false, Nowhere),
            ("tcp_starttls", self.lines.to_string(), true, Nowhere),
            ("icmp", "127.0.0.1".to_owned(), true, Nowhere),
            ("icmp_small", "127.0.0.1".to_owned(), true, Nowhere),
            ("icmp", "nowhere.invalid".to_owned(), false, Nowhere),
            ("grpc", self.grpc[0].to_string(), true, Nowhere),
            ("grpc_service", self.grpc[0].to_string(), false, Nowhere),
            ("grpc_unknown", self.grpc[0].to_string(), false, Nowhere),
            ("grpc_tls", self.grpc[1].to_string(), true, Nowhere),
            ("grpc", closed.to_string(), false, Nowhere),
            ("dns_a", closed.to_string(), false, Nowhere),
        ]
    }
}

fn at(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

impl Drop for Targets {
    fn drop(&mut self) {
        // A master that is killed outright leaves its worker behind.
        let _ = Command::new("kill").arg(self.nginx.id().to_string()).status();
        let _ = self.nginx.wait();
    }
}

async fn start_nginx(program: &Path, folder: &Path, plain: SocketAddr, tls: [SocketAddr; 4]) -> Child {
    let path = folder.display();
    let servers: String = ["good", "expired", "self", "other"]
        .iter()
        .zip(tls)
        .map(|(name, address)| {
            format!(
                "server {{ listen {address} ssl http2; ssl_certificate {path}/{name}.pem; \
                 ssl_certificate_key {path}/{name}.key; location /text {{ default_type text/plain; return 200 'hello world'; }} }}\n"
            )
        })
        .collect();
    let config = include_str!("nginx.conf")
        .replace("FOLDER", &path.to_string())
        .replace("PLAIN", &plain.to_string())
        .replace("SERVERS", &servers);
    fs::write(folder.join("nginx.conf"), config).expect("a file");
    fs::write(folder.join("gzip.txt"), "hello world ".repeat(1000)).expect("a file");
    fs::write(folder.join("passwords"), "user:{PLAIN}secret\n").expect("a file");
    let child = Command::new(program)
        .args(["-p", &path.to_string(), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off; user root;"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    let listening = || [plain, tls[3]].iter().all(|address| std::net::TcpStream::connect(address).is_ok());
    wait_until("nginx listens", listening).await;
    child
}

/// An authority and what it has signed, as nginx and the modules take them.
pub(crate) fn certificates(folder: &Path) {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = params(&[], VALID);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).expect("a certificate");
    write("ca.pem", &authority_certificate.pem());
    let issuer = Issuer::new(authority, authority_key);
    for (name, names, dates) in [
        ("good", ["localhost", "127.0.0.1"], VALID),
        ("expired", ["localhost", "127.0.0.1"], EXPIRED),
        ("other", ["example.org", "www.example.org"], VALID),
    ] {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(&names, dates).signed_by(&key, &issuer).expect("a certificate");
        write(&format!("{name}.pem"), &format!("{}{}", certificate.pem(), authority_certificate.pem()));
        write(&format!("{name}.key"), &key.serialize_pem());
    }
    let key = KeyPair::generate().expect("a key");
    write("self.pem", &params(&["localhost", "127.0.0.1"], VALID).self_signed(&key).expect("a certificate").pem());
    write("self.key", &key.serialize_pem());
}

fn params(names: &[&str], dates: [(i32, u8, u8); 2]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    [params.not_before, params.not_after] = dates.map(|(year, month, day)| date_time_ymd(year, month, day));
    params
}

/// The side of a server that shows one of the certificates.
pub(crate) fn server_config(folder: &Path, name: &str) -> ServerConfig {
    let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    let chain = CertificateDer::pem_file_iter(file("pem")).expect("a file").map(|read| read.expect("PEM"));
    let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .expect("a key that fits")
}

/// Serves connections side by side.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    handle: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// A mail server as far as its greeting, with STARTTLS.
async fn speak_lines(stream: tokio::net::TcpStream, acceptor: TlsAcceptor) {
    let mut stream = BufReader::new(stream);
    drop(stream.write_all(b"220 mail ready\r\n").await);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
        match line.trim_end() {
            "STARTTLS" => {
                drop(stream.write_all(b"220 go on\r\n").await);
                if let Ok(mut stream) = acceptor.accept(stream.into_inner()).await {
                    drop(stream.write_all(b"250 hello\r\n").await);
                    drop(stream.read_to_end(&mut Vec::new()).await);
                }
                return;
            }
            "HELO mail" => drop(stream.write_all(b"250 hello\r\n").await),
            "QUIT" => return,
            _ => drop(stream.write_all(b"500 what\r\n").await),
        }
        line.clear();
    }
}

/// Answers over HTTP/2 as the health service of gRPC: `down` is not serving, `unknown` is not there.
async fn serve_health<S>(stream: TokioIo<S>)
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let answer = service_fn(|request: Request<Incoming>| async move {
        let query = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let (message, status): (&'static [u8], &'static str) = match &query[5..] {
            [] => (&[0, 0, 0, 0, 2, 8, 1], "0"),
            [10, 4, b'd', ..] => (&[0, 0, 0, 0, 2, 8, 2], "0"),
            _ => (&[], "5"),
        };
        let trailers =
            HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))]);
        let body = Full::new(Bytes::from_static(message)).with_trailers(async move { Some(Ok(trailers)) });
        let mut response = Response::new(body);
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        Ok::<_, std::convert::Infallible>(response)
    });
    drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await);
}

/// An authoritative server of `example.org`, over UDP and TCP; of `silent.example.org` it says nothing.
async fn serve_dns() -> SocketAddr {
    let address = closed_port();
    let (socket, listener) = (UdpSocket::bind(address).await, TcpListener::bind(address).await);
    let (socket, listener) = (socket.expect("a free port"), listener.expect("a free port"));
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(answer) = dns_answer(&query[..length]) {
                drop(socket.send_to(&answer, from).await);
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap_or_default())];
            if stream.read_exact(&mut query).await.is_ok()
                && let Some(answer) = dns_answer(&query)
            {
                let length = u16::try_from(answer.len()).expect("short");
                drop(stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await);
            }
        }
    });
    address
}

fn dns_answer(query: &[u8]) -> Option<Vec<u8>> {
    const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    // The names `ns` and `mail` in front of the question's, then serial 42 and the times.
    const SOA: &[u8] = b"\xc0\x0c\0\x06\0\x01\0\0\0\x3c\0\x20\x02ns\xc0\x0c\x04mail\xc0\x0c\
        \0\0\0\x2a\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04";
    let name = query.get(12..)?;
    let question_end = 12 + name.iter().position(|byte| *byte == 0)? + 5;
    let (records, flags): (&[u8], u16) = match name {
        [6, b's', b'i', ..] => return None,
        [7, b'n', b'o', ..] => (b"", 0x8583),
        _ if query.get(question_end - 3) == Some(&6) => (SOA, 0x8580),
        _ => (A, 0x8580),
    };
    let mut answer = query[..question_end].to_vec();
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    answer[6..12].copy_from_slice(&[0, u8::from(!records.is_empty()), 0, 0, 0, 0]);
    answer.extend_from_slice(records);
    Some(answer)
}
