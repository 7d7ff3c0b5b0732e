//! Rendering, and the law that whatever can be composed parses.

use std::time::Duration;

use futura_metrics::specs::{
    business::{ORDER_PROCESSING_DURATION_SECONDS, ORDERS_CREATED_TOTAL, TICKETS_ACTIVE_TOTAL},
    checks::{CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, CHECK_LAST_RUN_TIMESTAMP_SECONDS},
    external::{KUBE_POD_STATUS_PHASE, Namespace, Phase, Pod},
    http::{HTTP_REQUEST_DURATION_SECONDS, HTTP_REQUESTS_TOTAL, Method, Path, Status},
};
use insta::assert_snapshot;
use proptest::{prelude::Strategy, prop_oneof, proptest};

use super::{
    Comparison, Condition, Quantity, Service, Shape, Vector, Window, all, always, by, counter, duration_text, gauge,
    histogram, label, le_text, parse_duration, validate,
};

#[test]
fn buckets_keep_le_through_an_aggregation() {
    let p95 =
        histogram(HTTP_REQUEST_DURATION_SECONDS).rate(Window::RateInterval).sum(by::<(Service, Path)>()).quantile(0.95);
    assert_eq!(p95.quantity(), Quantity::Seconds);
    assert_snapshot!(
        p95,
        @"histogram_quantile(0.95, sum by (service, path, le) (rate(http_request_duration_seconds_bucket[$__rate_interval])))"
    );
}

#[test]
fn bucket_bounds_are_written_as_every_prometheus_stores_them() {
    let fast = histogram(HTTP_REQUEST_DURATION_SECONDS).within(1.0).rate(Window::minutes(5)).sum(all());
    assert_snapshot!(fast, @r#"sum(rate(http_request_duration_seconds_bucket{le="1.0"}[5m]))"#);
    assert_eq!([0.005, 2.5, 10.0, f64::INFINITY].map(le_text), ["0.005", "2.5", "10.0", "+Inf"]);
}

#[test]
#[should_panic(expected = "http_request_duration_seconds has no bucket 3")]
fn a_bound_between_buckets_is_refused() {
    let _ = histogram(HTTP_REQUEST_DURATION_SECONDS).within(3.0);
}

#[test]
#[should_panic(expected = "Seconds and PerSecond do not mix")]
fn quantities_do_not_mix() {
    let seconds = histogram(ORDER_PROCESSING_DURATION_SECONDS).rate(Window::minutes(5)).sum(all()).quantile(0.5);
    let _ = seconds + counter(ORDERS_CREATED_TOTAL).rate(Window::minutes(5)).sum(all());
}

#[test]
fn matchers_take_the_label_s_own_values() {
    let pods = gauge(KUBE_POD_STATUS_PHASE)
        .only(label::<Namespace>().eq("futuratickets"))
        .only(label::<Phase>().any_of(&[Phase::Pending, Phase::Failed]))
        .only(label::<Pod>().ne("it's \"quoted\" \\ and\nbroken"));
    assert_snapshot!(
        pods.value().max(by::<(Pod,)>()).above(0.0),
        @r#"max by (pod) (kube_pod_status_phase{namespace="futuratickets",phase=~"Pending|Failed",pod!="it's \"quoted\" \\ and\nbroken"}) > 0"#
    );
}

#[test]
fn a_ratio_is_guarded_and_operands_keep_their_parentheses() {
    let requests = |status: &str| {
        let requests = counter(HTTP_REQUESTS_TOTAL).only(label::<Status>().matches(status));
        requests.only(label::<Method>().eq(Method::Get)).rate(Window::minutes(5)).sum(all())
    };
    let share = (requests("4..") + requests("5..")).ratio_to(requests(".+"));
    assert_eq!(share.quantity(), Quantity::Ratio);
    assert_snapshot!(
        share.above(0.05),
        @r#"((sum(rate(http_requests_total{status=~"4..",method="GET"}[5m])) + sum(rate(http_requests_total{status=~"5..",method="GET"}[5m]))) / (sum(rate(http_requests_total{status=~".+",method="GET"}[5m])) > 0)) > 0.05"#
    );
}

#[test]
fn what_was_never_counted_is_zero_or_absent() {
    let orders = counter(ORDERS_CREATED_TOTAL).increase(Window::hours(1)).sum(all());
    let none = orders.clone().or_zero().equal_to(0.0);
    assert_snapshot!(none, @"(sum(increase(orders_created_total[1h])) or vector(0)) == 0");
    assert_snapshot!(orders.absent(), @"absent(sum(increase(orders_created_total[1h])))");
}

#[test]
fn a_share_without_failures_is_zero_and_has_a_rest() {
    let requests = |status: &str| {
        let requests = counter(HTTP_REQUESTS_TOTAL).only(label::<Status>().matches(status));
        requests.rate(Window::minutes(5)).sum(by::<(Service,)>())
    };
    let failed = requests("5..").or_zero_where(requests(".+")).ratio_to(requests(".+"));
    assert_snapshot!(
        failed.complement(),
        @r#"1 - ((sum by (service) (rate(http_requests_total{status=~"5.."}[5m])) or (sum by (service) (rate(http_requests_total{status=~".+"}[5m])) * 0)) / (sum by (service) (rate(http_requests_total{status=~".+"}[5m])) > 0))"#
    );
}

#[test]
fn a_constant_is_there_where_the_series_is() {
    let objective = counter(ORDERS_CREATED_TOTAL).rate(Window::days(1)).sum(all()).constant_ratio(0.999);
    assert_eq!(objective.quantity(), Quantity::Ratio);
    assert_snapshot!(objective, @"(sum(rate(orders_created_total[1d])) * 0) + 0.999");
}

#[test]
fn a_time_becomes_an_age() {
    let age = gauge(CHECK_LAST_RUN_TIMESTAMP_SECONDS).age().max(all()).above(300.0);
    assert_snapshot!(age, @"max(time() - check_last_run_timestamp_seconds) > 300");
}

#[test]
fn a_time_to_come_becomes_what_is_left() {
    let left = gauge(CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS).time_left().min(all());
    assert_eq!(left.quantity(), Quantity::Seconds);
    assert_snapshot!(left.below(3600.0), @"min(check_certificate_expiry_timestamp_seconds - time()) < 3600");
}

#[test]
fn what_always_holds_compares_nothing() {
    let orders = || counter(ORDERS_CREATED_TOTAL).rate(Window::minutes(5)).sum(all());
    assert_eq!(always().threshold().comparison, Comparison::Always);
    assert_snapshot!(always(), @"vector(1)");
    assert_snapshot!(always().and(orders().above(1.0)), @"vector(1) and (sum(rate(orders_created_total[5m])) > 1)");
    let nothing = orders().absent().or(orders().below(1.0)).unless(always());
    assert_snapshot!(
        nothing,
        @"(absent(sum(rate(orders_created_total[5m]))) or (sum(rate(orders_created_total[5m])) < 1)) unless vector(1)"
    );
}

#[test]
fn a_threshold_can_be_set_afterwards() {
    let orders = counter(ORDERS_CREATED_TOTAL).rate(Window::minutes(5)).sum(all());
    let few = orders.clone().below(1.0).and(orders.above(0.0)).into_compared();
    let fewer = few.with_threshold(0.25);
    let expected = "(sum(rate(orders_created_total[5m])) < 0.25) and (sum(rate(orders_created_total[5m])) > 0)";
    assert_eq!(fewer.to_string(), expected);
    assert!(few.differs_in_threshold_alone(&fewer) && !few.differs_in_threshold_alone(&few));
}

#[test]
fn an_expression_tells_what_it_is_made_of() {
    let expression = r#"sum(rate(a_total{x!="",y=~"b|c"}[5m])) / sum(increase(d_total{z!~"e|f"}[1h])) > 1"#;
    let shape = Shape::of(expression).unwrap();
    assert!(shape.has_ratio && shape.reads_counters() && !shape.falls_back());
    assert_eq!(shape.windows.iter().map(Duration::as_secs).collect::<Vec<_>>(), [300, 3600]);
    assert_eq!(shape.matched_labels().into_iter().collect::<Vec<_>>(), ["x", "y", "z"]);
    let left_out = |metric, label, value| shape.value_left_out(metric, label, value);
    assert_eq!(left_out("a_total", "x", "b").as_deref(), Some(""));
    assert_eq!(left_out("a_total", "y", "c").as_deref(), Some("not-c"));
    assert_eq!(left_out("d_total", "z", "g").as_deref(), Some("e"));
    assert_eq!(left_out("a_total", "y", "d"), None, "what is not taken need not be kept out");
    assert_eq!(left_out("d_total", "x", "b"), None, "that selector does not ask for it");
    assert!(Shape::of("absent(up)").unwrap().falls_back() && !Shape::of("vector(1)").unwrap().falls_back());
}

#[test]
fn a_quantile_remembers_its_bounds() {
    let p95 = histogram(ORDER_PROCESSING_DURATION_SECONDS).rate(Window::minutes(5)).sum(all()).quantile(0.95);
    assert!(p95.above(10.0).threshold().bounds.contains(&10.0));
}

#[test]
fn durations_are_written_as_prometheus_writes_them() {
    let texts = [0, 90, 300, 3600, 5400, 86_400, 180_000].map(|seconds| duration_text(Duration::from_secs(seconds)));
    assert_eq!(texts, ["0s", "1m30s", "5m", "1h", "1h30m", "1d", "2d2h"]);
    for wrong in ["", "5", "m", "1.5h", "-5m", "30m1h", "5m ", "99999999999999999999s", "9999999999999999h"] {
        assert_eq!(parse_duration(wrong), None, "{wrong}");
    }
}

#[test]
fn what_prometheus_refuses_is_refused() {
    assert!(validate("sum(rate(x[$__rate_interval]))").is_ok());
    let error = validate("sum(rate(x[5m])").unwrap_err();
    assert!(error.to_string().starts_with("`sum(rate(x[5m])` is not PromQL: "), "{error}");
}

type Total = Vector<()>;

fn totals() -> impl Strategy<Value = Total> {
    let leaf = prop_oneof![
        (r"[\s\S]{0,12}", 1..400u64).prop_map(|(path, minutes)| {
            let requests = counter(HTTP_REQUESTS_TOTAL).only(label::<Path>().eq(&path));
            requests.rate(Window::minutes(minutes)).sum(all()).measured_in(Quantity::Count)
        }),
        r"[\s\S]{0,12}".prop_map(|service| {
            let tickets = gauge(TICKETS_ACTIVE_TOTAL).only(label::<Service>().any_of(&[&service, "other"]));
            tickets.max_over_time(Window::RateInterval).max(all())
        }),
        (0.0..=1.0f64).prop_map(|quantile| {
            let buckets = histogram(HTTP_REQUEST_DURATION_SECONDS).rate(Window::RateInterval).sum(all());
            buckets.quantile(quantile).measured_in(Quantity::Count)
        }),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left + right),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| left - right),
            (inner.clone(), -1e9..1e9f64).prop_map(|(vector, factor)| vector * factor),
            (inner.clone(), 1e-6..1e6f64).prop_map(|(vector, divisor)| vector / divisor),
            (inner.clone(), inner.clone()).prop_map(|(part, whole)| part.ratio_to(whole).measured_in(Quantity::Count)),
            (inner.clone(), inner.clone()).prop_map(|(vector, other)| vector.or_zero_where(other)),
            (inner.clone(), 0.0..=1.0f64)
                .prop_map(|(vector, share)| { vector.constant_ratio(share).complement().measured_in(Quantity::Count) }),
            inner.prop_map(|vector| vector.or_zero().avg(all())),
        ]
    })
}

fn conditions() -> impl Strategy<Value = Condition<()>> {
    let leaf = (totals(), -1e9..1e9f64, 0..5).prop_map(|(total, threshold, kind)| match kind {
        0 => total.above(threshold),
        1 => total.below(threshold),
        2 => total.equal_to(threshold),
        3 => always(),
        _ => total.absent(),
    });
    leaf.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, 0..3).prop_map(|(left, right, kind)| match kind {
            0 => left.and(right),
            1 => left.or(right),
            _ => left.unless(right),
        })
    })
}

proptest! {
    #[test]
    fn a_duration_is_read_as_it_is_written(seconds in 0..1_000_000_u64) {
        let duration = Duration::from_secs(seconds);
        assert_eq!(parse_duration(&duration_text(duration)), Some(duration));
    }

    #[test]
    fn whatever_can_be_composed_parses(condition in conditions()) {
        validate(&condition.to_string()).unwrap();
    }
}
