//! The programs as users run them: how long generating takes, and what the sidecar costs a pod.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    siblings::{GENERATOR, SIDECAR, Siblings},
    table::{Table, number},
};

/// How long the sidecar may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How often it is asked.
const POLL_PERIOD: Duration = Duration::from_millis(5);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How often the generator is run; the median is told.
const RUNS: usize = 9;

/// A sidecar that runs until it is dropped.
struct Sidecar {
    child: Child,
    state: TempDir,
}

// === impl Sidecar ===

impl Sidecar {
    /// Starts one with nothing to check and waits until it is ready.
    fn start(program: &Path) -> Result<Self> {
        let state = tempfile::tempdir().context("cannot make a temporary folder")?;
        let address = free_address()?;
        let config = state.path().join("sidecar.yaml");
        fs::write(&config, format!("listen: {address}\nchecks: []\n")).context("cannot write the configuration")?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(&config).current_dir(state.path()).env_remove("SENTRY_DSN");
        let log = fs::File::create(state.path().join("log")).context("cannot write a log")?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let mut sidecar = Self { child: child.context("it does not start")?, state };
        sidecar.wait_until_ready(address)?;
        Ok(sidecar)
    }

    fn wait_until_ready(&mut self, address: SocketAddr) -> Result<()> {
        let limit = Instant::now() + START_LIMIT;
        while Instant::now() < limit {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.state.path().join("log")).unwrap_or_default();
                bail!("it ended at once ({status}): {}", log.trim().lines().last().unwrap_or_default());
            }
            if is_ready(address) {
                return Ok(());
            }
            sleep(POLL_PERIOD);
        }
        bail!("it was not ready within {} s", START_LIMIT.as_secs())
    }

    /// Resident memory, in mebibytes.
    fn resident_mib(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let kibibytes: f64 = line.context("the kernel does not tell VmRSS")?.parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A table of what could be measured, and a line for what could not.
pub(crate) fn report(siblings: &Siblings) -> (Table, Vec<String>) {
    let mut table = Table::new(&["program", "value", "unit"]);
    let mut left_out = Vec::new();
    let measured = [
        ("generate-dashboards: write everything, wall time", "ms", generator_ms(siblings)),
        ("futura-sidecar: resident memory when ready", "MiB", sidecar_mib(siblings)),
    ];
    for (name, unit, value) in measured {
        match value {
            Ok(value) => table.row(name, [number(value), unit.to_owned()]),
            Err(error) => left_out.push(format!("{name}: left out: {error:#}")),
        }
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

fn sidecar_mib(siblings: &Siblings) -> Result<f64> {
    Sidecar::start(siblings.path(SIDECAR)?)?.resident_mib()
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    Ok(listener.local_addr()?)
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
