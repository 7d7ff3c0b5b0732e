//! The same probes answered by blackbox_exporter and by us: names, labels, types, help and values are the same.
//!
//! `cargo xtask test` installs the other one, and nginx, which is probed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tempfile::tempdir;

use self::targets::{Targets, certificates};
use crate::{
    exporter::{Exporter, closed_port},
    peers::installed,
};

mod proxy;
pub(crate) mod targets;

/// How a probe's answer may differ from the peer's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Differs {
    Nowhere,
    /// Families of TLS are told after a handshake that was refused as well, as an expired certificate should be.
    InMoreOfTls,
}

/// A text exposition.
#[derive(Debug, Default)]
struct Exposition {
    /// Of each family, in the order in which they stand.
    families: Vec<(String, Vec<String>)>,
    series: BTreeMap<String, String>,
}

/// Whether the value is a time that was measured, and so never the same twice.
fn is_measured(series: &str) -> bool {
    series.contains("duration_seconds") || series.contains("lookup_time_seconds")
}

// === impl Exposition ===

impl Exposition {
    fn parse(text: &str) -> Self {
        let mut exposition = Self::default();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let name = comment.split(' ').nth(1).expect("a family");
                if exposition.families.last().is_none_or(|(last, _)| last != name) {
                    exposition.families.push((name.to_owned(), Vec::new()));
                }
                exposition.families.last_mut().expect("a family").1.push(comment.to_owned());
            } else if let Some((series, value)) = line.rsplit_once(' ') {
                exposition.series.insert(series.to_owned(), value.to_owned());
            }
        }
        exposition
    }

    /// What is not the same, a line each.
    fn differences(&self, peer: &Self, differs: Differs) -> Vec<String> {
        let tolerated = |name: &str| {
            differs == Differs::InMoreOfTls && (name.starts_with("probe_ssl_") || name.starts_with("probe_tls_"))
        };
        let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) = (self.series.keys().collect(), peer.series.keys().collect());
        let mut lines: Vec<String> = theirs.difference(&mine).map(|series| format!("- {series}")).collect();
        lines.extend(mine.difference(&theirs).filter(|name| !tolerated(name)).map(|series| format!("+ {series}")));
        lines.extend(mine.intersection(&theirs).filter(|series| !is_measured(series)).filter_map(|series| {
            let (mine, theirs) = (&self.series[*series], &peer.series[*series]);
            (mine != theirs).then(|| format!("{series}: {mine} and not {theirs}"))
        }));
        let families: Vec<_> = self.families.iter().filter(|(name, _)| !tolerated(name)).collect();
        let of_peer: Vec<_> = peer.families.iter().filter(|(name, _)| !tolerated(name)).collect();
        if families != of_peer {
            lines.push(format!("families {families:?} and not {of_peer:?}"));
        }
        lines
    }
}

/// The programs that are compared and probed; none where one is not installed.
fn programs() -> Option<(PathBuf, PathBuf)> {
    installed("prometheus-blackbox-exporter").zip(installed("nginx"))
}

/// The modules; `plain` has the tokens.
fn configuration(folder: &Path, plain: SocketAddr, proxy: SocketAddr) -> String {
    let ca = folder.join("ca.pem");
    let text = include_str!("conformance/blackbox.yml").replace("CA_FILE", &ca.display().to_string());
    text.replace("PLAIN", &plain.to_string()).replace("PROXY", &proxy.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_blackbox_exporter() {
    let Some((blackbox_exporter, nginx)) = programs() else { return };
    let folder = tempdir().expect("a folder");
    let targets = Targets::start(&nginx, folder.path()).await;
    let file = folder.path().join("blackbox.yml");
    let text = configuration(folder.path(), targets.plain, proxy::serve().await);
    fs::write(&file, text).expect("a file");
    let peer = Exporter::start(&blackbox_exporter, &[], &file).await;
    let ours = Exporter::ours(&[], &file).await;
    let mut wrong = Vec::new();
    for (module, target, succeeds, differs) in targets.probes() {
        let query = format!("/probe?module={module}&target={target}");
        let (theirs, mine) = (peer.get(&query).await, ours.get(&query).await);
        let outcome = format!("\nprobe_success {}\n", u8::from(succeeds));
        assert!(theirs.body.contains(&outcome), "{query}: {theirs:?}");
        assert_eq!((mine.status, &mine.content_type), (theirs.status, &theirs.content_type), "{query}");
        let lines = Exposition::parse(&mine.body).differences(&Exposition::parse(&theirs.body), differs);
        if !lines.is_empty() {
            wrong.push(format!("{query}\n  {}", lines.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{} probes differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_answered_as_by_blackbox_exporter() {
    let Some((blackbox_exporter, _)) = programs() else { return };
    let folder = tempdir().expect("a folder");
    certificates(folder.path());
    let file = folder.path().join("blackbox.yml");
    fs::write(&file, configuration(folder.path(), closed_port(), closed_port())).expect("a file");
    let peer = Exporter::start(&blackbox_exporter, &[], &file).await;
    let ours = Exporter::ours(&[], &file).await;
    for path in ["/probe", "/probe?module=http_2xx", "/probe?target=h&module=nowhere", "/-/healthy", "/-/reload"] {
        let (theirs, mine) = (peer.get(path).await, ours.get(path).await);
        assert_eq!((mine.status, mine.body.trim_end()), (theirs.status, theirs.body.trim_end()), "{path}");
    }
    let closed = closed_port();
    let conflict = format!("/probe?module=http_host&hostname=other&target={closed}");
    assert_eq!(ours.get(&conflict).await.status, peer.get(&conflict).await.status);
    fs::write(&file, "modules: { a: { prober: tcp, nope: 1 } }").expect("a file");
    let (theirs, mine) = (peer.post("/-/reload").await, ours.post("/-/reload").await);
    assert_eq!((mine.status, theirs.status), (500, 500), "{mine:?} {theirs:?}");
    for exporter in [&ours, &peer] {
        let metrics = exporter.get("/metrics").await.body;
        for line in ["blackbox_exporter_config_last_reload_successful 0", "blackbox_module_unknown_total 1"] {
            assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
        }
    }
    assert!(ours.get("/config").await.body.contains("http_2xx"), "the modules before stay in force");
}
