//! From a reservation to tickets, and what may go wrong on the way.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use reqwest::StatusCode;
use serde_json::json;
use ticket_api::{Approval, Charge, GatewayError, PaymentGateway, SandboxGateway};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::harness::{Service, Setup};

/// The sandbox, counting charges, and answering each only with a permit.
#[derive(Debug)]
struct GatedGateway {
    sandbox: SandboxGateway,
    charges: AtomicUsize,
    gate: Semaphore,
    /// What it says of every order, instead of the sandbox.
    found: Mutex<Option<Approval>>,
}

/// Is down for its first two charges.
#[derive(Debug, Default)]
struct FlakyGateway {
    sandbox: SandboxGateway,
    charges: AtomicUsize,
}

/// Charges, but its answer to that is lost.
#[derive(Debug)]
struct MuteGateway;

impl GatedGateway {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            sandbox: SandboxGateway::default(),
            charges: AtomicUsize::new(0),
            gate: Semaphore::new(permits),
            found: Mutex::default(),
        })
    }
}

impl PaymentGateway for GatedGateway {
    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Approval, GatewayError>> {
        self.charges.fetch_add(1, SeqCst);
        let answer = async {
            self.gate.acquire().await.unwrap().forget();
            self.sandbox.charge(charge).await
        };
        answer.boxed()
    }

    fn find(&self, order_id: Uuid) -> BoxFuture<'_, Result<Option<Approval>, GatewayError>> {
        match self.found.lock().unwrap().clone() {
            Some(approval) => std::future::ready(Ok(Some(approval))).boxed(),
            None => self.sandbox.find(order_id),
        }
    }
}

impl PaymentGateway for FlakyGateway {
    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Approval, GatewayError>> {
        if self.charges.fetch_add(1, SeqCst) < 2 {
            return std::future::ready(Err(GatewayError::Unavailable)).boxed();
        }
        self.sandbox.charge(charge)
    }

    fn find(&self, order_id: Uuid) -> BoxFuture<'_, Result<Option<Approval>, GatewayError>> {
        self.sandbox.find(order_id)
    }
}

impl PaymentGateway for MuteGateway {
    fn charge<'a>(&'a self, _: &'a Charge) -> BoxFuture<'a, Result<Approval, GatewayError>> {
        std::future::pending().boxed()
    }

    fn find(&self, order_id: Uuid) -> BoxFuture<'_, Result<Option<Approval>, GatewayError>> {
        std::future::ready(Ok(Some(Approval { reference: format!("found-{order_id}") }))).boxed()
    }
}

#[tokio::test]
async fn a_purchase_issues_tickets_and_shows_in_the_events_sales() {
    let service = Service::start().await;
    let event_id = service.event(10).await;
    let reservation_id = service.reservation(&event_id, 3).await;
    let answer = service.order(&reservation_id, "tok_visa").await;
    let order = answer.expect(StatusCode::CREATED);
    assert_eq!(
        (&order["status"], &order["amountCents"], order["tickets"].as_array().unwrap().len()),
        (&json!("issued"), &json!(7500), 3)
    );
    assert_eq!(service.get(answer.header("location")).await.expect(StatusCode::OK), order);
    let event = service.eventually(&format!("/api/events/{event_id}"), |event| event["sales"]["orders"] == 1).await;
    assert_eq!(event["sales"], json!({"orders": 1, "tickets": 3, "revenueCents": 7500}));
    assert_eq!(event["available"], 7);
}

#[tokio::test]
async fn a_declined_payment_keeps_the_order_and_lets_the_buyer_try_again() {
    let service = Service::start().await;
    let reservation_id = service.reservation(&service.event(10).await, 2).await;
    let answer = service.order(&reservation_id, "tok_chargeDeclined").await;
    insta::assert_snapshot!(answer.line(), @r#"402 {"error":{"code":"payment_declined","message":"the payment was declined: the card was declined","field":"paymentToken"}}"#);
    let order = service.get(answer.header("location")).await.expect(StatusCode::OK);
    assert_eq!((&order["status"], &order["refusal"]), (&json!("declined"), &json!("the card was declined")));
    let unknown = service.order(&reservation_id, "tok_other").await;
    insta::assert_snapshot!(unknown.line(), @r#"402 {"error":{"code":"payment_declined","message":"the payment was declined: unknown token; the sandbox knows tok_visa, tok_chargeDeclined, tok_providerError or tok_slow","field":"paymentToken"}}"#);
    service.order(&reservation_id, "tok_visa").await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_failing_provider_is_tried_again_and_then_left_alone_by_the_breaker() {
    let gateway = GatedGateway::new(100);
    let service = Setup { gateway: gateway.clone(), ..Setup::default() }.start().await;
    let reservation_id = service.reservation(&service.event(10).await, 1).await;
    for orders in 1..=3 {
        let answer = service.order(&reservation_id, "tok_providerError").await;
        answer.expect(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(service.get(answer.header("location")).await.json()["status"], "failed");
        assert_eq!(gateway.charges.load(SeqCst), orders * 4, "each order is one attempt and three retries");
    }
    assert_eq!(service.value("circuit_breaker_state{breaker=\"payment\"}").await, 2.0);
    assert_eq!(service.get("/health").await.expect(StatusCode::OK)["status"], "degraded");
    let refused = service.order(&reservation_id, "tok_visa").await;
    insta::assert_snapshot!(refused.line(), @r#"503 {"error":{"code":"payment_unavailable","message":"the payment provider does not answer; nothing was charged, try again later"}}"#);
    assert_eq!(gateway.charges.load(SeqCst), 12);
    assert_eq!(service.value("circuit_breaker_rejections_total{breaker=\"payment\"}").await, 1.0);
}

#[tokio::test]
async fn a_provider_that_comes_back_in_time_is_never_noticed() {
    let service = Setup { gateway: Arc::new(FlakyGateway::default()), ..Setup::default() }.start().await;
    let reservation_id = service.reservation(&service.event(10).await, 1).await;
    service.order(&reservation_id, "tok_visa").await.expect(StatusCode::CREATED);
    let expected = [
        ("payment_total", 1.0),
        ("payment_success_total", 1.0),
        ("retry_attempts_total{operation=\"payment\"}", 2.0),
        ("retry_successes_total{operation=\"payment\"}", 1.0),
        ("retry_exhausted_total{operation=\"payment\"}", 0.0),
        ("circuit_breaker_failures_total{breaker=\"payment\"}", 0.0),
    ];
    service.expect_values(&expected).await;
}

#[tokio::test]
async fn two_orders_on_one_reservation_are_charged_once() {
    let gateway = GatedGateway::new(0);
    let service = Setup { gateway: gateway.clone(), ..Setup::default() }.start().await;
    let reservation_id = service.reservation(&service.event(10).await, 1).await;
    let second = async {
        service.eventually_value("orders_created_total", 1.0).await;
        let refused = service.order(&reservation_id, "tok_visa").await;
        gateway.gate.add_permits(10);
        refused
    };
    let (first, second) = tokio::join!(service.order(&reservation_id, "tok_visa"), second);
    let paid = first.expect(StatusCode::CREATED);
    assert_eq!(second.expect(StatusCode::CONFLICT)["error"]["code"], "order_in_progress");
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(
        service.order(&reservation_id, "tok_visa").await.expect(StatusCode::OK),
        paid,
        "and again when it is paid"
    );
    let again = join_all((0..20).map(|_| service.order(&reservation_id, "tok_visa"))).await;
    assert!(again.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!((gateway.charges.load(SeqCst), service.value("payment_success_total").await), (1, 1.0));
}

#[tokio::test]
async fn a_crowd_ordering_one_reservation_at_once_is_charged_once() {
    let gateway = GatedGateway::new(100);
    let service = Setup { gateway: gateway.clone(), ..Setup::default() }.start().await;
    let reservation_id = service.reservation(&service.event(10).await, 1).await;
    let answers = join_all((0..20).map(|_| service.order(&reservation_id, "tok_visa"))).await;
    let created = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!((created, gateway.charges.load(SeqCst)), (1, 1));
    assert!(answers.iter().all(|answer| [201, 200, 409].contains(&answer.status.as_u16())));
}

#[tokio::test]
async fn a_purchase_ends_though_its_client_goes_away() {
    let gateway = GatedGateway::new(0);
    let service = Setup { gateway: gateway.clone(), ..Setup::default() }.start().await;
    let event_id = service.event(10).await;
    let reservation_id = service.reservation(&event_id, 2).await;
    tokio::select! {
        _ = service.order(&reservation_id, "tok_visa") => panic!("nobody answers yet"),
        () = service.eventually_value("payment_total", 1.0) => {}
    }
    service.eventually_value("http_requests_total{method=\"POST\",path=\"/api/orders\",status=\"499\"}", 1.0).await;
    gateway.gate.add_permits(1);
    service.eventually(&format!("/api/events/{event_id}"), |event| event["sales"]["tickets"] == 2).await;
}

#[tokio::test]
async fn a_purchase_in_flight_is_finished_before_the_service_stops() {
    let gateway = GatedGateway::new(0);
    let mut service = Setup { gateway: gateway.clone(), ..Setup::default() }.start().await;
    let reservation_id = service.reservation(&service.event(10).await, 1).await;
    let request = service.client.post(service.url("/api/orders"));
    let request = request.json(&json!({"reservationId": reservation_id, "paymentToken": "tok_visa"}));
    let order = tokio::spawn(crate::harness::Answer::of(request));
    service.eventually_value("payment_total", 1.0).await;
    service.begin_stop();
    let ready = format!("http://{}/readyz", service.admin);
    while service.client.get(&ready).send().await.unwrap().status() != StatusCode::SERVICE_UNAVAILABLE {}
    gateway.gate.add_permits(1);
    order.await.unwrap().expect(StatusCode::CREATED);
    assert_eq!(service.ended().await, futura_metrics::shutdown::Drained::InTime);
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_settled_later() {
    let mut setup = Setup { gateway: Arc::new(MuteGateway), ..Setup::default() };
    setup.settings.payment_timeout = Duration::from_millis(1);
    setup.settings.pending_time = Duration::ZERO;
    setup.settings.upkeep_interval = Duration::from_millis(200);
    let service = setup.start().await;
    let reservation_id = service.reservation(&service.event(10).await, 1).await;
    let answer = service.order(&reservation_id, "tok_visa").await;
    assert_eq!(answer.expect(StatusCode::SERVICE_UNAVAILABLE)["error"]["code"], "payment_unknown");
    service.eventually(answer.header("location"), |order| order["status"] == "issued").await;
    assert_eq!((service.value("payment_total").await, service.value("payment_success_total").await), (1.0, 1.0));
}

#[tokio::test]
async fn a_payment_that_is_approved_when_the_seats_are_gone_is_no_sale() {
    let gateway = GatedGateway::new(0);
    let mut setup = Setup { gateway: gateway.clone(), ..Setup::default() };
    // The upkeep takes the order for abandoned while its charge is still under way.
    setup.settings.pending_time = Duration::ZERO;
    setup.settings.reservation_time = Duration::from_secs(1);
    let service = setup.start().await;
    let event_id = service.event(2).await;
    let reservation_id = service.reservation(&event_id, 2).await;
    let seats_gone = async {
        service.eventually_value("payment_total", 1.0).await;
        service.eventually(&format!("/api/events/{event_id}"), |event| event["available"] == 2).await;
        gateway.gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(service.order(&reservation_id, "tok_visa"), seats_gone);
    insta::assert_snapshot!(answer.line(), @r#"409 {"error":{"code":"refund_due","message":"the payment came when the seats were gone: it will be refunded"}}"#);
    let order = service.get(answer.header("location")).await.json();
    assert_eq!((&order["status"], &order["tickets"]), (&json!("refund_due"), &json!([])));
    assert_eq!((service.value("payment_total").await, service.value("payment_success_total").await), (1.0, 1.0));
}

#[tokio::test]
async fn a_purchase_that_a_webhook_paid_meanwhile_is_answered_as_paid() {
    let gateway = GatedGateway::new(0);
    let mut setup = Setup { gateway: gateway.clone(), ..Setup::default() };
    setup.settings.pending_time = Duration::ZERO;
    let service = setup.start().await;
    // The provider has the money, says so to the upkeep, and then declines what it takes for a second charge.
    *gateway.found.lock().unwrap() = Some(Approval { reference: "pi_1".to_owned() });
    let event_id = service.event(2).await;
    let reservation_id = service.reservation(&event_id, 2).await;
    let paid = async {
        service.eventually_value("payment_success_total", 1.0).await;
        gateway.gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(service.order(&reservation_id, "tok_chargeDeclined"), paid);
    assert_eq!(answer.expect(StatusCode::CREATED)["status"], "issued");
}

#[tokio::test]
async fn an_expired_reservation_frees_its_seats_and_cannot_be_ordered() {
    let mut setup = Setup::default();
    setup.settings.reservation_time = Duration::ZERO;
    // The upkeep never gets to it: whoever wants the seats makes room.
    setup.settings.upkeep_interval = Duration::from_secs(3600);
    let service = setup.start().await;
    let event_id = service.event(4).await;
    let first = service.reservation(&event_id, 4).await;
    insta::assert_snapshot!(service.order(&first, "tok_visa").await.line(), @r#"409 {"error":{"code":"reservation_expired","message":"the reservation has expired: make a new one"}}"#);
    let second = service.reservation(&event_id, 4).await;
    assert_ne!(first, second);
    service.order(&first, "tok_visa").await.expect(StatusCode::CONFLICT);
    assert_eq!(service.get(&format!("/api/events/{event_id}")).await.json()["available"], 0);
}

#[tokio::test]
async fn the_upkeep_frees_expired_seats_by_itself() {
    let mut setup = Setup::default();
    setup.settings.reservation_time = Duration::ZERO;
    let service = setup.start().await;
    let event_id = service.event(4).await;
    service.reservation(&event_id, 4).await;
    service.eventually(&format!("/api/events/{event_id}"), |event| event["available"] == 4).await;
}

#[tokio::test]
async fn what_does_not_exist_cannot_be_bought() {
    let service = Service::start().await;
    let nobody = Uuid::nil().to_string();
    let reserved = service.post("/api/reservations", &json!({"eventId": nobody, "quantity": 1})).await;
    insta::assert_snapshot!(reserved.line(), @r#"404 {"error":{"code":"event_not_found","message":"there is no event with this id"}}"#);
    insta::assert_snapshot!(service.order(&nobody, "tok_visa").await.line(), @r#"404 {"error":{"code":"reservation_not_found","message":"there is no reservation with this id"}}"#);
    insta::assert_snapshot!(service.get(&format!("/api/orders/{nobody}")).await.line(), @r#"404 {"error":{"code":"order_not_found","message":"there is no order with this id"}}"#);
    insta::assert_snapshot!(service.get(&format!("/api/events/{nobody}")).await.line(), @r#"404 {"error":{"code":"event_not_found","message":"there is no event with this id"}}"#);
}
