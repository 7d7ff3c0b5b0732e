//! The command line of a program that writes its own files, and of every program that generates: what it says, and with which
//! code it ends.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use futura_alert_rules::Site;

use super::{GenerateError, Report, SiteArgs};
use crate::output::{Format, Output};

/// Bad usage, as `sysexits.h` numbers it.
const USAGE: u8 = 64;

const FAILURE: u8 = 1;

const HELP: &str = "\
What it writes:
  FOLDER/alert-rules/prometheus/*.yaml         rules, for rule_files in prometheus.yml
  FOLDER/alert-rules/prometheus/tests/*.yaml   their tests, for promtool test rules
  FOLDER/alert-rules/kubernetes/               the rules as ConfigMaps, and for the prometheus-operator
  FOLDER/alert-rules/runbooks/*.md             a page for each alert, to publish at --runbooks-url
  FOLDER/dashboards/*.json                     dashboards for Grafana's provisioning, or v2/*.json for its API and Git Sync

Exit codes:
  0 done, 1 failed or not up to date, 64 for a wrong command line or file of settings";

/// Writes alert rules, their tests, runbooks and dashboards, or checks that they are up to date
///
/// Everything is rendered and checked before anything is written. Files that are no longer generated are removed;
/// files that carry no mark of a generator are never touched.
#[derive(Debug, Parser)]
#[command(after_help = HELP)]
struct Cli {
    /// Where to write, a folder for this program alone: what it does not generate is removed from there
    folder: PathBuf,
    /// Write nothing; fail and name each file that is stale, missing or left over. It compares with what the other options
    /// generate, so repeat those that the files were written with
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    site: SiteArgs,
    /// In which of Grafana's models to write dashboards
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The whole of a program that writes what it declares: reads the command line, and writes or checks the files of `output` for
/// the installation that it describes.
///
/// ```no_run
/// use futura_alert_rules::RuleSet;
/// use futura_dashboards::{Output, generate};
/// fn main() -> std::process::ExitCode {
///     generate::main(|site| Output::new(RuleSet::new(site)))
/// }
/// ```
pub fn main(output: impl FnOnce(Site) -> Output) -> ExitCode {
    run(|Cli { folder, check, site: args, format }| {
        let site = args.site_of_others()?;
        let options = format!("{} {} --format {format}", folder.display(), args.options(&site));
        let output = output(site).format(format);
        if !check {
            return output.write(&folder);
        }
        output.check(&folder).map_err(|error| match error {
            GenerateError::Drift { drift, .. } => GenerateError::Drift { drift, options: Some(options) },
            error => error,
        })
    })
}

/// Reads the command line, does the work and tells of it, for `main` to return the code.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program reports to its user")]
pub fn run<C: Parser>(work: impl FnOnce(C) -> Result<Report, GenerateError>) -> ExitCode {
    let cli = match C::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads what cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match work(cli) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = if error.is_usage() { USAGE } else { FAILURE };
            eprintln!("{:#}", anyhow::Error::from(error));
            ExitCode::from(code)
        }
    }
}
