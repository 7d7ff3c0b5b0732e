//! The sidecar's checks: what is up, why what failed did, and how long things take.

use futura_alert_rules::{
    panel::checks,
    promql::{Counter, Quantity, Selector, Vector, Window, all, by, counter, gauge, histogram},
    template::template,
};
use futura_metrics::specs::checks::{
    CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, CHECK_DURATION_SECONDS, CHECK_FAILURES_TOTAL,
    CHECK_LAST_PHASE_DURATION_SECONDS, CHECK_RUNS_SKIPPED_TOTAL, CHECK_RUNS_TOTAL, CHECK_SCHEDULING_LAG_SECONDS,
    CHECK_STEP_LAST_DURATION_SECONDS, CHECK_SUCCESSES_TOTAL, CHECK_UP, Check, CheckKind, Phase, Reason, Step,
};

use crate::{
    grafana::{Color, Dashboard, Panel},
    panels::{lines, number, query, states},
    variables::{any, chosen},
};

const WINDOW: Window = Window::RateInterval;

pub(crate) fn dashboard() -> Dashboard {
    let panels = vec![
        up(),
        success(),
        first_expiry(),
        skipped(),
        state(),
        success_by_check(),
        failures(),
        duration(),
        phases(),
        steps(),
        certificates(),
        lag(),
    ];
    let description = "What the sidecars see from outside: what is up, and why what failed did.";
    Dashboard::new(checks::UID, "FuturaTickets - Checks", description, panels)
        .choosing([any::<Check, _>("Check", &counter(CHECK_RUNS_TOTAL))])
}

fn runs() -> Selector<Counter, (Check, CheckKind)> {
    counter(CHECK_RUNS_TOTAL).only(chosen::<Check>())
}

fn successes() -> Selector<Counter, (Check, CheckKind)> {
    counter(CHECK_SUCCESSES_TOTAL).only(chosen::<Check>())
}

/// How long the certificate of each check's target is valid.
fn validity() -> Vector<(Check,)> {
    gauge(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS).only(chosen::<Check>()).time_left().min(by::<(Check,)>())
}

fn up() -> Panel {
    let up = gauge(CHECK_UP).only(chosen::<Check>()).value().avg(all());
    let description = "The share of the checks that count as up. Below the whole, the states below tell which one is down, and \
                       the failures why.";
    // The average of states is a share of them.
    let up = query(up.measured_in(Quantity::Ratio), template("Up"));
    number(checks::UP, up, description).good_from(1.0).low()
}

fn success() -> Panel {
    let ratio = successes().rate(WINDOW).sum(all()).ratio_to(runs().rate(WINDOW).sum(all()));
    let description = "The share of runs that succeed, single failures included that take no check down. A little below the \
                       whole for long means a target or a network that is unsteady.";
    number(checks::SUCCESS, query(ratio, template("Success")), description).good_from(0.99).low()
}

fn first_expiry() -> Panel {
    let description = "How long until the first of the certificates expires. Below two weeks, see which it is below, and why it \
                       was not renewed.";
    number(checks::FIRST_EXPIRY, query(validity().min(all()), template("Expires in")), description)
        .signed()
        .good_from(14.0 * 86_400.0)
        .when_empty("no certificate seen")
        .low()
}

fn skipped() -> Panel {
    let skipped = counter(CHECK_RUNS_SKIPPED_TOTAL).only(chosen::<Check>()).increase(Window::hours(1)).sum(all());
    let description = "Runs within the last hour that were left out, as the one before had not ended. Lengthen the interval of a \
                       check that often takes as long, or give the sidecar more CPU.";
    number(checks::SKIPPED, query(skipped, template("Skipped")), description).good_up_to(1.0).low()
}

fn state() -> Panel {
    let state = gauge(CHECK_UP).only(chosen::<Check>()).value().min(by::<(Check,)>());
    let description = "Whether each check counts as up. Where several replicas run it, one that is down shows as down. A gap \
                       means that it was suspended, or that nobody ran it.";
    states(checks::STATE, state, description, &[("0", "down", Color::Red), ("1", "up", Color::Green)])
        .wide()
        .under("Availability")
}

fn success_by_check() -> Panel {
    let by = by::<(Check,)>();
    let ratio = successes().rate(WINDOW).sum(by).ratio_to(runs().rate(WINDOW).sum(by));
    let description = "The share of each check's runs that succeed. One that swings is unsteady: see its reasons beside, and its \
                       phases below.";
    lines(checks::SUCCESS_BY_CHECK, ratio, description).lowest_first()
}

fn failures() -> Panel {
    let failures = counter(CHECK_FAILURES_TOTAL).only(chosen::<Check>()).rate(WINDOW).sum(by::<(Check, Reason)>());
    let description = "Failed runs per second by reason. `timeout` and `connect` point to the network or to a process that is \
                       gone, `status` and `body` to the target itself, `tls` and `expired` to its certificate.";
    lines(checks::FAILURES, failures, description)
}

fn duration() -> Panel {
    let durations = histogram(CHECK_DURATION_SECONDS).only(chosen::<Check>());
    let time = durations.rate(WINDOW).sum(by::<(Check,)>()).quantile(0.95);
    let description = "The time that 95 % of a check's runs do not exceed. A step without a release is a network path or a data \
                       store: the phases beside tell which part grew.";
    lines(checks::DURATION, time, description).under("Time")
}

fn phases() -> Panel {
    let phases = gauge(CHECK_LAST_PHASE_DURATION_SECONDS).only(chosen::<Check>()).value().max(by::<(Check, Phase)>());
    let description = "How long each phase of the last run took. Slow `resolve` is DNS, slow `connect` the network, slow \
                       `first_byte` the target at work.";
    lines(checks::PHASES, phases, description)
}

fn steps() -> Panel {
    let steps = gauge(CHECK_STEP_LAST_DURATION_SECONDS).only(chosen::<Check>()).value().max(by::<(Check, Step)>());
    let description = "How long each step of a journey's last run took. A step that ends where others go on is the one that the \
                       journey does not get past.";
    lines(checks::STEPS, steps, description).when_empty("no check is a journey")
}

fn certificates() -> Panel {
    let description = "How long the certificate of each check's target is still valid. A line that does not jump up in time \
                       was not renewed: see what renews it.";
    lines(checks::CERTIFICATES, validity(), description).signed().lowest_first().when_empty("no certificate seen")
}

fn lag() -> Panel {
    let lag = histogram(CHECK_SCHEDULING_LAG_SECONDS).rate(WINDOW).sum(all());
    let description = "How late runs start, at most, 99 % of them. Seconds mean that the sidecar has too little CPU or too \
                       few places for its checks.";
    lines(checks::LAG, query(lag.quantile(0.99), template("p99")), description).under("The sidecar itself").wide()
}
