//! Every metric of the service moves, for the reason that its name states.

use std::time::Duration;

use reqwest::StatusCode;
use sqlx::{AnyConnection, Connection, Executor};
use tempfile::TempDir;

use crate::harness::{Answer, Service, Setup};

#[tokio::test]
async fn each_step_of_a_sale_moves_its_metrics_and_no_other() {
    let service = Service::start().await;
    let reservation_id = service.reservation(&service.event(10).await, 3).await;
    let expected = [
        ("event_store_events_appended_total", 2.0),
        ("event_store_events_loaded_total", 0.0),
        ("event_store_append_duration_seconds_count", 2.0),
        ("orders_created_total", 0.0),
    ];
    service.expect_values(&expected).await;

    service.order(&reservation_id, "tok_chargeDeclined").await.expect(StatusCode::PAYMENT_REQUIRED);
    let expected = [
        ("orders_created_total", 1.0),
        ("payment_total", 1.0),
        ("payment_success_total", 0.0),
        ("order_processing_duration_seconds_count", 1.0),
        ("event_store_events_appended_total", 4.0),
        ("event_bus_messages_published_total", 2.0),
        ("circuit_breaker_failures_total{breaker=\"payment\"}", 0.0),
    ];
    service.expect_values(&expected).await;

    service.order(&reservation_id, "tok_providerError").await.expect(StatusCode::SERVICE_UNAVAILABLE);
    let expected = [
        ("payment_total", 2.0),
        ("payment_success_total", 0.0),
        ("retry_attempts_total{operation=\"payment\"}", 3.0),
        ("retry_exhausted_total{operation=\"payment\"}", 1.0),
        ("retry_attempts_total{operation=\"database\"}", 0.0),
        ("circuit_breaker_failures_total{breaker=\"payment\"}", 1.0),
        ("circuit_breaker_state{breaker=\"payment\"}", 0.0),
    ];
    service.expect_values(&expected).await;

    service.order(&reservation_id, "tok_visa").await.expect(StatusCode::CREATED);
    let expected = [
        ("orders_created_total", 3.0),
        ("payment_total", 3.0),
        ("payment_success_total", 1.0),
        ("tickets_active_total", 3.0),
        ("ticket_generation_failures_total", 0.0),
        ("order_processing_duration_seconds_count", 3.0),
        ("event_store_events_appended_total", 9.0),
        ("event_bus_messages_published_total", 7.0),
        ("event_bus_publish_errors_total", 0.0),
        ("database_connections_max", 1.0),
        ("circuit_breaker_state{breaker=\"redis\"}", 0.0),
    ];
    service.expect_values(&expected).await;
    service.eventually_value("event_bus_messages_consumed_total", 7.0).await;
    assert!(service.value("event_store_events_loaded_total").await > 0.0);
    // The upkeep takes the one connection now and then.
    service.eventually_value("database_connections_idle", 1.0).await;
    service.eventually_value("database_connections_active", 0.0).await;
}

#[tokio::test]
async fn a_database_that_is_busy_is_tried_again_and_that_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}/tickets.db", folder.path().display());
    let mut setup = Setup::default().with("database-url", &url);
    setup.settings.upkeep_interval = Duration::from_secs(3600);
    let service = setup.start().await;
    sqlx::any::install_default_drivers();
    let mut rival = AnyConnection::connect(&url).await.unwrap();
    rival.execute("BEGIN IMMEDIATE").await.unwrap();
    let let_go = async {
        service.eventually_value("retry_attempts_total{operation=\"database\"}", 1.0).await;
        rival.execute("COMMIT").await.unwrap();
    };
    tokio::join!(service.event(10), let_go);
    let expected = [
        ("retry_successes_total{operation=\"database\"}", 1.0),
        ("retry_exhausted_total{operation=\"database\"}", 0.0),
        ("circuit_breaker_failures_total{breaker=\"database\"}", 0.0),
    ];
    service.expect_values(&expected).await;
}

#[tokio::test]
async fn a_full_bus_loses_messages_but_no_sales() {
    let mut setup = Setup::default();
    setup.settings.bus_capacity = 1;
    let service = setup.start().await;
    let event_id = service.event(100).await;
    let buyers = (0..20).map(|_| async {
        let reservation_id = service.reservation(&event_id, 1).await;
        service.order(&reservation_id, "tok_visa").await.expect(StatusCode::CREATED);
    });
    futures_util::future::join_all(buyers).await;
    let published = service.value("event_bus_messages_published_total").await;
    let lost = service.value("event_bus_publish_errors_total").await;
    assert_eq!(published + lost, 60.0, "each sale says three things");
    assert!(lost > 0.0);
    service.eventually(&format!("/api/events/{event_id}"), |event| event["sales"]["tickets"] == 20).await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_a_scan_is_one_path() {
    let service = Service::start().await;
    let event_id = service.event(10).await;
    for path in ["/.env", "/wp-admin", "/api/event", "/api/events/x/y", "/%2e%2e/etc/passwd"] {
        assert_eq!(service.get(path).await.status, StatusCode::NOT_FOUND);
    }
    service.get(&format!("/api/events/{event_id}")).await.expect(StatusCode::OK);
    service.get("/api/events/17").await.expect(StatusCode::BAD_REQUEST);
    let expected = [
        ("http_requests_total{method=\"GET\",path=\"_unmatched\",status=\"404\"}", 5.0),
        ("http_requests_total{method=\"GET\",path=\"/api/events/{eventId}\",status=\"200\"}", 1.0),
        ("http_requests_total{method=\"GET\",path=\"/api/events/{eventId}\",status=\"400\"}", 1.0),
        ("http_requests_total{method=\"POST\",path=\"/api/events\",status=\"201\"}", 1.0),
        ("http_request_duration_seconds_count{method=\"GET\",path=\"_unmatched\"}", 5.0),
    ];
    service.expect_values(&expected).await;
}

#[tokio::test]
async fn both_ports_give_the_same_metrics() {
    let service = Service::start().await;
    let names = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("# TYPE")).map(ToOwned::to_owned).collect()
    };
    let main = service.get("/metrics").await;
    let admin = Answer::of(service.client.get(format!("http://{}/metrics", service.admin))).await;
    assert!(main.header("content-type").starts_with("text/plain"));
    assert_eq!(names(&main.text), names(&admin.text));
}
