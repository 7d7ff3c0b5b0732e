//! A fault is planted for every rule, in a dashboard that has none.

use std::collections::BTreeSet;

use futura_alert_rules::{Site, foreign::Metric, rules as alerts};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{AlertPanel, Catalogue, Finding, is_dashboard, rules};
use crate::{dashboards, grafana::Dashboard};

/// What is found by what is declared here.
fn check(dashboard: &Value) -> Vec<Finding> {
    let alerts: Vec<_> = alerts::alerts(&Site::default()).collect();
    super::check(dashboard, &Catalogue::declared(), &AlertPanel::of(&alerts))
}

fn json_of(dashboard: &Dashboard) -> Value {
    serde_json::to_value(dashboard).unwrap()
}

fn dashboard(uid: &str) -> Value {
    json_of(dashboards(&Site::default()).iter().find(|dashboard| dashboard.uid == uid).unwrap())
}

/// The findings of `rule` after `plant` has been at the dashboard of HTTP by route.
fn planted(rule: &str, plant: impl FnOnce(&mut Value)) -> String {
    planted_in("http-routes", rule, plant)
}

fn planted_in(uid: &str, rule: &str, plant: impl FnOnce(&mut Value)) -> String {
    let mut dashboard = dashboard(uid);
    plant(&mut dashboard);
    let findings = check(&dashboard);
    let found = findings.iter().filter(|finding| finding.rule == rule);
    found.map(|finding| format!("{}: {}", finding.path, finding.problem)).collect::<Vec<_>>().join("\n")
}

/// Puts `expr` in the place of the first query.
fn asking(expr: &str) -> impl FnOnce(&mut Value) {
    move |dashboard| dashboard["panels"][0]["targets"][0]["expr"] = json!(expr)
}

#[test]
fn nothing_is_wrong_with_our_dashboards() {
    for dashboard in dashboards(&Site::default()) {
        let findings = check(&json_of(&dashboard));
        assert!(
            findings.is_empty(),
            "{}: {:#?}",
            dashboard.uid,
            findings.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
    }
}

#[test]
fn every_rule_has_a_name_of_its_own_and_a_test_here() {
    let source = include_str!("tests.rs");
    let mut names = BTreeSet::new();
    for rule in rules() {
        assert!(names.insert(rule.name), "{} is there twice", rule.name);
        assert!(source.contains(&format!("\"{}\", ", rule.name)), "{} has no test", rule.name);
    }
    assert_eq!(names.len(), 27);
}

#[test]
fn a_finding_names_place_problem_remedy_and_rule() {
    let mut dashboard = dashboard("http-routes");
    asking("rate(http_request_total[$__rate_interval])")(&mut dashboard);
    let finding = check(&dashboard).into_iter().find(|finding| finding.rule == "target-metric-rule").unwrap();
    assert_snapshot!(finding.to_string(), @"$.panels[0].targets[0].expr: panel `Requests`: no metric is called `http_request_total`, though `http_requests_total` is there: name a metric that there is (target-metric-rule)");
}

#[test]
fn classic_model() {
    let found = planted("dashboard-classic-rule", |dashboard| {
        dashboard["id"] = json!(7);
        dashboard["uid"] = json!("no uid");
        dashboard["schemaVersion"] = json!(43);
        dashboard["__inputs"] = json!([]);
    });
    assert_snapshot!(found, @"
    $.__inputs: only the import by hand fills that in
    $.id: the number is another dashboard's on another Grafana
    $.uid: `no uid` is no uid, and without one links break at each import
    $.schemaVersion: Grafana 13.2 knows versions up to 42
    ");
}

#[test]
fn resources_are_not_classic() {
    let found = planted("dashboard-classic-rule", |dashboard| dashboard["elements"] = json!({}));
    assert_snapshot!(found, @"$: it is a resource of Kubernetes' kind, which files and sidecars do not take");
}

#[test]
fn uneditable() {
    let found = planted("uneditable-dashboard", |dashboard| dashboard["editable"] = json!(true));
    assert_snapshot!(found, @"$.editable: it can be edited in place");
}

#[test]
fn cost() {
    let found = planted("dashboard-cost-rule", |dashboard| {
        let target = dashboard["panels"][0]["targets"][0].clone();
        dashboard["panels"][0]["targets"] = json!(vec![target; 60]);
        dashboard["panels"][1]["targets"][0]["expr"] = json!("rate(check_duration_seconds_bucket[$__rate_interval])");
    });
    assert_snapshot!(found, @"
    $.panels: it asks 74 queries at once, more than 60
    $.panels[1].targets[0].expr: it draws a line for each bucket of each series
    ");
}

#[test]
fn datasource_variable() {
    let found = planted("template-datasource-rule", |dashboard| {
        dashboard["templating"]["list"].as_array_mut().unwrap().remove(0);
    });
    assert_snapshot!(found, @"$.templating.list: the data source cannot be chosen");
    let found = planted("template-datasource-rule", |dashboard| {
        dashboard["templating"]["list"][0] = json!({ "type": "datasource", "name": "ds", "query": "prometheus" });
    });
    assert_snapshot!(found, @"
    $.templating.list[0].name: the data source's variable is called `ds`
    $.templating.list[0].label: its title does not say that it is the data source
    ");
}

#[test]
fn selector_variable() {
    let found = planted("template-selector-rule", |dashboard| {
        let variable = &mut dashboard["templating"]["list"][1];
        variable["allValue"] = json!(null);
        variable["label"] = json!("");
        variable["datasource"] = json!({ "type": "prometheus", "uid": "P1" });
    });
    assert_snapshot!(found, @r#"
    $.templating.list[1].label: the variable `service` has no title
    $.templating.list[1].datasource: the variable `service` asks a data source of its own
    $.templating.list[1].allValue: "All" of the variable `service` lists every value there is
    "#);
}

#[test]
fn variable_queries() {
    let found = planted("template-label-promql-rule", |dashboard| {
        dashboard["templating"]["list"][1]["query"] = json!("label_value(up, job)");
        dashboard["templating"]["list"][2]["query"] = json!("label_values(up{, path)");
    });
    assert_snapshot!(found, @"
    $.templating.list[1].query: `label_value(up, job)` is no query of a variable
    $.templating.list[2].query: `label_values(up{, path)` does not parse: unexpected end of input inside braces
    ");
}

#[test]
fn variables_reload() {
    let found = planted("template-on-time-change-reload-rule", |dashboard| {
        dashboard["templating"]["list"][2]["refresh"] = json!(1);
    });
    assert_snapshot!(found, @"$.templating.list[2].refresh: the variable `path` offers what there was when the dashboard was opened");
}

#[test]
fn variables_are_used_and_declared() {
    let found = planted("template-use-rule", |dashboard| {
        dashboard["panels"][0]["title"] = json!("Requests of ${tenant}");
        dashboard["panels"][1]["title"] = json!("Errors of ${tenant}");
        dashboard["templating"]["list"].as_array_mut().unwrap().push(json!({ "type": "custom", "name": "idle" }));
    });
    assert_snapshot!(found, @"
    $.panels[0].title: there is no variable `tenant`
    $.templating.list[3]: nothing uses the variable `idle`
    ");
}

#[test]
fn grid() {
    let found = planted("panel-grid-rule", |dashboard| {
        dashboard["panels"][1]["gridPos"]["x"] = json!(1);
        dashboard["panels"][3]["gridPos"]["w"] = json!(7);
        dashboard["panels"][2]["gridPos"]["y"] = json!(-1);
    });
    assert_snapshot!(found, @"
    $.panels[1].gridPos: it lies on `Requests`
    $.panels[2].gridPos: its position is not four whole numbers from zero
    $.panels[3].gridPos: it has no size or reaches out of the grid
    ");
}

#[test]
fn ids() {
    let found = planted("panel-id-rule", |dashboard| {
        dashboard["panels"][1]["id"] = dashboard["panels"][0]["id"].clone();
        dashboard["panels"][5]["targets"][1]["refId"] = json!("A");
    });
    assert_snapshot!(found, @"
    $.panels[1].id: another panel has the id 1
    $.panels[5].targets[1].refId: another query of the panel has the refId `A`, or it has none
    ");
}

#[test]
fn panel_datasource() {
    let found = planted("panel-datasource-rule", |dashboard| {
        dashboard["panels"][0]["datasource"] = json!({ "type": "prometheus", "uid": "P1" });
        dashboard["panels"][1]["targets"][0]["datasource"] = json!("${DS_PROMETHEUS}");
    });
    assert_snapshot!(found, @"
    $.panels[0].datasource: the data source is fixed or not said
    $.panels[1].targets[0].datasource: the query's data source is fixed
    ");
}

#[test]
fn a_variable_of_any_name_chooses_the_data_source() {
    let dashboard = json!({
        "templating": { "list": [{ "type": "datasource", "name": "DS_PROMETHEUS", "query": "prometheus" }] },
        "panels": [{ "type": "stat", "datasource": "${DS_PROMETHEUS}", "targets": [{ "refId": "A", "expr": "up" }] }],
    });
    assert!(check(&dashboard).iter().all(|finding| finding.rule != "panel-datasource-rule"));
}

#[test]
fn panels_in_rows_are_judged_as_well() {
    let panel = json!({ "type": "graph", "title": "Old", "targets": [{ "refId": "A", "expr": "rate(" }] });
    let dashboard = json!({ "dashboard": { "uid": "old", "rows": [{ "panels": [] }, { "panels": [panel] }] } });
    assert!(is_dashboard(&dashboard) && !is_dashboard(&json!({ "rows": 3 })));
    let findings = check(&dashboard);
    let of = |rule: &str| findings.iter().find(|finding| finding.rule == rule).map(|finding| &*finding.path);
    assert_eq!(of("dashboard-classic-rule"), Some("$.rows"));
    assert_eq!(of("target-promql-rule"), Some("$.rows[1].panels[0].targets[0].expr"));
}

#[test]
fn title_and_description() {
    let found = planted("panel-title-description-rule", |dashboard| {
        dashboard["panels"][0]["title"] = json!(" ");
        dashboard["panels"][1]["description"] = json!(null);
    });
    assert_snapshot!(found, @"
    $.panels[0].title: it has no title
    $.panels[1].description: it has no description
    ");
}

#[test]
fn unit_names() {
    let found = planted("panel-units-rule", |dashboard| {
        dashboard["panels"][0]["fieldConfig"]["defaults"]["unit"] = json!("rqps");
        dashboard["panels"][1]["fieldConfig"]["defaults"]["unit"] = json!(null);
    });
    assert_snapshot!(found, @"
    $.panels[0].fieldConfig.defaults.unit: `rqps` is no unit of Grafana's
    $.panels[1].fieldConfig.defaults.unit: it has no unit
    ");
}

#[test]
fn no_targets() {
    let found = planted("panel-no-targets-rule", |dashboard| dashboard["panels"][0]["targets"] = json!([]));
    assert_snapshot!(found, @"$.panels[0].targets: it asks nothing");
}

#[test]
fn unit_of_what_is_asked() {
    let found = planted("panel-unit-quantity-rule", |dashboard| {
        dashboard["panels"][5]["fieldConfig"]["defaults"]["unit"] = json!("ms");
        dashboard["panels"][1]["fieldConfig"]["defaults"]["unit"] = json!("percent");
    });
    assert_snapshot!(found, @"
    $.panels[1].targets[0].expr: `percent` does not write what is asked, Ratio
    $.panels[5].targets[0].expr: `ms` does not write what is asked, Seconds
    $.panels[5].targets[1].expr: `ms` does not write what is asked, Seconds
    $.panels[5].targets[2].expr: `ms` does not write what is asked, Seconds
    ");
}

#[test]
fn names_that_grafana_knows() {
    let found = planted("panel-registry-rule", |dashboard| {
        dashboard["panels"][0]["type"] = json!("singlestat");
        dashboard["panels"][1]["options"]["reduceOptions"]["calcs"] = json!(["lastNonNull", "p95", "p0"]);
        dashboard["panels"][2]["transformations"] = json!([{ "id": "seriesToTable" }]);
        let matcher = json!({ "id": "byRegex", "options": "a" });
        let properties = json!([{ "id": "colour" }, { "id": "custom.fillOpacity" }, { "id": "custom.fill" }]);
        dashboard["panels"][3]["fieldConfig"]["overrides"] = json!([{ "matcher": matcher, "properties": properties }]);
    });
    assert_snapshot!(found, @"
    $.panels[0].type: `singlestat` is no panel of Grafana 13
    $.panels[1].options.reduceOptions.calcs[0]: `lastNonNull` is no reducer
    $.panels[1].options.reduceOptions.calcs[2]: `p0` is no reducer
    $.panels[2].transformations[0].id: `seriesToTable` is no transformation
    $.panels[3].fieldConfig.overrides[0].matcher.id: `byRegex` is no matcher
    $.panels[3].fieldConfig.overrides[0].properties[0].id: `colour` is no setting of a field
    $.panels[3].fieldConfig.overrides[0].properties[2].id: `custom.fill` is no setting of a field
    ");
}

#[test]
fn promql() {
    let found = planted("target-promql-rule", asking("sum(rate(http_requests_total[$__rate_interval])"));
    assert_snapshot!(found, @"$.panels[0].targets[0].expr: `sum(rate(http_requests_total[$__rate_interval])` does not parse: unclosed left parenthesis");
    assert_eq!(planted("target-promql-rule", asking("topk($service, up)")), "", "a number may be chosen");
}

#[test]
fn logql() {
    let found = planted("target-logql-rule", |dashboard| {
        dashboard["panels"][0]["datasource"] = json!({ "type": "loki", "uid": "${loki}" });
        dashboard["panels"][0]["targets"] = json!([{ "refId": "A", "expr": "rate({}[5m])" }]);
    });
    assert_snapshot!(found, @"$.panels[0].targets[0].expr: `rate({}[5m])` is not LogQL");
}

#[test]
fn logql_auto() {
    let found = planted("target-logql-auto-rule", |dashboard| {
        dashboard["panels"][0]["targets"] =
            json!([{ "refId": "A", "datasource": { "type": "loki" }, "expr": "rate({app=\"api\"}[5m])" }]);
    });
    assert_snapshot!(found, @"$.panels[0].targets[0].expr: the range `[5m]` is fixed");
}

#[test]
fn rate_interval() {
    let found = planted("target-rate-interval-rule", |dashboard| {
        dashboard["panels"][6]["targets"][0]["expr"] = json!("sum(rate(http_requests_total[5m]))");
    });
    assert_snapshot!(found, @"$.panels[6].targets[0].expr: the rate of `http_requests_total` is over 300 seconds, however wide the panel is");
}

#[test]
fn counters_have_rates() {
    let found = planted("target-counter-agg-rule", asking("sum(http_requests_total) / tickets_active_total"));
    assert_snapshot!(found, @"$.panels[0].targets[0].expr: `http_requests_total` is a counter, and its number is asked");
    assert_eq!(planted("target-counter-agg-rule", asking("count by (path) (http_requests_total)")), "");
    let foreign = asking("ceph_pg_total + elasticsearch_thread_pool_queue_count");
    assert_eq!(planted("target-counter-agg-rule", foreign), "");
}

#[test]
fn gauges_have_none() {
    let found = planted("target-gauge-rate-rule", asking("rate(tickets_active_total[$__rate_interval])"));
    assert_snapshot!(found, @"$.panels[0].targets[0].expr: `rate` is taken of the gauge `tickets_active_total`");
}

#[test]
fn metrics_exist() {
    let found = planted("target-metric-rule", |dashboard| {
        asking("rate(http_request_total[$__rate_interval]) + http_requests_total_bucket + level:recorded:sum")(
            dashboard,
        );
        dashboard["annotations"]["list"][0]["expr"] = json!("ALERT{severity=\"critical\"}");
    });
    assert_snapshot!(found, @"
    $.panels[0].targets[0].expr: no metric is called `http_request_total`, though `http_requests_total` is there
    $.panels[0].targets[0].expr: no metric is called `http_requests_total_bucket`, though `http_requests_total` is there
    $.annotations.list[0].expr: no metric is called `ALERT`
    ");
}

#[test]
fn labels_exist() {
    let query = r#"sum by (code) (rate(http_requests_total{code="500",method=~"GE|PUSH",le="1"}[$__rate_interval]))"#;
    assert_snapshot!(planted("target-label-rule", asking(query)), @"
    $.panels[0].targets[0].expr: `http_requests_total` has no label `code`
    $.panels[0].targets[0].expr: the label `method` of `http_requests_total` is never `GE|PUSH`
    $.panels[0].targets[0].expr: `http_requests_total` has no label `le`
    $.panels[0].targets[0].expr: it groups by `code`, which is not there any more
    ");
}

#[test]
fn legends_name_labels_that_survive() {
    let found = planted("target-legend-rule", |dashboard| {
        dashboard["panels"][6]["targets"][0]["legendFormat"] = json!("{{status}} {{ path }}");
        dashboard["annotations"]["list"][2]["textFormat"] = json!("{{revision}}");
    });
    assert_snapshot!(found, @"
    $.panels[6].targets[0].legendFormat: the query has no label `path`
    $.annotations.list[2].textFormat: the query has no label `revision`
    ");
}

#[test]
fn what_was_chosen_is_asked() {
    let query = r#"sum(rate(http_requests_total{path=~"$path"}[$__rate_interval])) / sum(node_memory_MemTotal_bytes)"#;
    assert_snapshot!(planted("target-selector-rule", asking(query)), @"
    $.panels[0].targets[0].expr: `http_requests_total` is asked whatever `service` was chosen
    $.panels[0].targets[0].expr: `node_memory_MemTotal_bytes` is asked whatever `service` was chosen
    ");
}

#[test]
fn jobs_of_one_program_choose_nothing_of_another() {
    let mut catalogue = Catalogue::default();
    for name in ["ceph_osd_up", "node_load1"] {
        catalogue.insert(name.to_owned(), Metric::default());
    }
    let query = |expr: &str| {
        let targets = json!([{ "refId": "A", "expr": expr }]);
        let variable = json!({ "type": "query", "name": "job", "query": "label_values(ceph_osd_metadata{}, job)" });
        let dashboard = json!({ "templating": { "list": [variable] }, "panels": [{ "targets": targets }] });
        let findings = super::check(&dashboard, &catalogue, &[]);
        findings.iter().any(|finding| finding.rule == "target-selector-rule")
    };
    assert!(query("ceph_osd_up"));
    assert!(!query("ceph_osd_up{job=~\"$job\"}") && !query("node_load1"));
    assert!(!query("ceph_osd_up{exported_job=~\"$job\"}"), "it is chosen by another label");
    assert!(!query("ceph_osd_up and on (job) node_load1{job=~\"$job\"}"), "it is chosen by what it is joined with");
    assert!(query("ceph_osd_up or on (job) node_load1{job=~\"$job\"}"));
}

#[test]
fn thresholds_are_drawn() {
    let found = planted_in("futuratickets-overview", "alert-threshold-rule", |dashboard| {
        let panels = dashboard["panels"].as_array_mut().unwrap();
        for panel in panels.iter_mut() {
            panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] = json!("off");
        }
        panels[2]["targets"].as_array_mut().unwrap().remove(1);
        panels.retain(|panel| panel["id"] != 11);
    });
    assert_snapshot!(found, @"
    $.panels[7].fieldConfig.defaults.thresholds: the threshold of `MongoDBConnectionIssues` is not drawn
    $.panels[7].fieldConfig.defaults.thresholds: the threshold of `HighMongoDBConnections` is not drawn
    $.panels[1].fieldConfig.defaults.thresholds: the threshold of `HighResponseTime` is not drawn
    $.panels[1].fieldConfig.defaults.thresholds: the threshold of `HighLatency` is not drawn
    $.panels[1].fieldConfig.defaults.thresholds: the threshold of `SlowApiResponses` is not drawn
    $.panels[2].fieldConfig.defaults.thresholds: the threshold of `HighCPUUsage` is not drawn
    $.panels[4].fieldConfig.defaults.thresholds: the threshold of `HighErrorRate` is not drawn
    $.panels: `HighSentryErrorCount` links to panel 11, which is not there
    ");
}

#[test]
fn a_catalogue_that_knows_nothing_lets_names_pass() {
    let mut dashboard = dashboard("http-routes");
    asking("sum by (anything) (rate(foreign_total{service=\"a\",path=\"b\"}[$__rate_interval]))")(&mut dashboard);
    let findings = super::check(&dashboard, &Catalogue::default(), &[]);
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn what_is_no_dashboard_is_judged_all_the_same() {
    let odd = [json!(null), json!([]), json!("$x"), json!({ "panels": 3, "templating": [] })];
    let nested = json!({
        "panels": [1, null, { "targets": [null, { "expr": 5 }, { "expr": "${" }, { "expr": "ü[$ü" }], "panels": [{}] }],
        "templating": { "list": [null, { "type": "query", "query": "label_values(" }, { "type": "query", "name": "$" }] },
        "annotations": { "list": [{ "expr": "}{" }] },
    });
    for dashboard in odd.iter().chain([&nested]) {
        assert!(!check(dashboard).is_empty(), "{dashboard}");
    }
}
