//! What the business counts: orders, payments, tickets, webhooks, and errors sent to Sentry.
//!
//! None has labels: adding one would change the series that existing dashboards read.

use crate::spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit};

/// Bounds of the order processing time in seconds; the alert asks for ten, so they reach well past it.
pub const ORDER_PROCESSING_BOUNDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0];

crate::declare! {
    /// Orders created.
    pub ORDERS_CREATED_TOTAL: CounterSpec = CounterSpec::new("orders_created_total", Unit::Count);

    /// Payments attempted, whatever their outcome.
    pub PAYMENT_TOTAL: CounterSpec = CounterSpec::new("payment_total", Unit::Count);

    /// Payments that the provider approved.
    pub PAYMENT_SUCCESS_TOTAL: CounterSpec = CounterSpec::new("payment_success_total", Unit::Count);

    /// Tickets that are issued and valid now.
    pub TICKETS_ACTIVE_TOTAL: GaugeSpec = GaugeSpec::named_like_a_counter("tickets_active_total", Unit::Count);

    /// Paid orders for which issuing the tickets failed.
    pub TICKET_GENERATION_FAILURES_TOTAL: CounterSpec = CounterSpec::new("ticket_generation_failures_total", Unit::Count);

    /// Stripe webhooks that were refused or could not be processed.
    pub STRIPE_WEBHOOK_FAILURES_TOTAL: CounterSpec = CounterSpec::new("stripe_webhook_failures_total", Unit::Count);

    /// Error events captured for Sentry, before its client samples them.
    pub SENTRY_ERRORS_TOTAL: CounterSpec = CounterSpec::new("sentry_errors_total", Unit::Count);

    /// Time from an order's creation to its tickets, or to its refusal.
    pub ORDER_PROCESSING_DURATION_SECONDS: HistogramSpec =
        HistogramSpec::new("order_processing_duration_seconds", Unit::Seconds, ORDER_PROCESSING_BOUNDS);
}
