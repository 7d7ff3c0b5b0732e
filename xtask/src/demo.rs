//! `cargo xtask demo`: the API, the sidecar beside it, traffic, and a Prometheus where one is installed.

use std::{env, fs, future, pin::pin, process::ExitCode, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::Args;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::state::State;
use crate::{
    cargo::{self, Profile},
    process::{self, Process, which},
    stack::{Ports, Stack},
    terminal,
    traffic::{APPROVED, DECLINED, Traffic},
};

mod state;

/// How often a client does something.
const ACTION_PERIOD: Duration = Duration::from_millis(200);
/// How often the programs are looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(250);
/// After how many actions the account is told.
const TELL_EVERY: u64 = 50;
/// Seats of an event: a new one is created before they are sold out.
const CAPACITY: u32 = 500;
/// Actions before the next event is created; each sells at most three seats.
const ACTIONS_PER_EVENT: u64 = 100;

/// How long the check of the demo waits for orders, a build of everything included.
const CHECK_LIMIT: Duration = Duration::from_secs(45 * 60);

/// How to run the demo.
#[derive(Args)]
pub(crate) struct DemoOptions {
    /// Builds with optimizations, which takes minutes longer.
    #[arg(long)]
    release: bool,
    /// Ends by itself after this many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// The programs of the demo, running.
struct Demo {
    processes: Vec<Process>,
    stack: Stack,
    /// Deleted with the demo, once the programs have ended.
    _state: State,
}

/// Runs until Ctrl-C, the time that was asked for, or the end of one of the programs, which is a failure.
pub(crate) async fn run(options: &DemoOptions) -> Result<ExitCode> {
    let mut asked_to_stop = pin!(process::interrupted());
    let demo = tokio::select! {
        demo = Demo::start(options.release) => demo?,
        asked = &mut asked_to_stop => return asked,
    };
    demo.run(options.seconds.map(Duration::from_secs), asked_to_stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the demo as a person would, waits until it tells of orders, and asks it to stop.
pub(crate) async fn check() -> Result<()> {
    let log = cargo::scratch("demo")?.join("demo.log");
    let mut demo = Process::spawn("demo", cargo::command(["xtask", "demo"]), &log)?;
    demo.tells(" orders, ", CHECK_LIMIT).await?;
    let status = demo.terminate().await?;
    let told = fs::read_to_string(&log)?;
    ensure!(status.success(), "it ended with {status}\n{told}");
    for program in ["ticket-api", "futura-sidecar"] {
        ensure!(told.contains(&format!("{program}: exit status: 0")), "{program} did not end with success\n{told}");
    }
    Ok(())
}

// === impl Demo ===

impl Demo {
    async fn start(release: bool) -> Result<Self> {
        terminal::heading("building (a first build takes some minutes)");
        let profile = if release { Profile::Release } else { Profile::Dev };
        let programs = cargo::build(&["ticket-api", "futura-sidecar"], profile).await?;
        let folder = cargo::scratch("demo")?;
        let state = State::new(&folder)?;
        let upstream = env::var("SENTRY_DSN").ok().filter(|dsn| !dsn.is_empty());
        let stack = Stack::new(programs, Ports::usual()?, upstream, state.path(), &folder.join("logs"))?;
        terminal::heading("starting");
        let mut processes = vec![stack.start_api().await?, stack.start_sidecar().await?];
        if which("prometheus").is_some() {
            processes.push(stack.start_prometheus(&[]).await?);
        }
        Ok(Self { processes, stack, _state: state })
    }

    async fn run(
        mut self,
        limit: Option<Duration>,
        asked_to_stop: impl Future<Output = Result<ExitCode>>,
    ) -> Result<()> {
        self.print_addresses();
        tokio::select! {
            failure = watch(&mut self.processes) => failure?,
            failure = drive(&self.stack) => failure?,
            () = time_up(limit) => {}
            asked = asked_to_stop => drop(asked?),
        }
        terminal::heading("stopping");
        for process in self.processes.into_iter().rev() {
            let name = process.name().to_owned();
            terminal::line(format_args!("{name}: {}", process.terminate().await?));
        }
        Ok(())
    }

    fn print_addresses(&self) {
        terminal::heading("Futura is running");
        let stack = &self.stack;
        let mut lines = vec![
            ("API documentation", format!("{}/docs", stack.api_url())),
            ("API metrics", format!("{}/metrics", stack.api_metrics_url())),
            ("status page", format!("{}/", stack.sidecar_url())),
            ("sidecar metrics", format!("{}/metrics", stack.sidecar_url())),
        ];
        lines.push(match self.processes.iter().any(|process| process.name() == "prometheus") {
            true => ("Prometheus", stack.prometheus_url()),
            false => ("Prometheus", "none on the PATH (Debian package `prometheus`)".to_owned()),
        });
        if stack.upstream.is_none() {
            lines.push(("errors", "not forwarded: set SENTRY_DSN to have the sidecar forward them".to_owned()));
        }
        lines.extend(stack.ports.moved().into_iter().map(|moved| ("moved port", moved)));
        for (what, where_to) in lines {
            terminal::line(format_args!("  {what:<18} {where_to}"));
        }
        terminal::line(format_args!("  {:<18} {}", "logs", stack.logs().display()));
        terminal::line("Ctrl-C ends all of it.");
    }
}

/// Ends, with an error, as soon as one of the programs has ended.
async fn watch(processes: &mut [Process]) -> Result<()> {
    let mut ticks = interval(WATCH_PERIOD);
    loop {
        ticks.tick().await;
        for process in &mut *processes {
            if let Some(status) = process.exited()? {
                terminal::line(process.tail());
                bail!("{} ended by itself: {status}", process.name());
            }
        }
    }
}

/// Has clients browse, buy and go astray at a bounded rate; ends only with an error.
async fn drive(stack: &Stack) -> Result<()> {
    let mut traffic = Traffic::new(stack.client.clone(), stack.api_url());
    let mut ticks = interval(ACTION_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut event = String::new();
    for number in 0.. {
        ticks.tick().await;
        if let Err(error) = act(&mut traffic, number, &mut event).await {
            // A program that has ended says more than the client whom it did not answer: it is noticed by then.
            sleep(2 * WATCH_PERIOD).await;
            return Err(error);
        }
        if number % TELL_EVERY == TELL_EVERY - 1 {
            let ledger = &traffic.ledger;
            let (total, orders, tickets) = (ledger.total(), ledger.orders, ledger.tickets);
            terminal::line(format_args!(
                "{total} requests: {orders} orders, {} declined, {tickets} tickets",
                orders - ledger.paid
            ));
        }
    }
    Ok(())
}

/// One client's action; which one is decided by its number.
async fn act(traffic: &mut Traffic, number: u64, event: &mut String) -> Result<()> {
    if number.is_multiple_of(ACTIONS_PER_EVENT) {
        *event = traffic.create_event(&format!("Concert {}", number / ACTIONS_PER_EVENT + 1), CAPACITY).await?;
    }
    let quantity = (number % 3 + 1) as u32;
    match number % 10 {
        0..4 => traffic.browse_events().await,
        4..8 => traffic.buy(event, quantity, APPROVED).await.map(drop),
        8 => traffic.buy(event, quantity, DECLINED).await.map(drop),
        _ => traffic.stray(number).await,
    }
}

async fn time_up(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => future::pending().await,
    }
}
