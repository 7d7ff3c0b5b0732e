//! The sidecar beside blackbox_exporter: both probe the same servers, in turns, and the kernel tells what it costs them.
//!
//! The bench's own clients and the servers share the processors with the two, so probes per second are less than either
//! could do alone; the processor's time of a probe is the program's alone.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    time::{interval, sleep},
};

use self::{
    exporter::{Exporter, Program},
    servers::Servers,
};
use crate::{
    harness::Rounds,
    siblings::{SIDECAR, Siblings},
    table::{Table, number},
    targets::Target,
};

mod exporter;
mod schedule;
mod servers;

/// What the peer is called, in a release and in Debian.
const PEERS: [&str; 2] = ["blackbox_exporter", "prometheus-blackbox-exporter"];

/// What is said where it is not there.
const NO_PEER: &str = "blackbox_exporter: left out: it is not on the PATH; install it with `cargo xtask test install`, or \
                       with `apt-get install prometheus-blackbox-exporter`";

/// Over how many connections a load comes.
const CONNECTIONS: usize = 8;
/// How many probes hang at once.
const HUNG: usize = 200;
/// How many probes a program does before its memory is looked at: what it makes once is made then.
const WARM_UP: usize = 20;
/// How long a program is left alone before its memory counts as idle.
const REST: Duration = Duration::from_secs(2);
/// The time between two probes at ten a second.
const PERIOD: Duration = Duration::from_millis(100);

const MB: f64 = 1e6;
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// A row of the table, and what is promised of it.
struct Row {
    work: &'static str,
    unit: &'static str,
    promise: Promise,
}

enum Promise {
    None,
    /// The value itself is at most this.
    AtMost(f64),
    /// The value is at most this much of the peer's.
    ShareAtMost(f64),
    /// The value is at least this often the peer's.
    ShareAtLeast(f64),
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) starts: u32,
    pub(crate) rounds: u32,
    /// How long a round is, for one program and one kind of probe.
    pub(crate) round: Duration,
    /// How long there are ten probes a second.
    pub(crate) trickle: Duration,
    /// How long the schedule is watched.
    pub(crate) schedule: Duration,
}

/// The programs, and what they probe.
struct Bench {
    programs: Vec<Program>,
    servers: Servers,
    modules: PathBuf,
    folder: TempDir,
}

/// What was measured of one program, a value for each of [`ROWS`].
type Values = Vec<f64>;

const ROWS: [Row; 12] = [
    Row { work: "program: size on disk", unit: " MB", promise: Promise::AtMost(12.0) },
    Row { work: "start to the first probe that succeeded", unit: " ms", promise: Promise::AtMost(10.0) },
    Row { work: "resident memory, idle", unit: " MiB", promise: Promise::AtMost(8.0) },
    Row { work: "resident memory, at 10 probes a second", unit: " MiB", promise: Promise::AtMost(12.0) },
    Row { work: "http: processor's time of a probe", unit: " ms", promise: Promise::ShareAtMost(0.333) },
    Row { work: "https: processor's time of a probe", unit: " ms", promise: Promise::ShareAtMost(0.5) },
    Row { work: "tcp: processor's time of a probe", unit: " ms", promise: Promise::ShareAtMost(0.333) },
    Row { work: "http: probes a second over 8 connections", unit: "", promise: Promise::ShareAtLeast(3.0) },
    Row { work: "https: probes a second over 8 connections", unit: "", promise: Promise::None },
    Row { work: "tcp: probes a second over 8 connections", unit: "", promise: Promise::None },
    Row { work: "200 probes that hang: each", unit: " KiB", promise: Promise::AtMost(20.0) },
    Row { work: "a body of 200 MiB and a pattern: more memory", unit: " MiB", promise: Promise::AtMost(4.0) },
];

/// Tables of both and of the schedule, lines for what is left out, and the targets.
pub(crate) struct Report {
    pub(crate) beside: Table,
    pub(crate) schedule: Table,
    pub(crate) left_out: Vec<String>,
    pub(crate) targets: Vec<Target>,
}

pub(crate) fn report(siblings: &Siblings, plan: Plan) -> Result<Report> {
    let ours = Program { path: siblings.path(SIDECAR)?.to_owned(), command: Some("probe") };
    let peer = installed().map(|path| Program { path, command: None });
    let left_out = if peer.is_none() { vec![NO_PEER.to_owned()] } else { Vec::new() };
    let runtime = Runtime::new().context("cannot start a runtime")?;
    let (values, scheduled) = runtime.block_on(async {
        let bench = Bench::start([ours].into_iter().chain(peer).collect()).await?;
        Ok::<_, anyhow::Error>((bench.measure(plan).await?, bench.schedule(plan).await?))
    })?;
    let (beside, mut targets) = compare(&values);
    let (schedule, target) = tell_schedule(&scheduled);
    targets.extend(target);
    Ok(Report { beside, schedule, left_out, targets })
}

fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let files = env::split_paths(&path).flat_map(|folder| PEERS.map(|name| folder.join(name)));
    files.into_iter().find(|file| file.is_file())
}

/// Sets the values beside each other; there may be none of the peer.
fn compare(values: &[Values]) -> (Table, Vec<Target>) {
    let mut table = Table::new(&["work", "futura-sidecar", "blackbox_exporter", "of blackbox_exporter"]);
    let mut targets = Vec::new();
    for (place, Row { work, unit, promise }) in ROWS.iter().enumerate() {
        let ours = values[0][place];
        let theirs = values.get(1).map_or(f64::NAN, |values| values[place]);
        let share = ours / theirs;
        let shown = |value: f64| if value.is_nan() { number(value) } else { format!("{}{unit}", number(value)) };
        table.row(work, [shown(ours), shown(theirs), number(share)]);
        let (name, of_peer) = (format!("sidecar: {work}"), format!("sidecar: {work}: of blackbox_exporter"));
        targets.extend(match *promise {
            Promise::None => None,
            Promise::AtMost(limit) => Some(Target::at_most(&name, limit, unit, ours)),
            Promise::ShareAtMost(limit) => Some(Target::at_most(&of_peer, limit, "×", share)),
            Promise::ShareAtLeast(limit) => Some(Target::at_least(&of_peer, limit, "×", share)),
        });
    }
    (table, targets)
}

fn tell_schedule(measured: &schedule::Measured) -> (Table, [Target; 2]) {
    let mut table = Table::new(&["schedule", "value"]);
    for (name, value, unit) in [
        ("runs a second", measured.runs_per_sec, ""),
        ("runs that failed", measured.failed, ""),
        ("runs that were skipped", measured.skipped, ""),
        ("99 of 100 runs start late by at most", measured.lag_p99_ms, " ms"),
        ("processor's time, of one processor", measured.cpu_percent, " %"),
        ("resident memory", measured.resident_bytes / MIB, " MiB"),
    ] {
        table.row(name, [format!("{}{unit}", number(value))]);
    }
    let lag = Target::at_most("sidecar: 5,000 checks at 10 s: lag, 99 of 100", 50.0, " ms", measured.lag_p99_ms);
    (table, [lag, Target::at_most("sidecar: 5,000 checks at 10 s: runs skipped", 0.0, "", measured.skipped)])
}

// === impl Bench ===

impl Bench {
    async fn start(programs: Vec<Program>) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (authority, modules) = (folder.path().join("ca.pem"), folder.path().join("blackbox.yml"));
        let servers = Servers::start(&authority).await?;
        fs::write(&modules, configuration(&authority)).context("cannot write the modules")?;
        Ok(Self { programs, servers, modules, folder })
    }

    /// The queries of the three kinds, in the order of the rows.
    fn queries(&self) -> [String; 3] {
        let Servers { http, https, silent, .. } = &self.servers;
        [
            format!("module=http&target=http://{http}/"),
            format!("module=https&target=https://{https}/"),
            format!("module=tcp&target={silent}"),
        ]
    }

    /// What each program takes.
    async fn measure(&self, plan: Plan) -> Result<Vec<Values>> {
        let mut values = Vec::new();
        for (program, start_ms) in self.programs.iter().zip(self.starts(plan).await?) {
            let size = fs::metadata(&program.path).context("cannot look at the program")?.len() as f64;
            values.push(vec![size / MB, start_ms]);
        }
        let exporters = self.start_all().await?;
        sleep(REST).await;
        for (exporter, values) in exporters.iter().zip(&mut values) {
            values.push(exporter.process.resident_bytes()? / MIB);
        }
        for (bytes, values) in self.trickle(&exporters, plan).await?.into_iter().zip(&mut values) {
            values.push(bytes / MIB);
        }
        for (more, values) in self.load(&exporters, plan).await?.into_iter().zip(&mut values) {
            values.extend(more);
        }
        drop(exporters);
        for (program, values) in self.programs.iter().zip(&mut values) {
            values.extend([self.hang(program).await? / KIB, self.read_at_length(program).await? / MIB]);
        }
        Ok(values)
    }

    async fn start_one(&self, program: &Program) -> Result<Exporter> {
        let started = program.start(&self.modules, &self.queries()[0]).await;
        Ok(started.with_context(|| program.path.display().to_string())?.0)
    }

    async fn start_all(&self) -> Result<Vec<Exporter>> {
        let mut exporters = Vec::new();
        for program in &self.programs {
            exporters.push(self.start_one(program).await?);
        }
        Ok(exporters)
    }

    /// How many milliseconds each takes to its first success, the median.
    async fn starts(&self, plan: Plan) -> Result<Vec<f64>> {
        let mut times: Vec<_> = self.programs.iter().map(|_| Rounds::default()).collect();
        for _ in 0..plan.starts {
            for (program, times) in self.programs.iter().zip(&mut times) {
                let started = program.start(&self.modules, &self.queries()[0]).await;
                times.push(started.with_context(|| program.path.display().to_string())?.1.as_secs_f64() * 1e3);
            }
        }
        Ok(times.iter().map(Rounds::median).collect())
    }

    /// The bytes that each has at most at ten probes a second, of all kinds in turn.
    async fn trickle(&self, exporters: &[Exporter], plan: Plan) -> Result<Vec<f64>> {
        let (queries, mut ticks) = (self.queries(), interval(PERIOD));
        let mut most = vec![0.0_f64; exporters.len()];
        for round in 0..plan.trickle.div_duration_f64(PERIOD) as usize {
            ticks.tick().await;
            for (exporter, most) in exporters.iter().zip(&mut most) {
                exporter.probe(&queries[round % queries.len()]).await?;
                *most = most.max(exporter.process.resident_bytes()?);
            }
        }
        Ok(most)
    }

    /// The processor's milliseconds of a probe of each kind, and how many there are a second.
    async fn load(&self, exporters: &[Exporter], plan: Plan) -> Result<Vec<Values>> {
        let queries = self.queries();
        let mut rounds: Vec<Vec<[Rounds; 2]>> =
            exporters.iter().map(|_| queries.iter().map(|_| Default::default()).collect()).collect();
        for _ in 0..plan.rounds {
            for (kind, query) in queries.iter().enumerate() {
                for (exporter, rounds) in exporters.iter().zip(&mut rounds) {
                    let before = exporter.process.cpu_time()?;
                    let probes = exporter.load(query, CONNECTIONS, plan.round).await? as f64;
                    let cpu = exporter.process.cpu_time()? - before;
                    rounds[kind][0].push(cpu.as_secs_f64() * 1e3 / probes);
                    rounds[kind][1].push(probes / plan.round.as_secs_f64());
                }
            }
        }
        let medians = |rounds: &Vec<[Rounds; 2]>| {
            [0, 1].into_iter().flat_map(|what| rounds.iter().map(move |kind| kind[what].median())).collect()
        };
        Ok(rounds.iter().map(medians).collect())
    }

    /// The bytes that a probe takes whose target never answers.
    async fn hang(&self, program: &Program) -> Result<f64> {
        let exporter = self.start_warm(program).await?;
        let before = exporter.process.resident_bytes()?;
        let asked = exporter.ask(&format!("module=http&target=http://{}/", self.servers.silent), HUNG).await?;
        sleep(REST).await;
        let after = exporter.process.resident_bytes()?;
        drop(asked);
        Ok((after - before) / HUNG as f64)
    }

    /// The bytes that a program takes at most to search the large body, over what it had before.
    async fn read_at_length(&self, program: &Program) -> Result<f64> {
        let exporter = self.start_warm(program).await?;
        exporter.process.forget_peak()?;
        let before = exporter.process.resident_bytes()?;
        exporter.probe(&format!("module=body&target=http://{}/", self.servers.large)).await?;
        Ok(exporter.process.peak_bytes()? - before)
    }

    async fn start_warm(&self, program: &Program) -> Result<Exporter> {
        let exporter = self.start_one(program).await?;
        for _ in 0..WARM_UP {
            exporter.probe(&self.queries()[0]).await?;
        }
        Ok(exporter)
    }

    async fn schedule(&self, plan: Plan) -> Result<schedule::Measured> {
        schedule::measure(&self.programs[0].path, &self.servers, self.folder.path(), plan.schedule).await
    }
}

/// The modules, as both read them.
fn configuration(authority: &Path) -> String {
    format!(
        "modules:\n  \
           http: {{ prober: http }}\n  \
           https: {{ prober: http, http: {{ tls_config: {{ ca_file: {} }} }} }}\n  \
           tcp: {{ prober: tcp }}\n  \
           body: {{ prober: http, http: {{ fail_if_body_matches_regexp: [\"error [0-9]+\"] }} }}\n",
        authority.display()
    )
}

#[cfg(test)]
mod tests {
    use super::{ROWS, compare};

    #[test]
    fn without_a_peer_our_own_rows_and_targets_stand_alone() {
        let ours: Vec<_> = (0..ROWS.len()).map(|row| row as f64).collect();
        let (table, targets) = compare(&[ours]);
        let table = table.to_string();
        assert!(table.contains("| resident memory, idle"), "{table}");
        assert_eq!(table.lines().count(), 2 + ROWS.len());
        let text = crate::targets::table(&targets).to_string();
        let unknown = text.lines().filter(|line| line.trim_end().ends_with("|   - |")).count();
        assert_eq!(unknown, text.matches("of blackbox_exporter").count(), "{text}");
    }
}
