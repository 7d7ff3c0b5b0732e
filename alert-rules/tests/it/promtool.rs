//! Prometheus's own tool accepts the rules and finds every example true.

use std::{
    error::Error as _,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use futura_alert_rules::{GeneratedFile, Site, files, rules::areas};
use insta::assert_snapshot;
use tempfile::TempDir;

/// The generated files in a folder of their own.
pub(crate) fn generated(site: &Site) -> TempDir {
    written(files(site).unwrap())
}

/// These files in a folder of their own.
pub(crate) fn written(files: Vec<GeneratedFile>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.contents).unwrap();
    }
    folder
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// Runs promtool from an unrelated folder and returns what it says if it objects.
///
/// Where it is not installed there is nothing to compare with, and nothing is returned at all.
pub(crate) fn promtool(arguments: &[&str], files: &[PathBuf]) -> Option<Result<(), String>> {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = match Command::new("promtool").args(arguments).args(files).current_dir(&elsewhere).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("promtool is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    let says = [output.stdout, output.stderr].concat();
    Some(if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&says).into_owned()) })
}

pub(crate) fn accepts(arguments: &[&str], files: &[PathBuf]) {
    if let Some(Err(objection)) = promtool(arguments, files) {
        panic!("promtool {arguments:?}:\n{objection}");
    }
}

#[test]
fn promtool_accepts_the_rules() {
    let folder = generated(&Site::default());
    accepts(&["check", "rules", "--lint=all", "--lint-fatal"], &yaml_files(&folder.path().join("prometheus")));
}

#[test]
fn every_example_comes_true() {
    let folder = generated(&Site::default());
    accepts(&["test", "rules"], &yaml_files(&folder.path().join("prometheus/tests")));
}

#[test]
fn the_examples_follow_the_site() {
    let (namespace, sidecar_job) = ("staging-2".to_owned(), "monitoring/sidecars".to_owned());
    let folder = generated(&Site { namespace, sidecar_job, ..Site::default() });
    let areas = ["kubernetes", "monitoring", "resources"];
    let tests = areas.map(|area| folder.path().join(format!("prometheus/tests/{area}.yaml")));
    accepts(&["test", "rules"], &tests);
}

/// Every threshold that can be set is less than it is by default.
fn lower_thresholds() -> Site {
    let limits = areas(&Site::default()).into_iter().flat_map(|area| area.alerts);
    // Where a histogram has no bucket, a threshold is refused.
    let limits = limits.filter(|alert| alert.threshold.is_limit() && alert.threshold.bounds.is_empty());
    let thresholds = limits.map(|alert| (alert.name.to_owned(), alert.threshold.value * 0.7));
    Site { thresholds: thresholds.collect(), ..Site::default() }
}

#[test]
fn the_examples_follow_the_thresholds() {
    let site = lower_thresholds();
    let folder = generated(&site);
    let tests = folder.path().join("prometheus/tests");
    accepts(&["test", "rules"], &yaml_files(&tests));
    let databases = fs::read_to_string(tests.join("databases.yaml")).unwrap();
    let followed = format!("times {} / 800", site.thresholds["HighMongoDBConnections"]);
    assert!(databases.contains(&followed), "{databases}");
}

#[test]
fn examples_that_cannot_follow_are_left_out_and_named() {
    let site = Site::from_yaml("thresholds: { HighResponseTime: 5 }\ndurations: { HighLatency: 20m }").unwrap();
    let folder = generated(&site);
    let tests = fs::read_to_string(folder.path().join("prometheus/tests/latency.yaml")).unwrap();
    let notes: Vec<_> = tests.lines().filter(|line| line.starts_with("# No tests")).collect();
    assert_snapshot!(notes.join("\n"), @"
    # No tests of HighResponseTime here: its examples are stated for another threshold.
    # No tests of HighLatency here: its examples are stated for another duration.
    ");
    assert!(tests.contains("alertname: SlowApiResponses") && !tests.contains("alertname: HighLatency"), "{tests}");
    let rules = fs::read_to_string(folder.path().join("prometheus/latency.yaml")).unwrap();
    assert!(rules.contains("[5m]))) > 5\n") && rules.contains("for: 20m\n"), "{rules}");
    accepts(&["test", "rules"], &[folder.path().join("prometheus/tests/latency.yaml")]);
    let runbook = fs::read_to_string(folder.path().join("runbooks/HighResponseTime.md")).unwrap();
    assert!(runbook.contains("The threshold is set to 5s here; the text speaks of 2s."), "{runbook}");
}

#[test]
fn a_threshold_between_buckets_is_refused() {
    let site = Site::from_yaml("thresholds: { HighResponseTime: 3 }").unwrap();
    let error = files(&site).unwrap_err().source().unwrap().to_string();
    assert!(error.starts_with("alert `HighResponseTime`: 3 is not a bucket bound of the histogram"), "{error}");
    assert!(error.contains("1, 2, 5, 10"), "{error}");
}

#[test]
fn generated_files_are_the_same_every_time() {
    assert_eq!(files(&Site::default()).unwrap(), files(&Site::default()).unwrap());
}
