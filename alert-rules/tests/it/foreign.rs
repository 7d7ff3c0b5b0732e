//! Rules as others write them, linted against what their exporters really export.

use std::{fs, path::PathBuf};

use futura_alert_rules::foreign::{Catalogue, Options, RuleFile, check};
use insta::assert_snapshot;

fn read(path: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata", path].iter().collect();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is found in the rules of a file, against a page.
fn lint(rules: &str, page: &str) -> String {
    let file = RuleFile::parse(&read(rules)).unwrap();
    let mut catalogue = Catalogue::from_page(&read(page)).unwrap();
    catalogue.add_records(&file);
    check(&file, &catalogue, &Options::default()).iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn good_rules_on_a_node_have_no_findings() {
    assert_eq!(lint("foreign/node.yaml", "scrapes/node_exporter.prom"), "");
}

/// Joins that pick, ratios, labels made up, conditions on alerts: none is taken for a mistake.
#[test]
fn rules_that_many_clusters_run_have_no_errors() {
    assert_snapshot!(lint("foreign/kubernetes.yaml", "foreign/kubernetes.prom"), @"20: warning: alert `CPUThrottlingHigh`: it divides by `sum without (id, metrics_path) (increase(container_cpu_cfs_periods_total[5m]))`, which is zero without traffic (unguarded-ratio)");
}

#[test]
fn rules_with_the_usual_mistakes_have_findings() {
    assert_snapshot!(lint("foreign/mistakes.yaml", "scrapes/node_exporter.prom"), @r#"
    5: warning: record `filesystem_free`: its name has no level and no operations (record-name)
    7: error: alert `FilesystemFull`: its label `free` has the value in it (value-in-label)
    7: error: alert `FilesystemFull`: `summary` uses the label `mountpoint`, which is not there (dropped-label)
    18: error: alert `FilesystemGrows`: rate() is taken of the gauge `node_filesystem_avail_bytes` (rate-of-gauge)
    18: warning: alert `FilesystemGrows`: rate() looks back 30s, which is less than 60s (short-range)
    18: error: alert `FilesystemGrows`: `node_filesystem_avail_bytes` has no label `mount` (unknown-label)
    18: warning: alert `FilesystemGrows`: `fstype=~"ext4"` matches one text alone (literal-regex)
    20: warning: alert `FilesystemGone`: it has no label `severity` (missing-severity)
    20: warning: alert `FilesystemGone`: it has no annotation `summary` (missing-annotation)
    20: warning: alert `FilesystemGone`: it has no annotation `runbook_url` (missing-annotation)
    21: error: alert `FilesystemGone`: there is no metric `node_filesystem_free_byte` (unknown-metric)
    21: warning: alert `FilesystemGone`: it fires at once when a series is missing (missing-for)
    "#);
}
