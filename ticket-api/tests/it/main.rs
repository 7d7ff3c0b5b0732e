//! The service from outside: real sockets, a real database, a real scrape.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;
mod bus;
mod errors;
mod harness;
mod metrics;
mod operations;
mod purchase;
mod queue;
mod store;
mod tokens;
mod validation;
mod webhook;
