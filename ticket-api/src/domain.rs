//! What can happen to events, reservations and orders, kept as facts, and the order that an order's facts add up to.

use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// A fact in the event store. The tag is the `type` column; a variant or field once stored keeps its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum DomainEvent {
    EventCreated {
        name: String,
        starts_at: Timestamp,
        capacity: i64,
        price_cents: i64,
    },
    SeatsReserved {
        event_id: Uuid,
        quantity: i64,
        expires_at: Timestamp,
    },
    ReservationExpired,
    OrderCreated {
        reservation_id: Uuid,
        event_id: Uuid,
        quantity: i64,
        amount_cents: i64,
    },
    PaymentApproved {
        reference: String,
    },
    PaymentDeclined {
        reason: String,
    },
    /// The provider was not reached: nothing was charged.
    PaymentFailed,
    /// The money came when the seats were gone.
    RefundDue {
        reference: String,
    },
    TicketsIssued {
        ticket_ids: Vec<Uuid>,
    },
}

/// One stream of the event store: the life of one thing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Event(Uuid),
    Reservation(Uuid),
    Order(Uuid),
}

/// A fact with its place in its stream.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) version: i64,
    pub(crate) at: Timestamp,
    pub(crate) event: DomainEvent,
}

/// An order as its facts add up to it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) reservation_id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) quantity: i64,
    pub(crate) amount_cents: i64,
    pub(crate) status: OrderStatus,
    pub(crate) refusal: Option<String>,
    pub(crate) ticket_ids: Vec<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// The payment's outcome is not known yet.
    Pending,
    /// Paid; the tickets follow.
    Paid,
    /// Paid, and the tickets are issued.
    Issued,
    /// The payment was declined. While the reservation lasts the buyer may order again.
    Declined,
    /// The payment provider was not reached and nothing was charged. While the reservation lasts the buyer may order again.
    Failed,
    /// Paid when the seats were gone already; the money goes back.
    RefundDue,
}

/// How an order's payment ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Approved { reference: String },
    Declined { reason: String },
    Failed,
}

/// Why a request cannot be met, though everything works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such event.
    #[error("there is no event with this id")]
    NoSuchEvent,
    /// There is no such reservation.
    #[error("there is no reservation with this id")]
    NoSuchReservation,
    /// There is no such order.
    #[error("there is no order with this id")]
    NoSuchOrder,
    /// Fewer seats are free than were asked for.
    #[error("not enough seats are free")]
    SoldOut,
    /// The reservation's time is over.
    #[error("the reservation has expired: make a new one")]
    ReservationExpired,
    /// Another order on the reservation is being charged.
    #[error("an order on this reservation is being paid: look at it before you try again")]
    OrderInProgress {
        /// That order.
        order_id: Uuid,
    },
}

// === impl Stream ===

impl fmt::Display for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(id) => write!(formatter, "event-{id}"),
            Self::Reservation(id) => write!(formatter, "reservation-{id}"),
            Self::Order(id) => write!(formatter, "order-{id}"),
        }
    }
}

// === impl Order ===

impl Order {
    /// Adds up an order's stream; `None` when it does not begin with the order's creation.
    pub(crate) fn replay(id: Uuid, history: Vec<Recorded>) -> Option<Self> {
        let mut history = history.into_iter();
        let Recorded { version, at, event } = history.next()?;
        let DomainEvent::OrderCreated { reservation_id, event_id, quantity, amount_cents } = event else {
            return None;
        };
        let mut order = Self {
            id,
            version,
            reservation_id,
            event_id,
            quantity,
            amount_cents,
            status: OrderStatus::Pending,
            refusal: None,
            ticket_ids: Vec::new(),
            created_at: at,
            updated_at: at,
        };
        history.for_each(|recorded| order.apply(recorded));
        Some(order)
    }

    fn apply(&mut self, recorded: Recorded) {
        self.version = recorded.version;
        self.updated_at = recorded.at;
        match recorded.event {
            DomainEvent::PaymentApproved { .. } => (self.status, self.refusal) = (OrderStatus::Paid, None),
            DomainEvent::PaymentDeclined { reason } => {
                (self.status, self.refusal) = (OrderStatus::Declined, Some(reason));
            }
            DomainEvent::PaymentFailed => self.status = OrderStatus::Failed,
            DomainEvent::RefundDue { .. } => self.status = OrderStatus::RefundDue,
            DomainEvent::TicketsIssued { ticket_ids } => {
                (self.status, self.ticket_ids) = (OrderStatus::Issued, ticket_ids);
            }
            DomainEvent::EventCreated { .. }
            | DomainEvent::SeatsReserved { .. }
            | DomainEvent::ReservationExpired
            | DomainEvent::OrderCreated { .. } => {}
        }
    }

    /// The fact that a payment's outcome makes of this order, if it makes any: providers repeat themselves and come late.
    ///
    /// `seats_held` tells whether the order's seats are still set aside for it.
    pub(crate) fn settle(&self, outcome: Outcome, seats_held: bool) -> Option<DomainEvent> {
        match (self.status, outcome) {
            (OrderStatus::Paid | OrderStatus::Issued | OrderStatus::RefundDue, _) => None,
            (_, Outcome::Approved { reference }) if seats_held => Some(DomainEvent::PaymentApproved { reference }),
            (_, Outcome::Approved { reference }) => Some(DomainEvent::RefundDue { reference }),
            (OrderStatus::Pending, Outcome::Declined { reason }) => Some(DomainEvent::PaymentDeclined { reason }),
            (OrderStatus::Pending, Outcome::Failed) => Some(DomainEvent::PaymentFailed),
            (OrderStatus::Declined | OrderStatus::Failed, _) => None,
        }
    }
}

// === impl OrderStatus ===

impl OrderStatus {
    /// The value in the `orders` table, which is also the one in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Issued => "issued",
            Self::Declined => "declined",
            Self::Failed => "failed",
            Self::RefundDue => "refund_due",
        }
    }
}
