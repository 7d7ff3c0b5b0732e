//! Rules changed a little: an example of the alert must notice each change.

use std::{
    collections::BTreeSet,
    fs,
    num::NonZero,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futura_alert_rules::{
    Alert, Definition, Example, RuleSet, Service, Severity, Site, Team, Window, ask, by, counter, gauge, label,
    promql::Condition, rules::areas, series,
};
use futura_metrics::specs::business::{ORDERS_CREATED_TOTAL, TICKETS_ACTIVE_TOTAL};
use promql_parser::{
    label::Matcher,
    parser::{self, Expr, VectorSelector},
};
use serde_yaml::{Mapping, Value};

use crate::promtool::{accepts, generated, promtool, written};

/// A rule that is no longer what its examples were stated for.
struct Mutant {
    what: String,
    expression: String,
    lasts: Duration,
}

/// Calls `visit` with every part of an expression and whether it is the guard of a ratio, which nothing depends on: a
/// ratio to zero is no value or none that an alert fires on.
fn each(expression: &mut Expr, is_guard: bool, visit: &mut impl FnMut(&mut Expr, bool)) {
    visit(expression, is_guard);
    match expression {
        Expr::Binary(binary) => {
            let divides = binary.op.to_string() == "/";
            each(&mut binary.lhs, false, visit);
            each(&mut binary.rhs, divides, visit);
        }
        Expr::Paren(inner) => each(&mut inner.expr, is_guard, visit),
        Expr::Aggregate(aggregate) => each(&mut aggregate.expr, false, visit),
        Expr::Call(call) => call.args.args.iter_mut().for_each(|argument| each(argument, false, visit)),
        _ => {}
    }
}

/// Calls `change` with every selector of an expression.
fn each_selector(expression: &mut Expr, mut change: impl FnMut(&mut VectorSelector)) {
    each(expression, false, &mut |part, _| match part {
        Expr::VectorSelector(selector) => change(selector),
        Expr::MatrixSelector(matrix) => change(&mut matrix.vs),
        _ => {}
    });
}

/// The thresholds of an expression in order, each with its comparison.
fn thresholds(expression: &mut Expr) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    each_threshold(expression, |comparison, value| found.push((comparison.to_owned(), *value)));
    found
}

fn each_threshold(expression: &mut Expr, mut change: impl FnMut(&str, &mut f64)) {
    each(expression, false, &mut |part, is_guard| {
        let Expr::Binary(binary) = part else { return };
        let Expr::NumberLiteral(number) = &mut *binary.rhs else { return };
        if binary.op.is_comparison_operator() && !is_guard {
            change(&binary.op.to_string(), &mut number.val);
        }
    });
}

fn other_thresholds(original: &Expr) -> Vec<(String, Expr)> {
    let mut mutants = Vec::new();
    for (place, (comparison, value)) in thresholds(&mut original.clone()).into_iter().enumerate() {
        let others = match comparison.as_str() {
            _ if value == 0.0 => [-0.5, 1.0],
            ">" => [value * 0.94, value * 1.3],
            "<" => [value * 0.7, value * 1.06],
            _ => [value - 1.0, value + 1.0],
        };
        for other in others {
            let (mut changed, mut seen) = (original.clone(), 0);
            each_threshold(&mut changed, |_, value| {
                if seen == place {
                    *value = other;
                }
                seen += 1;
            });
            mutants.push((format!("compares with {other}"), changed));
        }
    }
    mutants
}

fn other_windows(original: &Expr) -> Vec<(String, Expr)> {
    let mut windows = BTreeSet::new();
    each(&mut original.clone(), false, &mut |part, _| {
        if let Expr::MatrixSelector(matrix) = part {
            windows.insert(matrix.range);
        }
    });
    let others = windows.into_iter().flat_map(|window| [(window, window / 2), (window, window * 2)]);
    let mutants = others.map(|(window, other)| {
        let mut changed = original.clone();
        each(&mut changed, false, &mut |part, _| match part {
            Expr::MatrixSelector(matrix) if matrix.range == window => matrix.range = other,
            _ => {}
        });
        (format!("looks back {other:?}"), changed)
    });
    mutants.collect()
}

/// Selectors that no longer ask for a label, or for other values of it, wherever the expression asks for that label.
fn other_matchers(original: &Expr) -> Vec<(String, Expr)> {
    let mut matchers: Vec<Matcher> = Vec::new();
    each_selector(&mut original.clone(), |selector| matchers.extend(selector.matchers.matchers.clone()));
    let mut mutants = Vec::new();
    for label in matchers.iter().map(|matcher| matcher.name.clone()).collect::<BTreeSet<_>>() {
        let mut dropped = original.clone();
        each_selector(&mut dropped, |selector| selector.matchers.matchers.retain(|matcher| matcher.name != label));
        mutants.push((format!("does not ask for `{label}`"), dropped));
        let values = matchers.iter().filter(|matcher| matcher.name == label).map(|matcher| matcher.value.as_str());
        for alternative in values.flat_map(|value| value.split('|')).collect::<BTreeSet<_>>() {
            let mut changed = original.clone();
            each_selector(&mut changed, |selector| {
                for matcher in selector.matchers.matchers.iter_mut().filter(|matcher| matcher.name == label) {
                    let values = matcher.value.split('|');
                    let values = values.map(|value| if value == alternative { "another" } else { value });
                    matcher.value = values.collect::<Vec<_>>().join("|");
                }
            });
            mutants.push((format!("asks for another `{label}` than `{alternative}`"), changed));
        }
    }
    mutants
}

fn other_durations(lasts: Duration) -> Vec<Duration> {
    if lasts.is_zero() { vec![Duration::from_secs(600)] } else { vec![Duration::ZERO, lasts * 2] }
}

fn mutants(alert: &Alert) -> Vec<Mutant> {
    let original = parser::parse(&alert.expression).unwrap();
    let expressions = [other_thresholds(&original), other_windows(&original), other_matchers(&original)].concat();
    let expressions = expressions.into_iter().map(|(what, expression)| {
        assert_ne!(expression, original, "{} {what}", alert.name);
        Mutant { what, expression: expression.to_string(), lasts: alert.lasts }
    });
    let durations = other_durations(alert.lasts).into_iter().map(|lasts| Mutant {
        what: format!("must last {lasts:?}"),
        expression: alert.expression.clone(),
        lasts,
    });
    expressions.chain(durations).collect()
}

/// The rule of one alert as all its mutants, each under a name of its own.
fn changed_rules(rule: &Value, mutants: &[Mutant]) -> Value {
    let rules = mutants.iter().enumerate().map(|(number, Mutant { expression, lasts, .. })| {
        let mut rule = rule.clone();
        rule["alert"] = mutant_name(&rule["alert"], number).into();
        rule["expr"] = expression.clone().into();
        rule["for"] = format!("{}s", lasts.as_secs()).into();
        rule
    });
    let mut group = Mapping::new();
    group.insert("name".into(), "mutants".into());
    group.insert("rules".into(), rules.collect::<Vec<_>>().into());
    let mut file = Mapping::new();
    file.insert("groups".into(), vec![Value::Mapping(group)].into());
    file.into()
}

/// The tests of one alert, each asked of all its mutants.
fn changed_tests(tests: &Value, alert: &str, mutants: usize) -> Value {
    let of_alert = |test: &&Value| test["alert_rule_test"][0]["alertname"].as_str() == Some(alert);
    let changed = tests["tests"].as_sequence().unwrap().iter().filter(of_alert).map(|test| {
        let asked = test["alert_rule_test"].as_sequence().unwrap().iter().flat_map(|asked| {
            (0..mutants).map(|number| {
                let mut asked = asked.clone();
                asked["alertname"] = mutant_name(&asked["alertname"], number).into();
                asked
            })
        });
        let mut test = test.clone();
        test["alert_rule_test"] = asked.collect::<Vec<_>>().into();
        test
    });
    let mut file = tests.clone();
    file["rule_files"] = vec![Value::from("rules.yaml")].into();
    file["tests"] = changed.collect::<Vec<_>>().into();
    file
}

fn mutant_name(alert: &Value, number: usize) -> String {
    format!("{}{number}", alert.as_str().unwrap())
}

/// The changes of an alert's rule that none of its examples notices; nothing at all without promtool.
///
/// All mutants are tried at once, as what takes promtool long is to store the series of an example.
fn unnoticed(generated: &Path, area: &str, alert: &Alert) -> Option<Vec<String>> {
    let mutants = mutants(alert);
    let read =
        |path: String| -> Value { serde_yaml::from_str(&fs::read_to_string(generated.join(path)).unwrap()).unwrap() };
    let rules = read(format!("prometheus/{area}.yaml"));
    let rules = rules["groups"][0]["rules"].as_sequence().unwrap();
    let rule = rules.iter().find(|rule| rule["alert"].as_str() == Some(alert.name)).unwrap();
    let tests = read(format!("prometheus/tests/{area}.yaml"));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, file: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, serde_yaml::to_string(file).unwrap()).unwrap();
        path
    };
    write("rules.yaml", &changed_rules(rule, &mutants));
    let tests = write("tests.yaml", &changed_tests(&tests, alert.name, mutants.len()));
    let says = promtool(&["test", "rules"], &[tests])?.err().unwrap_or_default();
    let unnoticed = mutants.iter().enumerate().filter(|(number, _)| {
        // A test that fails names the alert that was not as it should be.
        !says.contains(&format!("alertname: {}{number}, time", alert.name))
    });
    Some(unnoticed.map(|(_, mutant)| format!("{} {}", alert.name, mutant.what)).collect())
}

#[test]
fn the_examples_notice_every_change_of_a_rule() {
    let site = Site::default();
    let folder = generated(&site);
    let areas = areas(&site);
    let alerts: Vec<_> = areas.iter().flat_map(|area| area.alerts.iter().map(|alert| (area.name, alert))).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((area, alert)) = alerts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(unnoticed) = unnoticed(folder.path(), area, alert) else { return };
                    found.lock().unwrap().extend(unnoticed);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    assert!(found.is_empty(), "no example notices that\n{}", found.join("\n"));
}

/// An alert that is tried at its threshold alone.
fn tried(name: &'static str, condition: Condition<(Service,)>, lasts: u64, example: Example<(Service,)>) -> Alert {
    Definition::new(name, Severity::Warning, Team::Api, condition)
        .lasts(Duration::from_secs(lasts * 60))
        .summary((label::<Service>(), " is tried"))
        .example(example)
        .symptom("It is tried.")
        .meaning("It is tried.")
        .investigation([ask("See it", gauge(TICKETS_ACTIVE_TOTAL).value())])
        .resolution(&["End the trial."])
        .into()
}

#[test]
fn examples_at_the_threshold_notice_every_change_of_a_rule() {
    let tickets = || gauge(TICKETS_ACTIVE_TOTAL).value().sum(by::<(Service,)>());
    let lowest = gauge(TICKETS_ACTIVE_TOTAL).min_over_time(Window::minutes(15)).sum(by::<(Service,)>());
    let rate = |window| counter(ORDERS_CREATED_TOTAL).rate(window).sum(by::<(Service,)>());
    let increase = |window| counter(ORDERS_CREATED_TOTAL).increase(window).sum(by::<(Service,)>());
    let values = || Example::at_threshold(("api",), |value| vec![series(TICKETS_ACTIVE_TOTAL, (), value.values())]);
    let per_second =
        || Example::at_threshold(("api",), |value| vec![series(ORDERS_CREATED_TOTAL, (), value.per_second())]);
    let per_hour =
        Example::at_threshold(("api",), |value| vec![series(ORDERS_CREATED_TOTAL, (), value.within(Window::hours(1)))]);
    let alerts = vec![
        tried("GaugeBelow", tickets().below(10.0), 5, values()),
        tried("GaugeAboveZero", tickets().above(0.0), 2, values()),
        tried("GaugeEqual", tickets().equal_to(0.0), 3, values()),
        tried("LowestAbove", lowest.above(20.0), 0, values()),
        tried("RateAbove", rate(Window::minutes(5)).above(2.0), 5, per_second()),
        tried("RateBelow", rate(Window::minutes(10)).below(0.5), 10, per_second()),
        tried("IncreaseAbove", increase(Window::hours(1)).above(100.0), 0, per_hour),
    ];
    let rules = RuleSet::new(Site::default()).area("tried", alerts);
    let folder = written(rules.files().unwrap());
    accepts(&["test", "rules"], &[folder.path().join("prometheus/tests/tried.yaml")]);
    let unnoticed = rules.areas[0].alerts.iter().filter_map(|alert| unnoticed(folder.path(), "tried", alert));
    assert_eq!(unnoticed.flatten().collect::<Vec<_>>(), Vec::<String>::new());
}
