//! Errors through the sidecar as it is shipped, from real SDKs to a real Bugsink, while all between and around them fails: every
//! event arrives, and once.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

use self::{
    clients::{Sdks, id, send_bytes, send_once, send_until_taken},
    gate::{Gate, Mode},
};
use super::bugsink::Bugsink;
use crate::{
    cargo,
    client::Client,
    dist, ports,
    process::{self, Process},
    terminal,
    wait::eventually,
};

mod clients;
mod gate;

/// How long what was acknowledged may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);

/// How many errors a burst has.
const BURST: usize = 10_000;

/// How often the sidecar is killed.
const KILLS: usize = 12;

/// What all scenarios have in common.
struct World {
    client: Client,
    program: PathBuf,
    sdks: Sdks,
    bugsink: Bugsink,
    gate: Gate,
    /// The DSN of the gate.
    upstream: String,
    state: TempDir,
    logs: PathBuf,
    /// How many ids were given to events of our own clients.
    given: usize,
}

/// A sidecar with a spool of its own.
struct Sidecar {
    process: Process,
    config: PathBuf,
    log: PathBuf,
    spool: PathBuf,
    page: String,
    errors: u16,
}

/// What a scenario has sent.
struct Sent {
    ids: Vec<String>,
    sidecar: Sidecar,
}

/// Runs all scenarios, and prints a line for each.
pub(crate) async fn run() -> Result<()> {
    let mut world = World::start().await?;
    terminal::line(format_args!("logs are in {}", world.logs.display()));
    terminal::line("scenario                                       sent  arrived  sent twice   seconds");
    // How many events each SDK reports: few where each second one is followed by a pause.
    let scenarios: [(&str, Mode, Mode, usize); 7] = [
        ("the SDKs for Python and Node", Mode::Pass, Mode::Pass, 50),
        ("the upstream is down for a while", Mode::Down, Mode::Pass, 50),
        ("the upstream answers 503", Mode::Fails(503), Mode::Pass, 50),
        ("the upstream limits errors", Mode::Limited, Mode::Pass, 50),
        ("the upstream is slow", Mode::Slow(100), Mode::Slow(20), 50),
        ("connections break before the upstream has it", Mode::CutBefore, Mode::CutBefore, 6),
        ("connections break before the answer is here", Mode::CutAfter, Mode::CutAfter, 20),
    ];
    for (name, first, then, count) in scenarios {
        let start = Instant::now();
        world.gate.set(first);
        let sent = world.by_sdks(first, then, count).await.with_context(|| format!("not so: {name}"))?;
        world.conclude(name, sent, start).await?;
    }
    let start = Instant::now();
    let sent = world.garbage().await.context("not so: garbage holds nothing up")?;
    world.conclude("garbage and torn envelopes in between", sent, start).await?;
    let start = Instant::now();
    let sent = world.kills().await.context("not so: a sidecar that is killed loses nothing")?;
    world.conclude("the sidecar is killed, again and again", sent, start).await?;
    let start = Instant::now();
    if let Some(sent) = world.full_disk().await.context("not so: a full disk is told, and over when it is over")? {
        world.conclude("the disk is full", sent, start).await?;
    } else {
        terminal::line("the disk is full: left out, as only root may mount a small one");
    }
    world.burst().await.context("not so: a burst loses nothing")?;
    world.bugsink.process.terminate().await.map(drop)
}

// === impl World ===

impl World {
    async fn start() -> Result<Self> {
        let program = dist::run().await?;
        let sdks = Sdks::install().await?;
        let state = tempfile::Builder::new().prefix("futura-errors-").tempdir()?;
        let logs = cargo::scratch("errors/logs")?;
        let client = Client::new()?;
        let bugsink = Bugsink::start(&client, &state.path().join("bugsink"), &logs).await?;
        let (key, rest) = bugsink.dsn.rsplit_once('@').context("a DSN without a key")?;
        let (host, project) = rest.split_once('/').context("a DSN without a project")?;
        let gate = Gate::open(client.clone(), format!("http://{host}")).await?;
        let upstream = format!("{key}@127.0.0.1:{}/{project}", gate.port());
        Ok(Self { client, program, sdks, bugsink, gate, upstream, state, logs, given: 0 })
    }

    async fn sidecar(&self, spool: PathBuf) -> Result<Sidecar> {
        let [page, errors] = ports::free()?;
        let config = self.state.path().join(format!("sidecar-{errors}.yaml"));
        let text = format!(
            "listen: 127.0.0.1:{page}\nerrors: {{ listen: \"127.0.0.1:{errors}\", upstream: \"{}\", spool: {spool:?}, spool_max_envelopes: {} }}\n",
            self.upstream,
            2 * BURST
        );
        fs::write(&config, text)?;
        let log = self.logs.join(format!("sidecar-{errors}.log"));
        let process = self.run(&config, &log)?;
        let mut sidecar = Sidecar { process, config, log, spool, page: format!("http://127.0.0.1:{page}"), errors };
        sidecar.ready(&self.client).await?;
        Ok(sidecar)
    }

    fn run(&self, config: &Path, log: &Path) -> Result<Process> {
        let mut command = process::command(&self.program);
        command.args(["run", "--config"]).arg(config).env_remove("SENTRY_DSN");
        Process::spawn("futura-sidecar", command, log)
    }

    fn spool(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    fn new_ids(&mut self, count: usize) -> Vec<String> {
        self.given += count;
        (self.given - count..self.given).map(id).collect()
    }

    /// Reports by SDKs while the gate does the one thing, and lets it do the other then.
    async fn by_sdks(&mut self, first: Mode, then: Mode, count: usize) -> Result<Sent> {
        let sidecar = self.sidecar(self.spool(&format!("spool-{first:?}-{then:?}"))).await?;
        let (dsn, before) = (sidecar.dsn(), self.gate.requests());
        let (python, node) = tokio::try_join!(self.sdks.python(&dsn, count), self.sdks.node(&dsn, count))?;
        if first != then && first != Mode::Down {
            let tried = async || {
                ensure!(self.gate.requests() > before, "nothing was sent to the upstream");
                Ok(())
            };
            eventually(ARRIVAL_LIMIT, tried).await?;
        }
        self.gate.set(then);
        Ok(Sent { ids: [python, node].concat(), sidecar })
    }

    async fn garbage(&mut self) -> Result<Sent> {
        self.gate.set(Mode::Pass);
        let sidecar = self.sidecar(self.spool("spool-garbage")).await?;
        let ids = self.new_ids(20);
        let whole = b"{\"event_id\":\"0\"}\n{\"type\":\"event\",\"length\":40}\n{\"message\":\"torn\"";
        for (number, id) in ids.iter().enumerate() {
            let random: Vec<u8> = (0..fastrand::usize(1..2_000)).map(|_| fastrand::u8(..)).collect();
            let torn = whole[..1 + number * (whole.len() - 1) / ids.len()].to_vec();
            for wrong in [random, torn, Vec::new(), b"[]\n".to_vec(), vec![b'{'; 100_000]] {
                let status = send_bytes(&self.client, sidecar.errors, wrong.clone()).await?.status;
                let told = String::from_utf8_lossy(&wrong[..wrong.len().min(80)]).into_owned();
                ensure!(matches!(status, 200 | 400 | 413), "{told:?} is answered {status}");
            }
            let status = send_once(&self.client, sidecar.errors, id).await?.status;
            ensure!(status == 200, "an event after garbage is answered {status}");
        }
        Ok(Sent { ids, sidecar })
    }

    /// Kills the sidecar at moments that nobody chooses, while clients send until they are answered.
    async fn kills(&mut self) -> Result<Sent> {
        let seed = fastrand::u64(..);
        fastrand::seed(seed);
        let mut sidecar = self.sidecar(self.spool("spool-kills")).await?;
        let ids = self.new_ids(600);
        let mut clients = JoinSet::new();
        for ids in ids.chunks(ids.len().div_ceil(6)) {
            let (client, port, ids) = (self.client.clone(), sidecar.errors, ids.to_vec());
            clients.spawn(async move {
                for id in &ids {
                    send_until_taken(&client, port, id).await?;
                    sleep(Duration::from_millis(20)).await;
                }
                anyhow::Ok(())
            });
        }
        for kill in 0..KILLS {
            sleep(Duration::from_millis(fastrand::u64(10..250))).await;
            self.gate.set([Mode::Pass, Mode::Down, Mode::Slow(30), Mode::CutAfter][kill % 4]);
            let (config, log) = (sidecar.config.clone(), sidecar.log.clone());
            sidecar.process.kill().await?;
            sidecar.process = self.run(&config, &log)?;
            sidecar.ready(&self.client).await?;
        }
        self.gate.set(Mode::Pass);
        while let Some(sent) = clients.join_next().await {
            sent?.with_context(|| format!("with the seed {seed}"))?;
        }
        Ok(Sent { ids, sidecar })
    }

    /// Fills a small disk while the upstream is down; none where no small disk can be had.
    async fn full_disk(&mut self) -> Result<Option<Sent>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let disk = self.spool("disk");
        fs::create_dir(&disk)?;
        let mut mount = process::command("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&disk);
        if !process::status("mount", mount).await?.success() {
            return Ok(None);
        }
        let _mounted = Mounted(disk.clone());
        self.gate.set(Mode::Down);
        let sidecar = self.sidecar(disk.join("spool")).await?;
        let (mut taken, mut refused) = (Vec::new(), 0);
        while refused < 20 {
            let id = self.new_ids(1).remove(0);
            match send_once(&self.client, sidecar.errors, &id).await?.status {
                200 => taken.push(id),
                503 => refused += 1,
                status => anyhow::bail!("a full disk is answered {status}"),
            }
            ensure!(taken.len() < 2 * BURST, "the disk is never full");
        }
        self.gate.set(Mode::Pass);
        // What has left makes room for what comes.
        let id = self.new_ids(1).remove(0);
        send_until_taken(&self.client, sidecar.errors, &id).await?;
        taken.push(id);
        self.arrived("the disk is full", &taken).await?;
        // The disk goes with the scenario, so the sidecar ends here.
        let spool = self.spool("spool-after-the-disk");
        sidecar.end(&self.client).await?;
        Ok(Some(Sent { ids: taken, sidecar: self.sidecar(spool).await? }))
    }

    /// Reports thousands of errors at once by our SDK. Bugsink would take minutes for so many, so the gate counts them.
    async fn burst(&mut self) -> Result<()> {
        let start = Instant::now();
        self.gate.set(Mode::Sink);
        let before = self.gate.total();
        let sidecar = self.sidecar(self.spool("spool-burst")).await?;
        self.sdks.rust(&sidecar.dsn(), &sidecar.spool, BURST).await?;
        let all = async || {
            let (events, times) = self.gate.total();
            let (events, times) = (events - before.0, times - before.1);
            ensure!(events == BURST, "{events} of {BURST} events have arrived");
            Ok(times - events)
        };
        let twice = eventually(ARRIVAL_LIMIT, all).await?;
        line("a burst by our SDK, with a sidecar in between", BURST, BURST, twice, start);
        sidecar.end(&self.client).await
    }

    /// Waits until all has arrived, looks whether it did so once, and whether the sidecar's account balances.
    async fn conclude(&mut self, name: &str, sent: Sent, start: Instant) -> Result<()> {
        let Sent { ids, sidecar } = sent;
        self.arrived(name, &ids).await?;
        let twice = ids.iter().map(|id| self.gate.taken(id).saturating_sub(1)).sum();
        line(name, ids.len(), ids.len(), twice, start);
        self.gate.set(Mode::Pass);
        sidecar.end(&self.client).await.with_context(|| format!("after: {name}"))
    }

    /// Every event is in Bugsink, once.
    async fn arrived(&self, name: &str, ids: &[String]) -> Result<()> {
        let wanted: HashSet<_> = ids.iter().map(String::as_str).collect();
        let all = async || {
            let events = self.bugsink.events().await?;
            let stored = events.iter().filter_map(|event| event["event_id"].as_str().map(|id| id.replace('-', "")));
            let stored: Vec<_> = stored.filter(|id| wanted.contains(id.as_str())).collect();
            let distinct: HashSet<_> = stored.iter().collect();
            ensure!(distinct.len() == stored.len(), "an event is stored twice");
            ensure!(distinct.len() == wanted.len(), "{} of {} events have arrived", distinct.len(), wanted.len());
            Ok(())
        };
        eventually(ARRIVAL_LIMIT, all).await.with_context(|| format!("not so: {name}"))
    }
}

fn line(name: &str, sent: usize, arrived: usize, twice: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    terminal::line(format_args!("{name:<45} {sent:>5} {arrived:>8} {twice:>11} {seconds:>9.1}"));
}

// === impl Sidecar ===

impl Sidecar {
    async fn ready(&mut self, client: &Client) -> Result<()> {
        self.process.ready(client, &format!("{}/readyz", self.page)).await
    }

    fn dsn(&self) -> String {
        format!("http://application@127.0.0.1:{}/1", self.errors)
    }

    /// Ends it when all has left, and looks whether its account balances then.
    async fn end(self, client: &Client) -> Result<()> {
        let balanced = async || {
            let page = client.get(&format!("{}/metrics", self.page)).await?;
            let sum = |name: &str| sum(&page, name);
            let [received, recovered] =
                ["received", "recovered"].map(|what| sum(&format!("error_envelopes_{what}_total")));
            let [forwarded, dropped] =
                ["forwarded", "dropped"].map(|what| sum(&format!("error_envelopes_{what}_total")));
            let spooled = sum("error_spool_envelopes");
            ensure!(
                received + recovered == forwarded + dropped + spooled && spooled == 0,
                "received {received}, recovered {recovered}, forwarded {forwarded}, dropped {dropped}, waiting {spooled}"
            );
            Ok(())
        };
        eventually(ARRIVAL_LIMIT, balanced).await.context("not so: the sidecar's account balances")?;
        let status = self.process.terminate().await?;
        ensure!(status.success(), "the sidecar ended with {status}");
        Ok(())
    }
}

/// All series of a name together.
fn sum(page: &str, name: &str) -> u64 {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.sum::<f64>() as u64
}

/// A file system that goes when this is dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever has files open there keeps it until they are closed.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
