//! What the sidecar's checks find: targets that are down, certificates that end.

use futura_metrics::specs::checks::{
    CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, CHECK_LAST_PHASE_DURATION_SECONDS, CHECK_UP, Check, CheckKind, Phase,
};

use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    panel,
    promql::{Instance, Window, by, gauge, label},
    queries,
    runbook::{Runbook, ask, run},
    template::{template, value},
};

const SERVICE: &str = "checks";
const DAY_SECS: f64 = 86_400.0;

pub(super) fn alerts() -> Vec<Alert> {
    vec![check_failing(), certificate_expiring()]
}

fn check_failing() -> Alert {
    let up = |samples| -> [Series; 1] { [series(CHECK_UP, ("cache", CheckKind::Redis), samples)] };
    let definition = Definition {
        name: "CheckFailing",
        severity: Severity::Critical,
        team: Team::Platform,
        service: Some(SERVICE),
        // A check counts as down after as many failed runs as it allows, so little need be added here.
        condition: queries::check_up().equal_to(0.0),
        lasts: minutes(1),
        panel: Some(panel::checks::STATE),
        summary: template(("The check `", label::<Check>(), "` fails")),
        description: template((
            "The check `",
            label::<Check>(),
            "` (",
            label::<CheckKind>(),
            ") failed as often in a row as it may: what it asks is down, or cannot be reached from the sidecar.",
        )),
        examples: vec![
            Example::when("a check is down for 10 minutes", up(Samples::steady(0.0, 10).then_steady(1.0, 10)))
                .silent_at(0)
                .fires_at(1, ("cache", CheckKind::Redis), 0.0)
                .fires_at(10, ("cache", CheckKind::Redis), 0.0)
                .silent_at(11),
            Example::when(
                "a check is down for less than a minute",
                up(Samples::steady(1.0, 5).then_steady(0.0, 1).then_steady(1.0, 10)),
            )
            .silent_at(6)
            .silent_at(10),
            Example::when("a check is up", up(Samples::steady(1.0, 20))).silent_at(20),
        ],
        runbook: check_failing_runbook(),
    };
    definition.into()
}

fn check_failing_runbook() -> Runbook {
    let phases = gauge(CHECK_LAST_PHASE_DURATION_SECONDS).value().max(by::<(Check, CheckKind, Phase)>());
    Runbook {
        symptom: "A check has failed as many runs in a row as its `failure_threshold`, and still does a minute later.",
        meaning: "It sees what a client sees. If the target's own numbers look well, the way to it is at fault: name, \
                  network, certificate or credentials.",
        investigation: vec![
            ask("See why its runs fail", queries::check_failure_rate(Window::minutes(5))),
            run(
                "Run it once and see each step",
                "kubectl -n {namespace} port-forward <pod> 9469:9469 &\ncurl -s http://127.0.0.1:9469/api/v1/checks",
            ),
            ask("See in which phase the time goes", phases),
            run("See whether the target runs", "kubectl -n {namespace} get pods,endpoints"),
        ],
        resolution: &[
            "`dns` or `connect`: the target is gone, renamed or not ready; repair its service or its pods.",
            "`tls` or `expired`: renew the certificate; see CertificateExpiring.",
            "`auth`: the credentials were rotated; set the new ones for the sidecar.",
            "`status`, `body` or `latency`: the target answers, but wrongly or late; follow its own alerts.",
            "The outage is planned: pause the check, `curl -X POST \
             'http://127.0.0.1:9469/api/v1/checks/<check>/pause?for=1h'`.",
        ],
        related: &["CertificateExpiring", "SidecarDown", "PodDown"],
    }
}

fn certificate_expiring() -> Alert {
    let labels = ("shop-certificate", CheckKind::Tls);
    let expiry = |samples| -> [Series; 1] { [series(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, labels, samples)] };
    let definition = Definition {
        name: "CertificateExpiring",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some(SERVICE),
        condition: queries::certificate_time_left().below(14.0 * DAY_SECS),
        lasts: minutes(60),
        panel: Some(panel::checks::CERTIFICATES),
        summary: template(("The certificate that `", label::<Check>(), "` sees expires")),
        description: template((
            "The certificate that the check `",
            label::<Check>(),
            "` was shown last is valid for ",
            value(),
            " more; it should have been renewed by now.",
        )),
        examples: vec![
            // Time begins at zero here, so that a time of expiry is what is left at the beginning.
            Example::when(
                "a certificate is valid for 13.5 days more and is renewed after 90 minutes",
                expiry(Samples::steady(13.5 * DAY_SECS, 90).then_steady(90.0 * DAY_SECS, 30)),
            )
            .silent_at(59)
            .fires_at(60, labels, 13.5 * DAY_SECS - 3600.0)
            .silent_at(91),
            Example::when("a certificate is valid for 14.5 days more", expiry(Samples::steady(14.5 * DAY_SECS, 120)))
                .silent_at(60)
                .silent_at(120),
            Example::when(
                "one of two sidecars still sees the old certificate",
                [
                    expiry(Samples::steady(3.0 * DAY_SECS, 90)),
                    [series(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, labels, Samples::steady(90.0 * DAY_SECS, 90))
                        .target::<Instance>("sidecar-2:9469")],
                ]
                .concat(),
            )
            .fires_at(90, labels, 3.0 * DAY_SECS - 5400.0),
        ],
        runbook: certificate_expiring_runbook(),
    };
    definition.into()
}

fn certificate_expiring_runbook() -> Runbook {
    Runbook {
        symptom: "A certificate that a check is shown ends within a fortnight.",
        meaning: "Certificates are renewed a month before they end, so renewal has failed for two weeks. On its last day \
                  every client refuses the connection.",
        investigation: vec![
            ask("See which certificates end when", queries::certificate_time_left()),
            run(
                "See the certificate itself",
                "openssl s_client -connect <host>:443 -servername <host> </dev/null 2>/dev/null | openssl x509 -noout \
                 -subject -issuer -dates",
            ),
            run(
                "See why it was not renewed",
                "kubectl -n {namespace} get certificates,certificaterequests\n\
                 kubectl -n {namespace} describe certificate <certificate>",
            ),
        ],
        resolution: &[
            "Renewal fails (name, rights or rate limit of the authority): repair what the request says, and have it \
             tried anew with `cmctl renew <certificate> -n {namespace}`.",
            "It was renewed, but the server still shows the old one: have it load the new one, or restart it.",
            "It is renewed by hand: do it now, and write down who does it next time.",
        ],
        related: &["CheckFailing"],
    }
}
