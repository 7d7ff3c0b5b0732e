//! `futura-bench`: times Futura beside its peers and prints tables.

use std::process::ExitCode;

use clap::Parser;
use futura_bench::{Options, run};

/// The exit code of a wrong command line, as `sysexits.h` has it.
const USAGE: u8 = 64;

fn main() -> anyhow::Result<ExitCode> {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            error.print()?;
            return Ok(if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS });
        }
    };
    run(&options)?;
    Ok(ExitCode::SUCCESS)
}
