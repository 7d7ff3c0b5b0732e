//! The sidecar's forwarding of errors: whether they get to where people look at them.

use std::time::Duration;

use futura_metrics::specs::errors::{
    DropReason, ERROR_DEAD_ENVELOPES, ERROR_ENVELOPES_DROPPED_TOTAL, ERROR_ENVELOPES_FORWARDED_TOTAL,
    ERROR_FORWARD_RETRIES_TOTAL, ERROR_SPOOL_BYTES, ERROR_SPOOL_ENVELOPES, ERROR_SPOOL_LIMIT_BYTES, UpstreamName,
};

use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel::errors,
    promql::{Instance, Window, by, counter, gauge, label},
    queries,
    runbook::{Runbook, ask, run},
    template::{template, value},
};

const SERVICE: &str = "futura-sidecar";
const SIDECAR: &str = "api-1:9469";
const UPSTREAM: &str = "default";
const FIRING: (&str, &str) = (SIDECAR, UPSTREAM);
const MEBIBYTE: f64 = 1_048_576.0;

pub(super) fn alerts() -> Vec<Alert> {
    vec![error_forwarding_behind(), error_spool_filling(), errors_dropped()]
}

fn error_forwarding_behind() -> Alert {
    let envelopes = |waiting, forwarded| -> [Series; 2] {
        [
            series(ERROR_SPOOL_ENVELOPES, (UPSTREAM,), waiting).target::<Instance>(SIDECAR),
            series(ERROR_ENVELOPES_FORWARDED_TOTAL, (UPSTREAM,), forwarded).target::<Instance>(SIDECAR),
        ]
    };
    let none_forwarded = queries::envelopes_forwarded(Window::minutes(15)).equal_to(0.0);
    let definition = Definition {
        name: "ErrorForwardingBehind",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: queries::envelopes_waiting().above(0.0).and(none_forwarded),
        lasts: minutes(10),
        panel: Some(errors::SPOOL),
        summary: template(("No errors get from ", label::<Instance>(), " to `", label::<UpstreamName>(), "`")),
        description: template((
            value(),
            " envelopes wait in the spool of ",
            label::<Instance>(),
            ", and the upstream `",
            label::<UpstreamName>(),
            "` has taken none for a quarter of an hour.",
        )),
        examples: vec![
            Example::when(
                "an envelope waits from minute 10 to minute 60",
                envelopes(
                    Samples::steady(1.0, 60).then_steady(0.0, 20),
                    Samples::growing(6.0, 10).then_growing(0.0, 50).then_growing(6.0, 20),
                ),
            )
            .silent_at(33)
            .fires_at(36, FIRING, 1.0)
            .fires_at(60, FIRING, 1.0)
            .silent_at(62),
            Example::when(
                "many envelopes wait while others get through",
                envelopes(Samples::steady(500.0, 60), Samples::growing(30.0, 60)),
            )
            .silent_at(60),
            Example::when("nothing waits", envelopes(Samples::steady(0.0, 60), Samples::steady(4.0, 60))).silent_at(60),
        ],
        runbook: error_forwarding_behind_runbook(),
    };
    definition.into()
}

fn error_forwarding_behind_runbook() -> Runbook {
    let retries = counter(ERROR_FORWARD_RETRIES_TOTAL).rate(Window::minutes(5));
    Runbook {
        symptom: "Envelopes wait in a sidecar's spool, and the upstream has taken none for a quarter of an hour.",
        meaning: "Errors still happen and are kept on disk, but nobody sees them. Nothing is lost until the spool is \
                  full.",
        investigation: vec![
            ask("See how many wait, in which sidecars and for which upstream", queries::envelopes_waiting()),
            ask("See whether deliveries are tried and fail", retries.sum(by::<(Instance, UpstreamName)>())),
            run(
                "Read what the upstream answers",
                "kubectl -n {namespace} logs <pod> -c futura-sidecar --tail=100 | grep -i upstream",
            ),
            run(
                "See what waits, and until when the upstream asked for patience",
                "kubectl -n {namespace} port-forward <pod> 9469:9469 &\ncurl -s http://127.0.0.1:9469/api/v1/errors",
            ),
        ],
        resolution: &[
            "The upstream is down or limits us: wait; what waits is sent by itself, oldest first.",
            "Its address, key or certificate changed: set the new one; the sidecar reads its configuration anew.",
            "The network policy does not let the sidecar out: allow it.",
            "It stays away for long: name a second upstream in `errors.failover`.",
        ],
        related: &["ErrorSpoolFilling", "ErrorsDropped"],
    }
}

fn error_spool_filling() -> Alert {
    let spool = |samples| -> [Series; 2] {
        [
            series(ERROR_SPOOL_BYTES, (UPSTREAM,), samples).target::<Instance>(SIDECAR).in_proportion(),
            series(ERROR_SPOOL_LIMIT_BYTES, (UPSTREAM,), Samples::steady(200.0 * MEBIBYTE, 60))
                .target::<Instance>(SIDECAR),
        ]
    };
    let definition = Definition {
        name: "ErrorSpoolFilling",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: queries::spool_share().above(0.5),
        lasts: minutes(10),
        panel: Some(errors::SPOOL_USE),
        summary: template(("The spool of ", label::<Instance>(), " for `", label::<UpstreamName>(), "` fills up")),
        description: template((
            "The errors that wait in ",
            label::<Instance>(),
            " take ",
            value(),
            " of the room that they may; when it is full, further ones are refused.",
        )),
        examples: vec![
            Example::when(
                "60 % are used for 30 minutes",
                spool(Samples::steady(120.0 * MEBIBYTE, 30).then_steady(2.0 * MEBIBYTE, 30)),
            )
            .silent_at(9)
            .fires_at(10, FIRING, 0.6)
            .silent_at(31),
            Example::when("49 % are used", spool(Samples::steady(98.0 * MEBIBYTE, 60))).silent_at(60),
        ],
        runbook: error_spool_filling_runbook(),
    };
    definition.into()
}

fn error_spool_filling_runbook() -> Runbook {
    Runbook {
        symptom: "The errors that wait for an upstream take more than half of the spool.",
        meaning: "They come faster than they are taken. When the spool is full the sidecar refuses further ones, and what \
                  applications cannot keep themselves is lost.",
        investigation: vec![
            ask("See how full the spools are", queries::spool_share()),
            ask("See whether the upstream takes anything", queries::envelopes_forwarded(Window::minutes(15))),
            run(
                "See which errors come in such numbers",
                "kubectl -n {namespace} exec <pod> -c futura-sidecar -- /futura-sidecar errors list --config \
                 /etc/futura/sidecar.yaml",
            ),
        ],
        resolution: &[
            "The upstream takes none: follow ErrorForwardingBehind.",
            "One error comes again and again: fix or stop what makes it; set `errors.storm`, so that of one kind only \
             the first are sent in full.",
            "It is like this at every sale: give the spool more room, `errors.spool_max_bytes`, and its volume too.",
        ],
        related: &["ErrorForwardingBehind", "ErrorsDropped", "HighSentryErrorCount"],
    }
}

fn errors_dropped() -> Alert {
    let labels = (UPSTREAM, DropReason::Refused);
    let dropped = |samples| -> [Series; 1] {
        [series(ERROR_ENVELOPES_DROPPED_TOTAL, labels, samples).target::<Instance>(SIDECAR)]
    };
    let definition = Definition {
        name: "ErrorsDropped",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: queries::envelopes_dropped(Window::hours(1)).above(0.0),
        lasts: Duration::ZERO,
        panel: Some(errors::DROPPED),
        summary: template(("Errors for `", label::<UpstreamName>(), "` are given up: ", label::<DropReason>())),
        description: template((
            value(),
            " envelopes for `",
            label::<UpstreamName>(),
            "` were given up within an hour (",
            label::<DropReason>(),
            "); they are kept as dead letters.",
        )),
        examples: vec![
            Example::when(
                "an envelope is refused at minute 10",
                dropped(Samples::steady(0.0, 9).then_steady(1.0, 110)),
            )
            .silent_at(9)
            .fires_at(11, labels, 1.0)
            .fires_at(60, labels, 1.0)
            .silent_at(75),
            Example::when("the last was refused long ago", dropped(Samples::steady(3.0, 60))).silent_at(60),
        ],
        runbook: errors_dropped_runbook(),
    };
    definition.into()
}

fn errors_dropped_runbook() -> Runbook {
    Runbook {
        symptom: "The sidecar has given up envelopes within the last hour.",
        meaning: "These errors reached the sidecar and will not reach the upstream by themselves: it refused them for \
                  good, or they failed again and again while others got through.",
        investigation: vec![
            ask("See how many, for which upstream and why", queries::envelopes_dropped(Window::hours(1))),
            ask("See how many dead letters are kept", gauge(ERROR_DEAD_ENVELOPES).value()),
            run(
                "Look at them",
                "kubectl -n {namespace} exec <pod> -c futura-sidecar -- /futura-sidecar errors list --config \
                 /etc/futura/sidecar.yaml",
            ),
            run(
                "Read why the upstream refused them",
                "kubectl -n {namespace} logs <pod> -c futura-sidecar --tail=200 | grep -i refused",
            ),
        ],
        resolution: &[
            "`refused` with the key or project named: set the right DSN, then send them once more with `futura-sidecar \
             errors replay`.",
            "`refused` as too large: lower what the SDK attaches, or raise the upstream's limit.",
            "`spool_error`: the disk cannot be read; replace the volume.",
            "They are worth nothing: `futura-sidecar errors purge` deletes them.",
        ],
        related: &["ErrorForwardingBehind", "ErrorSpoolFilling"],
    }
}
