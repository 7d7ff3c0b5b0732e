//! The sidecar's configuration, which it reads anew while it runs.

use crate::spec::{GaugeSpec, Unit};

crate::declare! {
    /// Whether the configuration that was read last is in force: 1 or 0.
    pub SIDECAR_CONFIG_LAST_RELOAD_SUCCESSFUL: GaugeSpec =
        GaugeSpec::new("sidecar_config_last_reload_successful", Unit::State);

    /// When the configuration in force was read.
    pub SIDECAR_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS: GaugeSpec =
        GaugeSpec::new("sidecar_config_last_reload_success_timestamp_seconds", Unit::Timestamp);
}
