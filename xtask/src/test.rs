//! `cargo xtask test`: every check, one after the other, and a table of how each went.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    cargo::{self, Profile},
    demo, dist, e2e, examples, install, pages, process, public_files, schema, terminal,
};

/// Which checks to run.
#[derive(Args)]
pub(crate) struct TestOptions {
    /// The checks to run; all of them where none is named.
    steps: Vec<Step>,
    /// Leaves out what needs other programs than Rust's own, and what takes a minute.
    #[arg(long)]
    fast: bool,
}

/// One check, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Installs what the other checks need: Debian packages, Bugsink, the Kafka broker tansu, SecantusDB, Python's Prometheus
    /// parsers, Sentry's engine for personal data and its SDKs for Python and Node, a driver for Chromium,
    /// Grafana's types, rules and dashboards that others published.
    Install,
    /// Formatting.
    Fmt,
    /// Lints, with warnings as errors.
    Clippy,
    /// Every library and program builds.
    Build,
    /// Unit and integration tests; with --fast those that need Python or what comes from PyPI are skipped.
    Tests,
    /// A million forged requests and label values, with the memory before and after.
    Forged,
    /// Examples in the documentation.
    Doctests,
    /// The lock-free code under the model checker loom, through every interleaving.
    Loom,
    /// The documentation itself, with warnings as errors.
    Doc,
    /// The generated files are what the generator writes.
    Generated,
    /// The dashboards hold only what Grafana reads, by the types of its own package.
    Schema,
    /// Rules and dashboards that others published are linted: all can be read, and the findings are counted.
    PublicFiles,
    /// Licences, advisories and sources of dependencies, where cargo-deny is installed.
    Deny,
    /// The runnable examples.
    Examples,
    /// The demo starts, has traffic and ends when asked to.
    Demo,
    /// The real programs with input that is wrong.
    BadInput,
    /// The sidecar's pages in Chromium: seen, used by keyboard, without barriers.
    Pages,
    /// The real programs together with Prometheus and Bugsink.
    E2e,
    /// An alert, from its rule in Prometheus through Alertmanager to a message in Slack, and its end.
    Alerts,
    /// The sidecar as it is shipped: built, and run in an empty root.
    Dist,
    /// Errors from real SDKs through it to Bugsink, while networks, servers, disks and the sidecar itself fail.
    Errors,
}

/// How a step went.
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    LeftOut(&'static str),
}

// === impl Step ===

impl Step {
    /// Why a full run leaves this step out, if it does.
    fn left_out(self, fast: bool) -> Option<&'static str> {
        match self {
            Self::Install
            | Self::Forged
            | Self::Schema
            | Self::PublicFiles
            | Self::Pages
            | Self::E2e
            | Self::Alerts
            | Self::Dist
            | Self::Errors
                if fast =>
            {
                Some("--fast")
            }
            Self::Deny if process::which("cargo-deny").is_none() => Some("cargo-deny is not installed"),
            _ => None,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).expect("no step is hidden")
    }

    async fn run(self, fast: bool) -> Result<()> {
        match self {
            Self::Install => install::run().await,
            Self::Fmt => cargo(&["fmt", "--all", "--check"]).await,
            Self::Clippy => cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).await,
            Self::Build => cargo(&["build", "--workspace", "--bins"]).await,
            Self::Tests => tests(fast).await,
            Self::Forged => forged().await,
            Self::Doctests => cargo(&["test", "--workspace", "--doc"]).await,
            Self::Loom => loom().await,
            Self::Doc => documentation().await,
            Self::Generated => generated().await,
            Self::Schema => schema::run().await,
            Self::PublicFiles => public_files::run().await,
            Self::Deny => cargo(&["deny", "check"]).await,
            Self::Examples => examples::run().await,
            Self::Demo => demo::check().await,
            Self::BadInput => e2e::bad_input().await,
            Self::Pages => pages::run().await,
            Self::E2e => e2e::run().await,
            Self::Alerts => e2e::alerts().await,
            Self::Dist => dist::check().await,
            Self::Errors => e2e::errors().await,
        }
    }
}

/// Runs the steps and prints the table; the last line counts them.
pub(crate) async fn run(options: &TestOptions) -> Result<ExitCode> {
    let mut outcomes = Vec::new();
    let mut failure = None;
    for &step in Step::value_variants() {
        let chosen = options.steps.is_empty() || options.steps.contains(&step);
        if !chosen {
            continue;
        }
        if let Some(reason) = step.left_out(options.fast).filter(|_| options.steps.is_empty()) {
            outcomes.push((step, Outcome::LeftOut(reason)));
            continue;
        }
        terminal::heading(step.name());
        let start = Instant::now();
        if let Err(error) = step.run(options.fast).await {
            outcomes.push((step, Outcome::Failed(start.elapsed())));
            failure = Some((step, error));
            break;
        }
        outcomes.push((step, Outcome::Passed(start.elapsed())));
    }
    if let Some((step, error)) = &failure {
        terminal::line(format_args!("\n{} failed: {error:#}\nto repeat it: cargo xtask test {0}", step.name()));
    }
    print_table(&outcomes);
    Ok(if failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_table(outcomes: &[(Step, Outcome)]) {
    terminal::heading("summary");
    let (mut passed, mut failed) = (0, 0);
    for (step, outcome) in outcomes {
        let (word, note) = match outcome {
            Outcome::Passed(time) => ("passed", format!("{:>7.1} s", time.as_secs_f64())),
            Outcome::Failed(time) => ("failed", format!("{:>7.1} s", time.as_secs_f64())),
            Outcome::LeftOut(reason) => ("left out", format!("({reason})")),
        };
        passed += u32::from(matches!(outcome, Outcome::Passed(_)));
        failed += u32::from(matches!(outcome, Outcome::Failed(_)));
        terminal::line(format_args!("{:<12} {word:<8} {note}", step.name()));
    }
    terminal::line(format_args!("{passed} passed, {failed} failed"));
}

async fn cargo(arguments: &[&str]) -> Result<()> {
    process::run(&format!("cargo {}", arguments.join(" ")), cargo::command(arguments.iter().copied())).await
}

async fn tests(fast: bool) -> Result<()> {
    let arguments: &[&str] = if process::which("cargo-nextest").is_some() {
        &["nextest", "run", "--workspace"]
    } else {
        &["test", "--workspace", "--lib", "--bins", "--tests"]
    };
    let mut command = cargo::command(arguments.iter().copied());
    if !fast {
        command.env("TEST_TANSU", install::tansu().await?);
        command.env("TEST_SECANTUSD", install::secantusd().await?);
        command.env("TEST_PROMETHEUS_CLIENT", install::prometheus_client().await?);
        command.env("TEST_SENTRY_RELAY", install::sentry_relay().await?);
    }
    process::run(&format!("cargo {}", arguments.join(" ")), command).await
}

/// One test after the other, as each measures the memory of the whole process.
async fn forged() -> Result<()> {
    // With the targets of the tests step, so that nothing is built anew.
    let targets = ["test", "--workspace", "--lib", "--bins", "--tests", "--"];
    cargo(&[&targets[..], &["--ignored", "--nocapture", "--test-threads=1", "forged::"]].concat()).await
}

/// A build of its own, as `--cfg loom` replaces the atomics of all that knows the checker.
async fn loom() -> Result<()> {
    let mut command = cargo::command(["test", "--release", "--package", "futura-metrics", "--lib"]);
    command.args(["--no-default-features", "--features", "registry", "--target-dir", "target/loom"]);
    command.args(["--", "storage"]).env("RUSTFLAGS", "--cfg loom");
    process::run("cargo test under loom", command).await
}

async fn documentation() -> Result<()> {
    let mut command = cargo::command(["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    process::run("cargo doc", command).await
}

async fn generated() -> Result<()> {
    let programs = cargo::build(&["futura-dashboards"], Profile::Dev).await?;
    let mut command = process::command(programs.path("generate-dashboards")?);
    command.arg("--check").current_dir(cargo::root());
    process::run("generate-dashboards --check", command).await
}
