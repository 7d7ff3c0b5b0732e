//! Targets that hang, drip, reset, flood and lie, at each phase: every run ends, by its own timeout at the latest, and tells why.
//! All of it through one sidecar, whose checks and whose `/probe` are hit at once.

use std::{future::pending, path::Path, time::Duration};

use futura_metrics::{
    Metrics,
    admin::Readiness,
    exposition::Format,
    shutdown::{Shutdown, ShutdownConfig},
};
use futura_sidecar::{Config, Sidecar};
use futures_util::future::join_all;
use tempfile::{TempDir, tempdir};

use self::cases::{CHECKS, Case, MODULES, Outcome};
use crate::{conformance::targets::certificates, sentry::wait_until, status::get};

mod cases;
mod servers;

/// How long a run may take that is to be given up, and one that is not.
const SHORT: &str = "1500ms";
const LONG: &str = "30s";

/// A sidecar under test.
struct Running {
    address: String,
    metrics: Metrics,
    _folder: TempDir,
}

impl Running {
    async fn start(folder: TempDir, text: &str) -> Self {
        let (metrics, readiness) = (Metrics::new(), Readiness::default());
        let config = Config::parse(text, |_| None).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let sidecar = Sidecar::bind(config, &metrics, &readiness).await.expect("a port");
        let address = sidecar.address().to_string();
        let limits = ShutdownConfig { drain_delay: Duration::ZERO, grace: Duration::from_secs(20) };
        tokio::spawn(async move { sidecar.run(&Shutdown::new(limits, readiness), pending()).await });
        Self { address, metrics, _folder: folder }
    }

    /// The values of a label in the series that begin with this and are not zero.
    fn values(&self, start: &str, label: &str) -> Vec<String> {
        let (text, label) = (self.metrics.render(Format::Text), format!("{label}=\""));
        let series = text.lines().filter(|line| line.starts_with(start) && !line.ends_with(" 0"));
        let value = |line: &str| Some(line.split_once(&label)?.1.split('"').next()?.to_owned());
        series.filter_map(value).collect()
    }
}

/// The keys of a case with everything in its place, and where its target is.
async fn keys((_, keys, target, outcome): Case, folder: &Path) -> (String, String) {
    let timeout = if matches!(outcome, Outcome::HangsIn(_)) { SHORT } else { LONG };
    let (address, ca) = (target.start(folder).await.to_string(), folder.join("ca.pem").display().to_string());
    (format!("{}, timeout: {timeout}", keys.replace("TARGET", &address).replace("CA", &ca)), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_run_of_a_check_ends_and_tells_why() {
    let folder = tempdir().expect("a folder");
    certificates(folder.path());
    let mut text = "listen: 127.0.0.1:0\nchecks:\n".to_owned();
    for case in CHECKS {
        let (keys, _) = keys(*case, folder.path()).await;
        text += &format!("- {{ name: {}, interval: 1h, offset: 0s, {keys} }}\n", case.0);
    }
    let sidecar = Running::start(folder, &text).await;
    wait_until("all runs", || sidecar.values("check_runs_total{", "check").len() == CHECKS.len()).await;
    let mut wrong = Vec::new();
    for (name, _, _, outcome) in CHECKS {
        let reasons = sidecar.values(&format!("check_failures_total{{check=\"{name}\","), "reason");
        let reached = sidecar.values(&format!("check_last_phase_duration_seconds{{check=\"{name}\","), "phase");
        let right = match outcome {
            Outcome::Up => reasons.is_empty(),
            Outcome::Fails(reason) => reasons == [*reason],
            Outcome::HangsIn(phase) => reasons == ["timeout"] && in_order(name, &reached).last() == Some(phase),
        };
        if !right {
            wrong.push(format!("{name}: failed by {reasons:?} after {reached:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CHECKS.len(), wrong.join("\n"));
    for name in ["https-expired", "tls-expired", "grpc-tls-expired", "postgres-tls-expired"] {
        let told = sidecar.values(&format!("check_certificate_expiry_timestamp_seconds{{check=\"{name}\","), "kind");
        assert_eq!(told.len(), 1, "{name}");
    }
}

/// The phases that were reached, in the order in which they come.
fn in_order<'a>(name: &str, reached: &'a [String]) -> Vec<&'a str> {
    let order = match name.starts_with("starttls") {
        true => ["resolve", "connect", "transfer", "tls", "auth", "first_byte"],
        false => ["resolve", "connect", "tls", "auth", "first_byte", "transfer"],
    };
    let mut reached: Vec<_> = reached.iter().map(String::as_str).collect();
    reached.sort_by_key(|phase| order.iter().position(|known| known == phase));
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn every_probe_ends_and_tells_why() {
    let folder = tempdir().expect("a folder");
    certificates(folder.path());
    let (mut text, mut targets) = ("listen: 127.0.0.1:0\nmodules:\n".to_owned(), Vec::new());
    for case in MODULES {
        let (keys, address) = keys(*case, folder.path()).await;
        text += &format!("  {}: {{ {keys} }}\n", case.0);
        targets.push(if case.0.starts_with("https") { format!("https://{address}") } else { address });
    }
    let sidecar = Running::start(folder, &text).await;
    let probes = MODULES.iter().zip(targets).map(async |((name, _, _, outcome), target)| {
        let query = format!("/probe?debug=true&module={name}&target={target}");
        let answer = get(&sidecar.address, &query).await;
        let expected = match outcome {
            Outcome::Up => "succeeded after".to_owned(),
            Outcome::Fails(reason) => format!(" by {reason}: "),
            Outcome::HangsIn(phase) => format!(" by timeout: the time ran out in the phase `{phase}`"),
        };
        let success = format!("\nprobe_success {}\n", u8::from(matches!(outcome, Outcome::Up)));
        let right = answer.contains(&expected) && answer.contains(&success);
        if right { None } else { Some(format!("{name} without `{expected}`: {answer}")) }
    });
    let wrong: Vec<_> = join_all(probes).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), MODULES.len(), wrong.join("\n\n"));
}
