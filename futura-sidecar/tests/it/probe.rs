//! The sidecar in the place of blackbox_exporter, where it does what the other does not.

use std::{fs, path::PathBuf, process::Command};

use insta::assert_snapshot;
use rustix::process::Signal;
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    exporter::{Exporter, closed_port},
    sentry::wait_until,
};

/// A folder with the modules in a file, and the file.
fn modules(text: &str) -> (TempDir, PathBuf) {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("blackbox.yml");
    fs::write(&file, text).expect("a file");
    (folder, file)
}

/// A server on every network that sends all to another place, and how to reach it by a port.
async fn serve(location: &str) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 1024]).await);
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reaches_no_address_that_is_only_for_this_host() {
    let text = "
modules:
  tcp: { prober: tcp, timeout: 1s }
  http: { prober: http, timeout: 1s }
  allowed: { prober: tcp, timeout: 1s, guard: { allow: [0.0.0.0/32] } }
  closed: { prober: tcp, timeout: 1s, guard: { allow: [10.0.0.0/8], only_allowed: true } }
  denied: { prober: tcp, timeout: 1s, guard: { deny: [127.0.0.0/8] } }";
    let (_folder, file) = modules(text);
    let sidecar = Exporter::ours(&[], &file).await;
    let port = serve("http://169.254.169.254/latest/meta-data/").await;
    let probe = async |module: &str, target: &str| {
        sidecar.get(&format!("/probe?debug=true&module={module}&target={target}")).await.body
    };
    for target in
        ["169.254.169.254:80", "0.0.0.0:1", "[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80", "[fe80::1]:1"]
    {
        let refused = probe("tcp", target).await;
        assert!(refused.contains("failed after") && refused.contains("by refused_by_policy"), "{target}: {refused}");
    }
    let redirected = probe("http", &format!("127.0.0.1:{port}")).await;
    assert!(redirected.contains("probe_http_redirects 1\n"), "{redirected}");
    assert!(redirected.contains("by refused_by_policy: 169.254.169.254"), "{redirected}");
    let here = format!("0.0.0.0:{port}");
    assert!(probe("allowed", &here).await.contains("probe_success 1\n"));
    let local = format!("127.0.0.1:{port}");
    for module in ["closed", "denied"] {
        assert!(probe(module, &local).await.contains("by refused_by_policy"), "{module}");
    }
    let opened = Exporter::ours(&["--probe.allow=0.0.0.0/32"], &file).await;
    assert!(opened.get(&format!("/probe?module=tcp&target={here}")).await.body.contains("probe_success 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_in_flight_ends_before_the_process_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("an address");
    let (_folder, file) = modules("modules: { http_2xx: { prober: http } }");
    let sidecar = Exporter::ours(&[], &file).await;
    let path = format!("/probe?target={target}");
    let (answer, ()) = tokio::join!(sidecar.get(&path), async {
        let (mut stream, _) = listener.accept().await.expect("a probe");
        sidecar.signal(Signal::TERM);
        let refuses = || std::net::TcpStream::connect(sidecar.address()).is_err();
        wait_until("no more connections are taken", refuses).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("a reader");
    });
    assert!(answer.body.contains("probe_success 1\n"), "{answer:?}");
    assert!(sidecar.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_nowhere() {
    let text = "
modules:
  http_2xx:
    prober: http
    timeout: 1s
    http:
      headers: { X-Api-Key: hunter2 }
      basic_auth: { username: user, password: hunter2 }
      proxy_url: http://user:hunter2@127.0.0.1:1
      proxy_connect_header: { X-Key: [hunter2] }
  oauth2: { prober: http, timeout: 1s, http: { oauth2: { client_id: a, client_secret: hunter2, token_url: http://127.0.0.1:1/ } } }
  bearer: { prober: http, timeout: 1s, http: { authorization: { credentials: hunter2 } } }
  dialogue: { prober: tcp, timeout: 1s, tcp: { query_response: [{ send: PASS hunter2 }] } }";
    let (_folder, file) = modules(text);
    let sidecar = Exporter::ours(&[], &file).await;
    for path in [
        "/config",
        "/",
        "/metrics",
        "/probe?debug=true&target=127.0.0.1:1",
        "/probe?debug=true&module=bearer&target=127.0.0.1:1",
        "/probe?debug=true&module=oauth2&target=127.0.0.1:1",
        "/probe?debug=true&module=dialogue&target=127.0.0.1:1",
    ] {
        let answer = sidecar.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("hunter2"), "{path}: {}", answer.body);
    }
    assert!(sidecar.get("/config").await.body.contains("<secret>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_modules_read_anew() {
    let (_folder, file) = modules("modules: { before: { prober: icmp } }");
    let sidecar = Exporter::ours(&[], &file).await;
    fs::write(&file, "modules: { after: { prober: icmp } }").expect("a file");
    sidecar.signal(Signal::HUP);
    let shown = async || sidecar.get("/config").await.body;
    while !shown().await.contains("after") {
        tokio::task::yield_now().await;
    }
    assert!(!shown().await.contains("before"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_runs_probes_too_and_takes_other_modules() {
    let (folder, listen) = (tempdir().expect("a folder"), closed_port());
    let file = folder.path().join("sidecar.yaml");
    let configure = |name: &str| {
        let text = format!("listen: {listen}\nmodules: {{ {name}: {{ prober: tcp, timeout: 1s }} }}");
        fs::write(&file, text).expect("a file");
    };
    configure("before");
    let sidecar = Exporter::run(&file, listen).await;
    let probe = async |module: &str| sidecar.get(&format!("/probe?module={module}&target={listen}")).await;
    assert!(probe("before").await.body.contains("probe_success 1\n"));
    configure("after");
    assert_eq!(sidecar.post("/-/reload").await.status, 200);
    assert!(probe("after").await.body.contains("probe_success 1\n"));
    assert_eq!(probe("before").await.status, 400);
    fs::write(&file, "modules: { none: { prober: smtp } }").expect("a file");
    assert_eq!(sidecar.post("/-/reload").await.status, 422);
    assert!(probe("after").await.body.contains("probe_success 1\n"));
}

#[test]
fn a_file_is_checked_with_a_line_for_each_problem() {
    let check = |text: &str| {
        let (_folder, file) = modules(text);
        let flag = format!("--config.file={}", file.display());
        let output =
            Command::new(env!("CARGO_BIN_EXE_futura-sidecar")).args(["probe", &flag, "--config.check"]).output();
        let output = output.expect("the binary");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).replace(&file.display().to_string(), "FILE");
        format!("{}: {told}", output.status.code().unwrap_or_default())
    };
    assert_snapshot!(check("modules: { a: { prober: http }, b: { prober: icmp } }"), @"0: FILE: ok, 2 modules");
    let wrong = "
modules:
  a:
    prober: http
    http:
      valid_status_codes: [ok]
      enable_http3: true
      nope: 1
  b: { prober: dns }
  c: { prober: smtp }
  d: { prober: tcp, timeout: 5, http: {} }";
    assert_snapshot!(check(wrong), @"
    64: FILE:6:7: modules.a.http.valid_status_codes: `ok` is no status such as `200`
    FILE:7:7: modules.a.http.enable_http3: this is not supported: HTTP/1.1 and HTTP/2 are spoken
    FILE:8:7: modules.a.http.nope: unknown key, allowed are `preferred_ip_protocol`, `ip_protocol_fallback`, `source_ip_address`, `valid_status_codes`, `valid_http_versions`, `follow_redirects`, `no_follow_redirects`, `fail_if_ssl`, `fail_if_not_ssl`, `method`, `headers`, `fail_if_body_matches_regexp`, `fail_if_body_not_matches_regexp`, `fail_if_header_matches`, `fail_if_header_not_matches`, `body`, `body_file`, `basic_auth`, `authorization`, `bearer_token`, `bearer_token_file`, `oauth2`, `proxy_url`, `proxy_connect_header`, `no_proxy`, `skip_resolve_phase_with_proxy`, `tls_config`, `enable_http2`, `compression`, `body_size_limit`
    FILE:9:3: modules.b.dns: it is missing: write one such as `dns: { query_name: example.org }`
    FILE:10:8: modules.c.prober: `smtp` is no prober, allowed are `dns`, `grpc`, `http`, `icmp`, `tcp`
    FILE:11:21: modules.d.timeout: `5` has no unit: write `5s`, or another of ms, s, m, h and d
    ");
}
