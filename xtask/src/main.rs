//! The project's commands: `cargo xtask demo`, `test`, `bench`, `generate`. People and CI run the same ones.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{demo::DemoOptions, test::TestOptions};

mod cargo;
mod client;
mod demo;
mod e2e;
mod examples;
mod install;
mod ports;
mod process;
mod stack;
mod terminal;
mod test;
mod traffic;
mod wait;

/// The project's commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
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
    /// Measures the metrics library beside its peers.
    Bench(PassedOn),
    /// Writes the alert rules, routing, runbooks and dashboards anew.
    Generate(PassedOn),
}

#[derive(Args)]
struct PassedOn {
    /// Passed on as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

// The runtime has one thread, the main one, so that the kernel ends the children with this program: see `process`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
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

async fn cargo_run(selection: &[&str], passed: &PassedOn) -> Result<ExitCode> {
    let arguments = [&["run", "--quiet"], selection, &["--"]].concat();
    let mut command = cargo::command(arguments);
    command.args(&passed.arguments);
    process::run(&format!("cargo run {}", selection.join(" ")), command).await?;
    Ok(ExitCode::SUCCESS)
}
