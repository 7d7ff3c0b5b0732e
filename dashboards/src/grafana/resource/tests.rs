//! A resource holds all that the classic model of the same dashboard does.

use std::collections::BTreeSet;

use futura_alert_rules::Site;
use insta::assert_snapshot;
use serde_json::Value;

use super::Resource;
use crate::{catalogue::dashboards, grafana::Dashboard};

fn both(dashboard: &Dashboard) -> (Value, Value) {
    (serde_json::to_value(dashboard).unwrap(), serde_json::to_value(Resource::from(dashboard)).unwrap())
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let items = value.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer} of {value}"));
    items.as_array().unwrap_or_else(|| panic!("no list at {pointer}")).iter()
}

/// Every panel of the classic model, without headings.
fn panels(classic: &Value) -> impl Iterator<Item = &Value> {
    items(classic, "/panels").filter(|panel| panel["type"] != "row")
}

fn named<'a>(resource: &'a Value, id: &Value) -> &'a Value {
    &resource["spec"]["elements"][format!("panel-{id}")]["spec"]
}

#[test]
fn it_names_itself_and_is_titled_as_the_classic_one() {
    for dashboard in dashboards(&Site::default()) {
        let (classic, resource) = both(&dashboard);
        assert_eq!((&resource["kind"], &resource["metadata"]["name"]), (&Value::from("Dashboard"), &classic["uid"]));
        for same in ["title", "description", "tags", "editable", "links"] {
            assert_eq!(resource["spec"][same], classic[same], "{same} of {}", dashboard.uid);
        }
        let time = &resource["spec"]["timeSettings"];
        assert_eq!([&time["from"], &time["to"]], [&classic["time"]["from"], &classic["time"]["to"]]);
        assert_eq!([&time["autoRefresh"], &time["timezone"]], [&classic["refresh"], &classic["timezone"]]);
    }
}

#[test]
fn every_panel_asks_the_same_and_is_drawn_alike() {
    for dashboard in dashboards(&Site::default()) {
        let (classic, resource) = both(&dashboard);
        for panel in panels(&classic) {
            let element = named(&resource, &panel["id"]);
            for same in ["id", "title", "description"] {
                assert_eq!(element[same], panel[same]);
            }
            let drawn = &element["vizConfig"];
            assert_eq!(
                [&drawn["group"], &drawn["spec"]["options"], &drawn["spec"]["fieldConfig"]],
                [&panel["type"], &panel["options"], &panel["fieldConfig"]]
            );
            let asked = items(element, "/data/spec/queries").map(|query| {
                let query = &query["spec"];
                let mut asked = query["query"]["spec"].clone();
                asked["refId"] = query["refId"].clone();
                let source = &query["query"];
                asked["datasource"] =
                    serde_json::json!({ "type": source["group"], "uid": source["datasource"]["name"] });
                asked
            });
            assert_eq!(asked.collect::<Vec<_>>(), *panel["targets"].as_array().unwrap(), "{}", panel["title"]);
            let urls =
                |links: &Value| links.as_array().unwrap().iter().map(|link| link["url"].clone()).collect::<Vec<_>>();
            assert_eq!(urls(&element["links"]), urls(&panel["links"]));
        }
    }
}

/// What lies where is told by the classic model once more, from the top of the dashboard and not of the row.
#[test]
fn every_panel_lies_where_it_does_in_the_classic_one() {
    for dashboard in dashboards(&Site::default()) {
        let (classic, resource) = both(&dashboard);
        let layout = &resource["spec"]["layout"];
        let grids: Vec<_> = match layout["kind"].as_str() {
            Some("GridLayout") => vec![layout],
            _ => items(layout, "/spec/rows").map(|row| &row["spec"]["layout"]).collect(),
        };
        let headings: Vec<_> = items(&classic, "/panels").filter(|panel| panel["type"] == "row").collect();
        assert!(grids.len() == headings.len() || grids.len() == headings.len() + 1, "{}", dashboard.uid);
        let mut placed = BTreeSet::new();
        for grid in grids {
            let mut tops = BTreeSet::new();
            for item in items(grid, "/spec/items").map(|item| &item["spec"]) {
                let name = item["element"]["name"].as_str().unwrap();
                assert!(placed.insert(name), "{name} lies in two places");
                let id = &resource["spec"]["elements"][name]["spec"]["id"];
                let panel = panels(&classic).find(|panel| panel["id"] == *id).unwrap();
                let classic = &panel["gridPos"];
                assert_eq!(
                    [&item["x"], &item["width"], &item["height"]],
                    [&classic["x"], &classic["w"], &classic["h"]]
                );
                tops.insert(classic["y"].as_u64().unwrap() - item["y"].as_u64().unwrap());
            }
            assert_eq!(tops.len(), 1, "{}: a row is moved as a whole", dashboard.uid);
        }
        assert_eq!(placed.len(), panels(&classic).count());
    }
}

#[test]
fn headings_become_rows_and_what_stands_above_them_a_row_without() {
    let dashboards = dashboards(&Site::default());
    let routes = dashboards.iter().find(|dashboard| dashboard.uid == "http-routes").unwrap();
    let (_, resource) = both(routes);
    let rows = items(&resource, "/spec/layout/spec/rows").map(|row| {
        let row = &row["spec"];
        let items = items(row, "/layout/spec/items").map(|item| item["spec"]["element"]["name"].as_str().unwrap());
        format!("{} {}: {}", row["title"], row["hideHeader"], items.collect::<Vec<_>>().join(" "))
    });
    assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r#"
    "" true: panel-1 panel-2 panel-3 panel-4
    "All chosen routes" false: panel-5 panel-6
    "Route by route" false: panel-7 panel-8 panel-9 panel-10
    "#);
}

#[test]
fn a_viewer_can_choose_the_same() {
    let dashboards = dashboards(&Site::default());
    let routes = dashboards.iter().find(|dashboard| dashboard.uid == "http-routes").unwrap();
    let (_, resource) = both(routes);
    assert_snapshot!(serde_json::to_string_pretty(&resource["spec"]["variables"][1]).unwrap(), @r#"
    {
      "kind": "QueryVariable",
      "spec": {
        "allValue": ".*",
        "allowCustomValue": true,
        "current": {
          "text": [
            "All"
          ],
          "value": [
            "$__all"
          ]
        },
        "definition": "label_values(http_requests_total, service)",
        "hide": "dontHide",
        "includeAll": true,
        "label": "Service",
        "multi": true,
        "name": "service",
        "options": [],
        "query": {
          "datasource": {
            "name": "${datasource}"
          },
          "group": "prometheus",
          "kind": "DataQuery",
          "spec": {
            "qryType": 1,
            "query": "label_values(http_requests_total, service)",
            "refId": "PrometheusVariableQueryEditor-VariableQuery"
          },
          "version": "v0"
        },
        "refresh": "onTimeRangeChanged",
        "regex": "",
        "skipUrlSync": false,
        "sort": "alphabeticalAsc"
      }
    }
    "#);
    let sources = &resource["spec"]["variables"][0]["spec"];
    assert_eq!((&sources["pluginId"], &sources["current"]["value"]), (&Value::from("prometheus"), &Value::from("")));
}

#[test]
fn an_annotation_has_its_query_and_what_marks_say() {
    let dashboards = dashboards(&Site::default());
    let (_, resource) = both(&dashboards[0]);
    assert_snapshot!(serde_json::to_string_pretty(&resource["spec"]["annotations"][0]).unwrap(), @r#"
    {
      "kind": "AnnotationQuery",
      "spec": {
        "enable": true,
        "hide": false,
        "iconColor": "red",
        "legacyOptions": {
          "textFormat": "{{service}}",
          "titleFormat": "{{alertname}}"
        },
        "name": "Critical alerts",
        "query": {
          "datasource": {
            "name": "${datasource}"
          },
          "group": "prometheus",
          "kind": "DataQuery",
          "spec": {
            "expr": "ALERTS{alertstate=\"firing\",severity=\"critical\"}",
            "refId": "Anno"
          },
          "version": "v0"
        }
      }
    }
    "#);
}
