//! The library as its users see it: real expositions, real sockets, a real Sentry client.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod admin;
mod concurrent;
mod exposition;
mod forged;
mod http;
mod protobuf;
mod registry;
mod roundtrip;
mod telemetry;
