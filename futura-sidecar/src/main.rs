//! The binary: reads the command line, wires the parts and turns their end into an exit code.

use std::{
    fmt::Write as _,
    future::Future,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Error, Result};
use clap::{Args, Parser, Subcommand};
use futura_alert_rules::Site;
use futura_dashboards::{
    generate::{self, GenerateArgs},
    reference,
};
use futura_metrics::{
    Metrics,
    admin::Readiness,
    process,
    shutdown::{self, Drained, Shutdown, ShutdownConfig},
    telemetry::{self, Telemetry, TelemetryConfig, VARIABLES},
};
use futura_sidecar::{Address, Config, ProbeServer, ProbeServerConfig, SCHEMA, Sidecar};
use ipnet::IpNet;
use tokio::{
    runtime, select,
    signal::unix::{SignalKind, signal},
};

use self::{drill::DrillArgs, explain::ExplainArgs, lint::LintArgs, spool::SpoolCommand, verify::VerifyArgs};

mod access;
mod drain;
mod drill;
mod explain;
mod lint;
mod memory;
mod spool;
mod verify;

/// A wrong command line, configuration or environment: `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// A server that has to be asked cannot be: `EX_UNAVAILABLE`.
const UNAVAILABLE: u8 = 69;

/// A signal ended it.
const INTERRUPTED: u8 = 130;

/// Something failed while running.
const FAILURE: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  futura-sidecar config check sidecar.yaml        say what is wrong with it, line by line
  futura-sidecar run --config sidecar.yaml        run until SIGTERM or SIGINT
  futura-sidecar probe --config.file=blackbox.yml stand in for blackbox_exporter
  futura-sidecar errors explain event.json        say what is removed from an event
  futura-sidecar generate --out ./monitoring      write alert rules and dashboards
  futura-sidecar verify --prometheus URL          ask a Prometheus all that they ask
  futura-sidecar lint rules/                      say what is wrong with rules of one's own
  futura-sidecar drill --all --alertmanager URL   see that every alert arrives where it should

Exit codes:
  0 after a graceful end, 1 when running failed, 64 for a wrong command line or configuration,
  69 when a server that is to be asked cannot be, 130 after a second signal";

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
    /// Answers `/probe` in the place of blackbox_exporter, by its configuration file and its flags.
    ///
    /// A Prometheus that is set up for blackbox_exporter works as it is. SIGHUP and `POST /-/reload` read the file anew; one
    /// with anything wrong changes nothing. Targets that resolve to link-local, cloud metadata or unspecified addresses are
    /// refused: `--probe.allow` or a module's `guard` lets them in.
    Probe(ProbeArgs),
    /// Has a sidecar that runs suspend the checks of its own pod, as a preStop hook.
    ///
    /// What those checks find while the pod ends is no failure. Checks of other hosts go on.
    Drain(DrainArgs),
    /// Works on the configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Works on the errors that applications report: on those in the spool, and on what is removed from one.
    #[command(subcommand)]
    Errors(ErrorsCommand),
    /// Writes the alert rules and dashboards of all declared metrics, or checks those on disk.
    Generate(GenerateArgs),
    /// Asks a Prometheus every query of every rule and panel, and tells which find no data, fail or are slow.
    ///
    /// Of a rule it is asked what the rule compares, as that has a value whether the alert fires or not.
    #[command(after_help = verify::EXAMPLES)]
    Verify(VerifyArgs),
    /// Sends alerts through an Alertmanager as Prometheus would, to see that their messages arrive, and resolves them.
    ///
    /// An alert has the labels of the real one, so that it goes the same way; its summary begins with `DRILL:`. One that fires for
    /// real is left alone. Killed, the alert ends by itself, twice --wait and a minute after it was sent.
    #[command(after_help = drill::EXAMPLES)]
    Drill(DrillArgs),
    /// Looks through files of Prometheus rules for what `promtool` lets pass: names that do not exist, counters without a rate,
    /// labels that are dropped before they are used.
    #[command(after_help = lint::EXAMPLES)]
    Lint(LintArgs),
    /// Prints documentation.
    #[command(subcommand)]
    Docs(DocsCommand),
}

#[derive(Subcommand)]
enum DocsCommand {
    /// Prints every declared metric in Markdown: its type, unit, labels and bounds, and the alerts and panels that read it.
    Metrics,
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

/// The flags are blackbox_exporter's, so they are written as it writes them.
#[derive(Args)]
struct ProbeArgs {
    /// blackbox_exporter's configuration file.
    #[arg(long = "config.file", value_name = "FILE", default_value = "blackbox.yml")]
    file: PathBuf,
    /// Says whether the file could be run, and ends.
    #[arg(long = "config.check")]
    check: bool,
    /// Where to listen: `host:port`, or `:port` for every network.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = ":9115", value_parser = listen_address)]
    listen: Address,
    /// How many seconds to take off the time that Prometheus gives a probe, for the way back.
    #[arg(long = "timeout-offset", value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    timeout_offset: Duration,
    /// A network that any module may reach, such as `169.254.0.0/16`. May be given several times.
    #[arg(long = "probe.allow", value_name = "CIDR", value_parser = futura_sidecar::parse_network)]
    allow: Vec<IpNet>,
    /// How many seconds probes in flight may take to end after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(..=600))]
    grace_secs: u16,
    /// Taken for compatibility: RUST_LOG sets the level.
    #[arg(long = "log.level", value_name = "LEVEL", hide = true)]
    log_level: Option<String>,
    /// Taken for compatibility: LOG_FORMAT sets the format.
    #[arg(long = "log.format", value_name = "FORMAT", hide = true)]
    log_format: Option<String>,
    /// Taken for compatibility: `&debug=true` tells how a probe went.
    #[arg(long = "history.limit", value_name = "NUMBER", hide = true)]
    history_limit: Option<u32>,
}

#[derive(Args)]
struct DrainArgs {
    /// Where the sidecar listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9469")]
    sidecar: SocketAddr,
    /// Has the checks go on, as the pod does not end after all.
    #[arg(long)]
    undo: bool,
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
    /// Prints the JSON Schema of the configuration, for editors that complete and check YAML by it.
    ///
    /// With the YAML language server a first line `# yaml-language-server: $schema=sidecar.schema.json` is enough.
    Schema,
}

#[derive(Subcommand)]
enum ErrorsCommand {
    /// Tells what is removed from an event before it is kept or sent: where, what is done, and by which rule.
    ///
    /// What is removed is shown nowhere. A path is written as a selector, so it can be put below `allow` or `applications` in the
    /// configuration as it is.
    #[command(after_help = explain::EXAMPLES)]
    Explain(ExplainArgs),
    #[command(flatten)]
    Spool(SpoolCommand),
}

/// An error with the exit code that it ends in.
struct Failed(u8, Error);

/// What every long run of the program has.
struct Service {
    metrics: Metrics,
    readiness: Readiness,
    telemetry: Telemetry,
    shutdown: Shutdown,
}

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
        Command::Probe(args) if args.check => check_modules(&args),
        Command::Probe(args) => probe(args),
        Command::Drain(args) => drain(&args),
        Command::Config(ConfigCommand::Check { file }) => check(file),
        Command::Config(ConfigCommand::Schema) => io::stdout().write_all(SCHEMA.as_bytes()).map_err(failure),
        Command::Errors(ErrorsCommand::Explain(args)) => explain::run(&args),
        Command::Errors(ErrorsCommand::Spool(command)) => command.run(&mut io::stdout().lock()).map_err(failure),
        Command::Generate(args) => generate(&args),
        Command::Verify(args) => verify::run(args),
        Command::Drill(args) => drill::run(args),
        Command::Lint(args) => lint::run(args),
        Command::Docs(DocsCommand::Metrics) => {
            let page = reference::metrics(&Site::default()).map_err(failure);
            page.and_then(|page| io::stdout().write_all(page.as_bytes()).map_err(failure))
        }
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
        Some(errors) => errors.to_string(),
    };
    writeln!(io::stdout(), "{name}: ok, runs {checks}, {errors}, listens on {}", config.listen).map_err(failure)
}

fn drain(args: &DrainArgs) -> Result<(), Failed> {
    let said = drain::ask(args.sidecar, args.undo).map_err(failure)?;
    writeln!(io::stdout(), "{said}").map_err(failure)
}

fn generate(args: &GenerateArgs) -> Result<(), Failed> {
    let report = generate::run(args).map_err(|error| if error.is_usage() { usage(error) } else { failure(error) })?;
    writeln!(io::stdout(), "{report}").map_err(failure)
}

fn run(args: &RunArgs) -> Result<(), Failed> {
    let config = Config::load(&args.config).map_err(usage)?;
    let telemetry = TelemetryConfig::from_env("futura-sidecar", env!("CARGO_PKG_VERSION")).map_err(usage)?;
    let limits = ShutdownConfig {
        drain_delay: Duration::from_secs(args.drain_delay_secs.into()),
        grace: Duration::from_secs(args.grace_secs.into()),
    };
    block_on(serve(config, &telemetry, limits))
}

fn check_modules(args: &ProbeArgs) -> Result<(), Failed> {
    let modules = match ProbeServerConfig::check(&args.file).map_err(usage)? {
        1 => "1 module".to_owned(),
        number => format!("{number} modules"),
    };
    writeln!(io::stdout(), "{}: ok, {modules}", args.file.display()).map_err(failure)
}

fn probe(args: ProbeArgs) -> Result<(), Failed> {
    let telemetry = TelemetryConfig::from_env("futura-sidecar", env!("CARGO_PKG_VERSION")).map_err(usage)?;
    // What is wrong with the file is told as of a wrong command line, before anything starts.
    ProbeServerConfig::check(&args.file).map_err(usage)?;
    block_on(serve_probes(args, &telemetry))
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<(), Failed> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .map_err(failure)?;
    let ran = runtime.block_on(work).map_err(|error| Failed(FAILURE, error));
    // A name that is still being looked up must not hold the process.
    runtime.shutdown_background();
    ran
}

/// Does what asks a server and ends.
fn ask<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failure)?;
    let asked = runtime.block_on(work);
    // A name that is still being looked up must not hold the process.
    runtime.shutdown_background();
    asked
}

async fn serve(config: Config, telemetry: &TelemetryConfig, limits: ShutdownConfig) -> Result<()> {
    let service = Service::start(telemetry, limits)?;
    let checks = config.checks.len();
    let sidecar = Sidecar::bind(config, &service.metrics, &service.readiness).await?;
    let reloader = sidecar.reloader().clone();
    service.reload_at_hangups(move || {
        let reloader = reloader.clone();
        async move { drop(reloader.reload().await) }
    })?;
    forget_start();
    let memory_bytes = process::resident_memory_bytes().unwrap_or_default();
    tracing::info!(listen = %sidecar.address(), errors = sidecar.errors_address().map(tracing::field::display), checks, memory_bytes, "the sidecar is up");
    let drained = sidecar.run(&service.shutdown, shutdown::signal()).await;
    service.end(drained).await;
    Ok(())
}

async fn serve_probes(args: ProbeArgs, telemetry: &TelemetryConfig) -> Result<()> {
    let limits = ShutdownConfig { drain_delay: Duration::ZERO, grace: Duration::from_secs(args.grace_secs.into()) };
    let service = Service::start(telemetry, limits)?;
    for (flag, given, instead) in [
        ("--log.level", args.log_level.is_some(), "set RUST_LOG"),
        ("--log.format", args.log_format.is_some(), "set LOG_FORMAT"),
        ("--history.limit", args.history_limit.is_some(), "add `&debug=true` to a probe"),
    ] {
        if given {
            tracing::warn!("{flag} is without effect here: {instead}");
        }
    }
    let config = ProbeServerConfig {
        file: args.file,
        listen: args.listen,
        timeout_offset: args.timeout_offset,
        allow: args.allow,
    };
    let server = ProbeServer::bind(config, &service.metrics, &service.readiness).await?;
    let reloader = server.reloader();
    service.reload_at_hangups(move || {
        let reloader = reloader.clone();
        async move { drop(reloader.reload().await) }
    })?;
    forget_start();
    let memory_bytes = process::resident_memory_bytes().unwrap_or_default();
    tracing::info!(listen = %server.address(), memory_bytes, "probes are answered");
    let drained = server.run(&service.shutdown, shutdown::signal()).await;
    service.end(drained).await;
    Ok(())
}

/// What cannot be forgotten costs memory, and nothing else.
fn forget_start() {
    if let Err(error) = memory::forget_start() {
        tracing::debug!(%error, "the memory that the start needed is kept");
    }
}

// === impl Service ===

impl Service {
    fn start(telemetry: &TelemetryConfig, limits: ShutdownConfig) -> Result<Self> {
        let (metrics, readiness) = (Metrics::new(), Readiness::default());
        let telemetry = telemetry::init(telemetry, &metrics).context("telemetry")?;
        process::register(&metrics, env!("CARGO_PKG_VERSION"), option_env!("GIT_REVISION"))?;
        let shutdown = Shutdown::new(limits, readiness.clone());
        Ok(Self { metrics, readiness, telemetry, shutdown })
    }

    /// Has the configuration read anew at each SIGHUP; the log tells how it went.
    fn reload_at_hangups<F>(&self, reload: impl Fn() -> F + Send + 'static) -> Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be received")?;
        let stop = self.shutdown.requested();
        self.shutdown.tracker().spawn(async move {
            let mut stop = pin!(stop);
            loop {
                select! {
                    () = &mut stop => break,
                    Some(()) = hangups.recv() => reload().await,
                }
            }
        });
        Ok(())
    }

    async fn end(self, drained: Drained) {
        match drained {
            Drained::InTime => tracing::info!("the sidecar has ended"),
            Drained::Late { tasks } => tracing::warn!(tasks, "the sidecar ends with work undone"),
        }
        self.telemetry.shutdown().await;
    }
}

/// An address as Go writes it: `:9115` is every network.
fn listen_address(text: &str) -> Result<Address, String> {
    match text.strip_prefix(':') {
        // Where the kernel has no IPv6 the wildcard of IPv6 cannot be bound.
        Some(port) if Path::new("/proc/net/if_inet6").exists() => Address::try_from(format!("[::]:{port}")),
        Some(port) => Address::try_from(format!("0.0.0.0:{port}")),
        None => Address::try_from(text.to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("`{text}` is no number of seconds such as `0.5`"))
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
