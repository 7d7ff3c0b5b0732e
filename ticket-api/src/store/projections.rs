//! What each fact changes in the tables that are read. A guard in an UPDATE decides where two requests race for the same row.

use sqlx::{AnyConnection, Row};
use uuid::Uuid;

use super::StoreError;
use crate::{
    domain::{DomainEvent, OrderStatus, Refusal, Stream},
    timestamp::Timestamp,
};

/// Projects one fact, in the transaction that appends it.
pub(super) async fn apply(
    connection: &mut AnyConnection,
    stream: Stream,
    event: &DomainEvent,
    at: Timestamp,
) -> Result<(), StoreError> {
    match (stream, event) {
        (Stream::Event(id), DomainEvent::EventCreated { name, starts_at, capacity, price_cents }) => {
            let insert = sqlx::query(
                "INSERT INTO events (id, name, starts_at_ms, capacity, price_cents, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
            );
            let insert = insert.bind(id.to_string()).bind(name.clone()).bind(starts_at.as_millis());
            insert.bind(*capacity).bind(*price_cents).bind(at.as_millis()).execute(connection).await?;
            Ok(())
        }
        (Stream::Reservation(id), DomainEvent::SeatsReserved { event_id, quantity, expires_at, owner }) => {
            take_seats(connection, *event_id, *quantity).await?;
            let insert = sqlx::query(
                "INSERT INTO reservations (id, event_id, quantity, status, expires_at_ms, owner) VALUES ($1, $2, $3, 'active', $4, $5)",
            );
            let insert = insert.bind(id.to_string()).bind(event_id.to_string()).bind(*quantity);
            insert.bind(expires_at.as_millis()).bind(owner.clone()).execute(connection).await?;
            Ok(())
        }
        (Stream::Reservation(id), DomainEvent::ReservationExpired) => expire(connection, id).await,
        (Stream::Order(id), event) => apply_to_order(connection, id, event, at).await,
        (stream, event) => Err(super::corrupt(format!("{event:?} does not belong into {stream}"))),
    }
}

async fn apply_to_order(
    connection: &mut AnyConnection,
    id: Uuid,
    event: &DomainEvent,
    at: Timestamp,
) -> Result<(), StoreError> {
    match event {
        DomainEvent::OrderCreated { reservation_id, event_id, quantity, amount_cents, .. } => {
            claim(connection, *reservation_id, id, at).await?;
            let insert = sqlx::query(
                "INSERT INTO orders (id, reservation_id, event_id, quantity, amount_cents, status, updated_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, 'pending', $6)",
            );
            let insert = insert.bind(id.to_string()).bind(reservation_id.to_string()).bind(event_id.to_string());
            insert.bind(*quantity).bind(*amount_cents).bind(at.as_millis()).execute(connection).await?;
            Ok(())
        }
        DomainEvent::PaymentApproved { .. } => {
            set_status(connection, id, OrderStatus::Paid, at).await?;
            keep_seats(connection, id).await
        }
        DomainEvent::PaymentDeclined { .. } => {
            set_status(connection, id, OrderStatus::Declined, at).await?;
            release(connection, id).await
        }
        DomainEvent::PaymentFailed => {
            set_status(connection, id, OrderStatus::Failed, at).await?;
            release(connection, id).await
        }
        DomainEvent::RefundDue { .. } => refund(connection, id, at).await,
        DomainEvent::TicketsIssued { ticket_ids } => {
            set_status(connection, id, OrderStatus::Issued, at).await?;
            issue(connection, id, ticket_ids, at).await
        }
        event => Err(super::corrupt(format!("{event:?} does not belong into an order"))),
    }
}

async fn take_seats(connection: &mut AnyConnection, event_id: Uuid, quantity: i64) -> Result<(), StoreError> {
    let update =
        sqlx::query("UPDATE events SET seats_taken = seats_taken + $1 WHERE id = $2 AND seats_taken + $1 <= capacity");
    let taken = update.bind(quantity).bind(event_id.to_string()).execute(&mut *connection).await?;
    if taken.rows_affected() == 1 {
        return Ok(());
    }
    let event = sqlx::query("SELECT id FROM events WHERE id = $1")
        .bind(event_id.to_string())
        .fetch_optional(connection)
        .await?;
    Err(event.map_or(Refusal::NoSuchEvent, |_| Refusal::SoldOut).into())
}

async fn expire(connection: &mut AnyConnection, id: Uuid) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE reservations SET status = 'expired' WHERE id = $1 AND status = 'active' RETURNING event_id, quantity",
    );
    let expired = update.bind(id.to_string()).fetch_optional(&mut *connection).await?;
    let expired = expired.ok_or(StoreError::Conflict)?;
    sqlx::query("UPDATE events SET seats_taken = seats_taken - $1 WHERE id = $2")
        .bind(expired.try_get::<i64, _>("quantity")?)
        .bind(expired.try_get::<String, _>("event_id")?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Sets a reservation aside for one order, so that no other charges it and it does not expire meanwhile.
async fn claim(connection: &mut AnyConnection, id: Uuid, order_id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE reservations SET status = 'paying', order_id = $1 WHERE id = $2 AND status = 'active' AND expires_at_ms > $3",
    );
    let claimed =
        update.bind(order_id.to_string()).bind(id.to_string()).bind(at.as_millis()).execute(connection).await?;
    if claimed.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Gives a paid order its seats for good. They are its own, or nobody's since its first payment was declined.
async fn keep_seats(connection: &mut AnyConnection, order_id: Uuid) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE reservations SET status = 'paid', order_id = $1 \
         WHERE id = (SELECT reservation_id FROM orders WHERE id = $1) \
         AND (status = 'active' OR (status = 'paying' AND order_id = $1))",
    );
    let kept = update.bind(order_id.to_string()).execute(connection).await?;
    if kept.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Lets the buyer order again on the same reservation.
async fn release(connection: &mut AnyConnection, order_id: Uuid) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE reservations SET status = 'active', order_id = NULL WHERE order_id = $1 AND status = 'paying'",
    );
    update.bind(order_id.to_string()).execute(connection).await?;
    Ok(())
}

async fn set_status(
    connection: &mut AnyConnection,
    id: Uuid,
    status: OrderStatus,
    at: Timestamp,
) -> Result<(), StoreError> {
    let update = sqlx::query("UPDATE orders SET status = $1, updated_at_ms = $2 WHERE id = $3");
    update.bind(status.as_str()).bind(at.as_millis()).bind(id.to_string()).execute(connection).await?;
    Ok(())
}

/// Marks an order whose money goes back; one that is paid keeps its status, for only its second payment does.
async fn refund(connection: &mut AnyConnection, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    let update = sqlx::query(
        "UPDATE orders SET status = 'refund_due', updated_at_ms = $1 WHERE id = $2 AND status NOT IN ('paid', 'issued')",
    );
    update.bind(at.as_millis()).bind(id.to_string()).execute(connection).await?;
    Ok(())
}

async fn issue(
    connection: &mut AnyConnection,
    order_id: Uuid,
    tickets: &[Uuid],
    at: Timestamp,
) -> Result<(), StoreError> {
    for ticket in tickets {
        let insert = sqlx::query(
            "INSERT INTO tickets (id, order_id, event_id, issued_at_ms) SELECT $1, id, event_id, $2 FROM orders WHERE id = $3",
        );
        let insert = insert.bind(ticket.to_string()).bind(at.as_millis()).bind(order_id.to_string());
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}
