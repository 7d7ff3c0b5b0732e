//! What the box office does by itself: it frees seats, finishes orders that were left half done, and keeps figures true.

use std::{collections::BTreeMap, fmt, ops::ControlFlow, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::BoxOffice;
use crate::{
    bus::{Message, Published},
    domain::{Brief, OrderStatus, Outcome},
    payments::GatewayError,
    store::{Page, Place, StoreError},
    timestamp::Timestamp,
};

/// How far back sales are looked through for figures that missed a message.
const SALES_LOOKBACK: Duration = Duration::from_secs(3600);

// === impl BoxOffice ===

impl BoxOffice {
    /// Does the upkeep at its interval until `stop`.
    pub(crate) async fn run_upkeep(&self, stop: impl Future<Output = ()>) {
        let rounds = async {
            let mut interval = interval(self.settings.upkeep_interval);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                if self.upkeep().await.is_break() {
                    tracing::warn!("upkeep was cut short by the database's breaker; the next round goes on");
                }
            }
        };
        tokio::select! {
            () = stop => {}
            () = rounds => {}
        }
    }

    /// Takes a batch of messages from the bus: brings sales figures up to date, each event's once.
    ///
    /// Every replica hears of every sale and the figures are in the database that they share, so each leaves alone what
    /// another, or an earlier batch, has brought up to date since. Where clocks differ that may be wrong until the upkeep.
    pub(crate) async fn consume(self: Arc<Self>, messages: Vec<Published>) {
        let mut sold = BTreeMap::new();
        for Published { message, time } in messages {
            tracing::debug!(order = %Brief(message.order_id()), "message about an order was heard");
            if let Message::TicketsIssued { event_id, .. } = message {
                let last = sold.entry(event_id).or_insert(time);
                *last = time.max(*last);
            }
        }
        for (event_id, time) in sold {
            self.refresh_sales(event_id, Some(time)).await;
        }
    }

    /// Sets the gauge of valid tickets to what the database says, when that is due.
    pub(crate) async fn refresh_active_tickets(&self) -> Result<(), StoreError> {
        self.metrics.tickets_active.refresh(&self.store).await
    }

    /// Does one round. Whatever fails is told and left to the next round, and the rest goes on without it; only an open
    /// breaker, which would refuse the rest too, breaks it off.
    async fn upkeep(&self) -> ControlFlow<()> {
        let now = Timestamp::now();
        self.expire_reservations().await?;
        let (unissued, unsettled) = (now.minus(self.settings.upkeep_interval), now.minus(self.settings.pending_time));
        self.each_left(OrderStatus::Paid, unissued, |order_id| self.issue_late(order_id)).await?;
        self.each_left(OrderStatus::Pending, unsettled, |order_id| self.reconcile(order_id)).await?;
        self.refresh_stale_sales(now.minus(SALES_LOOKBACK)).await?;
        go_on(self.refresh_active_tickets().await, "counting the valid tickets").map_continue(|_| ())
    }

    async fn expire_reservations(&self) -> ControlFlow<()> {
        let (mut place, mut total) = (Some(Place::default()), 0);
        while let Some(after) = place {
            let page = go_on(self.store.expire_reservations(None, &after).await, "expiring reservations")?;
            let (expired, next) = page.unwrap_or_default();
            (place, total) = (next, total + expired);
        }
        if total > 0 {
            tracing::info!(expired = total, "reservations expired");
        }
        ControlFlow::Continue(())
    }

    /// Does something to each order that is in `status` since before `before`.
    async fn each_left<F>(&self, status: OrderStatus, before: Timestamp, work: impl Fn(Uuid) -> F) -> ControlFlow<()>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let mut place = Some(Place::default());
        while let Some(after) = place {
            let page = go_on(self.store.orders_left(status, before, &after).await, "looking for unfinished orders")?;
            let Page { ids, next } = page.unwrap_or_default();
            for order_id in ids {
                go_on(
                    work(order_id).await,
                    format_args!("finishing the {} order {}", status.as_str(), Brief(order_id)),
                )?;
            }
            place = next;
        }
        ControlFlow::Continue(())
    }

    async fn issue_late(&self, order_id: Uuid) -> Result<(), StoreError> {
        self.issue_tickets(self.store.order(order_id).await?).await;
        Ok(())
    }

    /// Finds out what became of an order whose payment was never settled: its answer was lost, or the process ended.
    async fn reconcile(&self, order_id: Uuid) -> Result<(), StoreError> {
        let outcome = match self.payments.find(order_id).await {
            Ok(Some(approval)) => approval.into(),
            Ok(None) | Err(GatewayError::Declined { .. }) => Outcome::Failed,
            Err(GatewayError::Unavailable | GatewayError::Unanswered) => return Ok(()),
        };
        let order = self.settle(order_id, &outcome, None).await?;
        tracing::info!(order = %Brief(order_id), status = order.status.as_str(), "order without an outcome was settled");
        Ok(())
    }

    async fn refresh_stale_sales(&self, since: Timestamp) -> ControlFlow<()> {
        let mut place = Some(Place::default());
        while let Some(after) = place {
            let page = go_on(self.store.stale_sales(since, &after).await, "looking for figures that are behind")?;
            let Page { ids, next } = page.unwrap_or_default();
            for event_id in ids {
                self.refresh_sales(event_id, None).await;
            }
            place = next;
        }
        ControlFlow::Continue(())
    }

    async fn refresh_sales(&self, event_id: Uuid, sold: Option<Timestamp>) {
        if let Err(error) = self.store.refresh_sales(event_id, sold).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(%event_id, error, "sales figures are behind");
        }
    }
}

/// Tells what failed and goes on without it, unless the breaker is open.
fn go_on<T>(result: Result<T, StoreError>, work: impl fmt::Display) -> ControlFlow<(), Option<T>> {
    match result {
        Ok(done) => ControlFlow::Continue(Some(done)),
        Err(StoreError::Rejected) => ControlFlow::Break(()),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "upkeep failed at {work}; the next round tries again");
            ControlFlow::Continue(None)
        }
    }
}
