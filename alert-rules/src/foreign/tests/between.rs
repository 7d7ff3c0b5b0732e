//! What is found between rules: records and those who read them, alerts of one name, and texts and what they write.

use insta::assert_snapshot;

use super::{Catalogue, Lint, Options, RuleFile, check};

/// What is found in these rules by this lint, each read with what all of them record.
fn found(lint: Lint, text: &str) -> String {
    let file = RuleFile::parse(text).unwrap();
    let mut catalogue = Catalogue::ours();
    catalogue.add_records(&file);
    let findings = check(&file, &catalogue, &Options::default());
    findings.iter().filter(|finding| finding.lint == lint).map(|finding| format!("{finding}\n")).collect()
}

fn group(rules: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n{rules}")
}

#[test]
fn the_rate_of_what_a_rule_records_is_found() {
    let rules = group(
        "  - { record: 'path:orders:sum', expr: 'sum by (path) (orders_created_total)' }
  - { record: 'job:orders:rate5m', expr: 'sum by (job) (rate(orders_created_total[5m]))' }
  - { record: 'orders:of:europe', expr: 'orders_created_total{region=\"eu\"}' }
  - { alert: Sum, expr: 'rate(path:orders:sum[5m]) > 1' }
  - { alert: Rate, expr: 'increase(job:orders:rate5m[5m]) > 1' }
  - { alert: Well, expr: 'rate(orders:of:europe[5m]) > 1 and max_over_time(job:orders:rate5m[5m]) > 1' }
",
    );
    assert_snapshot!(found(Lint::RateAfterSum, &rules), @"7: error: alert `Sum`: rate() is taken of `path:orders:sum`, which a rule records as an aggregate (rate-after-sum)");
    assert_snapshot!(found(Lint::RateOfGauge, &rules), @"8: error: alert `Rate`: increase() is taken of the gauge `job:orders:rate5m` (rate-of-gauge)");
}

#[test]
fn a_counter_may_be_recorded_under_another_name() {
    let rules = group(
        "  - { record: 'old:orders:total', expr: 'label_replace(orders_created_total, \"a\", \"$1\", \"job\", \"(.+)\")' }
  - { alert: Well, expr: 'rate(old:orders:total[5m]) > 1' }
  - { alert: Value, expr: 'old:orders:total > 1' }
",
    );
    assert_snapshot!(found(Lint::CounterWithoutRate, &rules), @"6: error: alert `Value`: the counter `old:orders:total` is read as a value (counter-without-rate)");
}

#[test]
fn a_record_says_the_labels_that_it_has() {
    let rules = group(
        "  - { record: 'job:orders:rate5m', expr: 'sum by (path) (rate(orders_created_total[5m]))' }
  - { record: 'instance:orders:sum', expr: 'sum(orders_created_total)' }
  - { record: 'path_method:requests:rate5m', expr: 'sum by (method, path) (rate(http_requests_total[5m]))' }
  - { record: 'path_tier:orders:rate5m', expr: 'sum by (path) (rate(orders_created_total[5m]))', labels: { tier: web } }
  - { record: 'path_europe:orders:sum', expr: 'sum by (path) (orders_created_total{region=\"eu\"})' }
  - { record: 'path_job:orders:sum', expr: 'sum by (path) (orders_created_total)' }
  - { record: 'cluster:orders:sum', expr: 'sum(orders_created_total)' }
  - { record: 'node:cpu:rate5m', expr: 'rate(node_cpu_seconds_total[5m])' }
  - { record: 'job:orders', expr: 'sum(orders_created_total)' }
",
    );
    assert_snapshot!(found(Lint::RecordLevel, &rules), @"
    4: warning: record `job:orders:rate5m`: its name says `job`, but its series have `path` (record-level)
    5: warning: record `instance:orders:sum`: its name says `instance`, but its series have no labels (record-level)
    9: warning: record `path_job:orders:sum`: its name says `path_job`, but its series have `path` (record-level)
    ");
}

#[test]
fn a_record_stands_above_what_reads_it() {
    let rules = group(
        "  - { alert: Late, expr: 'a:b:sum > 1 and a:b:sum < 9' }
  - { record: 'a:b:sum', expr: 'sum(up)' }
  - { alert: InTime, expr: 'a:b:sum > 1' }
  - { record: 'c:d:max', expr: 'max(c:d:max or vector(0))' }
- name: other
  rules:
  - { record: 'e:f:sum', expr: 'sum(up)' }
  - { alert: InAnotherGroup, expr: 'g:h:sum > 1' }
- name: last
  rules:
  - { record: 'g:h:sum', expr: 'sum(up)' }
",
    );
    assert_snapshot!(found(Lint::RecordOrder, &rules), @"4: warning: alert `Late`: it reads `a:b:sum`, which its group records after it (record-order)");
}

#[test]
fn alerts_that_are_one_to_alertmanager_are_found() {
    let rules = group(
        "  - { alert: Down, expr: 'up == 0', labels: { severity: critical } }
  - { alert: Down, expr: 'absent(up)', labels: { severity: critical } }
  - { alert: Down, expr: 'up < 1', labels: { severity: warning } }
  - { alert: Slow, expr: 'orders_created_total{job=\"a\"} > 1' }
  - { alert: Slow, expr: 'orders_created_total{job=\"b\"} > 1' }
  - { alert: Many, expr: 'sum(orders_created_total{job=\"a\"}) > 1' }
  - { alert: Many, expr: 'sum(orders_created_total{job=\"b\"}) > 1' }
  - { alert: Some, expr: 'sum by (path) (orders_created_total) > 1' }
  - { alert: Some, expr: 'sum by (job) (orders_created_total) > 1' }
  - { alert: Few, expr: 'orders_created_total{job=\"a\"} > 1' }
  - { alert: Few, expr: 'orders_created_total{job!=\"a\"} > 1' }
",
    );
    assert_snapshot!(found(Lint::SameIdentity, &rules), @"
    5: warning: alert `Down`: the alert of this name in line 4 has the same labels (same-identity)
    10: warning: alert `Many`: the alert of this name in line 9 has the same labels (same-identity)
    ");
}

#[test]
fn what_two_rules_record_under_one_name_has_what_either_has() {
    let rules = group(
        "  - { record: 'a:requests:rate5m', expr: 'sum by (method) (rate(http_requests_total[5m]))' }
  - { record: 'a:requests:rate5m', expr: 'sum by (path) (rate(http_requests_total[5m]))' }
  - { alert: Well, expr: 'a:requests:rate5m{method=\"GET\"} > 1' }
  - { alert: Well, expr: 'a:requests:rate5m{path=\"/\"} > 1' }
  - { alert: Other, expr: 'a:requests:rate5m{status=\"200\"} > 1' }
",
    );
    assert_snapshot!(found(Lint::UnknownLabel, &rules), @"8: error: alert `Other`: `a:requests:rate5m` has no label `status` (unknown-label)");
    assert_snapshot!(found(Lint::DroppedLabel, &rules), @"");
}

#[test]
fn a_group_is_evaluated_before_its_samples_are_gone() {
    let rules = "groups:\n- name: often\n  interval: 5m\n  rules: []\n\
                 - name: seldom\n  interval: 10m\n  rules:\n  - { record: 'a:b:sum', expr: sum(up) }\n\
                 - name: usual\n  rules:\n  - { alert: A, expr: up == 0 }\n";
    assert_snapshot!(found(Lint::LongInterval, rules), @"5: warning: group `seldom`: it is evaluated every 10m, which is more than 5m (long-interval)");
}

#[test]
fn a_text_writes_the_value_in_its_unit() {
    let written = |expr: &str, text: &str| {
        let rule = format!("  - {{ alert: A, expr: '{expr}', annotations: {{ summary: '{text}' }} }}\n");
        found(Lint::HumanizeUnit, &group(&rule)).replace("4: warning: alert `A`: ", "").trim_end().to_owned()
    };
    let (ratio, memory) = ("process_open_fds / process_max_fds", "process_resident_memory_bytes");
    assert_snapshot!(written(&format!("{memory} > 9"), "{{ $value | humanizePercentage }}"), @"`summary` writes bytes with humanizePercentage (humanize-unit)");
    assert_snapshot!(written("foreign_wait_seconds > 9", "{{ humanize1024 .Value }}"), @"`summary` writes seconds with humanize1024 (humanize-unit)");
    assert_snapshot!(written(&format!("{ratio} > 0.9"), "{{ $value | humanize }}"), @"`summary` writes a share with humanize (humanize-unit)");
    assert_snapshot!(written("rate(orders_created_total[5m]) > 9", "{{ $value | humanizeDuration }}"), @"`summary` writes a number per second with humanizeDuration (humanize-unit)");
    assert_snapshot!(written(&format!("100 * ({ratio}) > 90"), "{{ $value | humanizePercentage }}"), @"`summary` multiplies by 100 with humanizePercentage what the expression has multiplied (humanize-unit)");
    for (expr, text) in [
        (&*format!("{ratio} > 0.9"), "{{ $value | humanizePercentage }} of {{ $labels.job | humanize }}"),
        (&format!("100 * ({ratio}) > 90"), "{{ $value | humanize }}%"),
        (&format!("{memory} > 9"), "{{ $value | humanize1024 }}B"),
        ("foreign_wait_seconds > 9", "{{ $value | humanizeDuration }}"),
        ("foreign_things > 9", "{{ $value | humanizePercentage }}"),
    ] {
        assert_eq!(written(expr, text), "", "{expr} {text}");
    }
}

#[test]
fn labels_of_a_group_are_those_of_its_rules() {
    let text = "groups:\n- name: g\n  labels: { severity: page }\n  rules:\n  - { alert: A, expr: up == 0 }\n";
    assert_eq!(found(Lint::MissingSeverity, text), "");
}
