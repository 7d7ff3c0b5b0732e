//! The sidecar's own schedule, as large as one process is meant to have.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::servers::Servers;
use crate::process::{Process, free_address};

pub(super) const CHECKS: usize = 5_000;
pub(super) const INTERVAL_SECS: u64 = 10;

/// How long the sidecar may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How often it is asked.
const START_PERIOD: Duration = Duration::from_millis(20);
/// How long its metrics may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What came of a run.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) runs_per_sec: f64,
    pub(super) failed: f64,
    pub(super) skipped: f64,
    pub(super) lag_p99_ms: f64,
    /// Of one processor.
    pub(super) cpu_percent: f64,
    pub(super) resident_bytes: f64,
}

/// A page of metrics.
struct Page(String);

/// Has half of the checks ask over HTTP and half open a connection, and measures for a time after all have run once.
pub(super) async fn measure(sidecar: &Path, servers: &Servers, folder: &Path, time: Duration) -> Result<Measured> {
    let (address, config) = (free_address()?, folder.join("sidecar.yaml"));
    fs::write(&config, configuration(address, servers)).context("cannot write the configuration")?;
    let arguments = ["run".to_owned(), "--config".to_owned(), config.display().to_string()];
    let mut process = Process::start(sidecar, &arguments)?;
    let start = Instant::now();
    while get(address, "/readyz").await.is_err() {
        process.ensure_runs()?;
        anyhow::ensure!(start.elapsed() < START_LIMIT, "it was not ready within {} s", START_LIMIT.as_secs());
        sleep(START_PERIOD).await;
    }
    sleep(Duration::from_secs(INTERVAL_SECS)).await;
    let (begin, cpu, before) = (Instant::now(), process.cpu_time()?, Page(get(address, "/metrics").await?));
    sleep(time).await;
    // What the last scrape costs is no part of it.
    let (elapsed, cpu, resident_bytes) = (begin.elapsed(), process.cpu_time()? - cpu, process.resident_bytes()?);
    let after = Page(get(address, "/metrics").await?);
    let sum = |name: &str| after.sum(name) - before.sum(name);
    Ok(Measured {
        runs_per_sec: sum("check_runs_total") / elapsed.as_secs_f64(),
        failed: sum("check_failures_total"),
        skipped: after.sum("check_runs_skipped_total"),
        lag_p99_ms: quantile(0.99, &before.buckets(), &after.buckets()) * 1e3,
        cpu_percent: 100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64(),
        resident_bytes,
    })
}

fn configuration(listen: SocketAddr, Servers { http, silent, .. }: &Servers) -> String {
    let mut text = format!("listen: {listen}\nchecks:\n");
    for number in 0..CHECKS {
        let target = match number % 2 {
            0 => format!("kind: http, url: \"http://{http}/\""),
            _ => format!("kind: tcp, target: \"{silent}\""),
        };
        writeln!(text, "  - {{ name: check-{number:04}, {target}, interval: {INTERVAL_SECS}s }}")
            .expect("a string takes all that is written");
    }
    text
}

async fn get(address: SocketAddr, path: &str) -> Result<String> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(ANSWER_LIMIT, asking).await.context("no answer in time")??;
    anyhow::ensure!(answer.lines().next().is_some_and(|line| line.contains(" 200")), "{path} is not answered with 200");
    Ok(answer)
}

// === impl Page ===

impl Page {
    /// The sum of all series of a metric.
    fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|(_, value)| value).sum()
    }

    /// The buckets of the lag: how many were at most how many seconds late.
    fn buckets(&self) -> Vec<(f64, f64)> {
        let bound = |labels: &str| labels.split_once("le=\"")?.1.split('"').next()?.replace("+Inf", "inf").parse().ok();
        let series = self.series("check_scheduling_lag_seconds_bucket");
        series.filter_map(|(labels, value)| Some((bound(labels)?, value))).collect()
    }

    /// The series of a metric, by their labels.
    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let lines = self.0.lines().filter_map(move |line| line.strip_prefix(name));
        let own = lines.filter(|rest| rest.starts_with(['{', ' ']));
        own.filter_map(|rest| rest.rsplit_once(' ').and_then(|(labels, value)| Some((labels, value.parse().ok()?))))
    }
}

/// The quantile of what came between two looks at the buckets, as PromQL has it; NaN where nothing came.
fn quantile(quantile: f64, before: &[(f64, f64)], after: &[(f64, f64)]) -> f64 {
    let counts = after.iter().zip(before).map(|((bound, after), (_, before))| (*bound, after - before));
    let counts: Vec<_> = counts.collect();
    let all = counts.last().map(|(_, all)| *all).filter(|all| *all > 0.0);
    let rank = quantile * all.unwrap_or(f64::NAN);
    let (mut start, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= rank {
            let share = if count > below { (rank - below) / (count - below) } else { 1.0 };
            return if bound.is_finite() { start + (bound - start) * share } else { start };
        }
        (start, below) = (bound, count);
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use super::{Page, quantile};

    #[test]
    fn series_are_summed_and_quantiles_lie_within_their_bucket() {
        let page = |fast: u32, all: u32| {
            Page(format!(
                "# TYPE check_runs_total counter\ncheck_runs_total{{check=\"a\"}} 2\ncheck_runs_total{{check=\"b\"}} 3\n\
                 check_runs_total_more 7\n\
                 check_scheduling_lag_seconds_bucket{{le=\"0.001\"}} {fast}\n\
                 check_scheduling_lag_seconds_bucket{{le=\"0.005\"}} {all}\n\
                 check_scheduling_lag_seconds_bucket{{le=\"+Inf\"}} {all}\n"
            ))
        };
        assert_eq!(page(0, 0).sum("check_runs_total"), 5.0);
        let (before, after) = (page(10, 10).buckets(), page(110, 110).buckets());
        assert_eq!(quantile(0.5, &before, &after), 0.0005);
        assert_eq!(quantile(0.5, &before, &page(10, 110).buckets()), 0.003);
        assert!(quantile(0.5, &before, &before).is_nan() && quantile(0.5, &[], &[]).is_nan());
    }
}
