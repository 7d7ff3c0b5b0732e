//! Charging an order through a payment provider, guarded by retries and a circuit breaker.

pub use self::sandbox::SandboxGateway;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futura_metrics::{
    Counter, Metrics, RegisterError,
    specs::business::{PAYMENT_SUCCESS_TOTAL, PAYMENT_TOTAL},
};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::{
    domain::Outcome,
    resilience::{Failure, FailureClass, Guard},
    secret::Secret,
};

mod sandbox;

/// What to charge. The order's id is the idempotency key: a provider charges it at most once, however often it is asked.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The order that is paid.
    pub order_id: Uuid,
    /// The amount in cents.
    pub amount_cents: i64,
    /// What stands for the buyer's means of payment.
    pub token: Secret,
}

/// The provider took the money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The provider's id of the payment, by which its webhook names the payment too.
    pub reference: String,
}

/// Why a charge did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// The provider refused the payment, for a reason that the buyer may read.
    #[error("the payment was declined: {reason}")]
    Declined {
        /// The reason.
        reason: String,
    },
    /// The provider was not reached or said that it is down: nothing was charged.
    #[error("the payment provider is not available")]
    Unavailable,
    /// The provider did not answer in time: it may have charged or not.
    #[error("the payment provider did not answer in time")]
    Unanswered,
}

/// A payment provider.
pub trait PaymentGateway: fmt::Debug + Send + Sync + 'static {
    /// Charges an order once; asking again with the same order's id gives the first answer.
    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Approval, GatewayError>>;

    /// Looks up whether an order was charged, for when the answer to `charge` was lost.
    fn find(&self, order_id: Uuid) -> BoxFuture<'_, Result<Option<Approval>, GatewayError>>;
}

/// The gateway behind its guard.
#[derive(Debug)]
pub(crate) struct Payments {
    gateway: Arc<dyn PaymentGateway>,
    guard: Guard,
    timeout: Duration,
    attempted: Counter,
    approved: Counter,
}

// === impl Approval ===

impl From<Approval> for Outcome {
    fn from(approval: Approval) -> Self {
        // The provider was asked for the order's own amount.
        Self::Approved { reference: approval.reference, received: None }
    }
}

// === impl GatewayError ===

impl Failure for GatewayError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Declined { .. } => FailureClass::Refusal,
            Self::Unavailable | Self::Unanswered => FailureClass::Transient,
        }
    }

    fn rejected() -> Self {
        Self::Unavailable
    }
}

// === impl Payments ===

impl Payments {
    pub(crate) fn new(
        gateway: Arc<dyn PaymentGateway>,
        guard: Guard,
        timeout: Duration,
        metrics: &Metrics,
    ) -> Result<Self, RegisterError> {
        let (attempted, approved) = (metrics.counter(PAYMENT_TOTAL)?, metrics.counter(PAYMENT_SUCCESS_TOTAL)?);
        Ok(Self { gateway, guard, timeout, attempted, approved })
    }

    /// Charges an order. A payment that the open breaker refuses counts as attempted: the buyer tried to pay and could not.
    pub(crate) async fn charge(&self, charge: &Charge) -> Result<Approval, GatewayError> {
        self.attempted.inc();
        let unanswered = AtomicBool::new(false);
        let attempt = || async {
            let answer = tokio::time::timeout(self.timeout, self.gateway.charge(charge)).await;
            let answer = answer.unwrap_or(Err(GatewayError::Unanswered));
            unanswered.fetch_or(answer == Err(GatewayError::Unanswered), Relaxed);
            answer
        };
        match self.guard.call(attempt).await {
            // An attempt before this one may have charged, so that nobody may say that nothing was.
            Err(GatewayError::Unavailable) if unanswered.load(Relaxed) => Err(GatewayError::Unanswered),
            result => result,
        }
    }

    /// Looks up whether an order was charged.
    pub(crate) async fn find(&self, order_id: Uuid) -> Result<Option<Approval>, GatewayError> {
        let find = || async {
            let answer = tokio::time::timeout(self.timeout, self.gateway.find(order_id)).await;
            answer.unwrap_or(Err(GatewayError::Unanswered))
        };
        self.guard.call(find).await
    }

    /// Counts a payment that was approved; `late` when its order's own had ended before, so that it is another attempt.
    pub(crate) fn count_approval(&self, late: bool) {
        if late {
            self.attempted.inc();
        }
        self.approved.inc();
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }
}
