//! Pushes the registry to a collector over OTLP, from a thread with a runtime of its own: whatever the collector does, the service
//! is neither held up nor fills its memory.
//!
//! What is pushed is cumulative, so one that fails needs no copy: the next tells all of it.

use std::{
    error::Error,
    mem,
    pin::pin,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::InstrumentationScope,
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    resource::v1::Resource as OtlpResource,
};
use opentelemetry_sdk::Resource;
use tokio::{
    runtime::{self, Runtime},
    select,
    sync::oneshot,
    time::{sleep, timeout},
};

pub(super) use self::config::{EXPECTED_PROTOCOL, PROTOCOLS};
pub use self::config::{PushConfig, PushProtocol};
use self::{
    batches::Batches,
    client::{Client, SendError},
};
use super::TelemetryError;
use crate::{
    Counter, Family, Metrics,
    exposition::View,
    specs::push::{METRICS_PUSHES_TOTAL, PushOutcome},
};

mod batches;
mod client;
mod config;

/// How soon a failed push is followed by another; each further failure doubles it, up to the interval.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a collector may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A push that is running.
pub(super) struct Push {
    stop: oneshot::Sender<Duration>,
    /// Behind a lock, which nobody else takes, as a receiver alone cannot be shared between threads.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// A push that makes its last request.
pub(super) struct Ending {
    ended: mpsc::Receiver<()>,
    at_the_latest: Instant,
}

/// What pushes.
struct Worker {
    config: PushConfig,
    metrics: Metrics,
    resource: OtlpResource,
    /// Since when all is counted.
    start: u64,
    pushes: Family<Counter, (PushOutcome,)>,
    state: State,
    /// How many have failed in a row.
    failures: u32,
}

/// What the last push came to; a change is told in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fine,
    /// The collector leaves some of it out.
    Partial,
    Failing,
}

/// What a push came to.
type Outcome = Result<Option<String>, SendError>;

// === impl Push ===

impl Push {
    pub(super) fn start(config: PushConfig, resource: &Resource, metrics: &Metrics) -> Result<Self, TelemetryError> {
        let worker = Worker {
            config,
            metrics: metrics.clone(),
            resource: resource.into(),
            start: now(),
            pushes: metrics.counters(METRICS_PUSHES_TOTAL)?,
            state: State::Fine,
            failures: 0,
        };
        let (stop, stopped) = oneshot::channel();
        let ((begin, begun), (ending, ended)) = (mpsc::channel(), mpsc::channel());
        let run = move || {
            match worker.prepare() {
                Ok((runtime, client)) => {
                    // Whoever started it waits for that.
                    let _ = begin.send(Ok(()));
                    worker.run(runtime, &client, stopped);
                }
                Err(error) => drop(begin.send(Err(error))),
            }
            drop(ending);
        };
        let named = thread::Builder::new().name("otlp-metrics".to_owned());
        named.spawn(run).map_err(|error| TelemetryError::Push(error.into()))?;
        begun.recv().unwrap_or_else(|ended| Err(ended.into())).map_err(TelemetryError::Push)?;
        Ok(Self { stop, ended: Mutex::new(ended) })
    }

    /// Has it push once more, within this limit, and end.
    pub(super) fn end(self, limit: Duration) -> Ending {
        // One that has ended already has nothing more to push.
        let _ = self.stop.send(limit);
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ending { ended, at_the_latest: Instant::now() + limit }
    }
}

// === impl Ending ===

impl Ending {
    /// Waits for the end, up to the limit.
    pub(super) fn wait(self) {
        let left = self.at_the_latest.saturating_duration_since(Instant::now());
        // It ends by itself soon after; nothing is left to be done about what it could not push.
        let _ = self.ended.recv_timeout(left);
    }
}

// === impl Worker ===

impl Worker {
    fn prepare(&self) -> Result<(Runtime, Client), Box<dyn Error + Send + Sync>> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let client = {
            let _within = runtime.enter();
            Client::new(&self.config)?
        };
        Ok((runtime, client))
    }

    fn run(mut self, runtime: Runtime, client: &Client, stopped: oneshot::Receiver<Duration>) {
        runtime.block_on(async {
            let mut stopped = pin!(stopped);
            let mut pause = self.config.interval;
            let limit = loop {
                let due = async {
                    sleep(pause).await;
                    (Instant::now(), self.push_within(self.config.push_timeout, client).await)
                };
                let (begun, outcome) = select! {
                    // Whoever was dropped without a word waits for nothing.
                    limit = &mut stopped => break limit.unwrap_or_default(),
                    pushed = due => pushed,
                };
                pause = self.settle(&outcome).saturating_sub(begun.elapsed());
            };
            let last = self.push_within(limit, client).await;
            self.settle(&last);
        });
        // It may still look a name up, which nobody waits for.
        runtime.shutdown_background();
    }

    async fn push_within(&self, limit: Duration, client: &Client) -> Outcome {
        timeout(limit, self.push(client)).await.unwrap_or_else(|_| Err(SendError::too_late()))
    }

    /// Pushes everything; what the collector left out of it is told.
    async fn push(&self, client: &Client) -> Outcome {
        let view = View { start: self.start, now: now(), exponential: self.config.exponential };
        let mut partial = None;
        for metrics in Batches::of(self.metrics.to_otlp(view)) {
            let answer = client.send(self.request(metrics)).await?;
            let left_out = answer.partial_success.filter(|left_out| left_out.rejected_data_points > 0);
            partial = left_out
                .map(|left_out| format!("{} points: {}", left_out.rejected_data_points, left_out.error_message))
                .or(partial);
        }
        Ok(partial)
    }

    fn request(&self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
        let resource = Some(self.resource.clone());
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
        }
    }

    /// Counts what a push came to, tells of a change, and returns how long after its begin the next is due.
    fn settle(&mut self, outcome: &Outcome) -> Duration {
        let counted = if outcome.is_ok() { PushOutcome::Taken } else { PushOutcome::Failed };
        self.pushes.with((counted,)).inc();
        let state = State::of(outcome);
        let before = mem::replace(&mut self.state, state);
        match outcome {
            _ if state == before => {}
            Ok(None) => tracing::info!("metrics are pushed again"),
            Ok(Some(left_out)) => tracing::warn!(left_out, "the collector leaves metrics out that were pushed"),
            Err(error) => tracing::warn!(%error, "metrics cannot be pushed; what they count is kept, and told later"),
        }
        self.failures = if outcome.is_ok() { 0 } else { self.failures.saturating_add(1) };
        let soon = (PAUSE * 2_u32.saturating_pow(self.failures.saturating_sub(1).min(16))).min(self.config.interval);
        match outcome {
            Err(SendError::NotNow { retry_after: Some(after), .. }) => (*after).clamp(soon, LONGEST_PAUSE.max(soon)),
            Err(SendError::NotNow { .. }) => soon,
            Ok(_) | Err(SendError::Refused(_)) => self.config.interval,
        }
    }
}

// === impl State ===

impl State {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(None) => Self::Fine,
            Ok(Some(_)) => Self::Partial,
            Err(_) => Self::Failing,
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
