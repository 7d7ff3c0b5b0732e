//! The shape of the workspace, as cargo sees it.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use serde_json::Value;

/// Which of our crates a crate may use. Who is not named here is used by no other crate.
const ARROWS: &[(&str, &[&str])] = &[
    ("futura-metrics", &[]),
    ("futura-alert-rules", &["futura-metrics"]),
    ("futura-dashboards", &["futura-alert-rules", "futura-metrics"]),
    ("futura-sidecar", &["futura-alert-rules", "futura-dashboards", "futura-metrics"]),
    ("ticket-api", &["futura-metrics"]),
    ("futura-bench", &["futura-metrics"]),
    ("futura-examples", &["futura-alert-rules", "futura-dashboards", "futura-metrics"]),
    ("xtask", &[]),
];

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(ROOT)
        .output()
        .expect("cargo runs this test, so it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

#[test]
fn dependencies_point_one_way() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let mut allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.remove(name) else {
            panic!("{name} is a new crate: say in ARROWS what it may use")
        };
        let dependencies = package["dependencies"].as_array().unwrap();
        // A dependency on a folder is one on a crate of ours.
        for dependency in dependencies.iter().filter(|dependency| dependency["path"].is_string()) {
            let dependency = dependency["name"].as_str().unwrap();
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
    assert!(allowed.is_empty(), "not in the workspace: {allowed:?}");
}

#[test]
fn the_declarations_alone_pull_in_nothing() {
    let tree =
        cargo(&["tree", "--package=futura-metrics", "--no-default-features", "--edges=normal,build", "--prefix=none"]);
    assert_eq!(tree.lines().count(), 1, "without features futura-metrics depends on nothing, not on:\n{tree}");
}

#[test]
fn generators_compile_no_server_and_no_database() {
    let tree = cargo(&["tree", "--package=futura-dashboards", "--edges=normal,build", "--prefix=none"]);
    for heavy in ["axum", "hyper", "reqwest", "sentry", "sqlx", "tokio"] {
        let found = tree.lines().find(|line| line.split(' ').next() == Some(heavy));
        assert_eq!(found, None, "generate-dashboards must stay light");
    }
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            assert!(Path::new(ROOT).join(target).exists(), "{page} links to {target}, which is not there");
        }
    }
}

#[test]
fn the_code_in_the_readme_is_the_example_that_runs() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let (readme, example) = (read("README.md"), read("examples/minimal.rs"));
    let code = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    for line in code.lines() {
        assert!(example.lines().any(|other| other.trim() == line.trim()), "not in examples/minimal.rs: {line}");
    }
}

#[test]
fn a_wrong_command_line_exits_64_and_help_teaches() {
    let xtask = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap();
    for arguments in [&[][..], &["nonsense"], &["demo", "--seconds", "x"], &["test", "nonsense"]] {
        assert_eq!(xtask(arguments).status.code(), Some(64), "{arguments:?}");
    }
    for (command, taught) in [
        ("bench", "cargo xtask bench -- --help"),
        ("dist", "FROM scratch"),
        ("generate", "cargo xtask generate --check"),
        ("demo", "--seconds"),
    ] {
        let help = xtask(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&help.stdout).contains(taught), "{help:?}");
    }
}
