//! The metrics of other exporters are as the sample scrapes have them.

use std::{fs, io, path::PathBuf, process::Command};

use futura_metrics::{
    spec::{Descriptor, Source},
    specs::external::CATALOGUE,
};

fn path(exporter: &str) -> PathBuf {
    // What Prometheus adds to the series that it scrapes stands on no page of its own; `/federate` shows it.
    let extension = if exporter == "prometheus" { "federate" } else { "prom" };
    [env!("CARGO_MANIFEST_DIR"), "testdata/scrapes", &format!("{exporter}.{extension}")].iter().collect()
}

fn sample(exporter: &str) -> String {
    let path = path(exporter);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The label names of one line of an exposition, if it is a sample of this metric.
fn label_names<'a>(line: &'a str, metric: &str) -> Option<Vec<&'a str>> {
    let rest = line.strip_prefix(metric)?;
    let labels = match rest.strip_prefix('{') {
        Some(labels) => labels.split_once('}')?.0,
        None => rest.starts_with(' ').then_some("")?,
    };
    Some(labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name).collect())
}

fn check(metric: &Descriptor) {
    let Source::Exporter { name: exporter, .. } = metric.source else {
        panic!("{} is no exporter's metric", metric.name);
    };
    let sample = sample(exporter);
    let mut series = sample.lines().filter_map(|line| label_names(line, metric.name)).peekable();
    assert!(series.peek().is_some(), "{} is not in {exporter}'s sample", metric.name);
    for labels in series {
        let missing: Vec<_> = metric.label_names.iter().filter(|name| !labels.contains(name)).collect();
        assert!(missing.is_empty(), "{} has no {missing:?} in {exporter}'s sample", metric.name);
    }
}

/// Prometheus's own tool finds nothing wrong with the samples, where it is installed.
#[test]
fn the_samples_are_well_formed() {
    for exporter in ["cadvisor", "kube-state-metrics", "mongodb_exporter", "node_exporter", "redis_exporter"] {
        let file = fs::File::open(path(exporter)).unwrap();
        match Command::new("promtool").args(["check", "metrics"]).stdin(file).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => eprintln!("promtool is not installed"),
            output => {
                let output = output.unwrap();
                // node_exporter names its memory as the kernel does, which promtool finds no good style.
                let told = String::from_utf8_lossy(&output.stderr);
                let told: Vec<_> =
                    told.lines().filter(|line| !line.is_empty() && !line.ends_with("'camelCase'")).collect();
                assert!(told.is_empty(), "{exporter}: {told:?}");
            }
        }
    }
}

#[test]
fn every_external_metric_is_in_its_exporter_s_sample() {
    for metric in CATALOGUE {
        check(metric);
    }
}
