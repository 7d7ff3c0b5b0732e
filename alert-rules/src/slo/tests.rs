//! What an objective becomes.

use futura_metrics::specs::http::HTTP_REQUEST_DURATION_SECONDS;
use insta::assert_snapshot;

use super::{Definition, Indicator, Objective, Period, Slo, check, series::ERROR_RATIOS};
use crate::{
    alert::Team,
    promql::{histogram, validate},
    rules,
};

fn latency(objective: Objective, period: Period) -> Slo {
    let indicator = Indicator::latency(&histogram(HTTP_REQUEST_DURATION_SECONDS), 0.25);
    let definition = Definition::new("fast", ["Fast1h", "Fast6h", "Fast1d", "Fast3d"], Team::Api, indicator);
    Definition { objective, period, ..definition }.into()
}

#[test]
fn an_objective_records_its_rates_ratios_and_budget_in_order() {
    let slo = latency(Objective::percent(99.5), Period::Days28);
    let records = slo.records.iter().map(|record| format!("{} = {}", record.name, record.expression));
    assert_snapshot!(records.collect::<Vec<_>>().join("\n"), @r#"
    service_slo:slo_requests:rate5m = sum by (service) (rate(http_request_duration_seconds_count[5m]))
    service_slo:slo_errors:rate5m = sum by (service) (rate(http_request_duration_seconds_count[5m])) - sum by (service) (rate(http_request_duration_seconds_bucket{le="0.25"}[5m]))
    service_slo:slo_objective:ratio = (service_slo:slo_requests:rate5m{slo="fast"} * 0) + 0.995
    service_slo:slo_errors_per_requests:ratio_rate5m = service_slo:slo_errors:rate5m{slo="fast"} / (service_slo:slo_requests:rate5m{slo="fast"} > 0)
    service_slo:slo_errors_per_requests:ratio_rate30m = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[30m]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[30m]) > 0)
    service_slo:slo_errors_per_requests:ratio_rate1h = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[1h]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[1h]) > 0)
    service_slo:slo_errors_per_requests:ratio_rate2h = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[2h]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[2h]) > 0)
    service_slo:slo_errors_per_requests:ratio_rate6h = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[6h]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[6h]) > 0)
    service_slo:slo_errors_per_requests:ratio_rate1d = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[1d]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[1d]) > 0)
    service_slo:slo_errors_per_requests:ratio_rate3d = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[3d]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[3d]) > 0)
    service_slo:slo_errors_per_requests:ratio_rate28d = avg_over_time(service_slo:slo_errors:rate5m{slo="fast"}[28d]) / (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[28d]) > 0)
    service_slo:slo_error_budget_left:ratio = 1 - (service_slo:slo_errors_per_requests:ratio_rate28d{slo="fast"} / 0.005)
    "#);
}

#[test]
fn an_alert_looks_at_two_windows_and_at_the_traffic() {
    let slo = latency(Objective::DEFAULT, Period::Days30);
    let alerts = slo.alerts.iter().map(|alert| format!("{}: {}", alert.name, alert.expression));
    assert_snapshot!(alerts.collect::<Vec<_>>().join("\n"), @r#"
    Fast1h: (((service_slo:slo_errors_per_requests:ratio_rate1h{slo="fast"} / 0.001) > 14.4) and ((service_slo:slo_errors_per_requests:ratio_rate5m{slo="fast"} / 0.001) > 14.4)) and (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[1h]) > 0.1)
    Fast6h: (((service_slo:slo_errors_per_requests:ratio_rate6h{slo="fast"} / 0.001) > 6) and ((service_slo:slo_errors_per_requests:ratio_rate30m{slo="fast"} / 0.001) > 6)) and (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[6h]) > 0.1)
    Fast1d: (((service_slo:slo_errors_per_requests:ratio_rate1d{slo="fast"} / 0.001) > 3) and ((service_slo:slo_errors_per_requests:ratio_rate2h{slo="fast"} / 0.001) > 3)) and (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[1d]) > 0.1)
    Fast3d: (((service_slo:slo_errors_per_requests:ratio_rate3d{slo="fast"} / 0.001) > 1) and ((service_slo:slo_errors_per_requests:ratio_rate6h{slo="fast"} / 0.001) > 1)) and (avg_over_time(service_slo:slo_requests:rate5m{slo="fast"}[3d]) > 0.1)
    "#);
}

/// A rule reads only what rules before it wrote at the same moment.
#[test]
fn a_record_comes_after_those_that_it_reads() {
    for slo in rules::slos() {
        for (index, record) in slo.records.iter().enumerate() {
            validate(&record.expression).unwrap();
            let later = slo.records[index..].iter().find(|later| record.expression.contains(later.name));
            assert_eq!(later, None, "{} reads it too early", record.name);
        }
    }
}

#[test]
fn objectives_leave_a_budget_without_noise() {
    let budgets = [99.9, 99.0, 99.95, 99.99, 95.5].map(|percent| Objective::percent(percent).budget());
    assert_eq!(budgets, [0.001, 0.01, 0.0005, 0.0001, 0.045]);
    let shares = [99.9, 99.95].map(|percent| Objective::percent(percent).share());
    assert_eq!(shares, [0.999, 0.9995]);
}

#[test]
#[should_panic(expected = "an objective is from 95.5 up to, but not, 100 percent")]
fn what_leaves_no_budget_is_no_objective() {
    let _ = Objective::percent(100.0);
}

#[test]
#[should_panic(expected = "http_request_duration_seconds has no bucket 0.3")]
fn a_latency_between_two_buckets_is_refused() {
    let _ = Indicator::latency(&histogram(HTTP_REQUEST_DURATION_SECONDS), 0.3);
}

#[test]
fn windows_are_named_after_their_length() {
    for ratio in ERROR_RATIOS.iter().copied().chain([Period::Days28, Period::Days30].map(Period::error_ratio)) {
        assert!(ratio.series.name().ends_with(&format!(":ratio_rate{}", ratio.window)), "{}", ratio.series.name());
    }
}

#[test]
fn a_name_that_is_taken_or_none_and_a_record_that_is_no_promql_are_found() {
    let mut slos = rules::slos();
    assert!(check(&slos).is_empty());
    slos.extend(rules::slos().into_iter().take(1));
    slos[1].records[0].expression.push(')');
    slos[2].name = "Ticket issuance";
    slos.push(latency(Objective::DEFAULT, Period::Days30));
    let findings: String = check(&slos).iter().map(|finding| format!("{finding}\n")).collect();
    assert_snapshot!(findings, @r"
    objective `http-latency` records `service_slo:slo_requests:rate5m`
    objective `Ticket issuance`: a name is lower case letters, digits and `-`, as files are called by it
    objective `http-availability` is declared twice
    objective `fast` has no series to try its rules with: set `traffic`
    ");
}
