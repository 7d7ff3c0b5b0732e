//! One increment and one observation: by a handle that was resolved before, and by label values at each call.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Result;

use crate::{
    allocations::Allocations,
    harness::{Case, Measurement, Plan, measure, named},
    libraries::{client, facade, measured, opentelemetry, own, tikv},
    table::{Table, number},
    targets::Target,
    work::with_durations,
};

pub(crate) const COUNTER_GROUP: &str = "counter";
pub(crate) const HISTOGRAM_GROUP: &str = "histogram";
pub(crate) const EXEMPLAR_GROUP: &str = "exemplar";

const ONE_ADD: &str = "floor: one relaxed add";
const TWO_ADDS: &str = "floor: two relaxed adds";

/// A counter with three labels.
pub(crate) fn counter_cases() -> Result<Vec<Case>> {
    let floor = AtomicU64::new(0);
    let add = Case::new(ONE_ADD, move |_| {
        floor.fetch_add(1, Relaxed);
    });
    let mut cases = vec![add];
    cases.extend(own::counter_cases()?);
    cases.extend(client::counter_cases());
    cases.extend(tikv::counter_cases()?);
    cases.extend(measured::counter_cases());
    cases.extend(opentelemetry::counter_cases());
    cases.extend(facade::counter_cases());
    Ok(cases)
}

/// A histogram with two labels and eleven bounds.
pub(crate) fn histogram_cases() -> Result<Vec<Case>> {
    let floor = [AtomicU64::new(0), AtomicU64::new(0)];
    let add = with_durations(TWO_ADDS, move |duration| {
        floor[0].fetch_add(1, Relaxed);
        floor[1].fetch_add(u64::from(duration.subsec_nanos()), Relaxed);
    });
    let mut cases = vec![add];
    cases.extend(own::histogram_cases()?);
    cases.extend(client::histogram_cases());
    cases.extend(tikv::histogram_cases()?);
    cases.extend(measured::histogram_cases());
    cases.extend(opentelemetry::histogram_cases());
    cases.extend(facade::histogram_cases());
    Ok(cases)
}

/// A histogram by its handle, told the span of each observation or none.
pub(crate) fn exemplar_cases() -> Result<Vec<Case>> {
    let mut cases = own::exemplar_cases()?;
    cases.extend(client::exemplar_cases());
    Ok(cases)
}

pub(crate) fn report_counters(allocations: &Allocations, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let measurements = measure(&counter_cases()?, plan);
    let own = named(&measurements, own::LABELS);
    let floor = named(&measurements, ONE_ADD).alone.median();
    let targets = vec![
        Target::at_most("counter through 3 labels: of one shared add", 2.0, "×", own.alone.median() / floor),
        contended("counter through 3 labels", own),
    ];
    Ok((table(COUNTER_GROUP, &measurements, ONE_ADD, allocations), targets))
}

pub(crate) fn report_histograms(allocations: &Allocations, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let measurements = measure(&histogram_cases()?, plan);
    let own = named(&measurements, own::LABELS);
    let floor = named(&measurements, TWO_ADDS).alone.median();
    let targets = vec![
        Target::at_most("histogram through 2 labels: of its two adds", 1.3, "×", own.alone.median() / floor),
        contended("histogram through 2 labels", own),
    ];
    Ok((table(HISTOGRAM_GROUP, &measurements, TWO_ADDS, allocations), targets))
}

pub(crate) fn report_exemplars(allocations: &Allocations, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let measurements = measure(&exemplar_cases()?, plan);
    let more = |sampled: &str, without: &str| {
        named(&measurements, sampled).alone.over(&named(&measurements, without).alone).median()
    };
    let mut table = Table::new(&["case", "ns", "min", "more than without", "allocations", "2 threads: ns", "min"]);
    for case in &measurements {
        let more = match case.name {
            own::SAMPLED => more(own::SAMPLED, own::NO_SPAN),
            client::SAMPLED => more(client::SAMPLED, client::NO_SPAN),
            _ => f64::NAN,
        };
        let (alone, contended) = (&case.alone, &case.contended);
        let allocations = allocations.of(EXEMPLAR_GROUP, case.name);
        let numbers = [alone.median(), alone.min(), more, allocations, contended.median(), contended.min()];
        table.row(case.name, numbers.map(number));
    }
    let allocated = allocations.of(EXEMPLAR_GROUP, own::SAMPLED);
    let targets = vec![
        Target::at_most("exemplar on a histogram: more", 5.0, " ns", more(own::SAMPLED, own::NO_SPAN)),
        Target::at_most("exemplar on a histogram: allocations", 0.0, "", allocated),
    ];
    Ok((table, targets))
}

fn contended(work: &str, own: &Measurement) -> Target {
    let ratio = own.contended.median() / own.alone.median();
    Target::at_most(&format!("{work}, 2 threads on one series: of one thread"), 1.5, "×", ratio)
}

fn table(group: &str, measurements: &[Measurement], floor: &str, allocations: &Allocations) -> Table {
    let mut table = Table::new(&[
        "case",
        "ns",
        "min",
        "of floor",
        "of prometheus-client",
        "allocations",
        "2 threads: ns",
        "min",
        "of prometheus-client",
    ]);
    let floor = named(measurements, floor).alone.median();
    for case in measurements {
        let peer = case.peer.map(|peer| named(measurements, peer));
        let (alone, contended) = (case.alone.median(), case.contended.median());
        table.row(
            case.name,
            [
                number(alone),
                number(case.alone.min()),
                number(alone / floor),
                number(alone / peer.map_or(f64::NAN, |peer| peer.alone.median())),
                number(allocations.of(group, case.name)),
                number(contended),
                number(case.contended.min()),
                number(contended / peer.map_or(f64::NAN, |peer| peer.contended.median())),
            ],
        );
    }
    table
}
