//! The programs as users run them: how long generating takes.

use std::{process::Command, time::Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    siblings::{GENERATOR, Siblings},
    table::{Table, number},
};

/// How often the generator is run; the median is told.
const RUNS: usize = 9;

/// A table of what could be measured, and a line for what could not.
pub(crate) fn report(siblings: &Siblings) -> (Table, Vec<String>) {
    let mut table = Table::new(&["program", "value", "unit"]);
    let mut left_out = Vec::new();
    let name = "generate-dashboards: write everything, wall time";
    match generator_ms(siblings) {
        Ok(value) => table.row(name, [number(value), "ms".to_owned()]),
        Err(error) => left_out.push(format!("{name}: left out: {error:#}")),
    }
    (table, left_out)
}

/// The median wall time of the generator writing everything into an empty folder, in milliseconds.
fn generator_ms(siblings: &Siblings) -> Result<f64> {
    let program = siblings.path(GENERATOR)?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let start = Instant::now();
        let output = Command::new(program).arg("--out").arg(folder.path()).output().context("it does not start")?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
