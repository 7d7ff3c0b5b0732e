//! The library as its users see it: real expositions, real sockets, a real Sentry client.

mod exposition;
mod http;
mod registry;
mod telemetry;
