//! A message as a record of the topic. Other programs may read it: the shape is an interface, and only grows.
//!
//! The key is the order's id, as text. The value is a JSON object: `type`, `orderId`, `eventId` with `tickets.issued`,
//! and `time`, when it was published (RFC 3339). Nothing else is in it, and there are no headers. Whoever knows an order's
//! id may ask the API for it: the topic is as confidential as the database.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Message, Published};
use crate::timestamp::Timestamp;

/// The longest value that is looked into: ours have some 200 bytes.
const MAX_VALUE_BYTES: usize = 4096;

const ORDER_CREATED: &str = "order.created";
const PAYMENT_APPROVED: &str = "payment.approved";
const PAYMENT_REFUSED: &str = "payment.refused";
const TICKETS_ISSUED: &str = "tickets.issued";

/// Why a record is no message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// It has no value, as those have that delete a key.
    #[error("the record is empty")]
    Empty,
    /// It was not looked into.
    #[error("the record is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong,
    /// It is not JSON, or something that a message needs is missing or of another type.
    #[error("the record is not of the documented shape")]
    Malformed,
    /// A version after this one may know it.
    #[error("the record is of a type that this version does not know")]
    UnknownType,
}

/// The value, field by field: what is on the wire changes only when this does.
#[derive(Deserialize, Serialize)]
struct Value<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "orderId")]
    order_id: Uuid,
    #[serde(rename = "eventId", default, skip_serializing_if = "Option::is_none")]
    event_id: Option<Uuid>,
    #[serde(rename = "time")]
    time: Timestamp,
}

/// The record's key and value.
pub(super) fn encode(published: &Published) -> (String, Vec<u8>) {
    let (kind, order_id, event_id) = match published.message {
        Message::OrderCreated { order_id } => (ORDER_CREATED, order_id, None),
        Message::PaymentApproved { order_id } => (PAYMENT_APPROVED, order_id, None),
        Message::PaymentRefused { order_id } => (PAYMENT_REFUSED, order_id, None),
        Message::TicketsIssued { order_id, event_id } => (TICKETS_ISSUED, order_id, Some(event_id)),
    };
    let value = Value { kind: kind.into(), order_id, event_id, time: published.time };
    (order_id.to_string(), serde_json::to_vec(&value).expect("ids and the clock's time can be written as JSON"))
}

/// The message of a record's value. Fields that it does not know are those of a later version.
pub(super) fn decode(value: Option<&[u8]>) -> Result<Published, WireError> {
    let value = value.ok_or(WireError::Empty)?;
    if value.len() > MAX_VALUE_BYTES {
        return Err(WireError::TooLong);
    }
    let Value { kind, order_id, event_id, time } = serde_json::from_slice(value).map_err(|_| WireError::Malformed)?;
    let message = match (&*kind, event_id) {
        (ORDER_CREATED, _) => Message::OrderCreated { order_id },
        (PAYMENT_APPROVED, _) => Message::PaymentApproved { order_id },
        (PAYMENT_REFUSED, _) => Message::PaymentRefused { order_id },
        (TICKETS_ISSUED, Some(event_id)) => Message::TicketsIssued { order_id, event_id },
        (TICKETS_ISSUED, None) => return Err(WireError::Malformed),
        _ => return Err(WireError::UnknownType),
    };
    Ok(Published { message, time })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Message, Published, WireError, decode, encode};
    use crate::timestamp::Timestamp;

    const ORDER_ID: Uuid = Uuid::from_u128(0x0193_0f5e_0000_4000_8000_0000_0000_0001);
    const EVENT_ID: Uuid = Uuid::from_u128(0x0193_0f5e_0000_7000_8000_0000_0000_0002);
    const TIME: &str = "2030-12-31T20:00:00.5Z";

    #[test]
    fn what_is_on_the_wire_is_what_is_documented() {
        let order = "01930f5e-0000-4000-8000-000000000001";
        let event = "01930f5e-0000-7000-8000-000000000002";
        let check = |message, expected: &str| {
            let published = Published { message, time: Timestamp::from_millis(1_924_977_600_500) };
            let (key, value) = encode(&published);
            assert_eq!((key.as_str(), std::str::from_utf8(&value).unwrap()), (order, expected));
            assert_eq!(decode(Some(&value)), Ok(published));
        };
        let plain = |kind: &str| format!(r#"{{"type":"{kind}","orderId":"{order}","time":"{TIME}"}}"#);
        check(Message::OrderCreated { order_id: ORDER_ID }, &plain("order.created"));
        check(Message::PaymentApproved { order_id: ORDER_ID }, &plain("payment.approved"));
        check(Message::PaymentRefused { order_id: ORDER_ID }, &plain("payment.refused"));
        check(
            Message::TicketsIssued { order_id: ORDER_ID, event_id: EVENT_ID },
            &format!(r#"{{"type":"tickets.issued","orderId":"{order}","eventId":"{event}","time":"{TIME}"}}"#),
        );
    }

    #[test]
    fn a_record_of_another_shape_is_no_message() {
        let check = |value: &str| decode(Some(value.as_bytes())).map(|published| published.message);
        let record =
            |kind: &str, rest: &str| format!(r#"{{"type":"{kind}","orderId":"{ORDER_ID}","time":"{TIME}"{rest}}}"#);
        assert_eq!(
            check(&record("order.created", r#","later":[1]"#)),
            Ok(Message::OrderCreated { order_id: ORDER_ID })
        );
        assert_eq!(check(&record(r"order\u002ecreated", "")), Ok(Message::OrderCreated { order_id: ORDER_ID }));
        assert_eq!(check(&record("order.shipped", "")), Err(WireError::UnknownType));
        assert_eq!(check(&record("tickets.issued", "")), Err(WireError::Malformed));
        assert_eq!(check(&record("order.created", r#","type":"order.created""#)), Err(WireError::Malformed));
        for malformed in ["", "null", "[]", "{}", "\u{0}", "{\"type\":\"order.created\"}", &"[".repeat(4000)] {
            assert_eq!(check(malformed), Err(WireError::Malformed), "{malformed}");
        }
        assert_eq!(decode(Some(b"\xff\xfe")), Err(WireError::Malformed));
        assert_eq!(check(&record("order.created", &" ".repeat(4096))), Err(WireError::TooLong));
        assert_eq!(decode(None), Err(WireError::Empty));
    }
}
