//! The whole report: the environment, then a table for each group.

use std::{
    io::{Write, stdout},
    time::Instant,
};

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::{
    allocations::Allocations,
    encode, environment,
    harness::Plan,
    http, programs,
    siblings::{ALLOCATIONS, GENERATOR, SIDECAR, Sibling, Siblings},
    storage,
    table::Table,
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
}

/// One part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// What a metrics layer adds to a request.
    Http,
    /// Increments and observations.
    Storage,
    /// Writing a scrape.
    Encode,
    /// What metrics and a request span add to a request.
    Traced,
    /// The generator's time and the sidecar's memory.
    Programs,
}

/// Makes the report and prints it meanwhile.
struct Report<'a> {
    options: &'a Options,
    siblings: Siblings,
    allocations: Allocations,
}

/// Measures and prints what the options ask for.
///
/// # Errors
/// When a case cannot be set up, or the report cannot be written.
pub fn run(options: &Options) -> Result<()> {
    for (key, value) in environment::describe() {
        line(&format!("{key:<8} {value}"))?;
    }
    line(
        "\nA `-` stands where there is no peer, or no round on two threads that nothing else on the machine interrupted.",
    )?;
    if cfg!(debug_assertions) {
        line("\nThis is a build without optimizations: the times mean nothing.")?;
    }
    let groups: Vec<_> = Group::value_variants().iter().copied().filter(|group| options.includes(*group)).collect();
    let needed = groups.iter().flat_map(|group| group.needs().iter().copied());
    let siblings = Siblings::prepare(needed, !options.quick);
    let start = Instant::now();
    let mut report = Report { options, siblings, allocations: Allocations::default() };
    if groups.iter().any(|group| group.needs().contains(&ALLOCATIONS)) {
        report.count_allocations()?;
    }
    groups.iter().try_for_each(|group| report.run(*group))?;
    line(&format!("\nMeasured in {} s.", start.elapsed().as_secs()))
}

// === impl Group ===

impl Group {
    fn needs(self) -> &'static [Sibling] {
        match self {
            Self::Http | Self::Storage | Self::Encode | Self::Traced => &[ALLOCATIONS],
            Self::Programs => &[GENERATOR, SIDECAR],
        }
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
}

// === impl Report ===

impl Report<'_> {
    fn count_allocations(&mut self) -> Result<()> {
        match self.siblings.path(ALLOCATIONS).and_then(Allocations::load) {
            Ok(allocations) => self.allocations = allocations,
            Err(error) => line(&format!("\nallocations: left out: {error:#}"))?,
        }
        Ok(())
    }

    fn run(&self, group: Group) -> Result<()> {
        let (options, allocations) = (self.options, &self.allocations);
        match group {
            Group::Http => table(
                "HTTP layers, one route with a path parameter",
                &http::report(allocations, options.plan(41, 10_000))?,
            ),
            Group::Storage => {
                let plan = options.plan(41, 100_000);
                table("A counter with 3 labels, incremented", &storage::report_counters(allocations, plan)?)?;
                let histograms = storage::report_histograms(allocations, plan)?;
                table("A histogram with 2 labels and 11 bounds, observed", &histograms)
            }
            Group::Encode => {
                let plan = Plan { contended: false, ..options.plan(41, 2) };
                table("A scrape of 10,000 counters and 1,000 histograms", &encode::report(allocations, plan)?)
            }
            Group::Traced => table(
                "HTTP layers with a request span, subscriber at info",
                &http::report_traced(allocations, options.plan(21, 5_000))?,
            ),
            Group::Programs => {
                let (programs, left_out) = programs::report(&self.siblings);
                table("Programs", &programs)?;
                left_out.iter().try_for_each(|reason| line(reason))
            }
        }
    }
}

fn table(title: &str, table: &Table) -> Result<()> {
    line(format!("\n## {title}\n\n{table}").trim_end())
}

fn line(text: &str) -> Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}
