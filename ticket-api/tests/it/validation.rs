//! What is refused, and how the answer says so.

use reqwest::{Body, Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Answer, Service};

async fn post(service: &Service, path: &str, body: impl Into<Body>) -> Answer {
    Answer::of(service.client.post(service.url(path)).header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn a_refused_body_names_its_field() {
    let service = Service::start().await;
    let check = async |path: &str, body: &'static str| post(&service, path, body).await.line();
    let event = async |body| check("/api/events", body).await;
    insta::assert_snapshot!(event(r#"{"startsAt":"2030-01-01T00:00:00Z"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"missing field `name`","field":"name"}}"#);
    insta::assert_snapshot!(event(r#"{"name":1,"startsAt":"2030-01-01T00:00:00Z"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"invalid type: integer `1`, expected a string","field":"name"}}"#);
    insta::assert_snapshot!(event(r#"{"name":" ","startsAt":"2030-01-01T00:00:00Z"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"a name has 1 to 200 characters and no control characters","field":"name"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a\u0000","startsAt":"2030-01-01T00:00:00Z"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"a name has 1 to 200 characters and no control characters","field":"name"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":"tomorrow"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"expected a date and time with its offset (RFC 3339), such as 2030-12-31T20:00:00Z","field":"startsAt"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":7}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"expected a date and time with its offset (RFC 3339), such as 2030-12-31T20:00:00Z","field":"startsAt"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":"2030-01-01T00:00:00Z","capacity":0}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"an event has 1 to 1000000 seats","field":"capacity"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":"2030-01-01T00:00:00Z","capacity":1e400}"#).await, @r#"400 {"error":{"code":"invalid_json","message":"number out of range at line 1 column 62"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":"2030-01-01T00:00:00Z","priceCents":-1}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"a price is 0 to 100000000 cents","field":"priceCents"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":"2030-01-01T00:00:00Z","color":"red"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"unknown field `color`, expected one of `name`, `startsAt`, `capacity`, `priceCents`","field":"color"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","name":"b","startsAt":"2030-01-01T00:00:00Z"}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"duplicate field `name`","field":"name"}}"#);
    insta::assert_snapshot!(event(r#"["a","2030-01-01T00:00:00Z"]"#).await, @r#"422 {"error":{"code":"validation_failed","message":"the body must be a JSON object"}}"#);
    insta::assert_snapshot!(event("{\"name\":").await, @r#"400 {"error":{"code":"invalid_json","message":"EOF while parsing a value at line 1 column 8"}}"#);
    insta::assert_snapshot!(event(r#"{"name":"a","startsAt":"2030-01-01T00:00:00Z"} and more"#).await, @r#"400 {"error":{"code":"invalid_json","message":"trailing characters at line 1 column 48"}}"#);
    insta::assert_snapshot!(event("").await, @r#"400 {"error":{"code":"invalid_json","message":"EOF while parsing a value at line 1 column 0"}}"#);
    insta::assert_snapshot!(check("/api/reservations", r#"{"eventId":"x","quantity":1}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"UUID parsing failed: invalid character: found `x` at 0","field":"eventId"}}"#);
    insta::assert_snapshot!(check("/api/reservations", r#"{"eventId":"00000000-0000-0000-0000-000000000000","quantity":11}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"a reservation has 1 to 10 seats","field":"quantity"}}"#);
    insta::assert_snapshot!(check("/api/orders", r#"{"reservationId":"00000000-0000-0000-0000-000000000000","paymentToken":""}"#).await, @r#"422 {"error":{"code":"validation_failed","message":"a token has 1 to 200 bytes","field":"paymentToken"}}"#);
}

#[tokio::test]
async fn a_refused_parameter_is_named() {
    let service = Service::start().await;
    let check = async |path: &str| service.get(path).await.line();
    insta::assert_snapshot!(check("/api/events?limit=0").await, @r#"400 {"error":{"code":"invalid_parameter","message":"a page has 1 to 100 events","field":"limit"}}"#);
    insta::assert_snapshot!(check("/api/events?limit=many").await, @r#"400 {"error":{"code":"invalid_parameter","message":"a page has 1 to 100 events","field":"limit"}}"#);
    insta::assert_snapshot!(check("/api/events?page=2").await, @r#"400 {"error":{"code":"invalid_parameter","message":"unknown field `page`, expected `limit` or `cursor`","field":"page"}}"#);
    insta::assert_snapshot!(check("/api/events/17").await, @r#"400 {"error":{"code":"invalid_parameter","message":"an id is a UUID","field":"eventId"}}"#);
    insta::assert_snapshot!(check("/api/orders/%ff").await, @r#"400 {"error":{"code":"invalid_parameter","message":"an id is a UUID"}}"#);
}

#[tokio::test]
async fn errors_without_a_handler_have_the_same_shape() {
    let service = Service::start().await;
    insta::assert_snapshot!(service.get("/wp-login.php").await.line(), @r#"404 {"error":{"code":"no_such_route","message":"there is no such route; /docs lists those there are"}}"#);
    let answer = service.request(Method::DELETE, "/api/events").await;
    insta::assert_snapshot!(answer.line(), @r#"405 {"error":{"code":"method_not_allowed","message":"the route does not know this method; /docs lists those it knows"}}"#);
    assert!(answer.header("allow").contains("POST"));
    let untyped = Answer::of(service.client.post(service.url("/api/events")).body("{}")).await;
    insta::assert_snapshot!(untyped.line(), @r#"415 {"error":{"code":"unsupported_media_type","message":"the body must be JSON, with the header content-type: application/json","field":"content-type"}}"#);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_early() {
    let service = Service::start().await;
    let large = vec![b' '; 64 * 1024 + 1];
    for path in ["/api/events", "/stripe/webhook"] {
        let answer = post(&service, path, large.clone()).await;
        assert_eq!(answer.expect(StatusCode::PAYLOAD_TOO_LARGE)["error"]["code"], "body_too_large");
    }

    // The length alone is enough: no byte of the body is ever sent.
    let announced = "POST /api/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 70000\r\n\r\n";
    assert!(exchange(&service, announced).await.starts_with("HTTP/1.1 413 "));
    // Without a length it is the byte over the limit.
    let chunk = format!("10001\r\n{}\r\n", " ".repeat(0x10001));
    let chunked = "POST /api/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(exchange(&service, &format!("{chunked}{chunk}")).await.starts_with("HTTP/1.1 413 "));
}

async fn exchange(service: &Service, request: &str) -> String {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap() + " "
}
