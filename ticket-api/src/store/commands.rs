//! What changes the store. Each command is one transaction, tried again as a whole when another writer was faster.

use sqlx::Row;
use uuid::Uuid;

use super::{Place, Store, StoreError, Unit, queries};
use crate::{
    domain::{Brief, Caller, Currency, DomainEvent, Money, Order, OrderStatus, Outcome, Refusal, Stream},
    timestamp::Timestamp,
};

/// What came of an order on a reservation.
#[derive(Debug)]
pub(crate) enum Started {
    /// The order is new and the seats are set aside for it: charge it.
    New(Order),
    /// The reservation was paid by this order before.
    Paid(Order),
}

/// What a payment's outcome changed.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The order now.
    pub(crate) order: Order,
    /// Its status before.
    pub(crate) before: OrderStatus,
    /// The fact that was written down; `None` when the outcome was known, or nothing new follows from it.
    pub(crate) fact: Option<DomainEvent>,
}

// === impl Store ===

impl Store {
    /// Creates an event from its first fact.
    pub(crate) async fn create_event(&self, created: &DomainEvent) -> Result<Uuid, StoreError> {
        // Version 7: ids in order of creation, which is the order of the listing.
        let create = || async {
            let (mut unit, id) = (self.begin().await?, Uuid::now_v7());
            unit.append(Stream::Event(id), 0, created).await?;
            unit.commit().await?;
            Ok(id)
        };
        self.call(create).await
    }

    /// Takes seats for a time. Where none are free, reservations whose time is over make room first.
    pub(crate) async fn reserve(
        &self,
        event_id: Uuid,
        quantity: i64,
        expires_at: Timestamp,
        caller: &Caller,
    ) -> Result<Uuid, StoreError> {
        let reserve = || async {
            // Version 4: whoever knows the id may order on it, so it must not be guessed.
            let (mut unit, id) = (self.begin().await?, Uuid::new_v4());
            let owner = caller.owner();
            let reserved = DomainEvent::SeatsReserved { event_id, quantity, expires_at, owner };
            unit.append(Stream::Reservation(id), 0, &reserved).await?;
            unit.commit().await?;
            Ok(id)
        };
        let reserved = self.call(reserve).await;
        if !matches!(reserved, Err(StoreError::Refused(Refusal::SoldOut)))
            || self.expire_reservations(Some(event_id), &Place::default()).await?.0 == 0
        {
            return reserved;
        }
        self.call(reserve).await
    }

    /// Frees the seats of reservations whose time is over, a bounded number at once; tells how many, and where to go on.
    ///
    /// One that cannot be freed does not keep the others from it.
    pub(crate) async fn expire_reservations(
        &self,
        event_id: Option<Uuid>,
        after: &Place,
    ) -> Result<(usize, Option<Place>), StoreError> {
        let due = self.due_reservations(event_id, Timestamp::now(), after).await?;
        let mut expired = 0;
        for id in due.ids {
            match self.expire_reservation(id).await {
                Ok(()) => expired += 1,
                Err(StoreError::Rejected) => return Err(StoreError::Rejected),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(reservation = %Brief(id), error, "seats of an expired reservation were not freed");
                }
            }
        }
        Ok((expired, due.next))
    }

    async fn expire_reservation(&self, id: Uuid) -> Result<(), StoreError> {
        let expire = || async {
            let mut unit = self.begin().await?;
            match unit.append(Stream::Reservation(id), 1, &DomainEvent::ReservationExpired).await {
                // An order claimed it, or another process freed it.
                Err(StoreError::Conflict) => Ok(()),
                Err(error) => Err(error),
                Ok(()) => unit.commit().await,
            }
        };
        self.call(expire).await
    }

    /// Begins an order on a reservation of the caller's, or finds the one that paid for it.
    pub(crate) async fn start_order(&self, reservation_id: Uuid, caller: &Caller) -> Result<Started, StoreError> {
        let start = || async {
            let mut unit = self.begin().await?;
            let row = queries::reservation(reservation_id).fetch_optional(&mut *unit.transaction).await?;
            let row = row.ok_or(Refusal::NoSuchReservation)?;
            let owner: Option<String> = row.try_get("owner")?;
            if !caller.may_touch(owner.as_deref()) {
                return Err(Refusal::NoSuchReservation.into());
            }
            let order_id =
                row.try_get::<Option<String>, _>("order_id")?.map(|id| queries::parse_id(&id)).transpose()?;
            let expired = row.try_get::<i64, _>("expires_at_ms")? <= Timestamp::now().as_millis();
            match (row.try_get::<String, _>("status")?.as_str(), order_id) {
                ("paid", Some(order_id)) => return unit.order(order_id).await.map(Started::Paid),
                ("paying", Some(order_id)) => return Err(Refusal::OrderInProgress { order_id }.into()),
                ("active", _) if !expired => {}
                _ => return Err(Refusal::ReservationExpired.into()),
            }
            let quantity: i64 = row.try_get("quantity")?;
            let created = DomainEvent::OrderCreated {
                reservation_id,
                event_id: queries::parse_id(row.try_get("event_id")?)?,
                quantity,
                amount_cents: quantity * row.try_get::<i64, _>("price_cents")?,
                owner,
            };
            let id = Uuid::new_v4();
            unit.append(Stream::Order(id), 0, &created).await?;
            let order = unit.order(id).await?;
            unit.commit().await?;
            Ok(Started::New(order))
        };
        self.call(start).await
    }

    /// Writes down how an order's payment ended. `delivery` is the webhook that says so: one that came before is ignored.
    ///
    /// Orders are in `currency`, and an approval of anything but their amount is refused.
    pub(crate) async fn settle(
        &self,
        id: Uuid,
        outcome: &Outcome,
        currency: Currency,
        delivery: Option<&str>,
    ) -> Result<Settled, StoreError> {
        let settle = || async {
            let mut unit = self.begin().await?;
            let order = unit.order(id).await?;
            let before = order.status;
            outcome.check(Money { cents: order.amount_cents, currency })?;
            if let Some(delivery) = delivery
                && !unit.claim_delivery(delivery).await?
            {
                return Ok(Settled { order, before, fact: None });
            }
            let seats_held = order.status == OrderStatus::Pending || unit.is_open(order.reservation_id).await?;
            let Some(fact) = order.settle(outcome, seats_held) else {
                unit.commit().await?;
                return Ok(Settled { order, before, fact: None });
            };
            unit.append(Stream::Order(id), order.version, &fact).await?;
            let order = unit.order(id).await?;
            unit.commit().await?;
            Ok(Settled { order, before, fact: Some(fact) })
        };
        self.call(settle).await
    }

    /// Issues a paid order's tickets, once; tells whether this call did.
    pub(crate) async fn issue_tickets(&self, id: Uuid) -> Result<(Order, bool), StoreError> {
        let issue = || async {
            let mut unit = self.begin().await?;
            let order = unit.order(id).await?;
            if order.status != OrderStatus::Paid {
                return Ok((order, false));
            }
            let ticket_ids = (0..order.quantity).map(|_| Uuid::new_v4()).collect();
            unit.append(Stream::Order(id), order.version, &DomainEvent::TicketsIssued { ticket_ids }).await?;
            let order = unit.order(id).await?;
            unit.commit().await?;
            Ok((order, true))
        };
        self.call(issue).await
    }

    /// Adds up an event's sales anew, so that a lost or repeated message does no harm; one of an event that is not in this
    /// database, as a shared broker may bring, does none either. With `sold` it does so unless it was done after that.
    pub(crate) async fn refresh_sales(&self, event_id: Uuid, sold: Option<Timestamp>) -> Result<(), StoreError> {
        let refresh = || async {
            let newer = sqlx::query("SELECT event_id FROM event_sales WHERE event_id = $1 AND updated_at_ms > $2");
            if let Some(sold) = sold
                && newer.bind(event_id.to_string()).bind(sold.as_millis()).fetch_optional(self.pool()).await?.is_some()
            {
                return Ok(());
            }
            let upsert = sqlx::query(
                "INSERT INTO event_sales (event_id, orders, tickets, revenue_cents, updated_at_ms) \
                 SELECT $1, COUNT(*), CAST(COALESCE(SUM(quantity), 0) AS BIGINT), CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT), $2 \
                 FROM orders WHERE event_id = $1 AND status IN ('paid', 'issued') \
                 HAVING EXISTS (SELECT 1 FROM events WHERE id = $1) \
                 ON CONFLICT (event_id) DO UPDATE SET orders = excluded.orders, tickets = excluded.tickets, \
                 revenue_cents = excluded.revenue_cents, updated_at_ms = excluded.updated_at_ms",
            );
            upsert.bind(event_id.to_string()).bind(Timestamp::now().as_millis()).execute(self.pool()).await?;
            Ok(())
        };
        self.call(refresh).await
    }
}

// === impl Unit ===

impl Unit<'_> {
    /// Whether the delivery is new.
    async fn claim_delivery(&mut self, id: &str) -> Result<bool, StoreError> {
        let insert = sqlx::query(
            "INSERT INTO webhook_deliveries (id, received_at_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
        );
        let insert = insert.bind(id.to_owned()).bind(Timestamp::now().as_millis());
        Ok(insert.execute(&mut *self.transaction).await?.rows_affected() == 1)
    }

    /// Whether a reservation's seats are set aside and no order has them.
    async fn is_open(&mut self, reservation_id: Uuid) -> Result<bool, StoreError> {
        let row = queries::reservation(reservation_id).fetch_optional(&mut *self.transaction).await?;
        let status: Option<String> = row.map(|row| row.try_get("status")).transpose()?;
        Ok(status.as_deref() == Some("active"))
    }
}
