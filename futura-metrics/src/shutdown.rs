//! Graceful shutdown in one order: not ready, drain delay, stop accepting, finish within the grace period, stop the admin port.

use std::{future::Future, process, time::Duration};

use tokio::{
    select,
    signal::unix::{SignalKind, signal as unix_signal},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};

use crate::admin::Readiness;

/// The exit code of a process that a second signal ended: 128 and SIGINT's number.
const ABORTED: i32 = 130;

/// How long a shutdown may take.
#[derive(Clone, Copy, Debug)]
pub struct ShutdownConfig {
    /// How long to go on serving while load balancers learn that the program is not ready.
    pub drain_delay: Duration,
    /// How long work in flight may take to end after that.
    pub grace: Duration,
}

/// The stages of a shutdown, for every part of a program to wait on. Clones are one.
///
/// ```no_run
/// use futura_metrics::{admin::Readiness, shutdown::{self, Shutdown, ShutdownConfig}};
/// use std::time::Duration;
///
/// # async fn run(listener: tokio::net::TcpListener, router: axum::Router) {
/// let config = ShutdownConfig { drain_delay: Duration::from_secs(5), grace: Duration::from_secs(30) };
/// let readiness = Readiness::default();
/// let shutdown = Shutdown::new(config, readiness.clone());
/// let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.draining());
/// shutdown.tracker().spawn(async { server.await });
/// readiness.set(true);
/// shutdown.run(shutdown::signal()).await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown {
    config: ShutdownConfig,
    readiness: Readiness,
    tracker: TaskTracker,
    requested: CancellationToken,
    draining: CancellationToken,
    drained: CancellationToken,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All tracked work ended.
    InTime,
    /// The grace period was over first.
    Late {
        /// Tasks that had not ended.
        tasks: usize,
    },
}

// === impl Shutdown ===

impl Shutdown {
    /// A shutdown that nobody has asked for yet; it makes `readiness` false when somebody does.
    pub fn new(config: ShutdownConfig, readiness: Readiness) -> Self {
        Self {
            config,
            readiness,
            tracker: TaskTracker::new(),
            requested: CancellationToken::new(),
            draining: CancellationToken::new(),
            drained: CancellationToken::new(),
        }
    }

    /// Where to spawn every task that must end within the grace period. The admin server is none of them.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Resolves as soon as a stop was asked for: take up no new work of your own.
    pub fn requested(&self) -> WaitForCancellationFutureOwned {
        self.requested.clone().cancelled_owned()
    }

    /// Resolves after the drain delay: stop accepting connections.
    pub fn draining(&self) -> WaitForCancellationFutureOwned {
        self.draining.clone().cancelled_owned()
    }

    /// Resolves when all tracked work ended or the grace period is over: stop the admin port.
    pub fn drained(&self) -> WaitForCancellationFutureOwned {
        self.drained.clone().cancelled_owned()
    }

    /// Waits for `signal`, or for all tracked work to end by itself, and goes through the stages.
    pub async fn run(&self, signal: impl Future<Output = ()>) -> Drained {
        self.tracker.close();
        let stopped_by_itself = select! {
            () = signal => false,
            () = self.tracker.wait() => true,
        };
        self.readiness.set(false);
        self.requested.cancel();
        if !stopped_by_itself {
            tracing::info!(drain_delay = ?self.config.drain_delay, grace = ?self.config.grace, "stopping");
            sleep(self.config.drain_delay).await;
        }
        self.draining.cancel();
        let in_time = timeout(self.config.grace, self.tracker.wait()).await.is_ok();
        self.drained.cancel();
        if in_time {
            return Drained::InTime;
        }
        let tasks = self.tracker.len();
        tracing::warn!(tasks, "the grace period is over; work in flight is cut off");
        Drained::Late { tasks }
    }
}

/// Resolves on SIGTERM or SIGINT, from the call on and not only once it is awaited; a second one ends the process at once with exit
/// code 130.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn signal() -> impl Future<Output = ()> {
    let signals = unix_signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, unix_signal(SignalKind::interrupt())?)));
    async {
        let (mut terminate, mut interrupt) = match signals {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "signals cannot be received; only SIGKILL will stop this process");
                return std::future::pending().await;
            }
        };
        select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        // The one task that belongs to no tracker: it must outlive whatever is stuck.
        tokio::spawn(async move {
            select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            process::exit(ABORTED);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::{Drained, Readiness, Shutdown, ShutdownConfig};

    fn shutdown(grace_secs: u64) -> (Shutdown, Readiness) {
        let readiness = Readiness::default();
        readiness.set(true);
        let config = ShutdownConfig { drain_delay: Duration::from_secs(5), grace: Duration::from_secs(grace_secs) };
        (Shutdown::new(config, readiness.clone()), readiness)
    }

    #[tokio::test(start_paused = true)]
    async fn serves_through_the_drain_delay_and_then_lets_work_end() {
        let (shutdown, readiness) = shutdown(30);
        let start = Instant::now();
        let draining = shutdown.draining();
        shutdown.tracker().spawn(async move {
            draining.await;
            assert_eq!(start.elapsed(), Duration::from_secs(5));
            sleep(Duration::from_secs(20)).await;
        });
        assert_eq!(shutdown.run(ready(())).await, Drained::InTime);
        assert_eq!(start.elapsed(), Duration::from_secs(25));
        assert!(!readiness.is_ready());
        shutdown.drained().await;
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_cut_off_after_the_grace_period() {
        let (shutdown, _) = shutdown(30);
        shutdown.tracker().spawn(std::future::pending::<()>());
        assert_eq!(shutdown.run(ready(())).await, Drained::Late { tasks: 1 });
        shutdown.drained().await;
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_by_itself_stops_the_program() {
        let (shutdown, _) = shutdown(30);
        shutdown.tracker().spawn(ready(()));
        assert_eq!(shutdown.run(std::future::pending()).await, Drained::InTime);
    }
}
