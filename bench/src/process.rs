//! A program that runs beside the bench until it is dropped, with what the kernel tells of it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::param::clock_ticks_per_second;
use tempfile::TempDir;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it runs, with its log.
    folder: TempDir,
}

// === impl Process ===

impl Process {
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let log = File::create(folder.path().join("log")).context("cannot write a log")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path()).env_remove("SENTRY_DSN");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self { child: child.with_context(|| format!("{} does not start", program.display()))?, folder })
    }

    /// Fails with the last that it said if it has ended.
    pub(crate) fn ensure_runs(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        bail!("it ended at once ({status}): {}", log.trim().lines().last().unwrap_or_default())
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        self.memory_bytes("VmRSS:")
    }

    /// The most memory that was resident at once since [`forget_peak`](Self::forget_peak), in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<f64> {
        self.memory_bytes("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
            .context("the kernel keeps the peak of its memory")
    }

    /// The processor's time that all its threads have taken.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let file = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        // The name stands in brackets, and may hold any character.
        let (_, fields) = stat.rsplit_once(") ").context("the kernel tells no fields")?;
        // `utime` and `stime` are the fields 14 and 15, and the state is field 3.
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(Duration::from_secs_f64(ticks / clock_ticks_per_second() as f64))
    }

    fn memory_bytes(&self, field: &str) -> Result<f64> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"));
        let kibibytes: f64 = line.with_context(|| format!("the kernel does not tell {field}"))?.parse()?;
        Ok(kibibytes * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    Ok(listener.local_addr()?)
}
