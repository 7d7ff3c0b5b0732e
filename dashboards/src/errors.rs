//! The errors that the sidecar forwards: what comes, what goes, what waits and what was lost.

use futura_alert_rules::{
    panel::errors,
    promql::{Vector, Window, all, by, counter, gauge, label},
    template::template,
};
use futura_metrics::{
    spec::CounterSpec,
    specs::{
        errors::{
            DropReason, ERROR_DEAD_ENVELOPES, ERROR_ENVELOPES_DROPPED_TOTAL, ERROR_ENVELOPES_FORWARDED_TOTAL,
            ERROR_ENVELOPES_RECEIVED_TOTAL, ERROR_ENVELOPES_REJECTED_TOTAL, ERROR_EVENTS_SUPPRESSED_TOTAL,
            ERROR_FORWARD_RETRIES_TOTAL, ERROR_LOG_EVENTS_TOTAL, ERROR_SCRUBBED_VALUES_TOTAL, ERROR_SPOOL_BYTES,
            ERROR_SPOOL_ENVELOPES, ERROR_SPOOL_LIMIT_BYTES, RejectReason, UpstreamName,
        },
        sentry::SENTRY_ENVELOPES_LOST_TOTAL,
    },
};

use crate::{
    grafana::{Dashboard, Panel},
    panels::{Query, lines, number, query},
    variables::{any, chosen},
};

const WINDOW: Window = Window::RateInterval;

pub(crate) fn dashboard() -> Dashboard {
    let panels =
        vec![waiting(), spool_use(), dead(), lost(), flow(), spool(), retries(), dropped(), rejected(), content()];
    let description = "Whether errors reach Sentry: what comes, what goes, what waits and what was lost.";
    Dashboard::new(errors::UID, "FuturaTickets - Error Forwarding", description, panels).choosing([any::<
        UpstreamName,
        _,
    >(
        "Upstream",
        &gauge(ERROR_SPOOL_ENVELOPES),
    )])
}

/// The rate of a counter by upstream.
fn by_upstream(spec: CounterSpec<(UpstreamName,)>, what: &'static str) -> Query {
    let rate = counter(spec).only(chosen::<UpstreamName>()).rate(WINDOW).sum(by::<(UpstreamName,)>());
    query(rate, template((label::<UpstreamName>(), what)))
}

/// The envelopes that wait, by upstream.
fn envelopes() -> Vector<(UpstreamName,)> {
    gauge(ERROR_SPOOL_ENVELOPES).only(chosen::<UpstreamName>()).value().sum(by::<(UpstreamName,)>())
}

fn waiting() -> Panel {
    let description = "Envelopes that wait to be forwarded. A number that only grows means that the upstream does not take \
                       them: see its own status, then the sidecar's log.";
    number(errors::WAITING, query(envelopes().sum(all()), template("Waiting")), description).low()
}

fn spool_use() -> Panel {
    let size = |spec| gauge(spec).only(chosen::<UpstreamName>()).value().sum(by::<(UpstreamName,)>());
    let share = size(ERROR_SPOOL_BYTES).ratio_to(size(ERROR_SPOOL_LIMIT_BYTES));
    let description = "How full each upstream's spool is. A full one takes no more errors, and what applications send is \
                       then refused: bring the upstream back, or raise the limit.";
    number(errors::SPOOL_USE, share, description).good_up_to(0.5).low()
}

fn dead() -> Panel {
    let dead = gauge(ERROR_DEAD_ENVELOPES).only(chosen::<UpstreamName>()).value().sum(all());
    let description = "Envelopes that upstreams refused for good and that are kept to be looked at: `futura-sidecar errors list` \
                       shows them, and why.";
    number(errors::DEAD, query(dead, template("Dead letters")), description).good_up_to(1.0).low()
}

fn lost() -> Panel {
    let lost = counter(SENTRY_ENVELOPES_LOST_TOTAL).increase(Window::hours(1)).sum(all());
    let description = "Errors that applications could hand over neither to the sidecar nor to its folder. See whether the sidecar \
                       ran, and whether its folder is full.";
    number(errors::LOST, query(lost, template("Lost")), description)
        .good_up_to(1.0)
        .when_empty("no application tells")
        .low()
}

fn flow() -> Panel {
    let description = "Envelopes per second that were accepted and that the upstream took. The two follow each other; a gap \
                       fills the spool. A steep rise is a release that went wrong.";
    lines(errors::FLOW, by_upstream(ERROR_ENVELOPES_RECEIVED_TOTAL, " received"), description)
        .also(by_upstream(ERROR_ENVELOPES_FORWARDED_TOTAL, " forwarded"))
        .under("Flow")
}

fn spool() -> Panel {
    let description = "Envelopes that wait, by upstream. It drains by itself once the upstream answers; while it grows, nothing \
                       is lost until the limit.";
    lines(errors::SPOOL, envelopes(), description)
}

fn retries() -> Panel {
    let description = "Deliveries per second that failed and will be tried again. Any for long means that the upstream is down, \
                       slow or limits us: its status page knows.";
    lines(errors::RETRIES, by_upstream(ERROR_FORWARD_RETRIES_TOTAL, ""), description).narrow().under("What goes wrong")
}

fn dropped() -> Panel {
    let dropped = counter(ERROR_ENVELOPES_DROPPED_TOTAL)
        .only(chosen::<UpstreamName>())
        .increase(Window::hours(1))
        .sum(by::<(UpstreamName, DropReason)>());
    let description = "Accepted envelopes of the last hour that will not be delivered. `refused` is a wrong key or project: compare the \
                       DSN. They are kept as dead letters.";
    lines(errors::DROPPED, dropped, description).narrow()
}

fn rejected() -> Panel {
    let rejected = counter(ERROR_ENVELOPES_REJECTED_TOTAL).rate(WINDOW).sum(by::<(RejectReason,)>());
    let description = "Envelopes per second that were not accepted. `duplicate` is no fault; `spool_full` and `spool_error` lose \
                       errors: see the disk. `invalid` and `too_large` point to a client.";
    lines(errors::REJECTED, rejected, description).narrow()
}

fn content() -> Panel {
    let rate = |spec: CounterSpec, what| query(counter(spec).rate(WINDOW).sum(all()), template((what,)));
    let description = "What was done to events per second: secrets and personal data removed, events of a storm counted instead \
                       of sent, error lines of logs made events. Much that is scrubbed means that code puts secrets into errors.";
    lines(errors::CONTENT, rate(ERROR_SCRUBBED_VALUES_TOTAL, "values scrubbed"), description)
        .also(rate(ERROR_EVENTS_SUPPRESSED_TOTAL, "events suppressed"))
        .also(rate(ERROR_LOG_EVENTS_TOTAL, "events from logs"))
        .under("What events hold")
        .wide()
}
