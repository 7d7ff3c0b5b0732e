//! What a reader needs to judge the numbers: when, with what, on which machine.

use std::{env, fs, thread};

use time::{OffsetDateTime, macros::format_description};

/// Crates whose versions are told.
const PEERS: [&str; 12] = [
    "axum",
    "axum-otel-metrics",
    "axum-prometheus",
    "measured",
    "metrics",
    "metrics-exporter-prometheus",
    "opentelemetry_sdk",
    "prometheus",
    "prometheus-client",
    "sentry",
    "sentry-tower",
    "tower-http",
];

/// The lines at the top of a report.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let date = OffsetDateTime::now_utc().format(format).expect("the format asks for nothing that a UTC time lacks");
    let peers: Vec<_> = PEERS.iter().filter_map(|name| Some(format!("{name} {}", locked_version(name)?))).collect();
    let mut lines =
        vec![("date", date), ("rustc", env!("BENCH_RUSTC").to_owned()), ("cpu", cpu()), ("peers", peers.join(", "))];
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        lines.push(("load", load.split(' ').take(3).collect::<Vec<_>>().join(" ")));
    }
    lines.push(("command", command()));
    lines
}

/// The command that ran this program, to be typed again.
fn command() -> String {
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    let arguments: Vec<_> = env::args().skip(1).map(|argument| format!(" {argument}")).collect();
    let separator = if arguments.is_empty() { "" } else { " --" };
    format!("cargo run{profile} -p futura-bench{separator}{}", arguments.concat())
}

fn cpu() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{}, {cores} cores", model.map_or(env::consts::ARCH, |(_, model)| model))
}

/// The version of a crate in the lock file of this workspace.
fn locked_version(name: &str) -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let (_, package) = lock.split_once(&format!("\nname = \"{name}\"\n"))?;
    package.strip_prefix("version = \"")?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::{PEERS, describe, locked_version};

    #[test]
    fn every_peer_has_a_version() {
        for peer in PEERS {
            let version = locked_version(peer).unwrap_or_else(|| panic!("{peer} is not in the lock file"));
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{peer} {version}");
        }
    }

    #[test]
    fn a_report_says_when_with_what_and_where() {
        let lines = describe();
        for (key, start) in [("date", "20"), ("rustc", "rustc 1."), ("command", "cargo run ")] {
            let (_, value) = lines.iter().find(|line| line.0 == key).unwrap();
            assert!(value.starts_with(start), "{key}: {value}");
        }
    }
}
