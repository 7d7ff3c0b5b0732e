use std::time::Duration;

use insta::assert_snapshot;

use super::{Catalogue, FileError, Lint, Metric, MetricKind, Options, RuleFile, check};

mod between;

/// The parts of an alert that nothing is wrong with.
const REST: &str = "for: 5m, labels: { severity: critical }, annotations: { summary: s, runbook_url: u }";

fn lint(text: &str, catalogue: &Catalogue) -> String {
    let findings = check(&RuleFile::parse(text).unwrap(), catalogue, &Options::default());
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// What is found in an alert with this expression.
fn expression(expr: &str) -> String {
    let text = format!("groups: [{{ name: g, rules: [{{ alert: A, expr: '{expr}', {REST} }}] }}]");
    let findings = lint(&text, &Catalogue::ours());
    findings.replace("1: ", "").replace("alert `A`: ", "")
}

/// What is found in a rule of this text.
fn rule(text: &str) -> String {
    lint(&format!("groups:\n- name: g\n  rules:\n{text}"), &Catalogue::ours())
}

#[test]
fn nothing_is_wrong_with_our_own_rules() {
    let site = crate::Site::default();
    let files = crate::files(&site).unwrap();
    let (tests, rules): (Vec<_>, Vec<_>) = files
        .iter()
        .filter(|file| file.path.starts_with("prometheus/"))
        .partition(|file| file.path.starts_with("prometheus/tests/"));
    for file in tests {
        assert!(matches!(RuleFile::parse(&file.contents), Err(FileError::NoGroups)), "{}", file.path);
    }
    let mut catalogue = Catalogue::ours();
    for file in &rules {
        catalogue.add_records(&RuleFile::parse(&file.contents).unwrap());
    }
    for file in rules {
        assert_eq!(lint(&file.contents, &catalogue), "", "{}", file.path);
    }
}

#[test]
fn a_syntax_error_is_found() {
    assert_snapshot!(expression("sum(up"), @"error: unclosed left parenthesis (syntax)");
}

#[test]
fn names_that_do_not_exist_are_found() {
    assert_snapshot!(expression("rate(http_request_total[5m]) > 1"), @"error: there is no metric `http_request_total` (unknown-metric)");
    assert_snapshot!(expression(r#"rate(http_requests_total{code="500"}[5m]) > 1"#), @"error: `http_requests_total` has no label `code` (unknown-label)");
    assert_snapshot!(expression("sum by (code) (rate(http_requests_total[5m])) > 1"), @"error: it is grouped by `code`, a label of none of its metrics (unknown-label)");
    assert_snapshot!(expression(r#"rate(http_requests_total{method="get"}[5m]) > 1"#), @"error: `method` is never `get`, but GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT, OTHER (unknown-label-value)");
    assert_snapshot!(expression(r#"rate(http_requests_total{method=~"GET|PUTT"}[5m]) > 1"#), @"error: `method` is never `PUTT`, but GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT, OTHER (unknown-label-value)");
    assert_eq!(expression(r#"rate(http_requests_total{method=~"GET|P.*",namespace="x"}[5m]) > 1"#), "");
    assert_eq!(expression(r#"rate(http_request_duration_seconds_count{path=""}[5m]) > 1 and on (job) up == 1"#), "");
}

#[test]
fn a_counter_read_as_a_value_is_found_and_the_rate_of_a_gauge() {
    assert_snapshot!(expression("http_requests_total > 10"), @"error: the counter `http_requests_total` is read as a value (counter-without-rate)");
    assert_snapshot!(expression("sum(orders_created_total) < 1"), @"error: the counter `orders_created_total` is read as a value (counter-without-rate)");
    assert_snapshot!(expression("delta(orders_created_total[5m]) < 1"), @"error: delta() is taken of the counter `orders_created_total` (counter-without-rate)");
    assert_snapshot!(expression("rate(http_requests_in_flight[5m]) > 1"), @"error: rate() is taken of the gauge `http_requests_in_flight` (rate-of-gauge)");
    // The kind is the declaration's, whatever the name ends in.
    assert_eq!(expression("tickets_active_total < 1"), "");
    assert_eq!(expression("absent(orders_created_total) == 1 or count(orders_created_total) < 1"), "");
    assert_eq!(expression("up == 0 unless on (job) orders_created_total"), "");
}

#[test]
fn the_rate_of_a_sum_and_a_short_range_are_found() {
    assert_snapshot!(expression("rate(sum(orders_created_total)[5m:1m]) < 1"), @"error: rate() is taken of an aggregate (rate-after-sum)");
    assert_snapshot!(expression("rate(orders_created_total[30s]) < 1"), @"warning: rate() looks back 30s, which is less than 60s (short-range)");
    assert_eq!(expression("max_over_time(rate(orders_created_total[1m])[1h:1m]) < 1"), "");
}

#[test]
fn a_range_is_short_for_what_is_scraped_seldom() {
    let text =
        format!("groups: [{{ name: g, rules: [{{ alert: A, expr: 'rate(orders_created_total[1m]) < 1', {REST} }}] }}]");
    let file = RuleFile::parse(&text).unwrap();
    let found = |seconds| {
        let options = Options { scrape_interval: Duration::from_secs(seconds), ..Options::default() };
        check(&file, &Catalogue::ours(), &options).iter().map(ToString::to_string).collect::<String>()
    };
    assert_snapshot!(found(30), @"1: warning: alert `A`: rate() looks back 60s, which is less than 120s (short-range)");
    assert_eq!(found(15), "");
}

#[test]
fn labels_that_are_dropped_before_they_are_needed_are_found() {
    assert_snapshot!(expression("max by (path) (sum by (method) (rate(http_requests_total[5m]))) > 1"), @"error: it is grouped by `path`, which is dropped before (group-by-dropped)");
    assert_snapshot!(expression("histogram_quantile(0.9, sum by (path) (rate(http_request_duration_seconds_bucket[5m]))) > 1"), @"error: histogram_quantile() gets buckets without their `le` (le-dropped)");
    assert_eq!(
        expression("histogram_quantile(0.9, sum without (path) (rate(http_request_duration_seconds_bucket[5m]))) > 1"),
        ""
    );
    assert_eq!(expression("histogram_quantile(0.9, sum by (path) (rate(http_request_duration_seconds[5m]))) > 1"), "");
}

#[test]
fn sides_that_cannot_match_are_found() {
    let (left, right) =
        ("sum by (path) (rate(http_requests_total[5m]))", "sum by (job) (rate(http_requests_total[5m]))");
    assert_snapshot!(expression(&format!("{left} > {right}")), @"error: one side alone has `job`, `path`, so none match (join-labels)");
    assert_snapshot!(expression(&format!("{left} > on (path) group_left () {right}")), @"error: it matches on `path`, which its right side does not have (join-labels)");
    assert_snapshot!(expression(&format!("{left} > ignoring (job) {right}")), @"error: one side alone has `path`, so none match (join-labels)");
    assert_eq!(expression(&format!("{left} > on () group_left () sum(up)")), "");
    assert_eq!(expression(&format!("{left} > ignoring (path) group_left () sum(up)")), "");
}

#[test]
fn thresholds_between_buckets_and_ratios_of_nothing_are_found() {
    let quantile = "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))";
    assert_snapshot!(expression(&format!("{quantile} > 3")), @"warning: 3 is not a bound of the histogram (threshold-between-buckets)");
    assert_eq!(expression(&format!("{quantile} > 2")), "");
    let ratio = "sum(rate(payment_success_total[5m])) / sum(rate(payment_total[5m])) < 0.9";
    assert_snapshot!(expression(ratio), @"warning: it divides by `sum(rate(payment_total[5m]))`, which is zero without traffic (unguarded-ratio)");
    assert_eq!(expression(&format!("{ratio} and sum(rate(payment_total[5m])) > 1")), "");
    assert_eq!(expression("sum(rate(payment_success_total[5m])) / (sum(rate(payment_total[5m])) > 0) < 0.9"), "");
}

#[test]
fn patterns_that_are_none_are_found() {
    assert_snapshot!(expression(r#"up{job=~"api"} == 0"#), @r#"warning: `job=~"api"` matches one text alone (literal-regex)"#);
    assert_snapshot!(expression(r#"up{job!~"^a.*$"} == 0"#), @r#"warning: `job!~"^a.*$"` has anchors, which it has anyway (literal-regex)"#);
    assert_eq!(expression(r#"up{job=~"a|b"} == 0"#), "");
    let bucket = |le: &str| expression(&format!("rate(http_request_duration_seconds_bucket{{{le}}}[5m]) > 1"));
    assert_snapshot!(bucket(r#"le="2""#), @r#"warning: `le="2"` is one of two spellings (bound-literal)"#);
    assert_snapshot!(bucket(r#"le="2.0""#), @r#"warning: `le="2.0"` is one of two spellings (bound-literal)"#);
    assert_eq!(bucket(r#"le=~"2|2[.]0""#) + &bucket(r#"le="0.5""#) + &bucket(r#"le="+Inf""#), "");
}

#[test]
fn conditions_that_say_nothing_are_found() {
    assert_snapshot!(expression("sum(rate(orders_created_total[5m]))"), @"warning: it fires whenever there is a value (no-threshold)");
    assert_snapshot!(expression("up > bool 0"), @"warning: it fires whenever there is a value (no-threshold)");
    assert_snapshot!(expression("topk(3, rate(orders_created_total[5m])) > 1"), @"warning: topk() picks other series from one time to the next (topk-in-alert)");
    assert_eq!(expression("sum by (path) (topk by (path) (1, rate(http_requests_total[5m]))) > 1"), "");
    assert_snapshot!(expression("build_info == 0"), @"error: `build_info` is never 0 (info-metric-is-zero)");
    assert_snapshot!(expression("(rate(orders_created_total[5m]) or rate(payment_total[5m])) > 0"), @"warning: where both rates have the same labels, the second is lost (rates-joined-by-or)");
    assert_snapshot!(expression("avg_over_time(http_requests_in_flight[5m]) > 1"), @"warning: its value is smoothed over time, and has to last besides (smoothed-for)");
    for good in ["vector(1)", "up == 0 or absent(up)", "sum(up == 0)", "up unless up == 1"] {
        assert_eq!(expression(good), "", "{good}");
    }
}

#[test]
fn what_stands_around_an_expression_is_looked_at_with_its_line() {
    let text = r#"  - alert: HighErrorRate
    expr: |
      sum by (service) (rate(http_requests_total{status=~"5.."}[5m])) > 10
    labels:
      severity: critical
      code: "{{ $value }}"
    annotations:
      summary: "{{ $labels.path }} of {{ $labels.service }} on {{ .Labels.instance }}"
  # This one has nothing.
  - expr: absent(up)
    alert: 'Gone'   # for good
  - alert: HighErrorRate
    expr: vector(1)
    labels: { severity: none }
    annotations: { summary: on purpose, runbook_url: none }
  - alert: HighErrorRate
    expr: vector(1)
    labels: { severity: none }
  - record: errors
    expr: 1
"#;
    assert_snapshot!(rule(text), @"
    4: error: alert `HighErrorRate`: its label `code` has the value in it (value-in-label)
    4: error: alert `HighErrorRate`: `summary` uses the label `path`, which is not there (dropped-label)
    4: error: alert `HighErrorRate`: `summary` uses the label `instance`, which is not there (dropped-label)
    4: warning: alert `HighErrorRate`: it has no annotation `runbook_url` (missing-annotation)
    13: warning: alert `Gone`: it fires at once when a series is missing (missing-for)
    14: warning: alert `Gone`: it has no label `severity` (missing-severity)
    14: warning: alert `Gone`: it has no annotation `summary` (missing-annotation)
    14: warning: alert `Gone`: it has no annotation `runbook_url` (missing-annotation)
    19: error: alert `HighErrorRate`: it is in the file twice (duplicate-rule)
    19: warning: alert `HighErrorRate`: it has no annotation `summary` (missing-annotation)
    19: warning: alert `HighErrorRate`: it has no annotation `runbook_url` (missing-annotation)
    22: warning: record `errors`: its name has no level and no operations (record-name)
    ");
}

#[test]
fn comments_disable_lints_of_the_rule_below() {
    let text = "  # lint:disable=no-threshold, missing-severity
  - alert: A
    expr: up
    annotations: { summary: s, runbook_url: u } # lint:disable=nothing
  # lint:disable=missing-annotation
  - alert: B
    expr: up == 0
    labels: { severity: warning }
";
    assert_snapshot!(rule(text), @"5: warning: alert `A`: a comment disables `nothing`, which no lint is called (unknown-lint)");
    let options = Options { disabled: [Lint::UnknownLint].into(), ..Options::default() };
    let file = RuleFile::parse(&format!("groups:\n- name: g\n  rules:\n{text}")).unwrap();
    assert_eq!(check(&file, &Catalogue::ours(), &options), []);
}

#[test]
fn what_rules_record_may_be_read_with_the_labels_that_it_has() {
    let text = "  - record: path:requests:rate5m
    expr: sum by (path) (rate(http_requests_total[5m]))
    labels: { tier: web }
  - alert: A
    expr: sum by (path, tier, method) (path:requests:rate5m) > 1 and on () other:requests:rate5m
    for: 1m
    labels: { severity: warning }
    annotations: { summary: s, runbook_url: u }
";
    let file = RuleFile::parse(&format!("groups:\n- name: g\n  rules:\n{text}")).unwrap();
    let mut catalogue = Catalogue::ours();
    catalogue.add_records(&file);
    let findings = check(&file, &catalogue, &Options::default());
    assert_snapshot!(findings.iter().map(|finding| format!("{finding}\n")).collect::<String>(), @"
    8: error: alert `A`: it is grouped by `method`, a label of none of its metrics (unknown-label)
    8: error: alert `A`: there is no metric `other:requests:rate5m` (unknown-metric)
    ");
}

#[test]
fn resources_of_kubernetes_and_several_documents_are_read() {
    let text = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n  groups:\n  - name: g\n    rules:\n    \
                - record: a:b\n      expr: 1\n---\ngroups:\n- name: h\n  rules:\n  - record: c\n    expr: 2\n";
    assert_snapshot!(lint(text, &Catalogue::ours()), @"13: warning: record `c`: its name has no level and no operations (record-name)");
    assert_eq!(RuleFile::parse(text).unwrap().len(), 2);
    assert!(RuleFile::parse("groups: []").unwrap().is_empty());
}

#[test]
fn what_is_no_rule_file_is_told_with_its_line() {
    let told = |text: &str| {
        let error = RuleFile::parse(text).unwrap_err();
        format!("{:?} {error}", error.line())
    };
    assert_snapshot!(told("groups:\n- name: g\n  rules:\n  - alert: A\n"), @"Some(4) groups[0].rules[0]: missing field `expr`");
    assert_snapshot!(told("groups: [\n"), @"Some(2) did not find expected node content");
    assert_snapshot!(told("rule_files: []"), @"None it has neither `groups` nor `spec.groups`");
}

#[test]
fn a_metrics_page_is_a_catalogue() {
    let page = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"q\\\"}1\",y=\"2\"} 1 1700000000\na_total{z=\"\"} 2\n\
                # TYPE b histogram\nb_bucket{le=\"0.5\",x=\"1\"} 1\nb_bucket{le=\"+Inf\",x=\"1\"} 2\nb_sum 1\nb_count 2\n\
                # TYPE c counter\nc_total 1 # {trace_id=\"7\"} 1\nd 5\n# EOF\n";
    let catalogue = Catalogue::from_page(page).unwrap();
    let alert = |expr: &str| {
        let text = format!("groups: [{{ name: g, rules: [{{ alert: A, expr: '{expr}', {REST} }}] }}]");
        lint(&text, &catalogue).replace("1: error: alert `A`: ", "").trim_end().to_owned()
    };
    for good in [
        r#"rate(a_total{x="1",y="1",z="1",job="j"}[5m]) > 1"#,
        "histogram_quantile(0.5, sum by (le, x) (rate(b_bucket[5m]))) > 0.5",
        "rate(c_total[5m]) > 0",
        "d > 5",
    ] {
        assert_eq!(alert(good), "", "{good}");
    }
    assert_snapshot!(alert(r#"a_total{w="1"} > 1"#), @"
    `a_total` has no label `w` (unknown-label)
    the counter `a_total` is read as a value (counter-without-rate)
    ");
    assert_snapshot!(alert("c_total > 1"), @"the counter `c_total` is read as a value (counter-without-rate)");
    assert_snapshot!(alert("c > 1"), @"there is no metric `c` (unknown-metric)");
    assert_snapshot!(alert(r#"rate(c_total{trace_id="7"}[5m]) > 1"#), @"`c_total` has no label `trace_id` (unknown-label)");
    for other in ["<html>\n", "replicas: 3\n", "a is not b\n", ""] {
        assert!(Catalogue::from_page(other).is_none(), "{other}");
    }
}

#[test]
fn of_metrics_whose_labels_are_not_known_any_is_taken() {
    let mut catalogue = Catalogue::default();
    catalogue.insert("a_total".to_owned(), Metric { kind: MetricKind::Counter, ..Metric::default() });
    let text = format!("groups: [{{ name: g, rules: [{{ alert: A, expr: 'a_total{{x=\"1\"}} > 1', {REST} }}] }}]");
    assert_snapshot!(lint(&text, &catalogue), @"1: error: alert `A`: the counter `a_total` is read as a value (counter-without-rate)");
}

#[test]
fn every_lint_has_a_name_of_its_own_and_a_remedy() {
    for (index, lint) in Lint::ALL.iter().enumerate() {
        assert_eq!(Lint::named(lint.name()), Some(*lint));
        assert!(!lint.remedy().is_empty() && !Lint::ALL[..index].iter().any(|other| other.name() == lint.name()));
    }
}
