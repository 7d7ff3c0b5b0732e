//! The whole report: the environment, a table for each group, and what was promised.
//!
//! Each group is measured in a process of its own, as some libraries are set up once in a process.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdout},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::{
    allocations::{Allocations, MEMORY},
    encode, environment, errors,
    harness::Plan,
    http, memory, programs,
    siblings::{ALLOCATIONS, GENERATOR, SIDECAR, Sibling, Siblings},
    sidecar, storage,
    table::Table,
    targets::{self, Target},
};

/// Measures Futura beside its peers and prints tables, which are Markdown.
///
/// All cases of a table are measured in one run, in turns, round by round; a table shows medians over the rounds. Time on
/// one thread is the processor's time of that thread. Time on two threads is the clock's, waiting for each other included,
/// of rounds in which the kernel gave neither processor to anything else. Compare within a table: the numbers themselves
/// are of this machine and this hour.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "futura-bench", bin_name = "cargo xtask bench", version)]
pub struct Options {
    /// Runs for seconds, to see that everything works; the numbers are rough, and no other program is built.
    #[arg(long)]
    quick: bool,
    /// Runs this group alone; may be given more than once.
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,
    /// Measures in this process, and adds lines that the program reads which started it.
    #[arg(long, hide = true)]
    in_process: bool,
}

/// One part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// What a metrics layer adds to a request.
    Http,
    /// Increments and observations.
    Storage,
    /// Observations that name their span.
    Exemplar,
    /// Writing a scrape.
    Encode,
    /// What an idle series costs.
    Memory,
    /// What metrics and a request span add to a request.
    Traced,
    /// The same with a Sentry scope for each request.
    Sentry,
    /// The generator's time.
    Programs,
    /// The sidecar beside blackbox_exporter.
    Sidecar,
    /// The sidecar's error forwarding.
    Errors,
}

/// Measures groups and prints their tables.
struct Report<'a> {
    options: &'a Options,
    siblings: Siblings,
}

/// Measures and prints what the options ask for.
///
/// # Errors
/// When a case cannot be set up, or the report cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let groups: Vec<_> = Group::value_variants().iter().copied().filter(|group| options.includes(*group)).collect();
    let needed = groups.iter().flat_map(|group| group.needs().iter().copied());
    if options.in_process {
        let report = Report { options, siblings: Siblings::prepare(needed, false) };
        return groups.iter().try_for_each(|group| report.run(*group));
    }
    for (key, value) in environment::describe() {
        line(&format!("{key:<8} {value}"))?;
    }
    line(
        "\nA `-` stands where there is no peer, or no round on two threads that nothing else on the machine interrupted.",
    )?;
    if cfg!(debug_assertions) {
        line("\nThis is a build without optimizations: the times mean nothing.")?;
    }
    // What cannot be built, the group says that needs it.
    drop(Siblings::prepare(needed, !options.quick));
    let start = Instant::now();
    let mut targets = Vec::new();
    for group in groups {
        targets.extend(group.measure(options.quick)?);
    }
    if !targets.is_empty() {
        table("Targets", &targets::table(&targets))?;
    }
    line(&format!("\nMeasured in {} s.", start.elapsed().as_secs()))
}

// === impl Group ===

impl Group {
    fn needs(self) -> &'static [Sibling] {
        match self {
            Self::Programs => &[GENERATOR],
            Self::Sidecar | Self::Errors => &[SIDECAR],
            _ => &[ALLOCATIONS],
        }
    }

    /// Measures the group in a process of its own, prints its tables and returns its targets.
    fn measure(self, quick: bool) -> Result<Vec<Target>> {
        let name = self.to_possible_value().expect("no group is hidden");
        let mut command = Command::new(env::current_exe().context("cannot find this program's own path")?);
        command.args(["--in-process", "--only", name.get_name()]).args(quick.then_some("--quick"));
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start this program again")?;
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut targets = Vec::new();
        for text in output.lines() {
            let text = text.context("cannot read what it measured")?;
            match Target::parse(&text) {
                Some(target) => targets.push(target?),
                None => line(&text)?,
            }
        }
        let status = child.wait().context("cannot wait for it")?;
        ensure!(status.success(), "group `{}` failed ({status})", name.get_name());
        Ok(targets)
    }
}

// === impl Options ===

impl Options {
    fn includes(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }

    fn plan(&self, rounds: u32, iterations: u64) -> Plan {
        match self.quick {
            true => Plan { rounds: 3, iterations: iterations.div_ceil(100), contended: true },
            false => Plan { rounds, iterations, contended: true },
        }
    }

    fn sidecar_plan(&self) -> sidecar::Plan {
        let [round, trickle, schedule] = match self.quick {
            true => [Duration::from_millis(200), Duration::from_secs(2), Duration::from_secs(5)],
            false => [Duration::from_secs(1), Duration::from_secs(30), Duration::from_secs(30)],
        };
        let (starts, rounds) = if self.quick { (3, 1) } else { (21, 9) };
        sidecar::Plan { starts, rounds, round, trickle, schedule }
    }
}

// === impl Report ===

impl Report<'_> {
    fn run(&self, group: Group) -> Result<()> {
        let options = self.options;
        match group {
            Group::Http => {
                let report = http::report(&self.allocations(&[http::GROUP])?, options.plan(41, 10_000))?;
                section("HTTP layers, one route with a path parameter", report)
            }
            Group::Storage => {
                let allocations = self.allocations(&[storage::COUNTER_GROUP, storage::HISTOGRAM_GROUP])?;
                let plan = options.plan(41, 100_000);
                section("A counter with 3 labels, incremented", storage::report_counters(&allocations, plan)?)?;
                let histograms = storage::report_histograms(&allocations, plan)?;
                section("A histogram with 2 labels and 11 bounds, observed", histograms)
            }
            Group::Exemplar => {
                let allocations = self.allocations(&[storage::EXEMPLAR_GROUP])?;
                let report = storage::report_exemplars(&allocations, options.plan(41, 100_000))?;
                section("A histogram with exemplars, by its handle", report)
            }
            Group::Encode => {
                let plan = Plan { contended: false, ..options.plan(41, 2) };
                let report = encode::report(&self.allocations(&[encode::GROUP])?, plan)?;
                section("A scrape of 10,000 counters and 1,000 histograms", report)
            }
            Group::Memory => table("Memory of an idle series", &memory::report(&self.allocations(&[MEMORY])?)),
            Group::Traced => {
                let report = http::report_traced(&self.allocations(&[http::TRACED_GROUP])?, options.plan(21, 5_000))?;
                table("HTTP layers with a request span, subscriber at info", &report)
            }
            Group::Sentry => {
                let report = http::report_sentry(&self.allocations(&[http::SENTRY_GROUP])?, options.plan(21, 5_000))?;
                section("HTTP layers with a request span and a Sentry scope", report)
            }
            Group::Programs => {
                let (programs, left_out) = programs::report(&self.siblings);
                table("Programs", &programs)?;
                left_out.iter().try_for_each(|reason| line(reason))
            }
            Group::Sidecar => self.sidecar(),
            Group::Errors => self.errors(),
        }
    }

    /// The sidecar beside its peer; a line where it is not built.
    fn sidecar(&self) -> Result<()> {
        if let Err(error) = self.siblings.path(SIDECAR) {
            return line(&format!("\nsidecar: left out: {error:#}"));
        }
        let report = sidecar::report(&self.siblings, self.options.sidecar_plan())?;
        table("The sidecar beside blackbox_exporter", &report.beside)?;
        report.left_out.iter().try_for_each(|reason| line(reason))?;
        table("The sidecar's own schedule of 5,000 checks at 10 s", &report.schedule)?;
        report.targets.iter().try_for_each(|target| line(&target.to_line()))
    }

    /// What an error costs its program, and what forwarding takes; a line where the sidecar is not built.
    fn errors(&self) -> Result<()> {
        let time = Duration::from_secs(if self.options.quick { 1 } else { 30 });
        section("An error reported while nobody takes it, 100 a second", errors::capture::report(time)?)?;
        if let Err(error) = self.siblings.path(SIDECAR) {
            return line(&format!("\nerrors: left out: {error:#}"));
        }
        let (time, share) = if self.options.quick { (1, 0.02) } else { (10, 1.0) };
        section(
            "Error forwarding",
            errors::report(&self.siblings, errors::Plan { time: Duration::from_secs(time), share })?,
        )
    }

    /// What the program counts that has the counting allocator; nothing, said in a line, where it cannot.
    fn allocations(&self, groups: &[&str]) -> Result<Allocations> {
        let counted = self.siblings.path(ALLOCATIONS).and_then(|program| Allocations::load(program, groups));
        counted.or_else(|error| {
            line(&format!("\nallocations: left out: {error:#}"))?;
            Ok(Allocations::default())
        })
    }
}

/// Prints a table, and the targets for the program that started this one.
fn section(title: &str, (rows, targets): (Table, Vec<Target>)) -> Result<()> {
    table(title, &rows)?;
    targets.iter().try_for_each(|target| line(&target.to_line()))
}

fn table(title: &str, table: &Table) -> Result<()> {
    line(format!("\n## {title}\n\n{table}").trim_end())
}

fn line(text: &str) -> Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}
