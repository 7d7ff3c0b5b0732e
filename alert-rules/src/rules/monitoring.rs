//! The monitoring itself: whether it watches, whether it is told everything, whether its alerts arrive.

use std::time::Duration;

use futura_metrics::specs::{
    external::UP,
    metrics::{LabelName, METRICS_FOLDED_TOTAL, METRICS_SERIES, MetricName},
};

use super::TICKET_API;
use crate::{
    alert::{Alert, Definition, Severity, Team, minutes},
    example::{Example, Samples, Series, series},
    promql::{Instance, Job, Service, Vector, Window, always, by, gauge, label},
    queries,
    runbook::{Runbook, ask, run},
    site::Site,
    template::{template, value},
};

const SIDECAR: &str = "10.0.3.7:9469";

pub(super) fn alerts(site: &Site) -> Vec<Alert> {
    vec![sidecar_down(site), cardinality_folded(), watchdog()]
}

fn sidecar_down(site: &Site) -> Alert {
    let up = |samples| -> [Series; 1] {
        [series(UP, (), samples).target::<Job>(&site.sidecar_job).target::<Instance>(SIDECAR)]
    };
    let sidecars = gauge(UP).only(label::<Job>().eq(&site.sidecar_job)).value();
    let definition = Definition {
        name: "SidecarDown",
        severity: Severity::Critical,
        team: Team::Platform,
        service: Some("futura-sidecar"),
        condition: sidecars.clone().min(by::<(Instance,)>()).equal_to(0.0),
        lasts: minutes(5),
        panel: None,
        summary: template(("The sidecar ", label::<Instance>(), " does not answer")),
        description: template((
            "Prometheus cannot scrape the sidecar ",
            label::<Instance>(),
            ": its checks are not watched, and it may not forward errors either.",
        )),
        examples: vec![
            Example::when(
                "a sidecar does not answer for 20 minutes",
                up(Samples::steady(0.0, 20).then_steady(1.0, 10)),
            )
            .silent_at(4)
            .fires_at(5, (SIDECAR,), 0.0)
            .silent_at(21),
            Example::when(
                "a sidecar starts anew within two minutes",
                up(Samples::steady(1.0, 5).then_steady(0.0, 2).then_steady(1.0, 10)),
            )
            .silent_at(7)
            .silent_at(15),
        ],
        runbook: sidecar_down_runbook(sidecars.min(by::<(Instance,)>())),
    };
    definition.into()
}

fn sidecar_down_runbook(sidecars: Vector<(Instance,)>) -> Runbook {
    Runbook {
        symptom: "A sidecar has not answered Prometheus for five minutes.",
        meaning: "CheckFailing cannot fire for what only this sidecar watches. Applications keep their errors for some \
                  time, but not for ever.",
        investigation: vec![
            ask("See which sidecars answer", sidecars),
            run("See whether the container runs, and why not", "kubectl -n {namespace} describe pod <pod>"),
            run(
                "Read its last words: a configuration that is refused names its line",
                "kubectl -n {namespace} logs <pod> -c futura-sidecar --previous --tail=50",
            ),
            run(
                "Ask it yourself",
                "kubectl -n {namespace} port-forward <pod> 9469:9469 &\ncurl -i http://127.0.0.1:9469/readyz",
            ),
        ],
        resolution: &[
            "Its configuration is refused: repair it; `futura-sidecar config check` finds the same before a release.",
            "Killed for memory (`OOMKilled`): raise its limit, or spread its checks over more sidecars.",
            "It runs and Prometheus does not reach it: repair the network policy or the scrape job.",
        ],
        related: &["CheckFailing", "ErrorForwardingBehind", "PodDown"],
    }
}

fn cardinality_folded() -> Alert {
    let labels = ("http_requests_total", "path");
    let folded =
        |samples| -> [Series; 1] { [series(METRICS_FOLDED_TOTAL, labels, samples).target::<Service>(TICKET_API)] };
    let firing = (TICKET_API, "http_requests_total", "path");
    let definition = Definition {
        name: "CardinalityFolded",
        severity: Severity::Warning,
        team: Team::Api,
        service: None,
        condition: queries::values_folded(Window::hours(1)).above(0.0),
        lasts: Duration::ZERO,
        panel: None,
        summary: template(("`", label::<MetricName>(), "` has too many values of `", label::<LabelName>(), "`")),
        description: template((
            label::<Service>(),
            " wrote `_other` for ",
            label::<LabelName>(),
            " ",
            value(),
            " times within an hour, as ",
            label::<MetricName>(),
            " had as many values as it may.",
        )),
        examples: vec![
            Example::when("a value is folded at minute 10", folded(Samples::steady(0.0, 9).then_steady(1.0, 110)))
                .silent_at(9)
                .fires_at(11, firing, 1.0)
                .fires_at(60, firing, 1.0)
                .silent_at(75),
            Example::when("the last was folded long ago", folded(Samples::steady(40.0, 60))).silent_at(60),
        ],
        runbook: cardinality_folded_runbook(),
    };
    definition.into()
}

fn cardinality_folded_runbook() -> Runbook {
    Runbook {
        symptom: "A label of a metric has more values than it may, and further ones are counted as `_other`.",
        meaning: "The service is safe, that is what the limit is for, but the metric no longer tells those values apart. \
                  Mostly something was made a label that has no bounds: an id, a name, a path as it came.",
        investigation: vec![
            ask("See which metric and label it is", queries::values_folded(Window::hours(1))),
            ask("See how many series there are", gauge(METRICS_SERIES).value()),
            run(
                "See which values it has",
                "kubectl -n {namespace} port-forward deployment/api 9090:9090 &\n\
                 curl -sg 'http://127.0.0.1:9090/metrics?name[]=<metric>' | head -50",
            ),
        ],
        resolution: &[
            "The values are without bounds: take the label out, or name a closed set of them in its declaration.",
            "There are simply more of them now: raise the limit of the label where the service is set up.",
            "Somebody makes them up (paths, hosts): nothing is wrong with the metric; look at who asks.",
        ],
        related: &["HighErrorRate"],
    }
}

fn watchdog() -> Alert {
    let definition = Definition {
        name: "Watchdog",
        severity: Severity::Warning,
        team: Team::Platform,
        service: Some("prometheus"),
        condition: always(),
        lasts: Duration::ZERO,
        panel: None,
        summary: template(("Alerts are evaluated and sent",)),
        description: template((
            "This alert always fires. Whoever is told of it must raise the alarm when it is missing: then Prometheus, \
             Alertmanager or the way between them is broken.",
        )),
        examples: vec![Example::when("nothing at all happens", []).fires_at(0, (), 1.0).fires_at(60, (), 1.0)],
        runbook: watchdog_runbook(),
    };
    definition.into()
}

fn watchdog_runbook() -> Runbook {
    Runbook {
        symptom: "The heartbeat service reports that Watchdog is missing. That it fires is as it should be.",
        meaning: "No alert arrives any more, whatever happens. Until it is repaired watch the dashboards yourself.",
        investigation: vec![
            run(
                "See whether Prometheus evaluates its rules",
                "kubectl -n {namespace} port-forward svc/prometheus 9090:9090 &\n\
                 curl -s 'http://127.0.0.1:9090/api/v1/alerts' | grep -o Watchdog",
            ),
            run(
                "See whether Alertmanager has it",
                "kubectl -n {namespace} port-forward svc/alertmanager 9093:9093 &\n\
                 amtool --alertmanager.url=http://127.0.0.1:9093 alert query alertname=Watchdog",
            ),
            run(
                "Read whether sending fails",
                "kubectl -n {namespace} logs -l app.kubernetes.io/name=alertmanager --tail=100 | grep -i notify",
            ),
        ],
        resolution: &[
            "Prometheus does not have it: it is down, out of disk, or its rule files are refused; read its log.",
            "Prometheus has it and Alertmanager does not: repair `alerting.alertmanagers` or the network between them.",
            "Alertmanager has it and it does not arrive: the receiver's address or secret is wrong, or somebody \
             silenced it.",
        ],
        related: &["SidecarDown"],
    }
}
