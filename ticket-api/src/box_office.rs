//! Selling tickets: the steps from a reservation over the payment to the tickets, and what is counted on the way.

use std::sync::Arc;

use futura_metrics::{
    Counter, Histogram, Metrics, RegisterError,
    specs::business::{
        ORDER_PROCESSING_DURATION_SECONDS, ORDERS_CREATED_TOTAL, TICKET_GENERATION_FAILURES_TOTAL, TICKETS_ACTIVE_TOTAL,
    },
};
use uuid::Uuid;

use self::active_tickets::ActiveTickets;
use crate::{
    bus::{Bus, Message},
    domain::{Brief, Caller, DomainEvent, Order, OrderStatus, Outcome, Refusal},
    payments::{Charge, GatewayError, Payments},
    resilience::BreakerState,
    secret::Secret,
    settings::Settings,
    store::{Settled, Started, Store, StoreError},
    timestamp::Timestamp,
};

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
    /// The payment was approved when the seats were gone: the money goes back.
    RefundDue(Order),
    /// The reservation was paid before, by this order.
    Repeated(Order),
    Declined(Order),
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
            tickets_active: ActiveTickets::new(metrics.gauge(TICKETS_ACTIVE_TOTAL)?, settings.ticket_count_interval),
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
    pub(crate) async fn reserve(
        &self,
        event_id: Uuid,
        quantity: i64,
        caller: &Caller,
    ) -> Result<(Uuid, Timestamp), StoreError> {
        let expires_at = Timestamp::now().plus(self.settings.reservation_time);
        Ok((self.store.reserve(event_id, quantity, expires_at, caller).await?, expires_at))
    }

    /// Orders and pays a reservation of the caller's. Once begun it should be let finish: the money is on the way.
    pub(crate) async fn purchase(
        &self,
        reservation_id: Uuid,
        caller: &Caller,
        token: Secret,
    ) -> Result<Purchase, StoreError> {
        let order = match self.store.start_order(reservation_id, caller).await? {
            Started::New(order) => order,
            Started::Paid(order) => return Ok(Purchase::Repeated(order)),
        };
        self.metrics.orders_created.inc();
        self.bus.publish(Message::OrderCreated { order_id: order.id });
        let charge = Charge { order_id: order.id, amount_cents: order.amount_cents, token };
        let outcome = match self.payments.charge(&charge).await {
            Ok(approval) => approval.into(),
            Err(GatewayError::Declined { reason }) => Outcome::Declined { reason },
            Err(GatewayError::Unavailable) => Outcome::Failed,
            Err(GatewayError::Unanswered) => return Ok(Purchase::Unknown(order)),
        };
        // A webhook or the upkeep may have settled the order meanwhile: what it is now is the answer.
        self.settle(order.id, &outcome, None).await.map(Purchase::of)
    }

    /// Writes down how a payment ended, and issues the tickets of a paid order.
    pub(crate) async fn settle(
        &self,
        order_id: Uuid,
        outcome: &Outcome,
        delivery: Option<&str>,
    ) -> Result<Order, StoreError> {
        let Settled { order, before, fact } =
            self.store.settle(order_id, outcome, self.settings.currency, delivery).await?;
        // Of a payment that we began, the attempt was counted when it began.
        let late = delivery.is_some() && before != OrderStatus::Pending;
        match fact {
            None => return Ok(order),
            Some(DomainEvent::PaymentApproved { .. }) => {
                self.payments.count_approval(late);
                self.bus.publish(Message::PaymentApproved { order_id });
                return Ok(self.issue_tickets(order).await);
            }
            Some(DomainEvent::RefundDue { reference }) => {
                self.payments.count_approval(late);
                tell_refund(&order, before, &reference);
            }
            Some(_) => {
                tracing::info!(order = %Brief(order_id), "payment was refused");
                self.bus.publish(Message::PaymentRefused { order_id });
            }
        }
        if order.status != before {
            self.metrics.order_duration.observe_duration(order.created_at.elapsed());
        }
        Ok(order)
    }

    /// Issues the tickets of a paid order. When that fails the order stays paid and the upkeep tries again.
    async fn issue_tickets(&self, order: Order) -> Order {
        let issuing = self.metrics.tickets_active.begin_issuing();
        match self.store.issue_tickets(order.id).await {
            Ok((issued, true)) => {
                issuing.issued(issued.ticket_ids.len());
                self.metrics.order_duration.observe_duration(issued.created_at.elapsed());
                tracing::info!(order = %Brief(issued.id), "tickets are ready");
                self.bus.publish(Message::TicketsIssued { order_id: issued.id, event_id: issued.event_id });
                issued
            }
            Ok((issued, false)) => issued,
            Err(error) => {
                self.metrics.ticket_failures.inc();
                let error: &dyn std::error::Error = &error;
                tracing::error!(order = %Brief(order.id), error, "tickets of a paid order were not issued; they will be tried again");
                order
            }
        }
    }

    /// Reads an order of the caller's; somebody else's is as good as none.
    pub(crate) async fn order(&self, id: Uuid, caller: &Caller) -> Result<Order, StoreError> {
        let order = self.store.order(id).await?;
        if caller.may_touch(order.owner.as_deref()) { Ok(order) } else { Err(Refusal::NoSuchOrder.into()) }
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

// === impl Purchase ===

impl Purchase {
    /// How a purchase ended whose order was settled.
    fn of(order: Order) -> Self {
        match order.status {
            OrderStatus::Paid | OrderStatus::Issued => Self::Completed(order),
            OrderStatus::RefundDue => Self::RefundDue(order),
            OrderStatus::Declined => Self::Declined(order),
            OrderStatus::Failed => Self::Unavailable(order),
            OrderStatus::Pending => Self::Unknown(order),
        }
    }
}

/// Someone must send the money back; the reference finds the payment at the provider.
fn tell_refund(order: &Order, before: OrderStatus, reference: &str) {
    let (id, before, amount_cents) = (Brief(order.id), before.as_str(), order.amount_cents);
    tracing::error!(order = %id, before, reference, amount_cents, "payment came that its order cannot take: refund it");
}
