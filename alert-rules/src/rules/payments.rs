//! Payments and the webhooks that confirm them.

use futura_metrics::specs::business::{PAYMENT_SUCCESS_TOTAL, PAYMENT_TOTAL, STRIPE_WEBHOOK_FAILURES_TOTAL};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, series},
    panel::{internals, overview},
    promql::Window,
    queries,
    runbook::{Runbook, ask, open, run},
    template::{template, value},
};

pub(super) fn alerts() -> Vec<Alert> {
    vec![low_payment_success_rate(), webhook_delivery_failures()]
}

fn low_payment_success_rate() -> Alert {
    let payments = |attempts, successes| {
        [series(PAYMENT_TOTAL, (), attempts), series(PAYMENT_SUCCESS_TOTAL, (), successes).in_proportion()]
    };
    let definition = Definition {
        name: "LowPaymentSuccessRate",
        severity: Severity::Critical,
        team: Team::Payments,
        service: Some(TICKET_API),
        condition: queries::payment_success_ratio(Window::minutes(10)).below(0.9),
        lasts: minutes(10),
        panel: Some(overview::PAYMENT_SUCCESS_RATE),
        summary: template(("Payments fail",)),
        description: template(("Only ", value(), " of the payments of the last ten minutes succeeded.")),
        examples: vec![
            Example::when(
                "one payment in five fails for 20 minutes, and then nobody pays",
                payments(
                    Samples::growing(60.0, 20).then_growing(0.0, 30),
                    Samples::growing(48.0, 20).then_growing(0.0, 30),
                ),
            )
            .silent_at(10)
            .fires_at(15, (), 0.8)
            .fires_at(27, (), 0.8)
            .silent_at(31),
            Example::when("91 % succeed", payments(Samples::growing(100.0, 40), Samples::growing(91.0, 40)))
                .silent_at(20)
                .silent_at(40),
            Example::when("nobody pays", payments(Samples::steady(7.0, 40), Samples::steady(3.0, 40))).silent_at(40),
        ],
        runbook: low_payment_success_rate_runbook(),
    };
    definition.into()
}

fn low_payment_success_rate_runbook() -> Runbook {
    Runbook {
        symptom: "Fewer than nine in ten payments succeed.",
        meaning: "Buyers lose their place and their patience, and the sale loses money. Declined cards alone do \
                  not make so many: the provider, our credentials or our code are at fault.",
        investigation: vec![
            open("See what the provider says of the failed payments", "https://dashboard.stripe.com"),
            run(
                "Read why payments fail",
                "kubectl -n {namespace} logs deployment/api --tail=500 | grep -i 'payment\\|stripe'",
            ),
            run(
                "See whether webhooks arrive",
                "kubectl -n {namespace} logs deployment/api --tail=500 | grep -i webhook",
            ),
            ask("See whether webhooks fail", queries::webhook_failure_rate(Window::minutes(5))),
        ],
        resolution: &[
            "The provider has an outage (<https://status.stripe.com>): announce it and pause big sales; nothing \
             to repair here.",
            "The webhook endpoint does not answer (`curl -i https://api.futuratickets.com/stripe/webhook`): \
             repair ingress or service.",
            "Errors are new in Sentry since a release: go back with `kubectl -n {namespace} rollout undo \
             deployment/api`.",
            "Keys were rotated: set the new ones in the secret and restart with `kubectl -n {namespace} rollout \
             restart deployment/api`.",
            "None of these: call the provider's support with the ids of some failed payments.",
        ],
        related: &["WebhookDeliveryFailures", "HighErrorRate", "NoOrdersReceived"],
    }
}

fn webhook_delivery_failures() -> Alert {
    let failures = |samples| [series(STRIPE_WEBHOOK_FAILURES_TOTAL, (), samples).in_proportion()];
    let definition = Definition {
        name: "WebhookDeliveryFailures",
        severity: Severity::Warning,
        team: Team::Payments,
        service: Some(TICKET_API),
        condition: queries::webhook_failure_rate(Window::minutes(5)).above(0.5),
        lasts: minutes(5),
        panel: Some(internals::WEBHOOK_FAILURES),
        summary: template(("Stripe's webhooks fail",)),
        description: template((value(), " webhooks per second are refused or cannot be processed.")),
        examples: vec![
            Example::when(
                "36 webhooks fail a minute for 20 minutes",
                failures(Samples::growing(36.0, 20).then_growing(0.0, 20)),
            )
            .silent_at(9)
            .fires_at(10, (), 0.6)
            .silent_at(30),
            Example::when("29 webhooks fail a minute", failures(Samples::growing(29.0, 30)))
                .silent_at(15)
                .silent_at(30),
        ],
        runbook: webhook_delivery_failures_runbook(),
    };
    definition.into()
}

fn webhook_delivery_failures_runbook() -> Runbook {
    Runbook {
        symptom: "More than one webhook in two seconds is refused or not processed.",
        meaning: "Payments succeed at the provider and stay open here. Stripe sends a webhook again for three \
                  days, so nothing is lost yet, but orders hang until then.",
        investigation: vec![
            open("See the deliveries and our answers to them", "https://dashboard.stripe.com/webhooks"),
            run(
                "Read why webhooks are refused",
                "kubectl -n {namespace} logs deployment/api --tail=500 | grep -i webhook",
            ),
            run(
                "See whether the signing secret is the one of the dashboard's endpoint",
                "kubectl -n {namespace} get secret -o name | grep -i stripe",
            ),
        ],
        resolution: &[
            "Signatures do not match: the signing secret was rotated; set the new one and restart with `kubectl \
             -n {namespace} rollout restart deployment/api`.",
            "Clocks differ: a signature is valid for five minutes; repair time synchronization on the nodes.",
            "Processing fails: fix it and send the failed ones again from the dashboard.",
        ],
        related: &["LowPaymentSuccessRate", "HighSentryErrorCount"],
    }
}
