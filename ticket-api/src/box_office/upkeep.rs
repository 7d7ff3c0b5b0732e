//! What the box office does by itself: it frees seats, finishes orders that were left half done, and keeps figures true.

use super::BoxOffice;
use crate::{
    bus::Message,
    domain::{OrderStatus, Outcome},
    payments::GatewayError,
    store::StoreError,
    timestamp::Timestamp,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

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
                if let Err(error) = self.upkeep().await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "upkeep was cut short; the next round goes on");
                }
            }
        };
        tokio::select! {
            () = stop => {}
            () = rounds => {}
        }
    }

    /// Takes a batch of messages from the bus: brings sales figures up to date, each event's once.
    pub(crate) async fn consume(self: Arc<Self>, messages: Vec<Message>) {
        let mut sold = BTreeSet::new();
        for message in messages {
            match message {
                Message::TicketsIssued { order_id, event_id } => {
                    tracing::info!(%order_id, "tickets are ready");
                    sold.insert(event_id);
                }
                Message::PaymentRefused { order_id } => tracing::info!(%order_id, "payment was refused"),
                Message::OrderCreated { order_id } => tracing::debug!(%order_id, "order was created"),
                Message::PaymentApproved { order_id } => tracing::debug!(%order_id, "payment was approved"),
            }
        }
        self.refresh_sales(sold).await;
    }

    /// Sets the gauge of valid tickets to what the database says.
    pub(crate) async fn refresh_active_tickets(&self) -> Result<(), StoreError> {
        self.metrics.tickets_active.refresh(&self.store).await
    }

    async fn upkeep(&self) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let expired = self.store.expire_reservations(None).await?;
        if expired > 0 {
            tracing::info!(expired, "reservations expired");
        }
        for order_id in
            self.store.orders_left(OrderStatus::Paid.as_str(), now.minus(self.settings.upkeep_interval)).await?
        {
            self.issue_tickets(self.store.order(order_id).await?).await;
        }
        for order_id in
            self.store.orders_left(OrderStatus::Pending.as_str(), now.minus(self.settings.pending_time)).await?
        {
            self.reconcile(order_id).await?;
        }
        self.refresh_sales(self.store.stale_sales(now.minus(SALES_LOOKBACK)).await?).await;
        self.refresh_active_tickets().await
    }

    /// Finds out what became of an order whose payment was never settled: its answer was lost, or the process ended.
    async fn reconcile(&self, order_id: Uuid) -> Result<(), StoreError> {
        let outcome = match self.payments.find(order_id).await {
            Ok(Some(approval)) => Outcome::Approved { reference: approval.reference },
            Ok(None) | Err(GatewayError::Declined { .. }) => Outcome::Failed,
            Err(GatewayError::Unavailable | GatewayError::Unanswered) => return Ok(()),
        };
        tracing::info!(%order_id, ?outcome, "order without an outcome was settled");
        self.settle(order_id, &outcome, None).await.map(|_| ())
    }

    async fn refresh_sales(&self, events: impl IntoIterator<Item = Uuid>) {
        for event_id in events {
            if let Err(error) = self.store.refresh_sales(event_id).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(%event_id, error, "sales figures are behind");
            }
        }
    }
}
