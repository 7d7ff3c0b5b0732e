//! The program: configuration, telemetry, and the service until a signal.

use std::{
    env,
    io::{Write, stderr, stdout},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use futura_metrics::{
    Metrics, process, shutdown,
    telemetry::{self, TelemetryConfig, VARIABLES},
};
use ticket_api::{Config, ConfigError, SandboxGateway, Server, Settings};

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The exit code of bad usage or configuration, as in sysexits.h.
const USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::load(env::args_os(), VARIABLES) {
        Ok(config) => config,
        Err(ConfigError::Asked(text)) => return print_answer(&text),
        Err(error) => return fail(USAGE, &error),
    };
    let telemetry = match TelemetryConfig::from_env(NAME, VERSION) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(USAGE, &error),
    };
    match serve(&config, &telemetry).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format_args!("{error:#}")),
    }
}

async fn serve(config: &Config, telemetry: &TelemetryConfig) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let telemetry = telemetry::init(telemetry, &metrics).context("cannot set up telemetry")?;
    process::register(&metrics, VERSION, option_env!("GIT_REVISION"))?;
    if config.jwt_secret().is_none() {
        tracing::warn!(
            "requests are not authenticated: whoever reaches the port may use the API; set JWT_SECRET to ask for tokens"
        );
    }
    if config.database().is_in_memory() {
        tracing::warn!(
            "the database is in memory: what is sold is lost when the process ends; set DATABASE_URL to keep it"
        );
    }
    tracing::warn!("payments go to the sandbox: no money moves");
    let gateway = Arc::new(SandboxGateway::default());
    let settings = Settings { currency: config.currency, ..Settings::default() };
    let server = Server::bind(config, settings, gateway, &metrics, Some(&telemetry)).await?;
    tracing::info!(api = %server.address(), metrics = %server.admin_address(), version = VERSION, "serving");
    server.run(shutdown::signal()).await;
    telemetry.shutdown().await;
    Ok(())
}

/// Writes what was asked for; a reader that went away, such as `head`, is no failure.
fn print_answer(text: &str) -> ExitCode {
    let _ = stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Writes one line; there is nobody to tell when that fails.
fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(stderr(), "{NAME}: {error}");
    ExitCode::from(code)
}
