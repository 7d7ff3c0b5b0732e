//! What can happen to events, reservations and orders, kept as facts, and the order that an order's facts add up to.

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::timestamp::Timestamp;

/// The longest id of a user, in characters.
pub(crate) const USER_ID_LIMIT: usize = 128;

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
        /// Whose seats they are; nobody's in particular when the API ran open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    ReservationExpired,
    OrderCreated {
        reservation_id: Uuid,
        event_id: Uuid,
        quantity: i64,
        amount_cents: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    PaymentApproved {
        reference: String,
    },
    PaymentDeclined {
        reason: String,
    },
    /// The provider was not reached: nothing was charged.
    PaymentFailed,
    /// Money came that the order cannot take: its seats were gone, or it was paid already.
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

/// Who asks for something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The API runs open: whoever reached it may do everything.
    Anyone,
    /// The subject of a token that was checked.
    User(String),
}

/// An order as its facts add up to it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) owner: Option<String>,
    pub(crate) reservation_id: Uuid,
    pub(crate) event_id: Uuid,
    pub(crate) quantity: i64,
    pub(crate) amount_cents: i64,
    pub(crate) status: OrderStatus,
    pub(crate) refusal: Option<String>,
    /// The provider's ids of the payments that were approved, those to be refunded included.
    pub(crate) payments: Vec<String>,
    pub(crate) ticket_ids: Vec<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderStatus {
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
    Approved {
        reference: String,
        /// What was paid, where somebody else says so than the provider that we asked for the order's amount.
        received: Option<Money>,
    },
    Declined {
        reason: String,
    },
    Failed,
}

/// An amount in the smallest unit of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) cents: i64,
    pub(crate) currency: Currency,
}

/// A currency's three letters, in lower case as payment providers write them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

/// An id as logs show it: enough to find the record by, and not enough to ask the API for it.
pub(crate) struct Brief(pub(crate) Uuid);

/// Why a request cannot be met, though everything works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
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
    /// The payment is not the one that the order asks for.
    #[error("the payment is of {received} and the order of {expected}, in the currency's smallest unit")]
    WrongPayment {
        /// What the order costs.
        expected: Money,
        /// What was paid.
        received: Money,
    },
}

/// Whether a text may be a user's id.
pub(crate) fn is_user_id(text: &str) -> bool {
    (1..=USER_ID_LIMIT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
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

// === impl Caller ===

impl Caller {
    /// Whether this caller may touch what belongs to `owner`.
    pub(crate) fn may_touch(&self, owner: Option<&str>) -> bool {
        match self {
            Self::Anyone => true,
            Self::User(user) => owner == Some(user),
        }
    }

    /// To whom belongs what this caller makes.
    pub(crate) fn owner(&self) -> Option<String> {
        match self {
            Self::Anyone => None,
            Self::User(user) => Some(user.clone()),
        }
    }
}

// === impl Order ===

impl Order {
    /// Adds up an order's stream; `None` when it does not begin with the order's creation.
    pub(crate) fn replay(id: Uuid, history: Vec<Recorded>) -> Option<Self> {
        let mut history = history.into_iter();
        let Recorded { version, at, event } = history.next()?;
        let DomainEvent::OrderCreated { reservation_id, event_id, quantity, amount_cents, owner } = event else {
            return None;
        };
        let mut order = Self {
            id,
            version,
            owner,
            reservation_id,
            event_id,
            quantity,
            amount_cents,
            status: OrderStatus::Pending,
            refusal: None,
            payments: Vec::new(),
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
            DomainEvent::PaymentApproved { reference } => {
                (self.status, self.refusal) = (OrderStatus::Paid, None);
                self.payments.push(reference);
            }
            DomainEvent::PaymentDeclined { reason } => {
                (self.status, self.refusal) = (OrderStatus::Declined, Some(reason));
            }
            DomainEvent::PaymentFailed => self.status = OrderStatus::Failed,
            DomainEvent::RefundDue { reference } => {
                // A second payment does not undo the first.
                if !self.is_paid() {
                    self.status = OrderStatus::RefundDue;
                }
                self.payments.push(reference);
            }
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
    pub(crate) fn settle(&self, outcome: &Outcome, seats_held: bool) -> Option<DomainEvent> {
        match outcome {
            Outcome::Approved { reference, .. } if self.payments.contains(reference) => None,
            Outcome::Approved { reference, .. } => {
                let reference = reference.clone();
                let is_final = self.is_paid() || self.status == OrderStatus::RefundDue;
                Some(if seats_held && !is_final {
                    DomainEvent::PaymentApproved { reference }
                } else {
                    DomainEvent::RefundDue { reference }
                })
            }
            _ if self.status != OrderStatus::Pending => None,
            Outcome::Declined { reason } => Some(DomainEvent::PaymentDeclined { reason: reason.clone() }),
            Outcome::Failed => Some(DomainEvent::PaymentFailed),
        }
    }

    pub(crate) fn is_paid(&self) -> bool {
        matches!(self.status, OrderStatus::Paid | OrderStatus::Issued)
    }
}

// === impl Outcome ===

impl Outcome {
    /// An approval is refused unless it is of what the order costs.
    pub(crate) fn check(&self, expected: Money) -> Result<(), Refusal> {
        match self {
            Self::Approved { received: Some(received), .. } if *received != expected => {
                Err(Refusal::WrongPayment { expected, received: *received })
            }
            _ => Ok(()),
        }
    }
}

// === impl Money ===

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.cents, self.currency)
    }
}

// === impl Currency ===

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"usd");
}

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_alphabetic));
        Ok(Self(
            letters
                .ok_or("a currency's three letters (ISO 4217), such as eur")?
                .map(|letter| letter.to_ascii_lowercase()),
        ))
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|expected| D::Error::custom(format_args!("expected {expected}")))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|letter| formatter.write_char(char::from(*letter)))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

// === impl Brief ===

impl fmt::Display for Brief {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The 90 random bits that are left cannot be guessed.
        write!(formatter, "{:08x}", self.0.as_fields().0)
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
