//! The process's own metrics, read from `/proc/self` at each scrape, and which build it is.
//!
//! Where there is no `/proc` the series stay at zero, but for the start time.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    Counter, Gauge, Metrics, RegisterError,
    specs::{
        build::BUILD_INFO,
        process::{
            PROCESS_CPU_SECONDS_TOTAL, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY_BYTES,
            PROCESS_START_TIME_SECONDS, PROCESS_THREADS, PROCESS_VIRTUAL_MEMORY_BYTES,
        },
    },
};

/// Clock ticks a second in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture that Linux has.
const TICKS_PER_SECOND: u64 = 100;

struct ProcessMetrics {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
}

/// The fields of `/proc/self/stat` that are read, in their own units.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
}

/// Registers the `process_*` metrics and `build_info`; `revision` is the commit, where the build knows it.
///
/// # Errors
/// When a name is taken.
///
/// ```
/// use futura_metrics::{Metrics, process, testing::sample};
///
/// let metrics = Metrics::new();
/// process::register(&metrics, "1.2.3", option_env!("GIT_COMMIT"))?;
/// assert!(sample(&metrics, "process_start_time_seconds", []) > 0.0);
/// # Ok::<(), futura_metrics::RegisterError>(())
/// ```
pub fn register(metrics: &Metrics, version: &str, revision: Option<&str>) -> Result<(), RegisterError> {
    metrics.gauges(BUILD_INFO)?.with((version, revision.unwrap_or("unknown"))).set(1.0);
    metrics.gauge(PROCESS_START_TIME_SECONDS)?.set_duration(start_time());
    let process = ProcessMetrics {
        cpu: metrics.counter(PROCESS_CPU_SECONDS_TOTAL)?,
        resident: metrics.gauge(PROCESS_RESIDENT_MEMORY_BYTES)?,
        virtual_memory: metrics.gauge(PROCESS_VIRTUAL_MEMORY_BYTES)?,
        open_fds: metrics.gauge(PROCESS_OPEN_FDS)?,
        max_fds: metrics.gauge(PROCESS_MAX_FDS)?,
        threads: metrics.gauge(PROCESS_THREADS)?,
    };
    metrics.on_scrape(move || process.collect());
    Ok(())
}

/// Resident memory of this process in bytes, where the system tells.
pub fn resident_memory_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

// === impl ProcessMetrics ===

impl ProcessMetrics {
    fn collect(&self) {
        if let Some(stat) = Stat::read() {
            self.cpu.raise_to_duration(Duration::from_millis(stat.cpu_ticks * 1000 / TICKS_PER_SECOND));
            self.threads.set(stat.threads as f64);
            self.virtual_memory.set(stat.virtual_bytes as f64);
        }
        if let Some(bytes) = resident_memory_bytes() {
            self.resident.set(bytes as f64);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // Reading the folder holds one descriptor that is not the program's.
            self.open_fds.set(entries.count().saturating_sub(1) as f64);
        }
        if let Some(limit) = max_fds() {
            self.max_fds.set(limit);
        }
    }
}

// === impl Stat ===

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The command in parentheses may hold spaces and parentheses itself, so fields are counted from the last one.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<u64> =
            text[text.rfind(')')? + 1..].split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // Numbered from 1 in proc_pid_stat(5), where the state after the command is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

/// When the process started, since the Unix epoch: the time of boot and what the kernel says came after it.
fn start_time() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let boot = || {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok().map(Duration::from_secs)
    };
    let since_boot = || Some(Duration::from_millis(Stat::read()?.start_ticks * 1000 / TICKS_PER_SECOND));
    boot().zip(since_boot()).map_or(now, |(boot, since)| boot + since)
}

fn status_bytes(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes: u64 =
        status.lines().find_map(|line| line.strip_prefix(key))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(f64::INFINITY) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn a_command_with_spaces_and_parentheses_shifts_no_field() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194304 90 0 0 0 12 30 0 0 20 0 9 0 5000 2000000 300 18446744073709551615 1 1";
        let expected = Stat { cpu_ticks: 42, threads: 9, start_ticks: 5000, virtual_bytes: 2_000_000 };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("garbage"), None);
    }
}
