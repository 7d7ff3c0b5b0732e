//! Probes of names that hang, lie and change while they are probed.

use std::{
    collections::HashMap,
    future::pending,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use ::http::Request;
use axum::body::Body;
use futura_metrics::Metrics;
use http_body_util::BodyExt;
use reqwest::dns::{Name, Resolve, Resolving};
use rustls::RootCertStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::ServiceExt;

use super::{Network, Probes, ProbesConfig};
use crate::config::Config;

/// Answers each name with one list of addresses after the other, the last again and again; no list is a name that hangs.
#[derive(Default)]
struct Rebinding {
    answers: HashMap<&'static str, &'static [&'static [&'static str]]>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Resolve for Rebinding {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let lists = self.answers.get(name.as_str()).copied().unwrap_or_default();
        let mut asked = self.asked.lock().expect("no panic");
        let count = asked.entry(name).or_default();
        let list = lists.get(*count).or(lists.last()).copied();
        *count += 1;
        Box::pin(async move {
            let Some(list) = list else { return pending().await };
            let addresses: Vec<_> =
                list.iter().map(|text| SocketAddr::new(text.parse::<IpAddr>().expect("an address"), 0)).collect();
            Ok(Box::new(addresses.into_iter()) as _)
        })
    }
}

const MODULES: &str = "modules:
  http: { prober: http, timeout: 5s }
  tcp: { prober: tcp, timeout: 5s }
  dns: { prober: dns, timeout: 5s, dns: { query_name: example.org } }
  icmp: { prober: icmp, timeout: 5s }
  grpc: { prober: grpc, timeout: 5s }
  short_http: { prober: http, timeout: 50ms }
  short_tcp: { prober: tcp, timeout: 50ms }
  short_dns: { prober: dns, timeout: 50ms, dns: { query_name: example.org } }
  short_icmp: { prober: icmp, timeout: 50ms }
  short_grpc: { prober: grpc, timeout: 50ms }
  named: { prober: tcp, timeout: 5s, guard: { only_allowed: true, allow_hosts: [\"*.example\"], deny_hosts: [no.example] } }
  proxied: { prober: http, http: { proxy_url: \"http://127.0.0.1:1\", skip_resolve_phase_with_proxy: true }, guard: { deny: [10.0.0.0/8] } }
  proxied_named: { prober: http, http: { proxy_url: \"http://127.0.0.1:1\", skip_resolve_phase_with_proxy: true }, guard: { only_allowed: true, allow_hosts: [\"*.example\"] } }
";

/// What a name of the attacker's may lead to.
const INSIDE: &[&[&[&str]]] = &[
    &[&["169.254.169.254"]],
    &[&["::ffff:169.254.169.254"]],
    &[&["fe80::1", "127.0.0.1"]],
    &[&["0.0.0.0"]],
    &[&["64:ff9b::a9fe:a9fe"]],
];

/// What `/probe` says with `debug`, where names are these.
async fn probe(names: &Arc<Rebinding>, module: &str, target: &str) -> String {
    let modules = Config::parse(MODULES, |_| None).expect("valid").modules;
    let network = Network::new(Arc::clone(names) as _, RootCertStore::empty());
    let probes = Probes::new(ProbesConfig::default(), &modules, network, &Metrics::new()).expect("free names");
    let request = Request::get(format!("/probe?debug=true&module={module}&target={target}")).body(Body::empty());
    let response = probes.routes().oneshot(request.expect("a request")).await.expect("it answers");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

fn names(answers: &[(&'static str, &'static [&'static [&'static str]])]) -> Arc<Rebinding> {
    Arc::new(Rebinding { answers: answers.iter().copied().collect(), ..Rebinding::default() })
}

/// A server that sends everybody on to this host at its own port; which port that is.
async fn serve(host: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 1024]).await);
            let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{host}:{port}/\r\ncontent-length: 0\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    port
}

#[tokio::test]
async fn a_name_that_never_resolves_costs_the_time_of_the_probe() {
    for module in ["http", "tcp", "dns", "icmp", "grpc"] {
        let target = if module == "icmp" { "hangs" } else { "hangs:1" };
        let answer = probe(&names(&[]), &format!("short_{module}"), target).await;
        assert!(answer.contains("by timeout: the time ran out in the phase `resolve`"), "{module}: {answer}");
        assert!(answer.contains("\nprobe_success 0\n") && answer.contains("\nprobe_ip_protocol 0\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_name_is_judged_by_the_address_that_is_dialled() {
    for module in ["http", "tcp", "dns", "icmp", "grpc"] {
        let target = if module == "icmp" { "inside" } else { "inside:1" };
        for lists in INSIDE {
            let answer = probe(&names(&[("inside", lists)]), module, target).await;
            assert!(answer.contains("by refused_by_policy: inside: "), "{module} {lists:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_name_that_rebinds_is_judged_at_each_look() {
    let lists: &[&[&str]] = &[&["127.0.0.1"], &["169.254.169.254"]];
    let port = serve("rebinds").await;
    let rebinding = names(&[("rebinds", lists)]);
    let redirected = probe(&rebinding, "http", &format!("rebinds:{port}")).await;
    assert!(redirected.contains("probe_http_redirects 1\n"), "{redirected}");
    assert!(redirected.contains("by refused_by_policy: rebinds: 169.254.169.254"), "{redirected}");

    let rebinding = names(&[("rebinds", lists)]);
    let target = format!("rebinds:{port}");
    assert!(probe(&rebinding, "tcp", &target).await.contains("\nprobe_success 1\n"));
    assert!(probe(&rebinding, "tcp", &target).await.contains("by refused_by_policy"), "the next probe looks again");
}

#[tokio::test]
async fn hosts_are_allowed_and_denied_by_name() {
    let port = serve("a.example").await;
    let local: &[&[&str]] = &[&["127.0.0.1"]];
    let all = names(&[
        ("a.example", local),
        ("no.example", local),
        ("other", local),
        ("meta.example", &[&["169.254.169.254"]]),
    ]);
    let ask = async |host: &str| probe(&all, "named", &format!("{host}:{port}")).await;
    assert!(ask("a.example").await.contains("\nprobe_success 1\n"));
    for host in ["no.example", "NO.example.", "other", "127.0.0.1", "meta.example"] {
        let answer = ask(host).await;
        assert!(answer.contains("by refused_by_policy"), "{host}: {answer}");
    }
}

#[tokio::test]
async fn what_a_proxy_looks_up_is_judged_as_far_as_it_is_known() {
    for (module, host, outcome) in [
        ("proxied", "hangs", "by connect"),
        ("proxied", "192.0.2.1", "by connect"),
        ("proxied", "10.1.2.3", "by refused_by_policy"),
        ("proxied", "169.254.169.254", "by refused_by_policy"),
        ("proxied", "2852039166", "by refused_by_policy"),
        ("proxied", "[::ffff:169.254.169.254]", "by refused_by_policy"),
        ("proxied_named", "a.example", "by connect"),
        ("proxied_named", "other", "by refused_by_policy"),
        ("proxied_named", "192.0.2.1", "by refused_by_policy"),
    ] {
        let answer = probe(&names(&[]), module, &format!("http://{host}/")).await;
        assert!(answer.contains(outcome), "{module} {host}: {answer}");
    }
}
