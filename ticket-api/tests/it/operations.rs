//! Health, documentation, drills, CORS, and the other port.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{Answer, Service, Setup};

#[tokio::test]
async fn health_has_the_documented_shape() {
    let service = Service::start().await;
    let mut health = service.get("/health").await.expect(StatusCode::OK);
    assert!(health["performance"]["memory"]["rss"].as_u64() > health["performance"]["memory"]["heapUsed"].as_u64());
    for number in [
        "/uptime",
        "/services/database/pool/freeConnections",
        "/performance/memory/rss",
        "/performance/memory/heapUsed",
    ] {
        let number = health.pointer_mut(number).unwrap();
        assert!(number.is_u64());
        *number = Value::from("a number");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&health).unwrap(), @r#"
    {
      "performance": {
        "memory": {
          "heapUsed": "a number",
          "rss": "a number"
        }
      },
      "services": {
        "database": {
          "pool": {
            "connectionLimit": 1,
            "freeConnections": "a number",
            "totalConnections": 1
          },
          "status": "connected"
        },
        "eventBus": {
          "available": true
        },
        "queue": {
          "available": true,
          "status": "enabled"
        },
        "redis": {
          "circuitBreaker": {
            "failureCount": 0,
            "state": "CLOSED"
          },
          "status": "disabled"
        }
      },
      "status": "ok",
      "uptime": "a number",
      "version": "0.1.0"
    }
    "#);
}

#[tokio::test]
async fn the_document_lists_each_route_and_every_schema_that_it_names() {
    let service = Service::start().await;
    let document = service.get("/openapi.json").await.expect(StatusCode::OK);
    assert_eq!(document["openapi"], "3.1.0");
    let routes: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    insta::assert_snapshot!(routes.join("\n"), @r"
    get /api/events
    post /api/events
    get /api/events/{eventId}
    post /api/orders
    get /api/orders/{orderId}
    get /api/queue/{eventId}
    post /api/queue/{eventId}/join
    post /api/queue/{eventId}/leave
    post /api/reservations
    get /docs
    get /docs/page.css
    get /docs/page.js
    get /health
    get /metrics
    get /openapi.json
    post /stripe/webhook
    ");
    let schemas: BTreeSet<&str> =
        document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    let text = document.to_string();
    let named = text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap());
    for name in named {
        assert!(schemas.contains(name), "{name} is no schema");
    }
    let operations: Vec<&Value> =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values()).collect();
    let ids: BTreeSet<&str> = operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "operation ids are unique");
}

#[tokio::test]
async fn each_documented_route_answers_and_is_measured_under_its_own_path() {
    let service = Setup::default().with("drill-routes", "true").start().await;
    let document = service.get("/openapi.json").await.json();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let concrete = path.replace("{eventId}", "17").replace("{orderId}", "17");
            let answer = service.request(method.clone(), &concrete).await;
            let status = answer.status.as_u16();
            assert!(!answer.text.contains("no_such_route") && status != 405, "{method} {path}: {}", answer.line());
            let series = format!("http_requests_total{{method=\"{method}\",path=\"{path}\",status=\"{status}\"}}");
            assert!(service.value(&series).await >= 1.0, "{series}");
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let service = Service::start().await;
    let page = service.get("/docs").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
    for reference in ["/docs/page.css", "/docs/page.js"] {
        assert!(page.text.contains(&format!("\"{reference}\"")));
        let asset = service.get(reference).await;
        assert_eq!((asset.status, asset.header("x-content-type-options")), (StatusCode::OK, "nosniff"));
        assert!(!asset.text.contains("://") && !asset.text.contains("innerHTML"), "{reference}");
    }
    assert!(!page.text.contains("://"));
}

#[tokio::test]
async fn drills_fail_and_the_service_lives_on() {
    let service = Setup::default().with("drill-routes", "true").start().await;
    for path in ["/drill/panic", "/drill/error"] {
        let answer = service.request(Method::POST, path).await;
        let body = answer.expect(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body["error"]["code"], "internal", "{path}");
        assert!(!answer.text.contains("drill"), "{path}");
        assert_eq!(
            service.value(&format!("http_requests_total{{method=\"POST\",path=\"{path}\",status=\"500\"}}")).await,
            1.0
        );
    }
    service.get("/health").await.expect(StatusCode::OK);
    let without = Service::start().await;
    assert_eq!(without.request(Method::POST, "/drill/panic").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_whitelisted_origins_may_read_answers() {
    let service = Setup::default().with("allowed-origins", "https://shop.example, http://localhost:5173").start().await;
    let allowed = async |origin: &str| {
        let request = service.client.get(service.url("/api/events")).header("origin", origin);
        Answer::of(request).await.header("access-control-allow-origin").to_owned()
    };
    assert_eq!(allowed("https://shop.example").await, "https://shop.example");
    assert_eq!(allowed("http://localhost:5173").await, "http://localhost:5173");
    assert_eq!(allowed("https://evil.example").await, "");
    let preflight = service.client.request(Method::OPTIONS, service.url("/api/orders"));
    let preflight = preflight.header("origin", "https://shop.example").header("access-control-request-method", "POST");
    let answer = Answer::of(preflight).await;
    for header in ["authorization", "content-type"] {
        assert!(answer.header("access-control-allow-headers").contains(header), "{header}");
    }
}

#[tokio::test]
async fn the_other_port_tells_that_the_service_is_alive_and_ready() {
    let service = Service::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = Answer::of(service.client.get(format!("http://{}{path}", service.admin))).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    assert_eq!(service.get("/readyz").await.status, StatusCode::NOT_FOUND, "probes are not the public's business");
}
