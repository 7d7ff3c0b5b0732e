//! Waiting for a condition, with a bound: nothing here sleeps in the hope that something has happened by then.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep, timeout};

/// How often a condition is asked.
const PERIOD: Duration = Duration::from_millis(100);

/// Asks `attempt` until it succeeds; after `limit` its last error is the answer.
pub(crate) async fn eventually<T>(limit: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match (timeout(left, attempt()).await, last.take()) {
            (Ok(Ok(value)), _) => return Ok(value),
            (Ok(Err(error)), _) if Instant::now() + PERIOD < deadline => last = Some(error),
            (Ok(Err(error)), _) | (Err(_), Some(error)) => {
                return Err(error.context(format!("still so after {limit:?}")));
            }
            (Err(elapsed), None) => return Err(elapsed).with_context(|| format!("no answer within {limit:?}")),
        }
        sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::eventually;
    use anyhow::bail;
    use std::time::Duration;

    fn block_on(future: impl Future) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(future);
    }

    #[test]
    fn an_attempt_that_fails_at_first_is_made_again() {
        block_on(async {
            let mut attempts = 0;
            let third = eventually(Duration::from_secs(60), async || {
                attempts += 1;
                if attempts < 3 { bail!("attempt {attempts}") } else { Ok(attempts) }
            });
            assert_eq!(third.await.unwrap(), 3);
        });
    }

    #[test]
    fn the_last_error_is_told_when_time_is_up() {
        block_on(async {
            let never = eventually(Duration::from_secs(1), async || -> anyhow::Result<()> { bail!("no luck") });
            assert_eq!(format!("{:#}", never.await.unwrap_err()), "still so after 1s: no luck");
        });
    }

    #[test]
    fn an_attempt_that_hangs_is_given_up() {
        block_on(async {
            let hanging =
                eventually(Duration::from_secs(1), async || std::future::pending::<anyhow::Result<()>>().await);
            assert!(hanging.await.is_err());
        });
    }
}
