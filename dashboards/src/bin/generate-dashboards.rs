//! `generate-dashboards`: writes or checks everything that is generated from the declared metrics.

use std::process::ExitCode;

use clap::Parser;
use futura_dashboards::generate::{self, GenerateArgs};

/// Bad usage, as `sysexits.h` numbers it.
const USAGE: u8 = 64;

/// Generate alert rules, their tests, runbooks and dashboards from the declared metrics
///
/// Everything is rendered and checked before anything is written. Files that are no longer generated are removed;
/// files that carry no mark of this program are never touched.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  generate-dashboards                   write alert-rules/generated and dashboards/generated of the workspace
  generate-dashboards --check           fail if those are not up to date
  generate-dashboards --out ./monitoring --namespace staging

Exit status: 0 done, 1 failed or not up to date, 64 bad usage"
)]
struct Cli {
    #[command(flatten)]
    generate: GenerateArgs,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program reports to its user")]
fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads what cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match generate::run(&cli.generate) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
