//! What a run leaves behind besides its result: where its time went, and what it saw of the target.

use std::{net::IpAddr, time::Duration};

use futura_metrics::specs::checks::Phase;
use tokio::time::Instant;

use super::{Failure, chain::Chain};

/// What is known of one run so far. It stays when the run is given up.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// When the run is given up, if somebody set a limit.
    deadline: Option<Instant>,
    durations: [Option<Duration>; Phase::ALL.len()],
    running: Option<(Phase, Instant)>,
    /// The address that was dialled last.
    pub(crate) address: Option<IpAddr>,
    /// What the target showed of itself in its last TLS handshake, verified or not.
    pub(crate) chain: Option<Chain>,
    /// The connections that the target counted.
    pub(crate) connections: Option<Connections>,
    /// The steps of a journey, as far as it came.
    pub(crate) steps: Vec<Step>,
}

/// The connections of a server's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) current: u64,
    /// How many more it would take.
    pub(crate) available: u64,
}

/// One step of a journey.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) failure: Option<Failure>,
}

// === impl Trace ===

impl Trace {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// How much time the run has left, if there is a limit.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// When the first certificate of the target's chain expires, in seconds since the Unix epoch.
    pub(crate) fn expiry(&self) -> Option<i64> {
        self.chain.as_ref().and_then(Chain::expiry)
    }

    /// Takes a failure down as that of the step that ran last, and names the step in it.
    pub(crate) fn fail_step(&mut self, failure: Failure) -> Failure {
        let Some(step) = self.steps.last_mut() else { return failure };
        let told = Failure::new(failure.reason, format!("step `{}`: {}", step.name, failure.message));
        step.failure = Some(failure);
        told
    }

    /// Ends the phase that runs and begins another; a phase that comes again, as after a redirect, adds up.
    pub(crate) fn begin(&mut self, phase: Phase) {
        self.end();
        self.running = Some((phase, Instant::now()));
    }

    /// Ends the phase that runs.
    pub(crate) fn end(&mut self) {
        if let Some((phase, start)) = self.running.take() {
            *self.durations[phase as usize].get_or_insert_default() += start.elapsed();
        }
    }

    /// The phase that runs: the one in which a run that is given up hung.
    pub(crate) fn running(&self) -> Option<Phase> {
        self.running.map(|(phase, _)| phase)
    }

    /// The phases that have ended, in their order.
    pub(crate) fn phases(&self) -> impl Iterator<Item = (Phase, Duration)> {
        Phase::ALL.iter().zip(self.durations).filter_map(|(phase, duration)| Some((*phase, duration?)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Phase, Trace};

    #[tokio::test(start_paused = true)]
    async fn phases_add_up_and_the_one_that_hangs_is_known() {
        let mut trace = Trace::default();
        for phase in [Phase::Resolve, Phase::Connect, Phase::Resolve] {
            trace.begin(phase);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(trace.running(), Some(Phase::Resolve));
        trace.end();
        let ended: Vec<_> = trace.phases().collect();
        assert_eq!(ended, [(Phase::Resolve, Duration::from_millis(20)), (Phase::Connect, Duration::from_millis(10))]);
        assert_eq!(trace.running(), None);
    }
}
