//! The way of an error: from the API through the sidecar's spool to Bugsink, once.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{World, drive, metrics};
use crate::wait::eventually;

/// How long an event may be on its way.
const DELIVERY_LIMIT: Duration = Duration::from_secs(60);

/// The panic's event is in Bugsink once and carries its trace, and nothing else is there or left in the spool.
pub(super) async fn errors_delivered(world: &World) -> Result<()> {
    eventually(DELIVERY_LIMIT, async || {
        ensure!(!world.bugsink.events().await?.is_empty(), "no event has arrived");
        Ok(())
    })
    .await?;
    // Only when the spool is empty and all that was taken is forwarded can no second event be on its way.
    metrics::equals(&world.prometheus, "error_spool_envelopes", 0).await?;
    metrics::equals(&world.prometheus, "error_envelopes_received_total - error_envelopes_forwarded_total", 0).await?;
    metrics::equals(&world.prometheus, "sum(error_envelopes_dropped_total)", 0).await?;
    metrics::equals(&world.prometheus, "sum(error_envelopes_rejected_total)", 0).await?;
    let events = world.bugsink.events().await?;
    let traces: Vec<_> = events.iter().map(trace_id).collect();
    ensure!(traces == [drive::PANIC_TRACE_ID], "the events in Bugsink carry the traces {traces:?}");
    metrics::equals(&world.prometheus, r#"sentry_errors_total{service="ticket-api"}"#, 1).await
}

fn trace_id(event: &Value) -> &str {
    event["contexts"]["trace"]["trace_id"].as_str().unwrap_or("none")
}
