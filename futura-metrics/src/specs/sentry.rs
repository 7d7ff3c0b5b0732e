//! What becomes of the error events that a service hands to its sidecar.

use crate::{
    label,
    spec::{CounterSpec, Unit},
};

label! {
    /// Why an envelope was lost on its way to the sidecar.
    pub enum LossReason: "reason" {
        /// Too many waited, and no folder took it.
        QueueFull => "queue_full",
        /// The sidecar's folder holds as many as it may.
        FolderFull => "folder_full",
        /// The sidecar called it wrong.
        Refused => "refused",
        /// The program ended before it was handed over.
        Unsent => "unsent",
    }
}

crate::declare! {
    /// Sentry envelopes that neither the sidecar nor its folder took, by reason.
    pub SENTRY_ENVELOPES_LOST_TOTAL: CounterSpec<(LossReason,)> = CounterSpec::new("sentry_envelopes_lost_total", Unit::Count);
}
