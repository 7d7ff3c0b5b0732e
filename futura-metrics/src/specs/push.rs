//! What becomes of metrics that are pushed to a collector.

use crate::{
    label,
    spec::{CounterSpec, Unit},
};

label! {
    /// What a push came to.
    pub enum PushOutcome: "outcome" {
        /// The collector took all that it was sent.
        Taken => "taken",
        /// It took nothing, or not all of the requests.
        Failed => "failed",
    }
}

crate::declare! {
    /// Pushes of all metrics to a collector over OTLP, by outcome.
    pub METRICS_PUSHES_TOTAL: CounterSpec<(PushOutcome,)> = CounterSpec::new("futura_metrics_pushes_total", Unit::Count);
}
