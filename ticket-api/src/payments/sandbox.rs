//! A payment provider that moves no money: the token decides what happens.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Approval, Charge, GatewayError, PaymentGateway};

const TOKENS: &str = "tok_visa, tok_chargeDeclined, tok_providerError or tok_slow";

/// Longer than the ten seconds of the alert on slow orders, so that it can be seen to fire.
const SLOW: Duration = Duration::from_secs(12);

/// Charges that [`PaymentGateway::find`] remembers. Only one whose answer was just lost is looked for.
const REMEMBERED: usize = 1000;

/// The sandbox: `tok_visa` approves, `tok_chargeDeclined` declines, `tok_providerError` fails like a provider that is down,
/// `tok_slow` approves after twelve seconds.
#[derive(Debug, Default)]
pub struct SandboxGateway {
    charged: Mutex<VecDeque<Uuid>>,
}

// === impl SandboxGateway ===

impl SandboxGateway {
    fn approve(&self, order_id: Uuid) -> Approval {
        let mut charged = self.charged.lock().unwrap_or_else(PoisonError::into_inner);
        if !charged.contains(&order_id) {
            charged.truncate(REMEMBERED - 1);
            charged.push_front(order_id);
        }
        approval(order_id)
    }
}

impl PaymentGateway for SandboxGateway {
    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Approval, GatewayError>> {
        let answer = async {
            match charge.token.expose() {
                "tok_visa" => Ok(self.approve(charge.order_id)),
                "tok_slow" => {
                    tokio::time::sleep(SLOW).await;
                    Ok(self.approve(charge.order_id))
                }
                "tok_chargeDeclined" => Err(GatewayError::Declined { reason: "the card was declined".to_owned() }),
                "tok_providerError" => Err(GatewayError::Unavailable),
                _ => Err(GatewayError::Declined { reason: format!("unknown token; the sandbox knows {TOKENS}") }),
            }
        };
        answer.boxed()
    }

    fn find(&self, order_id: Uuid) -> BoxFuture<'_, Result<Option<Approval>, GatewayError>> {
        let found = self.charged.lock().unwrap_or_else(PoisonError::into_inner).contains(&order_id);
        std::future::ready(Ok(found.then(|| approval(order_id)))).boxed()
    }
}

fn approval(order_id: Uuid) -> Approval {
    // Logs show references, and whoever knows an order's id may read its tickets.
    let digest = Sha256::digest(order_id.as_bytes());
    let reference = digest.iter().take(8).fold("sandbox-".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    Approval { reference }
}
