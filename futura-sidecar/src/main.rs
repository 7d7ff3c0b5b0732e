//! The binary: reads the command line, wires the parts and turns their end into an exit code.

use std::{
    fmt::Write as _,
    future::Future,
    io::{self, Write as _},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Error, Result};
use clap::{Args, Parser, Subcommand};
use futura_dashboards::generate::{self, GenerateArgs};
use futura_metrics::{
    Metrics,
    admin::Readiness,
    process,
    shutdown::{self, Drained, Shutdown, ShutdownConfig},
    telemetry::{self, TelemetryConfig, VARIABLES},
};
use futura_sidecar::{Config, ErrorsConfig, Reloader, Sidecar};
use tokio::{
    runtime, select,
    signal::unix::{Signal, SignalKind, signal},
};

/// A wrong command line, configuration or environment: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// Something failed while running.
const FAILURE: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  futura-sidecar config check sidecar.yaml        say what is wrong with it, line by line
  futura-sidecar run --config sidecar.yaml        run until SIGTERM or SIGINT
  futura-sidecar generate --out ./monitoring      write alert rules and dashboards

Exit codes:
  0 after a graceful end, 1 when running failed, 64 for a wrong command line or configuration,
  130 after a second signal";

/// Checks a service from beside it, shows what it found, and forwards its errors to Sentry without losing any.
#[derive(Parser)]
#[command(name = "futura-sidecar", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the checks, the status page and the error forwarding.
    ///
    /// SIGHUP, `POST /-/reload` and a change of the file, which is looked at every five seconds, have it read anew: its checks
    /// take the place of those that run. What else changes waits for a restart, and a file with anything wrong changes nothing.
    #[command(after_help = environment())]
    Run(RunArgs),
    /// Works on the configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Writes the alert rules and dashboards of all declared metrics, or checks those on disk.
    Generate(GenerateArgs),
}

#[derive(Args)]
struct RunArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How many seconds to go on receiving errors after SIGTERM: the application may report its last ones.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(..=600))]
    drain_delay_secs: u16,
    /// How many seconds runs and deliveries in flight may take to end after that.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(..=600))]
    grace_secs: u16,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Says whether a file could be run here, with this environment, and if not, everything that is wrong in it.
    ///
    /// Each finding is a line `FILE:LINE:COLUMN: KEY: what is wrong, what is allowed`, and the exit code is 64. Of a file that is
    /// no YAML the first finding alone is told, and of a check of no known kind nothing else. The folders
    /// that the file names are tried and left as they are. What is allowed and yet seldom meant, such as a file that does
    /// nothing, is a warning.
    Check {
        /// The configuration file.
        file: PathBuf,
    },
}

/// An error with the exit code that it ends in.
struct Failed(u8, Error);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return error.print().map_or(ExitCode::from(FAILURE), |()| ExitCode::from(code));
        }
    };
    let done = match cli.command {
        Command::Run(args) => run(&args),
        Command::Config(ConfigCommand::Check { file }) => check(file),
        Command::Generate(args) => generate(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(code, error)) => {
            // Nothing is left to tell it to if standard error is closed.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::from(code)
        }
    }
}

fn check(file: PathBuf) -> Result<(), Failed> {
    let name = file.display().to_string();
    let config = Config::load(file).map_err(usage)?;
    for warning in config.warnings() {
        writeln!(io::stderr(), "{name}: warning: {warning}").map_err(failure)?;
    }
    let checks = match config.checks.len() {
        1 => "1 check".to_owned(),
        number => format!("{number} checks"),
    };
    let errors = match &config.errors {
        None => "takes no errors".to_owned(),
        Some(ErrorsConfig { upstream: Some(upstream), .. }) => format!("forwards errors to {}", upstream.origin()),
        Some(ErrorsConfig { spool, .. }) => format!("keeps errors in {}", spool.display()),
    };
    writeln!(io::stdout(), "{name}: ok, runs {checks}, {errors}, listens on {}", config.listen).map_err(failure)
}

fn generate(args: &GenerateArgs) -> Result<(), Failed> {
    let report = generate::run(args).map_err(|error| if error.is_usage() { usage(error) } else { failure(error) })?;
    writeln!(io::stdout(), "{report}").map_err(failure)
}

fn run(args: &RunArgs) -> Result<(), Failed> {
    let config = Config::load(&args.config).map_err(usage)?;
    let telemetry = TelemetryConfig::from_env("futura-sidecar", env!("CARGO_PKG_VERSION")).map_err(usage)?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .map_err(failure)?;
    let limits = ShutdownConfig {
        drain_delay: Duration::from_secs(args.drain_delay_secs.into()),
        grace: Duration::from_secs(args.grace_secs.into()),
    };
    let ran = runtime.block_on(serve(config, &telemetry, limits)).map_err(|error| Failed(FAILURE, error));
    // A name that is still being looked up must not hold the process.
    runtime.shutdown_background();
    ran
}

async fn serve(config: Config, telemetry: &TelemetryConfig, limits: ShutdownConfig) -> Result<()> {
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let telemetry = telemetry::init(telemetry, &metrics).context("telemetry")?;
    process::register(&metrics, env!("CARGO_PKG_VERSION"), option_env!("GIT_REVISION"))?;
    let hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be received")?;
    let checks = config.checks.len();
    let sidecar = Sidecar::bind(config, &metrics, &readiness).await?;
    let memory_bytes = process::resident_memory_bytes().unwrap_or_default();
    tracing::info!(listen = %sidecar.address(), errors = sidecar.errors_address().map(tracing::field::display), checks, memory_bytes, "the sidecar is up");
    let shutdown = Shutdown::new(limits, readiness);
    shutdown.tracker().spawn(reload_at_hangups(hangups, sidecar.reloader().clone(), shutdown.requested()));
    let drained = sidecar.run(&shutdown, shutdown::signal()).await;
    match drained {
        Drained::InTime => tracing::info!("the sidecar has ended"),
        Drained::Late { tasks } => tracing::warn!(tasks, "the sidecar ends with work undone"),
    }
    telemetry.shutdown().await;
    Ok(())
}

async fn reload_at_hangups(mut hangups: Signal, reloader: Reloader, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    loop {
        select! {
            () = &mut stop => break,
            // The log tells how it went.
            Some(()) = hangups.recv() => drop(reloader.reload().await),
        }
    }
}

/// The environment variables that telemetry reads, for the help.
fn environment() -> String {
    let width = VARIABLES.iter().map(|(name, ..)| name.len()).max().unwrap_or_default();
    let mut text = "The sidecar's own telemetry is set by the environment:\n".to_owned();
    for (name, default, meaning) in VARIABLES {
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let _ = writeln!(text, "  {name:width$}  {meaning}{default}");
    }
    text
}

fn usage(error: impl Into<Error>) -> Failed {
    Failed(USAGE, error.into())
}

fn failure(error: impl Into<Error>) -> Failed {
    Failed(FAILURE, error.into())
}
