//! Selling tickets: the steps from a reservation over the payment to the tickets, and what is counted on the way.

use self::active_tickets::ActiveTickets;
use crate::{
    bus::{Bus, Message},
    domain::{DomainEvent, Order, OrderStatus, Outcome},
    payments::{Charge, GatewayError, Payments},
    resilience::BreakerState,
    secret::Secret,
    settings::Settings,
    store::{Settled, Started, Store, StoreError},
    timestamp::Timestamp,
};
use futura_metrics::{
    Counter, Histogram, Metrics, RegisterError,
    specs::business::{
        ORDER_PROCESSING_DURATION_SECONDS, ORDERS_CREATED_TOTAL, TICKET_GENERATION_FAILURES_TOTAL, TICKETS_ACTIVE_TOTAL,
    },
};
use std::sync::Arc;
use uuid::Uuid;

mod active_tickets;
mod upkeep;

/// Sells tickets.
#[derive(Debug)]
pub(crate) struct BoxOffice {
    store: Arc<Store>,
    payments: Payments,
    bus: Bus,
    settings: Settings,
    metrics: BoxOfficeMetrics,
}

/// How a purchase ended.
#[derive(Debug)]
pub(crate) enum Purchase {
    /// The order is paid; its tickets are issued, or follow when that failed.
    Completed(Order),
    /// The reservation was paid before, by this order.
    Repeated(Order),
    Declined {
        order: Order,
        reason: String,
    },
    /// The provider was not reached, nothing was charged.
    Unavailable(Order),
    /// Nobody knows yet whether the provider charged.
    Unknown(Order),
}

#[derive(Debug)]
struct BoxOfficeMetrics {
    orders_created: Counter,
    tickets_active: ActiveTickets,
    ticket_failures: Counter,
    order_duration: Histogram,
}

// === impl BoxOffice ===

impl BoxOffice {
    pub(crate) fn new(
        store: Arc<Store>,
        payments: Payments,
        bus: Bus,
        settings: Settings,
        metrics: &Metrics,
    ) -> Result<Self, RegisterError> {
        let metrics = BoxOfficeMetrics {
            orders_created: metrics.counter(ORDERS_CREATED_TOTAL)?,
            tickets_active: ActiveTickets::new(metrics.gauge(TICKETS_ACTIVE_TOTAL)?),
            ticket_failures: metrics.counter(TICKET_GENERATION_FAILURES_TOTAL)?,
            order_duration: metrics.histogram(ORDER_PROCESSING_DURATION_SECONDS)?,
        };
        Ok(Self { store, payments, bus, settings, metrics })
    }

    pub(crate) async fn create_event(
        &self,
        name: String,
        starts_at: Timestamp,
        capacity: i64,
        price_cents: i64,
    ) -> Result<Uuid, StoreError> {
        self.store.create_event(&DomainEvent::EventCreated { name, starts_at, capacity, price_cents }).await
    }

    /// Takes seats of an event for a time, which it also tells.
    pub(crate) async fn reserve(&self, event_id: Uuid, quantity: i64) -> Result<(Uuid, Timestamp), StoreError> {
        let expires_at = Timestamp::now().plus(self.settings.reservation_time);
        Ok((self.store.reserve(event_id, quantity, expires_at).await?, expires_at))
    }

    /// Orders and pays a reservation. Once begun it should be let finish: the buyer's money is on the way.
    pub(crate) async fn purchase(&self, reservation_id: Uuid, token: Secret) -> Result<Purchase, StoreError> {
        let order = match self.store.start_order(reservation_id).await? {
            Started::New(order) => order,
            Started::Paid(order) => return Ok(Purchase::Repeated(order)),
        };
        self.metrics.orders_created.inc();
        self.bus.publish(Message::OrderCreated { order_id: order.id });
        let charge = Charge { order_id: order.id, amount_cents: order.amount_cents, token };
        match self.payments.charge(&charge).await {
            Ok(approval) => {
                let approved = Outcome::Approved { reference: approval.reference };
                self.settle(order.id, &approved, None).await.map(Purchase::Completed)
            }
            Err(GatewayError::Declined { reason }) => {
                let declined = Outcome::Declined { reason: reason.clone() };
                let order = self.settle(order.id, &declined, None).await?;
                Ok(Purchase::Declined { order, reason })
            }
            Err(GatewayError::Unavailable) => {
                self.settle(order.id, &Outcome::Failed, None).await.map(Purchase::Unavailable)
            }
            Err(GatewayError::Unanswered) => Ok(Purchase::Unknown(order)),
        }
    }

    /// Writes down how a payment ended, and issues the tickets of a paid order.
    pub(crate) async fn settle(
        &self,
        order_id: Uuid,
        outcome: &Outcome,
        delivery: Option<&str>,
    ) -> Result<Order, StoreError> {
        let Settled { order, changed_from } = self.store.settle(order_id, outcome, delivery).await?;
        let Some(changed_from) = changed_from else {
            return Ok(order);
        };
        match order.status {
            OrderStatus::Paid => {
                self.payments.count_approval(changed_from != OrderStatus::Pending);
                self.bus.publish(Message::PaymentApproved { order_id });
                return Ok(self.issue_tickets(order).await);
            }
            OrderStatus::RefundDue => {
                self.payments.count_approval(true);
                tracing::error!(%order_id, "payment came when the seats were gone: refund it");
            }
            _ => self.bus.publish(Message::PaymentRefused { order_id }),
        }
        self.metrics.order_duration.observe_duration(order.created_at.elapsed());
        Ok(order)
    }

    /// Issues the tickets of a paid order. When that fails the order stays paid and the upkeep tries again.
    async fn issue_tickets(&self, order: Order) -> Order {
        let issuing = self.metrics.tickets_active.begin_issuing();
        match self.store.issue_tickets(order.id).await {
            Ok((issued, true)) => {
                issuing.issued(issued.ticket_ids.len());
                self.metrics.order_duration.observe_duration(issued.created_at.elapsed());
                self.bus.publish(Message::TicketsIssued { order_id: issued.id, event_id: issued.event_id });
                issued
            }
            Ok((issued, false)) => issued,
            Err(error) => {
                self.metrics.ticket_failures.inc();
                let error: &dyn std::error::Error = &error;
                tracing::error!(order_id = %order.id, error, "tickets of a paid order were not issued; they will be tried again");
                order
            }
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The state of each breaker.
    pub(crate) fn breakers(&self) -> [BreakerState; 2] {
        [self.store.guard().state(), self.payments.guard().state()]
    }
}
