//! The ticket API: events, reservations, orders, payments and tickets over an event store on SQL.
//!
//! - [`Config`]: what the environment says; [`Settings`]: times and limits that tests change.
//! - [`Server`]: `bind` and `run`; the HTTP routes are its `api` module's.
//! - [`PaymentGateway`]: what a payment provider must do; [`SandboxGateway`] moves no money.
//!
//! Inside, `box_office` sells: it drives the `store` (event store and projections), the `payments` behind their guard
//! (`resilience`), and the event `bus`. The virtual `queue` stands before it, and does not know of it.

pub use self::{
    config::{AllowedOrigins, Config, ConfigError},
    domain::Currency,
    payments::{Approval, Charge, GatewayError, PaymentGateway, SandboxGateway},
    queue::{QueueConfig, QueueConfigError},
    resilience::{BreakerConfig, RetryConfig},
    secret::Secret,
    server::{Server, StartError},
    settings::Settings,
    store::{DatabaseConfig, DatabaseError, SslMode},
};

mod api;
mod box_office;
mod bus;
mod config;
mod domain;
mod payments;
mod queue;
mod resilience;
mod secret;
mod server;
mod settings;
mod store;
mod timestamp;
