//! Who may do what, where the service has a key.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, HS256, SECRET, Service, Setup, base64_url, sign, token, unix_time};

async fn start() -> Service {
    Setup::default().with("jwt-secret", SECRET).start().await
}

async fn create_event(service: &Service) -> String {
    let event = json!({"name": "Night", "startsAt": "2030-12-31T20:00:00Z", "capacity": 10});
    let created = service.post_as(&token("paula", "promoter"), "/api/events", &event).await;
    created.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
}

async fn reserve(service: &Service, user: &str, event_id: &str) -> String {
    let wanted = json!({"eventId": event_id, "quantity": 2});
    let reserved = service.post_as(&token(user, "buyer"), "/api/reservations", &wanted).await;
    reserved.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
}

async fn order(service: &Service, user: &str, reservation_id: &str) -> Answer {
    let wanted = json!({"reservationId": reservation_id, "paymentToken": "tok_visa"});
    service.post_as(&token(user, "buyer"), "/api/orders", &wanted).await
}

#[tokio::test]
async fn what_a_token_may_lack_or_have_wrong_is_refused_and_told_without_help_for_forgers() {
    let service = start().await;
    let now = unix_time();
    let good = json!({"sub": "ada", "exp": now + 60});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let read = async |token: &str| {
        let answer = service.get_as(token, "/api/orders/00000000-0000-4000-8000-000000000000").await;
        format!("{} [{}]", answer.line(), answer.header("www-authenticate"))
    };
    let none = r#"404 {"error":{"code":"order_not_found","message":"there is no order with this id"}} []"#;
    let signed = |claims: &Value| sign(HS256, claims, SECRET);
    assert_eq!(read(&signed(&good)).await, none);
    assert_eq!(read(&signed(&with("aud", json!(["shop", "ticket-api"])))).await, none);
    assert_eq!(read(&signed(&with("exp", json!(now - 20)))).await, none, "clocks may differ a little");

    insta::assert_snapshot!(read(&signed(&with("exp", json!(now - 60)))).await, @r#"401 {"error":{"code":"token_expired","message":"the token has expired: get a new one","field":"authorization"}} [Bearer error="invalid_token", error_description="the token has expired"]"#);
    insta::assert_snapshot!(read(&signed(&with("nbf", json!(now + 600)))).await, @r#"401 {"error":{"code":"token_invalid","message":"the token is not valid yet","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#);
    insta::assert_snapshot!(read(&signed(&with("aud", json!("shop")))).await, @r#"401 {"error":{"code":"token_invalid","message":"the token is made for others: its claim `aud` does not name `ticket-api`","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#);
    insta::assert_snapshot!(read(&signed(&json!({"exp": now + 60}))).await, @r#"401 {"error":{"code":"token_invalid","message":"the token lacks a usable claim `sub`","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#);
    insta::assert_snapshot!(read(&signed(&json!({"sub": "ada"}))).await, @r#"401 {"error":{"code":"token_invalid","message":"the token lacks a usable claim `exp`","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#);
    for exp in [json!("soon"), json!((now + 60).to_string()), json!(-1), json!(null)] {
        assert_eq!(
            read(&signed(&with("exp", exp.clone()))).await,
            read(&signed(&json!({"sub": "ada"}))).await,
            "{exp}"
        );
    }
    for aud in [json!(5), json!({"a": 1}), json!(["other", 5]), json!([]), json!(["shop", ["ticket-api"]]), json!(true)]
    {
        let token = signed(&with("aud", aud.clone()));
        assert_eq!(read(&token).await, read(&signed(&with("aud", json!("shop")))).await, "{aud}");
    }
    insta::assert_snapshot!(read(&signed(&with("sub", json!("a\nb")))).await, @r#"401 {"error":{"code":"token_invalid","message":"the token's claim `sub` must have 1 to 128 characters, none of them a control character","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#);
    insta::assert_snapshot!(read(&sign(r#"{"alg":"HS256","crit":["b64"]}"#, &good, SECRET)).await, @r#"401 {"error":{"code":"token_invalid","message":"the token has a critical extension, of which none is known here","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#);

    let invalid = r#"401 {"error":{"code":"token_invalid","message":"the token is not valid","field":"authorization"}} [Bearer error="invalid_token", error_description="the token is not valid"]"#;
    let unsigned =
        |header: &str| format!("{}.{}.", base64_url(header.as_bytes()), base64_url(good.to_string().as_bytes()));
    let forged = {
        let (signed, other) = (signed(&good), signed(&with("sub", json!("eve"))));
        let (head, tail) = (other.rsplit_once('.').unwrap().0, signed.rsplit_once('.').unwrap().1);
        format!("{head}.{tail}")
    };
    for (token, why) in [
        (sign(HS256, &good, "another-secret-of-32-bytes-and-more"), "another key"),
        (sign(HS256, &with("exp", json!(now - 60)), "another-secret-of-32-bytes-and-more"), "another key, and expired"),
        (sign(r#"{"alg":"HS512"}"#, &good, SECRET), "another algorithm"),
        (sign(r#"{"alg":"RS256"}"#, &good, SECRET), "the key as a public key"),
        (sign(r#"{"alg":"none"}"#, &good, SECRET), "no algorithm, signed"),
        (unsigned(r#"{"alg":"none"}"#), "no algorithm"),
        (unsigned(HS256), "no signature"),
        (forged, "another's signature"),
        (signed(&with("nbf", json!("later"))), "a time that is no number"),
        (signed(&with("sub", json!(7))), "a subject that is no text"),
        ("a.b.c".to_owned(), "no base64"),
        ("hello".to_owned(), "no token"),
    ] {
        assert_eq!(read(&token).await, invalid, "{why}");
    }
}

#[tokio::test]
async fn what_needs_a_token_says_so_and_the_rest_is_open() {
    let service = start().await;
    let event_id = create_event(&service).await;
    let id = "00000000-0000-4000-8000-000000000000";
    let document = service.get("/openapi.json").await.json();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.replace("{eventId}", &event_id).replace("{orderId}", id);
            let answer = service.request(method.to_uppercase().parse().unwrap(), &path).await;
            let closed = operation.get("security").is_some();
            assert_eq!(answer.status == StatusCode::UNAUTHORIZED, closed, "{method} {path}: {}", answer.line());
            assert_eq!(answer.header("www-authenticate"), if closed { "Bearer" } else { "" }, "{method} {path}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let closed = ["/api/reservations", "/api/orders", &format!("/api/queue/{event_id}/join"), "/api/events"];
    for path in closed {
        // Not even a body that is wrong is looked at before the token.
        let line = service.post(path, &json!({})).await.line();
        insta::allow_duplicates! {
            insta::assert_snapshot!(line, @r#"401 {"error":{"code":"token_missing","message":"a token is needed, in the header authorization: Bearer <token>","field":"authorization"}}"#);
        }
    }
    let basic = service.client.get(service.url(&format!("/api/orders/{id}"))).basic_auth("ada", Some("hush"));
    assert_eq!(Answer::of(basic).await.expect(StatusCode::UNAUTHORIZED)["error"]["code"], "token_missing");
    let twice = service.client.get(service.url(&format!("/api/orders/{id}")));
    let twice = twice.header("authorization", format!("Bearer {}", token("ada", ""))).bearer_auth(token("eve", ""));
    assert_eq!(Answer::of(twice).await.expect(StatusCode::UNAUTHORIZED)["error"]["code"], "token_invalid");
}

#[tokio::test]
async fn only_a_promoter_creates_events() {
    let service = start().await;
    let event = json!({"name": "Night", "startsAt": "2030-12-31T20:00:00Z"});
    let refused = service.post_as(&token("ada", "buyer"), "/api/events", &event).await;
    insta::assert_snapshot!(refused.line(), @r#"403 {"error":{"code":"forbidden","message":"only a promoter may do this: the token's claim `role` must be `promoter`"}}"#);
    assert_eq!(refused.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
    for role in [json!(["promoter"]), json!(null), json!("Promoter")] {
        let token = sign(HS256, &json!({"sub": "ada", "exp": unix_time() + 60, "role": role}), SECRET);
        assert_eq!(service.post_as(&token, "/api/events", &event).await.status, StatusCode::FORBIDDEN, "{role}");
    }
    create_event(&service).await;
}

#[tokio::test]
async fn what_one_user_reserved_and_ordered_is_nobody_elses() {
    let service = start().await;
    let event_id = create_event(&service).await;
    let reservation_id = reserve(&service, "ada", &event_id).await;
    let stolen = order(&service, "eve", &reservation_id).await;
    assert_eq!(stolen.expect(StatusCode::NOT_FOUND)["error"]["code"], "reservation_not_found");
    assert_eq!(stolen.header("location"), "");

    let bought = order(&service, "ada", &reservation_id).await;
    let path = bought.header("location");
    bought.expect(StatusCode::CREATED);
    // Paid or not, the reservation is as good as none to others.
    let again = order(&service, "eve", &reservation_id).await;
    assert_eq!((again.status, again.text), (StatusCode::NOT_FOUND, stolen.text));
    assert_eq!(order(&service, "ada", &reservation_id).await.status, StatusCode::OK);

    let read = service.get_as(&token("eve", "promoter"), path).await;
    assert_eq!(read.expect(StatusCode::NOT_FOUND)["error"]["code"], "order_not_found");
    let read = service.get_as(&token("ada", "buyer"), path).await.expect(StatusCode::OK);
    assert_eq!(read["tickets"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_sold_while_the_api_ran_open_belongs_to_nobody_once_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/tickets.db", folder.path().display());
    let open = Setup::default().with("database-url", &url).start().await;
    let event_id = open.event(5).await;
    let bought = open.order(&open.reservation(&event_id, 1).await, "tok_visa").await;
    let (path, reservation_id) = (bought.header("location"), open.reservation(&event_id, 1).await);
    open.get(path).await.expect(StatusCode::OK);
    open.stop().await;

    let closed = Setup::default().with("database-url", &url).with("jwt-secret", SECRET).start().await;
    assert_eq!(closed.get_as(&token("ada", ""), path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(order(&closed, "ada", &reservation_id).await.status, StatusCode::NOT_FOUND);
    closed.get(&format!("/api/events/{event_id}")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_user_joins_and_leaves_the_queue_for_themselves_alone() {
    let service = start().await;
    let path = format!("/api/queue/{}", create_event(&service).await);
    let (ada, eve) = (json!({"userId": "ada"}), token("eve", "buyer"));
    for step in ["join", "leave"] {
        let line = service.post_as(&eve, &format!("{path}/{step}"), &ada).await.line();
        insta::allow_duplicates! {
            insta::assert_snapshot!(line, @r#"403 {"error":{"code":"forbidden","message":"a user joins and leaves for themselves: userId must be the token's claim `sub`","field":"userId"}}"#);
        }
    }
    let joined = service.post_as(&token("ada", ""), &format!("{path}/join"), &ada).await;
    assert_eq!(joined.expect(StatusCode::CREATED)["position"], 1);
    assert_eq!(service.get(&path).await.expect(StatusCode::OK)["size"], 1, "figures are for everyone");
}
