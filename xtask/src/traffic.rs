//! What clients of the API do, in the demo and in the checks, and an account of what they did.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, send};

/// A token that the sandbox gateway approves.
pub(crate) const APPROVED: &str = "tok_visa";
/// A token that the sandbox gateway declines.
pub(crate) const DECLINED: &str = "tok_chargeDeclined";
/// The route of a request that no route matches, as the metrics name it.
pub(crate) const UNMATCHED: &str = "_unmatched";

/// Clients of one API.
#[derive(Debug)]
pub(crate) struct Traffic {
    client: Client,
    api: String,
    pub(crate) ledger: Ledger,
}

/// What the clients did and how it was answered: what the API's own metrics must say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Requests by method, route and status.
    pub(crate) requests: BTreeMap<(String, String, u16), u64>,
    /// Orders placed, paid or declined.
    pub(crate) orders: u64,
    /// Orders whose payment was approved.
    pub(crate) paid: u64,
    /// Tickets of the paid orders.
    pub(crate) tickets: u64,
}

// === impl Traffic ===

impl Traffic {
    pub(crate) fn new(client: Client, api: String) -> Self {
        Self { client, api, ledger: Ledger::default() }
    }

    /// Creates an event and returns its id.
    pub(crate) async fn create_event(&mut self, name: &str, capacity: u32) -> Result<String> {
        let event =
            json!({ "name": name, "startsAt": "2031-06-01T20:00:00Z", "capacity": capacity, "priceCents": 4500 });
        let answer = self.post("/api/events", &event).await?;
        created_id(&answer).context("the event was not created")
    }

    pub(crate) async fn browse_events(&mut self) -> Result<()> {
        let answer = self.request(Method::GET, "/api/events", "/api/events", None).await?;
        ensure!(answer.status == 200, "the list of events answers {}: {}", answer.status, answer.body);
        Ok(())
    }

    /// Reserves seats and pays for them with `token`; whether the order went through.
    pub(crate) async fn buy(&mut self, event: &str, quantity: u32, token: &str) -> Result<bool> {
        let reservation = json!({ "eventId": event, "quantity": quantity });
        let reservation = created_id(&self.post("/api/reservations", &reservation).await?).context("no reservation")?;
        let order = json!({ "reservationId": reservation, "paymentToken": token });
        let answer = self.post("/api/orders", &order).await?;
        ensure!(matches!(answer.status, 201 | 402), "the order answers {}: {}", answer.status, answer.body);
        let paid = answer.status == 201;
        self.ledger.orders += 1;
        self.ledger.paid += u64::from(paid);
        self.ledger.tickets += if paid { u64::from(quantity) } else { 0 };
        Ok(paid)
    }

    /// Asks for a path that no route matches; `number` makes it a new one.
    pub(crate) async fn stray(&mut self, number: u64) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        let folder = ["", "wp-admin/", ".git/", "api/v0/"][(number % 4) as usize];
        let path = format!("/{folder}{:016x}", hasher.finish());
        let answer = self.request(Method::GET, &path, UNMATCHED, None).await?;
        ensure!(answer.status == 404, "{path} answers {}, not 404", answer.status);
        Ok(())
    }

    /// Sends a JSON body to a route without parameters.
    pub(crate) async fn post(&mut self, route: &str, body: &Value) -> Result<Answer> {
        self.request(Method::POST, route, route, Some(body.to_string())).await
    }

    /// Sends a request and enters it in the account under `route`.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        route: &str,
        body: Option<String>,
    ) -> Result<Answer> {
        let mut request = self.client.request(method.clone(), &format!("{}{path}", self.api));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = send(request).await.with_context(|| format!("{method} {path}"))?;
        self.ledger.enter(method.as_str(), route, answer.status);
        Ok(answer)
    }
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn enter(&mut self, method: &str, route: &str, status: u16) {
        *self.requests.entry((method.to_owned(), route.to_owned(), status)).or_default() += 1;
    }

    pub(crate) fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

fn created_id(answer: &Answer) -> Result<String> {
    ensure!(answer.status == 201, "answered {}: {}", answer.status, answer.body);
    let body: Value = serde_json::from_str(&answer.body)?;
    body["id"].as_str().map(str::to_owned).with_context(|| format!("no id in {body}"))
}
