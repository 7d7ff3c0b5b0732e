//! What a program writes that declares metrics, alerts and dashboards of its own.

use std::{fs, path::Path};

use futura_alert_rules::{
    Alert, RuleSet, Site,
    alert::{Definition, Severity, Team},
    example::{Example, Samples, series},
    panel::Panel,
    promql::{Service, by, gauge, label},
    runbook::{Runbook, ask},
    template::template,
};
use futura_dashboards::{Output, generate::GenerateError, grafana::Dashboard, panels::lines};
use futura_metrics::spec::{GaugeSpec, Unit};
use insta::assert_snapshot;

const WATER_LITERS: GaugeSpec = GaugeSpec::new("water_liters", Unit::Count).help("Water in the tank, in liters.");
const WATER: Panel = Panel { dashboard: "bar", id: 1, title: "Water" };

fn water_low(examples: Vec<Example<(Service,)>>) -> Alert {
    let condition = gauge(WATER_LITERS).value().min(by::<(Service,)>()).below(1.0);
    let definition = Definition::new("WaterLow", Severity::Warning, Team::Api, condition);
    let runbook = Runbook {
        symptom: "The tank is nearly empty.",
        meaning: "Soon there is no coffee.",
        investigation: vec![ask("See since when", gauge(WATER_LITERS).value())],
        resolution: &["Fill it."],
        related: &[],
    };
    let summary = template((label::<Service>(), " runs out of water"));
    Alert::from(Definition { panel: Some(WATER), summary, examples, runbook, ..definition })
}

fn examples() -> Vec<Example<(Service,)>> {
    let tank = |samples| [series(WATER_LITERS, (), samples).target::<Service>("bar")];
    vec![
        Example::when("it is filled late", tank(Samples::steady(0.9, 20).then_steady(9.0, 10)))
            .fires_at(10, ("bar",), 0.9)
            .silent_at(25),
        Example::when("there is enough", tank(Samples::steady(1.0, 20))).silent_at(20),
    ]
}

fn dashboard() -> Dashboard {
    let water = gauge(WATER_LITERS).value().min(by::<(Service,)>());
    Dashboard::new("bar", "Bar", "Whether there is water.", [lines(WATER, water, "Liters in the tank.")])
}

fn output(examples: Vec<Example<(Service,)>>) -> Output {
    Output::new(RuleSet::new(Site::default()).area("bar", [water_low(examples)]))
        .dashboard(dashboard())
        .metrics(&[WATER_LITERS.descriptor()])
}

fn drift(output: &Output, folder: &Path) -> String {
    let error = output.check(folder).unwrap_err();
    error.to_string().replace(&folder.display().to_string(), "FOLDER")
}

#[test]
fn only_what_is_its_own_is_written_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(examples());
    assert_snapshot!(drift(&output, folder.path()), @r"
    missing: FOLDER/alert-rules/kubernetes/config-maps/rules-bar.yaml
    missing: FOLDER/alert-rules/kubernetes/operator/rules-bar.yaml
    missing: FOLDER/alert-rules/prometheus/bar.yaml
    missing: FOLDER/alert-rules/prometheus/tests/bar.yaml
    missing: FOLDER/alert-rules/runbooks/README.md
    missing: FOLDER/alert-rules/runbooks/WaterLow.md
    missing: FOLDER/dashboards/bar.json
    7 files differ from what is generated: write them anew
    ");
    assert_eq!(output.write(folder.path()).unwrap().written, 7);
    assert_eq!(output.check(folder.path()).unwrap().unchanged, 7);
    let dashboard = fs::read_to_string(folder.path().join("dashboards/bar.json")).unwrap();
    assert!(dashboard.contains(r#""title": "Runbook: WaterLow""#), "{dashboard}");
    // The line at which it fires, and what its series are called by.
    assert!(dashboard.contains(r#""value": 1.0"#) && dashboard.contains("\"{{service}}\""), "{dashboard}");

    fs::remove_file(folder.path().join("alert-rules/runbooks/WaterLow.md")).unwrap();
    assert_snapshot!(drift(&output, folder.path()), @r"
    missing: FOLDER/alert-rules/runbooks/WaterLow.md
    1 file differs from what is generated: write them anew
    ");
}

#[test]
fn an_alert_that_no_example_proves_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let error = output(Vec::new()).write(folder.path()).unwrap_err();
    assert!(matches!(error, GenerateError::Rules(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn files_of_one_name_are_not_written_over_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let output = output(examples());
    let error = output.dashboard(dashboard()).write(folder.path()).unwrap_err();
    assert!(matches!(&error, GenerateError::Twice { path } if path.ends_with("dashboards/bar.json")), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
