//! What must hold of every dashboard.

use std::collections::HashSet;

use futura_alert_rules::{Site, promql::validate, rules};
use futura_dashboards::{
    dashboards,
    grafana::{GRID_WIDTH, GridPos},
    queries,
};
use insta::assert_snapshot;

fn overlap(one: GridPos, other: GridPos) -> bool {
    let apart = |start: u32, length: u32, other: u32| start + length <= other;
    let beside = apart(one.x, one.w, other.x) || apart(other.x, other.w, one.x);
    let below = apart(one.y, one.h, other.y) || apart(other.y, other.h, one.y);
    !beside && !below
}

#[test]
fn panels_lie_on_the_grid_without_overlap_and_have_ids_of_their_own() {
    for dashboard in dashboards(&Site::default()) {
        let mut ids = HashSet::new();
        for (index, panel) in dashboard.panels.iter().enumerate() {
            assert!(ids.insert(panel.id), "two panels of {} have the id {}", dashboard.uid, panel.id);
            assert!(panel.grid_pos.x + panel.grid_pos.w <= GRID_WIDTH, "{} leaves the grid", panel.title);
            for other in &dashboard.panels[..index] {
                assert!(!overlap(panel.grid_pos, other.grid_pos), "{} lies on {}", panel.title, other.title);
            }
        }
    }
}

#[test]
fn every_link_of_an_alert_leads_to_a_panel() {
    let site = Site::default();
    let dashboards = dashboards(&site);
    for alert in rules::alerts(&site) {
        let Some(linked) = alert.panel else { continue };
        let panels = dashboards.iter().filter(|dashboard| dashboard.uid == linked.dashboard);
        let panel = panels.flat_map(|dashboard| &dashboard.panels).find(|panel| panel.id == linked.id);
        assert_eq!(panel.unwrap().title, linked.title, "{}", alert.name);
    }
}

#[test]
fn every_query_is_promql() {
    for query in queries(&Site::default()) {
        validate(&query.expression).unwrap();
    }
}

#[test]
fn queries_have_what_is_chosen_at_first_in_the_place_of_variables() {
    let site = Site { namespace: "staging".to_owned(), ..Site::default() };
    let queries: Vec<_> = queries(&site).collect();
    let query = |panel: &str| &queries.iter().find(|query| query.panel == panel).unwrap().expression;
    assert_snapshot!(query("Pods Running"), @r#"sum(kube_pod_status_phase{namespace="staging",phase="Running"})"#);
    assert_snapshot!(query("In Flight"), @r#"sum(http_requests_in_flight{service=~".*",path=~".*"})"#);
    let asked = queries.iter().map(|query| query.expression.replace("$__rate_interval", ""));
    assert_eq!(asked.filter(|expression| expression.contains('$')).count(), 0);
}

#[test]
fn every_panel_says_what_to_do_and_names_its_series() {
    for panel in dashboards(&Site::default()).into_iter().flat_map(|dashboard| dashboard.panels) {
        assert!(panel.description.len() > 80, "{} explains too little", panel.title);
        assert!(panel.targets.iter().all(|target| !target.query.legend_format.is_empty()), "{}", panel.title);
    }
}

#[test]
fn the_overview_has_its_eleven_panels() {
    let dashboards = dashboards(&Site::default());
    let panels = dashboards.iter().filter(|dashboard| dashboard.uid == "futuratickets-overview");
    let lines = panels.flat_map(|dashboard| &dashboard.panels).map(|panel| {
        let steps = &panel.field_config.defaults.thresholds.steps;
        let thresholds = steps.iter().filter_map(|step| Some(format!(", {:?} from {}", step.color, step.value?)));
        let unit = panel.field_config.defaults.unit;
        format!("{} {}: {unit:?}{}", panel.id, panel.title, thresholds.collect::<String>())
    });
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    1 HTTP Requests Rate (by service): RequestsPerSecond
    2 HTTP Response Time (p95): Seconds, Orange from 0.5, Orange from 1, Orange from 2
    3 Pod CPU Usage: Cores
    4 Pod Memory Usage: Bytes
    5 HTTP Error Rate (5xx): RequestsPerSecond, Red from 10
    6 Active Orders (created in the last 5 minutes): Number, Green from 1
    7 Payment Success Rate: Percent, Green from 0.9
    8 Database Connections (MongoDB): Number, Red from 10, Orange from 800
    9 Redis Operations/sec: OperationsPerSecond
    10 Active Tickets: Number
    11 Sentry Errors (last hour): Number, Orange from 50
    ");
}

/// A burn rate is drawn with the line at which its alert fires, whatever the objective.
#[test]
fn the_objectives_have_their_panels_and_lines() {
    let dashboards = dashboards(&Site::default());
    let panels = dashboards.iter().filter(|dashboard| dashboard.uid == "slos").flat_map(|dashboard| &dashboard.panels);
    let lines = panels.map(|panel| {
        let steps = panel.field_config.defaults.thresholds.steps.iter();
        let thresholds = steps.filter_map(|step| Some(format!(", {:?} from {}", step.color, step.value?)));
        let queries: String = panel.targets.iter().map(|target| format!("\n   {}", target.query.expr)).collect();
        format!("{} {}{}{queries}", panel.id, panel.title, thresholds.collect::<String>())
    });
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r#"
    1 Error budget left, Green from 0.25
       service_slo:slo_error_budget_left:ratio{service=~"$service",slo=~"$slo"}
    2 Objective
       service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}
    3 Error budget over time
       service_slo:slo_error_budget_left:ratio{service=~"$service",slo=~"$slo"}
    4 Bad requests (last 5 minutes and last day)
       service_slo:slo_errors_per_requests:ratio_rate5m{service=~"$service",slo=~"$slo"}
       service_slo:slo_errors_per_requests:ratio_rate1d{service=~"$service",slo=~"$slo"}
    5 Burn rate over 1 hour and 5 minutes, Red from 14.4
       service_slo:slo_errors_per_requests:ratio_rate1h{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
       service_slo:slo_errors_per_requests:ratio_rate5m{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
    6 Burn rate over 6 hours and 30 minutes, Red from 6
       service_slo:slo_errors_per_requests:ratio_rate6h{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
       service_slo:slo_errors_per_requests:ratio_rate30m{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
    7 Burn rate over 1 day and 2 hours, Orange from 3
       service_slo:slo_errors_per_requests:ratio_rate1d{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
       service_slo:slo_errors_per_requests:ratio_rate2h{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
    8 Burn rate over 3 days and 6 hours, Orange from 1
       service_slo:slo_errors_per_requests:ratio_rate3d{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
       service_slo:slo_errors_per_requests:ratio_rate6h{service=~"$service",slo=~"$slo"} / ((1 - service_slo:slo_objective:ratio{service=~"$service",slo=~"$slo"}) > 0)
    9 Requests that count
       service_slo:slo_requests:rate5m{service=~"$service",slo=~"$slo"}
    10 Requests that are bad
       service_slo:slo_errors:rate5m{service=~"$service",slo=~"$slo"}
    "#);
}

/// The dashboard asks for what is the same for every objective, so that it shows those of other programs too.
#[test]
fn the_objectives_are_not_named_on_their_dashboard() {
    for query in queries(&Site::default()).filter(|query| query.dashboard == "slos") {
        assert!(query.expression.contains("service_slo:slo_") && !query.expression.contains("slo=\""), "{query:?}");
        let chosen = query.expression.matches(r#"{service=~".*",slo=~".*"}"#).count();
        assert_eq!(chosen, query.expression.matches("service_slo:slo_").count(), "{query:?}");
    }
}
