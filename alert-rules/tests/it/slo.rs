//! What Prometheus makes of the objectives' rules, and of rules that are a little wrong.

use std::{fs, path::Path, thread};

use futura_alert_rules::{
    RuleSet, Site, Slo,
    alert::Team,
    example::series,
    promql::counter,
    rules,
    slo::{
        Definition, Indicator, Objective, Period,
        burn::{BURN_RATES, BurnRate},
    },
};
use futura_metrics::specs::business::{PAYMENT_TOTAL, TICKET_GENERATION_FAILURES_TOTAL};

use crate::promtool::{generated, promtool};

/// A change of an alert's rule that someone could make by mistake.
struct Mutation {
    name: &'static str,
    /// The rule file with every alert changed.
    rules: String,
}

/// Every change, each made to all alerts of the objective at once.
fn mutations(slo: &Slo, rules: &str) -> Vec<Mutation> {
    let longer = ["2h", "1d", "3d", "30d"];
    let shorter = ["30m", "2h", "6h", "1d"];
    let ratio = |window: &str| format!("ratio_rate{window}{{");
    let mutate = |name, change: &dyn Fn(usize, &str) -> String| {
        let changed = slo.alerts.iter().enumerate().fold(rules.to_owned(), |rules, (index, alert)| {
            let changed = change(index, &alert.expression);
            assert_ne!(changed, alert.expression, "{name}");
            rules.replace(&alert.expression, &changed)
        });
        Mutation { name, rules: changed }
    };
    let factor = |index: usize, by: f64| {
        let factor = BURN_RATES[index].factor;
        move |expression: &str| expression.replace(&format!("> {factor})"), &format!("> {})", factor * by))
    };
    let long = |index: usize, to: &str, expression: &str| {
        expression.replacen(&ratio(&BURN_RATES[index].long.window.to_string()), &ratio(to), 1)
    };
    vec![
        mutate("a lower factor", &|index, expression| factor(index, 0.94)(expression)),
        mutate("a higher factor", &|index, expression| factor(index, 1.06)(expression)),
        mutate("a longer window", &|index, expression| long(index, longer[index], expression)),
        mutate("a shorter window", &|index, expression| long(index, shorter[index], expression)),
        mutate("no short window", &|index, expression| {
            let BurnRate { long, short, .. } = BURN_RATES[index];
            expression.replace(&ratio(&short.window.to_string()), &ratio(&long.window.to_string()))
        }),
        mutate("no minimum of traffic", &|_, expression| expression.replace("> 0.1)", "> 0)")),
        mutate("another objective", &|_, expression| expression.replace(slo.name, "other")),
    ]
}

/// Runs the tests of the objective's alerts on these rules; nothing where promtool is missing.
fn verdict(folder: &Path, slo: &Slo, rules: &str) -> Option<Result<(), String>> {
    let copy = tempfile::tempdir().unwrap();
    let file = format!("slo-{}.yaml", slo.name);
    let tests = [file.clone(), format!("slo-{}-days.yaml", slo.name)];
    fs::create_dir(copy.path().join("tests")).unwrap();
    fs::write(copy.path().join(&file), rules).unwrap();
    let tests = tests.map(|name| {
        let copied = copy.path().join("tests").join(&name);
        fs::copy(folder.join("tests").join(&name), &copied).unwrap();
        copied
    });
    promtool(&["test", "rules"], &tests)
}

/// One objective stands for all: their alerts differ in what is recorded, not in how it is judged.
#[test]
fn the_examples_notice_whatever_is_changed_in_an_alert_of_an_objective() {
    let folder = generated(&Site::default());
    let folder = folder.path().join("prometheus");
    let slos = rules::slos();
    let slo = slos.iter().find(|slo| slo.name == "http-latency").unwrap();
    let rules = fs::read_to_string(folder.join("slo-http-latency.yaml")).unwrap();
    thread::scope(|scope| {
        for mutation in mutations(slo, &rules) {
            let folder = &folder;
            scope.spawn(move || {
                let Some(verdict) = verdict(folder, slo, &mutation.rules) else { return };
                let says = verdict.expect_err(mutation.name);
                for alert in &slo.alerts {
                    let noticed = says.contains(&format!("alertname: {},", alert.name));
                    assert!(noticed, "no example of {} notices {}:\n{says}", alert.name, mutation.name);
                }
            });
        }
    });
}

/// Before its first failure a service has no series of failures; an objective that then knew nothing would page nobody.
#[test]
fn a_service_that_never_failed_has_all_of_its_budget() {
    let folder = generated(&Site::default());
    let tests = folder.path().join("prometheus/tests/never-failed.yaml");
    let healthy = r#"
rule_files: [../slo-http-availability.yaml]
evaluation_interval: 5m
tests:
  - interval: 1m
    input_series:
      - { series: 'http_requests_total{status="200",service="ticket-api"}', values: 0+600x60 }
    promql_expr_test:
      - expr: service_slo:slo_error_budget_left:ratio
        eval_time: 60m
        exp_samples:
          - labels: 'service_slo:slo_error_budget_left:ratio{service="ticket-api",slo="http-availability"}'
            value: 1
      - expr: service_slo:slo_errors_per_requests:ratio_rate5m
        eval_time: 60m
        exp_samples:
          - labels: 'service_slo:slo_errors_per_requests:ratio_rate5m{service="ticket-api",slo="http-availability"}'
            value: 0
"#;
    fs::write(&tests, healthy).unwrap();
    if let Some(Err(objection)) = promtool(&["test", "rules"], &[tests]) {
        panic!("{objection}");
    }
}

/// Whatever is promised, the examples that come with it are true.
#[test]
fn the_examples_of_every_objective_and_period_come_true() {
    let payments = || Indicator::availability(&counter(PAYMENT_TOTAL), &counter(TICKET_GENERATION_FAILURES_TOTAL));
    thread::scope(|scope| {
        for (percent, period, minimum_rate) in
            [(95.5, Period::Days28, 0.1), (99.97, Period::Days30, 250.0), (99.999, Period::Days28, 0.001)]
        {
            scope.spawn(move || {
                let definition =
                    Definition::new("paid", ["Paid1h", "Paid6h", "Paid1d", "Paid3d"], Team::Api, payments());
                let definition = Definition {
                    objective: Objective::percent(percent),
                    period,
                    minimum_rate,
                    resolution: &["Repair it."],
                    traffic: |traffic| {
                        vec![
                            series(PAYMENT_TOTAL, (), traffic.all),
                            series(TICKET_GENERATION_FAILURES_TOTAL, (), traffic.bad),
                        ]
                    },
                    ..definition
                };
                let folder = tempfile::tempdir().unwrap();
                for file in RuleSet::new(Site::default()).slo(definition).files().unwrap() {
                    let path = folder.path().join(file.path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, file.contents).unwrap();
                }
                let tests = ["slo-paid.yaml", "slo-paid-days.yaml"];
                let tests = tests.map(|name| folder.path().join("prometheus/tests").join(name));
                if let Some(Err(objection)) = promtool(&["test", "rules"], &tests) {
                    panic!("{percent} %: {objection}");
                }
            });
        }
    });
}
