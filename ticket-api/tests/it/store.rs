//! The same promises on each database: SQLite in memory, SQLite in a file, and PostgreSQL where there is one.

use std::time::Duration;

use futures_util::{
    FutureExt,
    future::{join_all, select_all},
};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{AnyConnection, Connection, Executor};
use tempfile::TempDir;

use crate::harness::{Service, Setup};

fn file_database() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}/tickets.db", folder.path().display());
    (folder, url)
}

pub(crate) async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await.unwrap()
}

/// Sixty buyers want two seats each of an event that has fifty: twenty-five get them, and nobody else.
async fn sell_out(service: &Service) {
    let event_id = service.event(50).await;
    let buyers = (0..60).map(|_| async {
        let wanted = json!({"eventId": event_id, "quantity": 2});
        let reserved = service.post("/api/reservations", &wanted).await;
        if reserved.status == StatusCode::CONFLICT {
            assert_eq!(reserved.json()["error"]["code"], "sold_out");
            return 0;
        }
        let reserved = reserved.expect(StatusCode::CREATED);
        let order = service.order(reserved["id"].as_str().unwrap(), "tok_visa").await.expect(StatusCode::CREATED);
        order["tickets"].as_array().unwrap().len()
    });
    let tickets: usize = join_all(buyers).await.into_iter().sum();
    assert_eq!(tickets, 50);
    let event = service.eventually(&format!("/api/events/{event_id}"), |event| event["sales"]["tickets"] == 50).await;
    assert_eq!(event["available"], 0);
}

/// Everything that a database must do: sell without overselling, page, decline, expire, remember.
async fn keeps_its_promises(url: &str) {
    let service = Setup::default().with("database-url", url).start().await;
    sell_out(&service).await;
    let reservation_id = service.reservation(&service.event(5).await, 2).await;
    let declined = service.order(&reservation_id, "tok_chargeDeclined").await;
    declined.expect(StatusCode::PAYMENT_REQUIRED);
    let crowd = join_all((0..20).map(|_| service.order(&reservation_id, "tok_visa"))).await;
    let statuses: Vec<u16> = crowd.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 201, 409].contains(status)), "{statuses:?}");
    let order = service.get(declined.header("location")).await.expect(StatusCode::OK);
    let tickets = service.value("tickets_active_total").await;
    service.stop().await;

    let service = Setup::default().with("database-url", url).start().await;
    assert_eq!(
        service.get(declined.header("location")).await.expect(StatusCode::OK),
        order,
        "a restart forgets nothing"
    );
    assert_eq!(service.value("tickets_active_total").await, tickets);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_never_sold_twice_in_memory() {
    sell_out(&Service::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_lose_nothing() {
    let service = Service::start().await;
    let event_id = service.event(5).await;
    for _ in 0..200 {
        // The first answer drops the other requests, wherever they are.
        let racers = (0..8).map(|_| service.event(5).boxed());
        select_all(racers).await;
    }
    service.get(&format!("/api/events/{event_id}")).await.expect(StatusCode::OK);
    service.event(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_its_promises() {
    let (_folder, url) = file_database();
    keeps_its_promises(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_its_promises() {
    let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
        eprintln!("SKIPPED: set TEST_POSTGRES_URL to a database that may be written to");
        return;
    };
    keeps_its_promises(&url).await;
}

#[tokio::test]
async fn events_are_paged_newest_first_without_gaps_or_repeats() {
    let service = Service::start().await;
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(service.event(1).await);
    }
    created.reverse();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("/api/events?limit=2{cursor}")).await.expect(StatusCode::OK);
        listed.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, created);
}

#[tokio::test]
async fn tickets_that_could_not_be_issued_follow_when_they_can() {
    let (_folder, url) = file_database();
    let service = Setup::default().with("database-url", &url).start().await;
    let mut saboteur = connect(&url).await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON tickets BEGIN SELECT RAISE(ABORT, 'no tickets today'); END";
    saboteur.execute(refuse).await.unwrap();
    let reservation_id = service.reservation(&service.event(5).await, 2).await;
    let answer = service.order(&reservation_id, "tok_visa").await;
    let order = answer.expect(StatusCode::CREATED);
    assert_eq!((&order["status"], &order["tickets"]), (&json!("paid"), &json!([])), "the money was taken all the same");
    assert!(service.value("ticket_generation_failures_total").await >= 1.0);
    assert_eq!(service.value("tickets_active_total").await, 0.0);
    saboteur.execute("DROP TRIGGER refuse").await.unwrap();
    let issued = service.eventually(answer.header("location"), |order| order["status"] == "issued").await;
    assert_eq!(issued["tickets"].as_array().unwrap().len(), 2);
    service.eventually_value("tickets_active_total", 2.0).await;
    assert_eq!(service.value("payment_total").await, 1.0);
    assert_eq!(service.value("order_processing_duration_seconds_count").await, 1.0);
}

#[tokio::test]
async fn records_that_cannot_be_finished_keep_no_other_from_it() {
    let (_folder, url) = file_database();
    let mut setup = Setup::default().with("database-url", &url);
    setup.settings.reservation_time = Duration::from_secs(1);
    let service = setup.start().await;
    let mut saboteur = connect(&url).await;
    // More than a page of each: paid orders without a stream or an id, and reservations of seats that are not taken.
    let broken = "PRAGMA foreign_keys = OFF; \
         CREATE TRIGGER refuse BEFORE INSERT ON tickets BEGIN SELECT RAISE(ABORT, 'no tickets today'); END; \
         INSERT INTO events VALUES ('01000000-0000-7000-8000-000000000000', 'Broken', 0, 5, 1, 0, 0); \
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 250) \
         INSERT INTO orders SELECT IIF(n % 2, 'none', '') || printf('00000000-0000-4000-8000-%012d', n), 'none', 'none', 1, 1, 'paid', 0 FROM n; \
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 250) \
         INSERT INTO reservations SELECT printf('00000000-0000-4000-8000-%012d', n), '01000000-0000-7000-8000-000000000000', 1, 'active', NULL, 0, NULL FROM n;";
    saboteur.execute(broken).await.unwrap();

    let (sold, abandoned) = (service.event(5).await, service.event(5).await);
    let reservation_id = service.reservation(&sold, 2).await;
    let answer = service.order(&reservation_id, "tok_visa").await;
    assert_eq!(answer.expect(StatusCode::CREATED)["status"], "paid");
    service.reservation(&abandoned, 2).await;
    saboteur.execute("DROP TRIGGER refuse").await.unwrap();
    service.eventually(answer.header("location"), |order| order["status"] == "issued").await;
    service.eventually(&format!("/api/events/{abandoned}"), |event| event["available"] == 5).await;
    assert_eq!(service.value("circuit_breaker_state{breaker=\"database\"}").await, 0.0);
}

#[tokio::test]
async fn figures_that_miss_a_sale_are_made_up_for_whatever_a_clock_says() {
    let (_folder, url) = file_database();
    let service = Setup::default().with("database-url", &url).start().await;
    let event_id = service.event(5).await;
    service.order(&service.reservation(&event_id, 2).await, "tok_visa").await.expect(StatusCode::CREATED);
    let path = format!("/api/events/{event_id}");
    let known = json!({"orders": 1, "tickets": 2, "revenueCents": 5000});
    service.eventually(&path, |event| event["sales"] == known).await;
    // As if they had been added up by a process whose clock is ahead, before the sale was committed.
    let miss = "UPDATE event_sales SET orders = 0, tickets = 0, revenue_cents = 0, updated_at_ms = 9999999999999";
    connect(&url).await.execute(miss).await.unwrap();
    service.eventually(&path, |event| event["sales"] == known).await;
}

#[tokio::test]
async fn tickets_of_events_that_are_over_are_not_active() {
    let mut setup = Setup::default();
    setup.settings.ticket_count_interval = Duration::ZERO;
    let service = setup.start().await;
    let past = json!({"name": "Last year", "startsAt": "2020-12-31T20:00:00Z"});
    let past = service.post("/api/events", &past).await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
    for (event_id, quantity) in [(past, 3), (service.event(5).await, 2)] {
        service.order(&service.reservation(&event_id, quantity).await, "tok_visa").await.expect(StatusCode::CREATED);
    }
    service.eventually_value("tickets_active_total", 2.0).await;
}

#[tokio::test]
async fn a_broken_database_opens_its_breaker_and_shows_in_health() {
    let (_folder, url) = file_database();
    let mut setup = Setup::default().with("database-url", &url);
    // The upkeep reads tables that stay whole, and a success between failures closes the count.
    setup.settings.upkeep_interval = Duration::from_secs(3600);
    let service = setup.start().await;
    let event_id = service.event(5).await;
    let mut saboteur = connect(&url).await;
    saboteur.execute("DROP VIEW event_overview").await.unwrap();
    saboteur.execute("ALTER TABLE events RENAME TO gone").await.unwrap();
    let path = format!("/api/events/{event_id}");
    let mut statuses = Vec::new();
    while statuses.last() != Some(&503) && statuses.len() < 20 {
        let answer = service.get(&path).await;
        assert!(!answer.text.contains("event_overview"), "a 5xx tells nothing internal: {}", answer.text);
        statuses.push(answer.status.as_u16());
    }
    assert!(statuses.starts_with(&[500]) && statuses.ends_with(&[503]), "{statuses:?}");
    assert_eq!(service.value("circuit_breaker_state{breaker=\"database\"}").await, 2.0);
    assert!(service.value("circuit_breaker_failures_total{breaker=\"database\"}").await >= 5.0);
    assert!(service.value("circuit_breaker_rejections_total{breaker=\"database\"}").await >= 1.0);
    let health = service.get("/health").await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&health["status"], &health["services"]["database"]["status"]),
        (&json!("error"), &json!("disconnected"))
    );
}

#[tokio::test]
async fn every_change_is_a_fact_in_the_event_store() {
    let (_folder, url) = file_database();
    let service = Setup::default().with("database-url", &url).start().await;
    let reservation_id = service.reservation(&service.event(5).await, 1).await;
    service.order(&reservation_id, "tok_chargeDeclined").await;
    service.order(&reservation_id, "tok_visa").await.expect(StatusCode::CREATED);
    let facts: Vec<(String, i64)> = sqlx::query_as("SELECT type, version FROM event_store ORDER BY rowid")
        .fetch_all(&mut connect(&url).await)
        .await
        .unwrap();
    let facts: Vec<String> = facts.into_iter().map(|(kind, version)| format!("{kind} {version}")).collect();
    insta::assert_snapshot!(facts.join(", "), @"eventCreated 1, seatsReserved 1, orderCreated 1, paymentDeclined 2, orderCreated 1, paymentApproved 2, ticketsIssued 3");
}

#[tokio::test]
async fn figures_that_are_newer_than_a_sale_are_not_added_up_again_for_it() {
    let (_folder, url) = file_database();
    let mut setup = Setup::default().with("database-url", &url);
    // Only messages bring figures up to date then.
    setup.settings.upkeep_interval = Duration::from_secs(3600);
    let service = setup.start().await;
    let event_id = service.event(5).await;
    let path = format!("/api/events/{event_id}");
    let consumed = "event_bus_messages_consumed_total";
    let sell = async || {
        service.order(&service.reservation(&event_id, 1).await, "tok_visa").await.expect(StatusCode::CREATED);
    };
    sell().await;
    service.eventually(&path, |event| event["sales"]["tickets"] == 1).await;
    let set = async |updated_at_ms: i64| {
        let update = sqlx::query("UPDATE event_sales SET tickets = 77, updated_at_ms = $1").bind(updated_at_ms);
        update.execute(&mut connect(&url).await).await.unwrap();
    };
    // As another replica does that heard of the sale as well.
    set(i64::MAX).await;
    sell().await;
    service.eventually_value(consumed, 6.0).await;
    assert_eq!(service.get(&path).await.json()["sales"]["tickets"], 77);
    set(0).await;
    sell().await;
    service.eventually(&path, |event| event["sales"]["tickets"] == 3).await;
}
