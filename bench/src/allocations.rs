//! Allocations an operation makes, and bytes a series keeps, counted in a process of its own.
//!
//! The second program does the cases of a group under a counting allocator and prints a line for each; this one reads them.

use std::{collections::HashMap, io::Write, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{encode, harness::Case, http, memory, storage};

/// Bytes a series keeps, which are no operation's.
pub(crate) const MEMORY: &str = "memory";

/// Each group with what makes its cases and how often one is done.
const GROUPS: [(&str, MakeCases, u64); 7] = [
    (http::GROUP, http::cases, 1_000),
    (http::TRACED_GROUP, http::traced_cases, 1_000),
    (http::SENTRY_GROUP, http::sentry_cases, 1_000),
    (storage::COUNTER_GROUP, storage::counter_cases, 1_000),
    (storage::HISTOGRAM_GROUP, storage::histogram_cases, 1_000),
    (storage::EXEMPLAR_GROUP, storage::exemplar_cases, 1_000),
    (encode::GROUP, encode::cases, 1),
];

/// What the allocator has done for the process.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// How often it was asked for memory.
    pub allocations: usize,
    /// How much it has given and not got back.
    pub live_bytes: usize,
}

/// Allocations an operation, or bytes a series, by group and case; empty where they were not counted.
#[derive(Debug, Default)]
pub(crate) struct Allocations(HashMap<(String, String), f64>);

type MakeCases = fn() -> Result<Vec<Case>>;

// === impl Allocations ===

impl Allocations {
    /// Runs the program that counts, once for each group.
    pub(crate) fn load(program: &Path, groups: &[&str]) -> Result<Self> {
        let mut lines = String::new();
        for group in groups {
            let output = Command::new(program).arg(group).output();
            let output = output.with_context(|| format!("cannot start {}", program.display()))?;
            ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr).trim());
            lines.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        Self::parse(&lines).context("it is of another build")
    }

    /// NaN where they were not counted.
    pub(crate) fn of(&self, group: &str, case: &str) -> f64 {
        self.0.get(&(group.to_owned(), case.to_owned())).copied().unwrap_or(f64::NAN)
    }

    fn parse(lines: &str) -> Result<Self> {
        let parse_line = |line: &str| {
            let mut fields = line.split('\t');
            let (group, case, count) = (fields.next()?, fields.next()?, fields.next()?);
            Some(((group.to_owned(), case.to_owned()), count.parse().ok()?))
        };
        lines
            .lines()
            .map(|line| parse_line(line).with_context(|| format!("a line of it is `{line}`")))
            .collect::<Result<_>>()
            .map(Self)
    }
}

/// Writes group, case and allocations an operation or bytes a series, as `heap` counts them for the whole process.
///
/// # Errors
/// When there is no such group, a case cannot be set up, or `out` cannot be written.
pub fn count(group: &str, heap: impl Fn() -> Heap, out: &mut impl Write) -> Result<()> {
    if group == MEMORY {
        return memory::count(|| heap().live_bytes, out);
    }
    let Some((_, cases, iterations)) = GROUPS.into_iter().find(|known| known.0 == group) else {
        let known: Vec<_> = GROUPS.iter().map(|known| known.0).collect();
        bail!("group `{group}`: expected one of {}, {MEMORY}", known.join(", "));
    };
    for case in cases()? {
        // The first time, series are born and buffers grow.
        case.repeat(iterations);
        let before = heap().allocations;
        case.repeat(iterations);
        let count = (heap().allocations - before) as f64 / iterations as f64;
        // Now and then a buffer of a library grows: not what one operation does.
        writeln!(out, "{group}\t{}\t{:.1}", case.name, count)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Allocations;

    #[test]
    fn counts_are_read_by_group_and_case() {
        let allocations = Allocations::parse("http\tbare router\t21.0\nencode\tfutura\t3\n").unwrap();
        assert_eq!(allocations.of("http", "bare router"), 21.0);
        assert_eq!(allocations.of("encode", "futura"), 3.0);
        assert!(allocations.of("http", "futura").is_nan());
        assert!(Allocations::parse("http\tbare router\n").is_err());
    }
}
