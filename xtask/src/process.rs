//! Child processes: each leads a process group of its own, and no path out of this program leaves one running.
//!
//! A [`Process`] that is dropped, by an error, a panic or a signal, ends its whole group. Should this program be killed
//! outright, the kernel sends the children SIGTERM in its place.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use crate::{client::Client, terminal, wait::eventually};

/// How long a program may take to answer its first request, migrations included.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long a program may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How many lines of a program's log are shown when it fails.
const TAIL_LINES: usize = 15;
/// How much of such a line is shown.
const TAIL_LINE_CHARS: usize = 200;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: Option<PathBuf>,
}

// === impl Process ===

impl Process {
    /// Starts a program whose output goes to the file `log`.
    pub(crate) fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut process = Self::start(name, command)?;
        process.log = Some(log.to_owned());
        Ok(process)
    }

    /// Starts a program that shares this one's output.
    fn start(name: &str, mut command: Command) -> Result<Self> {
        let child =
            command.stdin(Stdio::null()).process_group(0).spawn().with_context(|| format!("cannot start {name}"))?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("a child without an id")?;
        Ok(Self { name: name.to_owned(), child, group, log: None })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until a GET of `url` is answered with success, or fails as soon as the program ends.
    pub(crate) async fn ready(&mut self, client: &Client, url: &str) -> Result<()> {
        self.runs_until(START_LIMIT, async || client.get(url).await.map(drop)).await
    }

    /// Waits until the program's log contains `text`, or fails as soon as the program ends.
    pub(crate) async fn tells(&mut self, text: &str, limit: Duration) -> Result<()> {
        let log = self.log.clone().context("a program without a log")?;
        let told = async || {
            ensure!(fs::read_to_string(&log)?.contains(text), "it does not tell {text:?}");
            Ok(())
        };
        self.runs_until(limit, told).await
    }

    async fn runs_until(&mut self, limit: Duration, condition: impl AsyncFnMut() -> Result<()>) -> Result<()> {
        let failure = tokio::select! {
            answer = eventually(limit, condition) => match answer {
                Ok(()) => return Ok(()),
                Err(error) => error.context(format!("{} did not come so far", self.name)),
            },
            status = self.child.wait() => anyhow!("{} ended by itself: {}", self.name, status?),
        };
        terminal::line(self.tail());
        Err(failure)
    }

    /// The exit status, once the program has ended.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Sends SIGTERM and waits; past the limit the program is killed, which is an error.
    pub(crate) async fn terminate(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = timeout(STOP_LIMIT, self.child.wait()).await;
        // Also for what it started and did not end itself.
        self.signal(Signal::KILL);
        if let Ok(status) = ended {
            return status.with_context(|| format!("cannot wait for {}", self.name));
        }
        self.child.wait().await?;
        bail!("{} did not end within {STOP_LIMIT:?} of SIGTERM and was killed\n{}", self.name, self.tail())
    }

    /// Kills the program, which cannot do anything about it.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL);
        self.child.wait().await.map(drop).with_context(|| format!("cannot wait for {}", self.name))
    }

    /// The last lines of the program's log, under a heading.
    pub(crate) fn tail(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let mut tail = format!("--- {}, last of {}", self.name, log.display());
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            // A record with a backtrace fills screens; the file has it whole.
            tail.push('\n');
            tail.extend(line.chars().take(TAIL_LINE_CHARS));
        }
        tail
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Signals the whole group. That it may be gone already is no error.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        self.signal(Signal::TERM);
        let limit = Instant::now() + STOP_LIMIT;
        while self.is_running() && Instant::now() < limit {
            thread::sleep(Duration::from_millis(20));
        }
        self.signal(Signal::KILL);
    }
}

/// A command for `program` that the kernel ends when this program is killed without a chance to end it itself.
///
/// The kernel watches the thread that started the child; that is the main thread, as the runtime has no other.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    if which("setpriv").is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Runs a command to its end, its output shared with ours, and fails unless it succeeds.
pub(crate) async fn run(name: &str, command: Command) -> Result<()> {
    let status = status(name, command).await?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

/// Runs a command to its end, its output shared with ours, and says how it ended.
pub(crate) async fn status(name: &str, command: Command) -> Result<ExitStatus> {
    Process::start(name, command)?.child.wait().await.with_context(|| format!("cannot wait for {name}"))
}

/// Runs a command to its end within `limit` and returns what it wrote; `errors` says where its stderr goes.
pub(crate) async fn output(mut command: Command, errors: Stdio, limit: Duration) -> Result<Output> {
    let name = format!("{:?}", command.as_std());
    command.stdout(Stdio::piped()).stderr(errors);
    let mut process = Process::start(&name, command)?;
    let (stdout, stderr) = (process.child.stdout.take(), process.child.stderr.take());
    let ended = async { tokio::try_join!(process.child.wait(), read(stdout), read(stderr)) };
    match timeout(limit, ended).await {
        Ok(Ok((status, stdout, stderr))) => Ok(Output { status, stdout, stderr }),
        Ok(Err(error)) => Err(error).with_context(|| format!("cannot run {name}")),
        Err(_) => bail!("{name} did not end within {limit:?}"),
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The first file called `program` on the PATH, or where Debian keeps servers, which is on root's PATH alone.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()))
}

/// Ends when this program is asked to, with the exit code that says by what: SIGINT or SIGTERM.
pub(crate) async fn interrupted() -> Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let number = tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    };
    Ok(ExitCode::from(128 + number))
}

#[cfg(test)]
mod tests {
    use super::{Process, command, output};
    use crate::wait::eventually;
    use anyhow::{Context, Result, ensure};
    use std::{fs, os::unix::process::ExitStatusExt, path::Path, process::Stdio, time::Duration};

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> tokio::process::Command {
        let mut shell = command("sh");
        shell.args(["-c", script]);
        shell
    }

    async fn first_line(log: &Path) -> Result<String> {
        let read = async || {
            let text = fs::read_to_string(log)?;
            text.split_once('\n').map(|(line, _)| line.to_owned()).context("no line yet")
        };
        eventually(LIMIT, read).await
    }

    #[tokio::test]
    async fn dropping_a_process_ends_what_it_started_too() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let process = Process::spawn("shell", shell("sleep 600 & echo $!; wait"), log.path()).unwrap();
        let grandchild = first_line(log.path()).await.unwrap();
        drop(process);
        let gone = async || {
            // A zombie has ended: it only waits for the init process to take note.
            let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            ensure!(stat.is_empty() || stat.contains(") Z "), "still there: {stat}");
            Ok(())
        };
        eventually(LIMIT, gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_is_asked_to_end_before_it_is_killed() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        let process = Process::spawn("shell", shell(script), log.path()).unwrap();
        first_line(log.path()).await.unwrap();
        assert_eq!(process.terminate().await.unwrap().code(), Some(7));
    }

    #[tokio::test]
    async fn output_is_whole_and_an_endless_command_is_given_up() {
        let printed = output(shell("echo out; echo err >&2; kill -9 $$"), Stdio::piped(), LIMIT).await.unwrap();
        assert_eq!((&printed.stdout[..], &printed.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(printed.status.signal(), Some(9));
        assert!(output(shell("sleep 600"), Stdio::piped(), Duration::from_millis(10)).await.is_err());
    }
}
