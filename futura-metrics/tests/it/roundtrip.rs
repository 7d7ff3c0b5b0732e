//! What goes into a registry comes out of an independent parser: the same names, types, helps, units, values and exemplars.
//!
//! `TEST_PROMETHEUS_CLIENT` names a Python that has the package `prometheus_client`, which `cargo xtask test` installs.

use std::{
    cell::RefCell,
    io::{ErrorKind, Seek, Write},
    process::Command,
};

use futura_metrics::exposition::Format;
use proptest::{
    prelude::{ProptestConfig, TestCaseError},
    prop_assert_eq, proptest,
    test_runner::TestRunner,
};

use self::{
    case::{Case, cases, everything},
    python::Python,
    record::{Exemplar, Exposed, Family, Labels, Recorded, Sample, Wire, bound_text, shown},
};
use crate::protobuf;

mod case;
mod python;
mod record;

/// The order of samples within a family is no matter; the parsers have checked what of it is.
fn sorted(mut families: Exposed) -> Exposed {
    families.iter_mut().for_each(|family| family.samples.sort());
    families
}

#[test]
fn the_python_parsers_read_back_whatever_was_counted() {
    let Some(python) = Python::start().map(RefCell::new) else {
        eprintln!("SKIPPED: set TEST_PROMETHEUS_CLIENT to a Python with prometheus_client, as `cargo xtask test` does");
        return;
    };
    let parsed = |format: &str, text: &str| {
        let parsed = python.borrow_mut().parse(format, text);
        parsed.map(sorted).map_err(|error| TestCaseError::fail(format!("{format}: {error}\n{text}")))
    };
    let check = |case: Case| {
        let recorded = Recorded::play(&case);
        let text = recorded.metrics.render(Format::Text);
        prop_assert_eq!(parsed("text", &text)?, recorded.expected(Wire::Text), "{}", text);
        let text = recorded.metrics.render(Format::OpenMetrics);
        prop_assert_eq!(parsed("openmetrics", &text)?, recorded.expected(Wire::OpenMetrics), "{}", text);
        Ok(())
    };
    if let Err(error) = TestRunner::new(ProptestConfig::with_cases(300)).run(&cases(), check) {
        panic!("{error}");
    }
}

proptest! {
    #[test]
    fn a_protobuf_decoder_reads_back_whatever_was_counted(case in cases()) {
        let recorded = Recorded::play(&case);
        let families = protobuf::decode(&recorded.metrics).into_iter().map(from_protobuf).collect();
        prop_assert_eq!(sorted(families), recorded.expected(Wire::Protobuf));
    }
}

/// A decoded family as the parsers of text would tell it.
fn from_protobuf(family: protobuf::MetricFamily) -> Family {
    let kind = ["counter", "gauge", "summary", "unknown", "histogram"][usize::try_from(family.kind).unwrap()];
    let name = if kind == "counter" { family.name.strip_suffix("_total").unwrap() } else { &family.name };
    let samples = family.metrics.iter().flat_map(|metric| samples_of(&family.name, metric)).collect();
    Family { name: name.to_owned(), kind: kind.to_owned(), help: family.help, unit: family.unit, samples }
}

fn samples_of(name: &str, metric: &protobuf::Metric) -> Vec<Sample> {
    let labels = labels_of(&metric.labels);
    let sample = |suffix: &str, value: f64| Sample {
        name: format!("{name}{suffix}"),
        labels: labels.clone(),
        value: shown(value),
        exemplar: None,
    };
    let scalars = [&metric.counter, &metric.gauge, &metric.untyped].into_iter().flatten();
    let mut samples: Vec<Sample> = scalars.map(|scalar| sample("", scalar.value)).collect();
    if let Some(histogram) = &metric.histogram {
        samples.extend([sample("_count", histogram.count as f64), sample("_sum", histogram.sum)]);
        samples.extend(histogram.buckets.iter().map(|bucket| {
            let mut sample = sample("_bucket", bucket.cumulative_count as f64);
            sample.labels.insert("le".to_owned(), bound_text(bucket.upper_bound));
            sample.exemplar = bucket.exemplar.as_ref().map(exemplar_of);
            sample
        }));
    }
    samples
}

fn exemplar_of(exemplar: &protobuf::Exemplar) -> Exemplar {
    Exemplar { labels: labels_of(&exemplar.labels), value: shown(exemplar.value), timed: exemplar.timestamp.is_some() }
}

fn labels_of(pairs: &[protobuf::LabelPair]) -> Labels {
    pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
}

/// Every kind of metric, with and without native buckets, and the user's own: promtool's parser and its lints find no fault.
#[test]
fn promtool_finds_no_fault_with_an_exposition_that_has_everything() {
    for native in [false, true] {
        let text = Recorded::play(&everything(native)).metrics.render(Format::Text);
        let mut page = tempfile::tempfile().unwrap();
        page.write_all(text.as_bytes()).unwrap();
        page.rewind().unwrap();
        let promtool = Command::new("promtool").args(["check", "metrics"]).stdin(page).output();
        let output = match promtool {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("SKIPPED: promtool is not installed; `cargo xtask test` does it");
                return;
            }
            output => output.unwrap(),
        };
        let says = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && says.is_empty(), "{}\n{text}", String::from_utf8_lossy(&says));
    }
}
