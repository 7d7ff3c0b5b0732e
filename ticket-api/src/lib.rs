//! The ticket API: events, orders, payments and tickets over an event store on SQL.
