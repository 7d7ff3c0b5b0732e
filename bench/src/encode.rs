//! A scrape: 10,000 counter series and 1,000 histograms with eleven bounds, written as OpenMetrics text unless a case says otherwise.

use std::{collections::BTreeMap, hint::black_box, sync::Mutex, time::Duration};

use anyhow::{Result, ensure};
use futura_metrics::{
    Metrics,
    exposition::{Format, Selection},
    specs::http::{DURATION_BOUNDS, HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{
    allocations::Allocations,
    harness::{Case, Plan, measure, named},
    table::{Table, number},
};

pub(crate) const GROUP: &str = "encode";

const COPY: &str = "floor: memcpy of the same bytes";
const PROTOBUF: &str = "futura, protobuf, native histograms";
const CLIENT: &str = "prometheus-client";

const COUNTER_PATHS: usize = 50;
const HISTOGRAM_PATHS: usize = 100;
const STATUSES: [u16; 20] =
    [200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 502, 503];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    path: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    path: String,
}

/// The same series in both libraries. Each renders into a new buffer, as a scrape does.
pub(crate) fn cases() -> Result<Vec<Case>> {
    let (own, client) = (own_metrics()?, client_metrics());
    let text = own.render(Format::OpenMetrics);
    ensure_same_samples(&text, &client_text(&client))?;
    let copy = Mutex::new(vec![0; text.len()]);
    let (prometheus_text, protobuf) = (own.clone(), own.clone());
    Ok(vec![
        Case::new(COPY, move |_| {
            let mut copy = copy.lock().expect("a copy does not panic");
            copy.copy_from_slice(black_box(text.as_bytes()));
        }),
        Case::new("futura", move |_| drop(black_box(own.render(Format::OpenMetrics)))),
        Case::new("futura, Prometheus text", move |_| drop(black_box(prometheus_text.render(Format::Text)))),
        Case::new(PROTOBUF, move |_| drop(black_box(protobuf.render_protobuf(&Selection::all())))),
        Case::new(CLIENT, move |_| drop(black_box(client_text(&client)))),
    ])
}

pub(crate) fn report(allocations: &Allocations, plan: Plan) -> Result<Table> {
    let measurements = measure(&cases()?, plan);
    let own = own_metrics()?;
    let text = own.render(Format::OpenMetrics);
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    let bytes_of = |case: &str| match case {
        PROTOBUF => own.render_protobuf(&Selection::all()).len(),
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
    let copy = named(&measurements, COPY).alone.median();
    let client = named(&measurements, CLIENT).alone.median();
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
    Ok(table)
}

fn own_metrics() -> Result<Metrics> {
    let metrics = Metrics::new();
    let requests = metrics.counters(HTTP_REQUESTS_TOTAL)?;
    let duration = metrics.histograms(HTTP_REQUEST_DURATION_SECONDS)?;
    for_each_counter(|method, path, status, count| requests.with((method, path, status)).add(count));
    for_each_observation(|method, path, value| duration.with((method, path)).observe_duration(value));
    Ok(metrics)
}

fn client_metrics() -> Registry {
    let requests = Family::<Labels, Counter>::default();
    let duration =
        Family::<RouteLabels, Histogram>::new_with_constructor(|| Histogram::new(DURATION_BOUNDS.iter().copied()));
    for_each_counter(|method, path, status, count| {
        let labels = Labels { method: method.as_str().to_owned(), path: path.to_owned(), status };
        requests.get_or_create(&labels).inc_by(count);
    });
    for_each_observation(|method, path, value| {
        let labels = RouteLabels { method: method.as_str().to_owned(), path: path.to_owned() };
        duration.get_or_create(&labels).observe(value.as_secs_f64());
    });
    let mut registry = Registry::default();
    #[expect(clippy::disallowed_methods, reason = "this registry is the peer's")]
    {
        registry.register("http_requests", "HTTP requests answered", requests);
        registry.register("http_request_duration_seconds", "Time to the end of the response", duration);
    }
    registry
}

fn client_text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a String does not fail");
    text
}

fn for_each_counter(mut count: impl FnMut(Method, &str, u16, u64)) {
    for (index, method) in Method::ALL.iter().enumerate() {
        for path in 0..COUNTER_PATHS {
            for status in STATUSES {
                count(
                    *method,
                    &format!("/organizations/{{organization}}/items-{path}"),
                    status,
                    (index * 7919 + path * 104_729) as u64,
                );
            }
        }
    }
}

fn for_each_observation(mut observe: impl FnMut(Method, &str, Duration)) {
    for method in Method::ALL {
        for path in 0..HISTOGRAM_PATHS {
            for milliseconds in [3, 7, 40, 300, 1_500, 12_000] {
                let value = Duration::from_millis(milliseconds) + Duration::from_micros(path as u64);
                observe(*method, &format!("/organizations/{{organization}}/items-{path}"), value);
            }
        }
    }
}

/// Refuses to compare times of different work: both must write the same series with the same values.
///
/// Sums are left out, as one library adds floats.
fn ensure_same_samples(own: &str, client: &str) -> Result<()> {
    let (own, client) = (samples(own), samples(client));
    ensure!(own.len() == client.len(), "futura writes {} samples, prometheus-client {}", own.len(), client.len());
    for (series, value) in &own {
        let name = series.split('{').next().unwrap_or_default();
        let same = client.get(series).is_some_and(|other| name.ends_with("_sum") || other == value);
        ensure!(same, "prometheus-client has no sample `{series} {value}`");
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
    let mut labels: Vec<_> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::{ensure_same_samples, own_metrics};
    use futura_metrics::exposition::Format;

    #[test]
    fn there_are_ten_thousand_counters_and_a_thousand_histograms() {
        let text = own_metrics().unwrap().render(Format::Text);
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("http_requests_total{"), 10_000);
        assert_eq!(count("http_request_duration_seconds_count{"), 1_000);
        assert_eq!(count("http_request_duration_seconds_bucket{"), 12_000);
    }

    #[test]
    fn different_work_is_not_compared() {
        let own = "# TYPE http_a counter\nhttp_a_total{x=\"1\",y=\"2\"} 5\nhttp_b_sum 0.3\nfutura_c 1\n";
        ensure_same_samples(own, "http_a_total{y=\"2\",x=\"1\"} 5\nhttp_b_sum 0.30000000000000004\n").unwrap();
        for other in [
            "http_a_total{y=\"2\",x=\"1\"} 6\nhttp_b_sum 0.3\n",
            "http_a_total{y=\"2\",x=\"1\"} 5\n",
            "http_a_total{y=\"2\"} 5\nhttp_b_sum 0.3\n",
        ] {
            ensure_same_samples(own, other).unwrap_err();
        }
    }
}
