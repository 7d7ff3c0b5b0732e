//! The traffic of the check: what goes well, what is declined, what strays, who hangs up, and what fails on purpose.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::{
    client::{announce_body, send},
    stack::Stack,
    traffic::{APPROVED, DECLINED, Ledger, Traffic},
};

/// The trace that the request which panics belongs to; its event must carry it.
pub(super) const PANIC_TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Orders that go through.
const PAID: u32 = 20;
/// Orders whose payment is declined.
const DECLINES: u32 = 5;
/// Paths that a scanner tries.
pub(super) const STRAYS: u64 = 1_000;
/// Clients that hang up; some may be answered in time all the same.
pub(super) const HANG_UPS: u64 = 20;
/// The route on which they do.
pub(super) const HANG_UP_ROUTE: &str = "/api/reservations";

/// Sends all of it and returns the account.
pub(super) async fn run(stack: &Stack) -> Result<Ledger> {
    let mut traffic = Traffic::new(stack.client.clone(), stack.api_url());
    let event = traffic.create_event("Opening night", 1_000).await?;
    for number in 0..PAID {
        ensure!(traffic.buy(&event, number % 3 + 1, APPROVED).await?, "an order that should be paid is declined");
        traffic.browse_events().await?;
    }
    for _ in 0..DECLINES {
        ensure!(!traffic.buy(&event, 1, DECLINED).await?, "an order that should be declined is paid");
    }
    for number in 0..STRAYS {
        traffic.stray(number).await?;
    }
    hang_up(stack, &event).await?;
    panic(stack, &mut traffic.ledger).await?;
    Ok(traffic.ledger)
}

/// Clients that are gone before the answer, though not before the handler has begun: it is the server that asks for the
/// body, and a request whose client is gone before that never reaches the handler.
async fn hang_up(stack: &Stack, event: &str) -> Result<()> {
    let body = json!({ "eventId": event, "quantity": 1 }).to_string();
    for _ in 0..HANG_UPS {
        let (mut stream, answer) = announce_body(stack.ports.api, HANG_UP_ROUTE, body.len()).await?;
        ensure!(answer.starts_with("HTTP/1.1 100 "), "not asked for the body, but answered {answer}");
        stream.write_all(body.as_bytes()).await?;
    }
    Ok(())
}

/// Makes a handler panic within a trace of ours.
async fn panic(stack: &Stack, ledger: &mut Ledger) -> Result<()> {
    let route = "/drill/panic";
    let request = stack.client.request(Method::POST, &format!("{}{route}", stack.api_url()));
    let request = request.header("traceparent", format!("00-{PANIC_TRACE_ID}-00f067aa0ba902b7-01"));
    let answer = send(request).await.context("the panic drill")?;
    ensure!(answer.status == 500, "the panic drill answers {}, not 500", answer.status);
    ledger.enter("POST", route, answer.status);
    Ok(())
}
