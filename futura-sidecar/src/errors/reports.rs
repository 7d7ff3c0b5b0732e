//! Client reports: what the upstream is told of events that it does not get, by reason and category.
//!
//! An SDK that is answered with an error reports what it then discards by itself. Here are those that it does not know of: what
//! was accepted and given up, and what was turned away with 429. See
//! <https://develop.sentry.dev/sdk/telemetry/client-reports/>.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futura_metrics::specs::errors::DropReason;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{select, time::sleep};

use super::{destination::Destination, envelope::INTERNAL, spool::Spool};

/// How often is reported.
const INTERVAL: Duration = Duration::from_secs(60);

/// What was discarded and is not reported yet. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Discards(Arc<Mutex<Counts>>);

/// How many of a reason and a category.
type Counts = BTreeMap<(&'static str, &'static str), u64>;

// === impl Discards ===

impl Discards {
    /// Counts what was accepted and given up.
    pub(super) fn given_up(&self, reason: DropReason, category: &'static str) {
        let reason = match reason {
            DropReason::Refused | DropReason::Undeliverable => "send_error",
            DropReason::SpoolError => "internal_sdk_error",
        };
        self.count(reason, category);
    }

    /// Counts what was turned away with 429, as there was no room for what the upstream limits.
    pub(super) fn limited(&self, category: &'static str) {
        self.count("queue_overflow", category);
    }

    fn count(&self, reason: &'static str, category: &'static str) {
        // A report of lost reports would beget the next.
        if category != INTERNAL {
            *self.lock().entry((reason, category)).or_default() += 1;
        }
    }

    async fn report(&self, spool: &Spool) {
        let counts = std::mem::take(&mut *self.lock());
        if counts.is_empty() {
            return;
        }
        if let Err(error) = spool.put(INTERNAL, None, envelope(&counts)).await {
            tracing::debug!(%error, "a client report waits for room in the spool");
            let mut kept = self.lock();
            counts.into_iter().for_each(|(key, count)| *kept.entry(key).or_default() += count);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports what a destination discards until `closed`, and what is left then.
pub(super) async fn run(destination: &Destination, closed: impl Future<Output = ()>) {
    let mut closed = pin!(closed);
    loop {
        let ended = select! {
            () = &mut closed => true,
            () = sleep(INTERVAL) => false,
        };
        destination.discards.report(&destination.spool).await;
        if ended {
            return;
        }
    }
}

fn envelope(counts: &Counts) -> Vec<u8> {
    let discarded = counts
        .iter()
        .map(|((reason, category), quantity)| json!({ "reason": reason, "category": category, "quantity": quantity }));
    let timestamp = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let report = json!({ "timestamp": timestamp, "discarded_events": discarded.collect::<Vec<_>>() }).to_string();
    let item = json!({ "type": "client_report", "length": report.len() });
    format!("{{}}\n{item}\n{report}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Discards, DropReason, INTERNAL, envelope};
    use crate::errors::envelope::Head;

    #[test]
    fn a_report_counts_by_reason_and_category() {
        let discards = Discards::default();
        for category in ["error", "error", "transaction", INTERNAL] {
            discards.given_up(DropReason::Refused, category);
        }
        discards.limited("transaction");
        let envelope = envelope(&discards.lock());
        assert_eq!(Head::parse(&envelope).expect("an envelope").category, INTERNAL);
        let text = String::from_utf8(envelope).expect("text");
        let report: Value = serde_json::from_str(text.lines().nth(2).expect("a report")).expect("JSON");
        assert_eq!(
            report["discarded_events"],
            json!([
                { "reason": "queue_overflow", "category": "transaction", "quantity": 1 },
                { "reason": "send_error", "category": "error", "quantity": 2 },
                { "reason": "send_error", "category": "transaction", "quantity": 1 },
            ])
        );
    }
}
