//! A scrape: 10,000 counter series and 1,000 histograms with eleven bounds, written as text unless a case says otherwise.

use std::{collections::BTreeMap, hint::black_box, sync::Mutex};

use anyhow::{Result, ensure};
use futura_metrics::exposition::{Format, Selection};

use crate::{
    allocations::Allocations,
    harness::{Case, Plan, measure, named},
    libraries::{client, facade, measured, own, tikv},
    table::{Table, number},
    targets::Target,
};

pub(crate) const GROUP: &str = "encode";

const COPY: &str = "floor: memcpy of the same bytes";
const OWN: &str = "futura";
const PROTOBUF: &str = "futura, protobuf, native histograms";
const CLIENT: &str = "prometheus-client";

/// The same series in each library. Each renders into a new buffer, as a scrape does.
pub(crate) fn cases() -> Result<Vec<Case>> {
    let own = own::filled()?;
    let text = own.render(Format::OpenMetrics);
    let copy = Mutex::new(vec![0; text.len()]);
    let peers = [
        peer(CLIENT, &text, client::filled())?,
        peer("measured", &text, measured::filled())?,
        peer("prometheus", &text, tikv::filled()?)?,
        peer("metrics", &text, facade::filled()?)?,
    ];
    let (prometheus_text, protobuf) = (own.clone(), own.clone());
    let mut cases = vec![
        Case::new(COPY, move |_| {
            let mut copy = copy.lock().expect("a copy does not panic");
            copy.copy_from_slice(black_box(text.as_bytes()));
        }),
        Case::new(OWN, move |_| drop(black_box(own.render(Format::OpenMetrics)))),
        Case::new("futura, Prometheus text", move |_| drop(black_box(prometheus_text.render(Format::Text)))),
        Case::new(PROTOBUF, move |_| drop(black_box(protobuf.render_protobuf(&Selection::all())))),
    ];
    cases.extend(peers);
    Ok(cases)
}

pub(crate) fn report(allocations: &Allocations, plan: Plan) -> Result<(Table, Vec<Target>)> {
    let measurements = measure(&cases()?, plan);
    let metrics = own::filled()?;
    let text = metrics.render(Format::OpenMetrics);
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    let bytes_of = |case: &str| match case {
        PROTOBUF => metrics.render_protobuf(&Selection::all()).len(),
        _ => text.len(),
    };
    let mut table = Table::new(&[
        "case",
        "ms",
        "min",
        "ns/sample",
        "MB",
        "MB/s",
        "of memcpy",
        "of prometheus-client",
        "allocations",
    ]);
    let median = |case: &str| named(&measurements, case).alone.median();
    let (copy, client, own) = (median(COPY), median(CLIENT), median(OWN));
    for case in &measurements {
        let (nanoseconds, bytes) = (case.alone.median(), bytes_of(case.name) as f64);
        table.row(
            case.name,
            [
                number(nanoseconds / 1e6),
                number(case.alone.min() / 1e6),
                number(nanoseconds / samples as f64),
                number(bytes / 1e6),
                number(bytes * 1e3 / nanoseconds),
                number(nanoseconds / copy),
                number(nanoseconds / client),
                number(allocations.of(GROUP, case.name)),
            ],
        );
    }
    let targets = vec![
        Target::at_most("scrape of 10,000 counters and 1,000 histograms: of memcpy", 3.0, "×", own / copy),
        Target::at_least("the same: faster than prometheus-client", 5.0, "×", client / own),
    ];
    Ok((table, targets))
}

/// A case that renders what it has, which must be what `own` says.
fn peer(name: &'static str, own: &str, render: impl Fn() -> String + Send + Sync + 'static) -> Result<Case> {
    ensure_same_samples(own, name, &render())?;
    Ok(Case::new(name, move |_| drop(black_box(render()))))
}

/// Refuses to compare times of different work: both must write the same series with the same values.
///
/// Sums are left out, as others add floats.
fn ensure_same_samples(own: &str, name: &str, other: &str) -> Result<()> {
    let (own, other) = (samples(own), samples(other));
    ensure!(own.len() == other.len(), "futura writes {} samples, {name} {}", own.len(), other.len());
    for (series, value) in &own {
        let metric = series.split('{').next().unwrap_or_default();
        let same = other.get(series).is_some_and(|other| metric.ends_with("_sum") || other == value);
        ensure!(same, "{name} has no sample `{series} {value}`");
    }
    Ok(())
}

/// Each series with its value, its labels sorted; without what a registry tells of itself.
fn samples(text: &str) -> BTreeMap<String, &str> {
    let lines = text.lines().filter(|line| line.starts_with("http_"));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, value)| (with_sorted_labels(series), value)).collect()
}

fn with_sorted_labels(series: &str) -> String {
    let Some((name, labels)) = series.trim_end_matches('}').split_once('{') else {
        return series.to_owned();
    };
    // OpenMetrics writes a bound of one second as `1.0`, the older text as `1`.
    let mut labels: Vec<_> = labels.split(',').map(|label| label.replace(".0\"", "\"")).collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::ensure_same_samples;
    use crate::libraries::own;
    use futura_metrics::exposition::Format;

    #[test]
    fn there_are_ten_thousand_counters_and_a_thousand_histograms() {
        let text = own::filled().unwrap().render(Format::Text);
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("http_requests_total{"), 10_000);
        assert_eq!(count("http_request_duration_seconds_count{"), 1_000);
        assert_eq!(count("http_request_duration_seconds_bucket{"), 12_000);
    }

    #[test]
    fn different_work_is_not_compared() {
        let own = "# TYPE http_a counter\nhttp_a_total{x=\"1\",y=\"2\"} 5\nhttp_b_sum 0.3\nfutura_c 1\n";
        let same = "http_a_total{y=\"2\",x=\"1\"} 5\nhttp_b_sum 0.30000000000000004\n";
        ensure_same_samples(own, "a peer", same).unwrap();
        for other in [
            "http_a_total{y=\"2\",x=\"1\"} 6\nhttp_b_sum 0.3\n",
            "http_a_total{y=\"2\",x=\"1\"} 5\n",
            "http_a_total{y=\"2\"} 5\nhttp_b_sum 0.3\n",
        ] {
            ensure_same_samples(own, "a peer", other).unwrap_err();
        }
    }
}
