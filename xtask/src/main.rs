//! The project's commands: `cargo xtask demo`, `test`, `bench`, `generate`, `dist`. People and CI run the same ones.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{demo::DemoOptions, test::TestOptions};

mod cargo;
mod client;
mod demo;
mod dist;
mod e2e;
mod examples;
mod install;
mod pages;
mod ports;
mod process;
mod public_files;
mod schema;
mod stack;
mod terminal;
mod test;
mod traffic;
mod wait;

/// The exit code of a wrong command line, as `sysexits.h` has it.
const USAGE: u8 = 64;

const BENCH_HELP: &str = "\
It builds with optimizations first, which takes minutes; the peers are built for nothing else.

Groups, each a table or two; at the end of a run a table says which targets were met:
  http       what a metrics layer adds to a request
  storage    increments and observations
  exemplar   observations that name their span
  encode     writing a scrape
  memory     what an idle series costs
  traced     what metrics and a request span add to a request
  sentry     the same with a Sentry scope for each request
  programs   the generator's time
  sidecar    the sidecar beside blackbox_exporter, and with a schedule of 5,000 checks
  errors     what error forwarding takes, and what waits in its spool

Examples:
  cargo xtask bench                  all tables
  cargo xtask bench --quick          the same in seconds, with numbers that are worth less
  cargo xtask bench --only encode    one group of cases, may be given more than once
  cargo xtask bench -- --help        all options of futura-bench";

const GENERATE_HELP: &str = "\
Without arguments it writes the generated folders of this repository.

Examples:
  cargo xtask generate                       after a change of metrics, rules or panels
  cargo xtask generate --check               whether those folders are up to date
  cargo xtask generate --out ./monitoring --namespace staging
  cargo xtask generate -- --help             all options of generate-dashboards";

/// The project's commands.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Exit codes: 0 done, 1 failed, 64 for a wrong command line, 130 after Ctrl-C"
)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the API, the sidecar beside it, traffic and a Prometheus, until Ctrl-C.
    Demo(DemoOptions),
    /// Runs every check, or those that are named.
    Test(TestOptions),
    /// Measures the metrics library and the sidecar beside their peers.
    #[command(after_help = BENCH_HELP)]
    Bench(PassedOn),
    /// Builds the sidecar as one file that needs no libraries, to be copied anywhere and into an image `FROM scratch`.
    ///
    /// Names are looked up by `/etc/hosts` and DNS, as `/etc/resolv.conf` says. Where `/etc/nsswitch.conf` names further
    /// services, those that cannot be loaded are passed over; leave that file out where the program runs alone. Targets of TLS
    /// need certificates that are trusted: `/etc/ssl/certs`, or what `SSL_CERT_FILE` names.
    Dist,
    /// Writes the alert rules, their tests, runbooks and dashboards anew.
    #[command(after_help = GENERATE_HELP)]
    Generate(PassedOn),
}

#[derive(Args)]
struct PassedOn {
    /// Passed on as they are to the program that does it: `futura-bench` or `generate-dashboards`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

// The runtime has one thread, the main one, so that the kernel ends the children with this program: see `process`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help comes this way too, and is no error. Nobody reads what cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(options.command).await {
        Ok(code) => code,
        Err(error) => {
            terminal::line(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        // The demo ends by being interrupted, and sees to that itself.
        Command::Demo(options) => demo::run(&options).await,
        Command::Test(options) => until_interrupted(test::run(&options)).await,
        Command::Bench(passed) => {
            until_interrupted(cargo_run(&["--release", "--package", "futura-bench"], &passed)).await
        }
        Command::Dist => until_interrupted(async { dist::run().await.map(|_| ExitCode::SUCCESS) }).await,
        Command::Generate(passed) => until_interrupted(cargo_run(&["--bin", "generate-dashboards"], &passed)).await,
    }
}

/// Does `work` unless a signal comes first: what was running is dropped then, and every process with it.
async fn until_interrupted(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::select! {
        result = work => result,
        code = process::interrupted() => code,
    }
}

/// Runs one of our programs and ends as it does: what was wrong it has said itself.
async fn cargo_run(selection: &[&str], passed: &PassedOn) -> Result<ExitCode> {
    let arguments = [&["run", "--quiet"], selection, &["--"]].concat();
    let mut command = cargo::command(arguments);
    command.args(&passed.arguments);
    let status = process::status(&format!("cargo run {}", selection.join(" ")), command).await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
