//! Prometheus's own tool accepts the rules and finds every example true.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    slice,
};

use futura_alert_rules::{
    Site, files,
    promql::{Comparison, Quantity},
    rules::areas,
};
use tempfile::TempDir;

/// The generated files in a folder of their own.
fn generated(site: &Site) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files(site).unwrap() {
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
fn promtool(arguments: &[&str], files: &[PathBuf]) -> Option<Result<(), String>> {
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

fn accepts(arguments: &[&str], files: &[PathBuf]) {
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
    let folder = generated(&Site { namespace: "staging-2".to_owned(), ..Site::default() });
    accepts(&["test", "rules"], &yaml_files(&folder.path().join("prometheus/tests")));
}

/// A threshold that is a little too sensitive or clearly too blunt is noticed by an example of its alert.
#[test]
fn the_examples_notice_another_threshold() {
    let site = Site::default();
    let folder = generated(&site);
    for area in areas(&site) {
        let path = folder.path().join(format!("prometheus/{}.yaml", area.name));
        let tests = folder.path().join(format!("prometheus/tests/{}.yaml", area.name));
        let rules = fs::read_to_string(&path).unwrap();
        for alert in area.alerts.iter().filter(|alert| alert.threshold.quantity != Quantity::State) {
            let threshold = alert.threshold.value;
            let condition = alert.expression.strip_suffix(&threshold.to_string()).unwrap();
            let others = match alert.threshold.comparison {
                Comparison::Above => [threshold * 0.94, threshold * 1.3],
                Comparison::Below => [threshold * 0.7, threshold * 1.06],
                Comparison::Equal => [threshold - 1.0, threshold + 1.0],
            };
            for other in others {
                let changed = rules.replace(&alert.expression, &format!("{condition}{other}"));
                assert_ne!(changed, rules);
                fs::write(&path, changed).unwrap();
                let outcome = promtool(&["test", "rules"], slice::from_ref(&tests));
                assert!(!matches!(outcome, Some(Ok(()))), "no example of {} notices {other}", alert.name);
            }
        }
        fs::write(&path, rules).unwrap();
    }
}

#[test]
fn generated_files_are_the_same_every_time() {
    assert_eq!(files(&Site::default()).unwrap(), files(&Site::default()).unwrap());
}
