//! Guarding calls to what may fail: a circuit breaker around retries with exponential backoff and full jitter.
//!
//! A call is one request of ours with all its retries, and the breaker counts calls: one that succeeded on its second
//! attempt is no failure.

pub use self::breaker::BreakerConfig;
pub(crate) use self::breaker::{BreakerState, CircuitBreaker};

use std::{error::Error, time::Duration};

use futura_metrics::{
    Counter, Metrics, RegisterError,
    specs::resilience::{
        Breaker, CIRCUIT_BREAKER_FAILURES_TOTAL, CIRCUIT_BREAKER_REJECTIONS_TOTAL, CIRCUIT_BREAKER_STATE, Operation,
        RETRY_ATTEMPTS_TOTAL, RETRY_EXHAUSTED_TOTAL, RETRY_SUCCESSES_TOTAL,
    },
    storage::{Family, Gauge},
};

use self::breaker::Permit;

mod breaker;

/// How often and how fast a call is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryConfig {
    /// Retries after the first attempt.
    pub retries: u32,
    /// The longest wait before the first retry; it doubles with each one.
    pub base: Duration,
    /// The longest wait before any retry.
    pub limit: Duration,
}

/// What a failure means to the breaker and to the retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// The other side works and says no.
    Refusal,
    /// The other side works, and another caller was in the way: trying again helps.
    Contention,
    /// The other side does not work, and trying again at once would not help.
    Fault,
    /// It may work when tried again.
    Transient,
}

/// An error that a [`Guard`] can judge.
pub(crate) trait Failure: Error + 'static {
    fn class(&self) -> FailureClass;

    /// The error of a call that an open breaker refused.
    fn rejected() -> Self;
}

/// The metrics of all guards.
#[derive(Debug)]
pub(crate) struct ResilienceMetrics {
    state: Family<Gauge, (Breaker,)>,
    failures: Family<Counter, (Breaker,)>,
    rejections: Family<Counter, (Breaker,)>,
    attempts: Family<Counter, (Operation,)>,
    successes: Family<Counter, (Operation,)>,
    exhausted: Family<Counter, (Operation,)>,
}

/// A breaker around retries, for one dependency.
#[derive(Debug)]
pub(crate) struct Guard {
    breaker: CircuitBreaker,
    retry: RetryConfig,
    attempts: Counter,
    successes: Counter,
    exhausted: Counter,
}

// === impl RetryConfig ===

impl RetryConfig {
    /// The wait before retry `number`, from 1: anything up to the exponential limit, so that clients do not come back in step.
    fn wait(&self, number: u32) -> Duration {
        let ceiling = self.base.saturating_mul(1 << (number - 1).min(16)).min(self.limit);
        ceiling.mul_f64(fastrand::f64())
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { retries: 3, base: Duration::from_millis(100), limit: Duration::from_secs(2) }
    }
}

// === impl ResilienceMetrics ===

impl ResilienceMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, RegisterError> {
        Ok(Self {
            state: metrics.gauges(CIRCUIT_BREAKER_STATE)?,
            failures: metrics.counters(CIRCUIT_BREAKER_FAILURES_TOTAL)?,
            rejections: metrics.counters(CIRCUIT_BREAKER_REJECTIONS_TOTAL)?,
            attempts: metrics.counters(RETRY_ATTEMPTS_TOTAL)?,
            successes: metrics.counters(RETRY_SUCCESSES_TOTAL)?,
            exhausted: metrics.counters(RETRY_EXHAUSTED_TOTAL)?,
        })
    }

    pub(crate) fn guard(
        &self,
        breaker: Breaker,
        config: BreakerConfig,
        operation: Operation,
        retry: RetryConfig,
    ) -> Guard {
        Guard {
            breaker: CircuitBreaker::new(
                breaker,
                config,
                self.state.with((breaker,)).clone(),
                self.failures.with((breaker,)).clone(),
                self.rejections.with((breaker,)).clone(),
            ),
            retry,
            attempts: self.attempts.with((operation,)).clone(),
            successes: self.successes.with((operation,)).clone(),
            exhausted: self.exhausted.with((operation,)).clone(),
        }
    }
}

// === impl Guard ===

impl Guard {
    /// Makes a call: `attempt` is asked for a new future each time it is tried.
    pub(crate) async fn call<T, E, F>(&self, attempt: impl FnMut() -> F) -> Result<T, E>
    where
        E: Failure,
        F: Future<Output = Result<T, E>>,
    {
        let permit = self.breaker.admit().ok_or_else(E::rejected)?;
        let result = self.retry(attempt).await;
        judge(permit, &result);
        result
    }

    /// Makes a call whatever the breaker says, without retries. Where the breaker waits for its trial it is that; otherwise
    /// the breaker does not hear of it.
    pub(crate) async fn probe<T, E: Failure>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let trial = self.breaker.admit_trial();
        let result = call.await;
        if let Some(permit) = trial {
            judge(permit, &result);
        }
        result
    }

    pub(crate) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Calls that failed in a row, up to as many as open the breaker.
    pub(crate) fn failures(&self) -> u32 {
        self.breaker.failures()
    }

    async fn retry<T, E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, E>
    where
        E: Failure,
        F: Future<Output = Result<T, E>>,
    {
        let mut retries = 0;
        loop {
            let result = attempt().await;
            let again = |error: &E| matches!(error.class(), FailureClass::Contention | FailureClass::Transient);
            if !result.as_ref().is_err_and(again) {
                if result.is_ok() && retries > 0 {
                    self.successes.inc();
                }
                return result;
            }
            if retries == self.retry.retries {
                self.exhausted.inc();
                return result;
            }
            retries += 1;
            self.attempts.inc();
            tokio::time::sleep(self.retry.wait(retries)).await;
        }
    }
}

fn judge<T, E: Failure>(permit: Permit<'_>, result: &Result<T, E>) {
    match result {
        Err(error) if matches!(error.class(), FailureClass::Fault | FailureClass::Transient) => permit.failed(error),
        _ => permit.succeeded(),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use futura_metrics::{
        Metrics,
        specs::resilience::{Breaker, Operation},
        testing::sample,
    };

    use super::{BreakerConfig, BreakerState, Failure, FailureClass, Guard, ResilienceMetrics, RetryConfig};

    #[derive(Debug, PartialEq, thiserror::Error)]
    enum Fake {
        #[error("it is a {0:?}")]
        Class(FailureClass),
        #[error("the breaker is open")]
        Rejected,
    }

    impl Failure for Fake {
        fn class(&self) -> FailureClass {
            match self {
                Self::Class(class) => *class,
                Self::Rejected => FailureClass::Refusal,
            }
        }

        fn rejected() -> Self {
            Self::Rejected
        }
    }

    fn guard(metrics: &Metrics) -> Guard {
        let config = BreakerConfig { failures: 3, open: Duration::from_secs(120) };
        let registered = ResilienceMetrics::register(metrics).unwrap();
        registered.guard(Breaker::Payment, config, Operation::Payment, RetryConfig::default())
    }

    async fn fail(guard: &Guard, class: FailureClass) -> Fake {
        guard.call(|| async { Err::<(), _>(Fake::Class(class)) }).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_again_until_it_succeeds() {
        let metrics = Metrics::new();
        let guard = guard(&metrics);
        let tries = Cell::new(0);
        let answer = guard
            .call(|| async {
                tries.set(tries.get() + 1);
                if tries.get() < 3 { Err(Fake::Class(FailureClass::Transient)) } else { Ok("done") }
            })
            .await;
        assert_eq!((answer, tries.get()), (Ok("done"), 3));
        assert_eq!(sample(&metrics, "retry_attempts_total", [("operation", "payment")]), 2.0);
        assert_eq!(sample(&metrics, "retry_successes_total", [("operation", "payment")]), 1.0);
        assert_eq!(sample(&metrics, "circuit_breaker_failures_total", [("breaker", "payment")]), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_end_and_refusals_and_faults_are_not_retried() {
        let metrics = Metrics::new();
        let guard = guard(&metrics);
        fail(&guard, FailureClass::Refusal).await;
        fail(&guard, FailureClass::Fault).await;
        assert_eq!(sample(&metrics, "retry_attempts_total", [("operation", "payment")]), 0.0);
        fail(&guard, FailureClass::Transient).await;
        assert_eq!(sample(&metrics, "retry_attempts_total", [("operation", "payment")]), 3.0);
        assert_eq!(sample(&metrics, "retry_exhausted_total", [("operation", "payment")]), 1.0);
        assert_eq!(sample(&metrics, "circuit_breaker_failures_total", [("breaker", "payment")]), 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_breaker_opens_after_failures_in_a_row_and_one_trial_closes_it() {
        let metrics = Metrics::new();
        let guard = guard(&metrics);
        fail(&guard, FailureClass::Fault).await;
        fail(&guard, FailureClass::Fault).await;
        guard.call(|| async { Ok::<_, Fake>(()) }).await.unwrap();
        for _ in 0..3 {
            assert_eq!(guard.state(), BreakerState::Closed);
            fail(&guard, FailureClass::Fault).await;
        }
        assert_eq!((guard.state(), guard.failures()), (BreakerState::Open, 3));
        assert_eq!(sample(&metrics, "circuit_breaker_state", [("breaker", "payment")]), 2.0);
        assert_eq!(fail(&guard, FailureClass::Fault).await, Fake::Rejected);
        assert_eq!(sample(&metrics, "circuit_breaker_rejections_total", [("breaker", "payment")]), 1.0);

        tokio::time::advance(Duration::from_secs(120)).await;
        let trial = guard.call(|| async {
            assert_eq!(guard.state(), BreakerState::HalfOpen);
            assert_eq!(fail(&guard, FailureClass::Fault).await, Fake::Rejected, "one trial at a time");
            Ok::<_, Fake>(())
        });
        trial.await.unwrap();
        assert_eq!(sample(&metrics, "circuit_breaker_state", [("breaker", "payment")]), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_given_up_leaves_room_for_the_next() {
        let guard = guard(&Metrics::new());
        for _ in 0..3 {
            fail(&guard, FailureClass::Fault).await;
        }
        tokio::time::advance(Duration::from_secs(120)).await;
        let abandoned = guard.call(std::future::pending::<Result<(), Fake>>);
        assert!(tokio::time::timeout(Duration::from_millis(1), abandoned).await.is_err());
        assert_eq!(
            fail(&guard, FailureClass::Fault).await,
            Fake::Class(FailureClass::Fault),
            "the next trial goes through"
        );
        assert_eq!(fail(&guard, FailureClass::Fault).await, Fake::Rejected, "and its failure opens the breaker again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_is_the_trial_once_that_is_due_and_otherwise_leaves_the_breaker_alone() {
        let metrics = Metrics::new();
        let guard = guard(&metrics);
        let probe =
            async |result: Result<(), FailureClass>| guard.probe(async { result.map_err(Fake::Class) }).await.is_ok();
        for _ in 0..3 {
            assert!(!probe(Err(FailureClass::Fault)).await);
        }
        assert_eq!((guard.state(), guard.failures()), (BreakerState::Closed, 0));
        for _ in 0..3 {
            fail(&guard, FailureClass::Fault).await;
        }
        assert!(probe(Ok(())).await);
        assert_eq!(guard.state(), BreakerState::Open, "it is too early");
        tokio::time::advance(Duration::from_secs(120)).await;
        assert!(!probe(Err(FailureClass::Transient)).await);
        assert_eq!(guard.state(), BreakerState::Open);
        tokio::time::advance(Duration::from_secs(120)).await;
        assert!(probe(Ok(())).await);
        assert_eq!(guard.state(), BreakerState::Closed);
        assert_eq!(sample(&metrics, "circuit_breaker_rejections_total", [("breaker", "payment")]), 0.0);
        assert_eq!(sample(&metrics, "retry_attempts_total", [("operation", "payment")]), 0.0);
    }
}
