//! What a server of `/probe` tells of itself. The names that begin with `blackbox_` are blackbox_exporter's, so that rules
//! written for it go on to hold.

use crate::spec::{CounterSpec, GaugeSpec, Unit};

crate::declare! {
    /// Probes that named a module that there is not.
    pub BLACKBOX_MODULE_UNKNOWN_TOTAL: CounterSpec = CounterSpec::new("blackbox_module_unknown_total", Unit::Count);

    /// Probes that were turned away because too many ran.
    pub PROBES_REFUSED_TOTAL: CounterSpec = CounterSpec::new("probes_refused_total", Unit::Count);

    /// Whether the modules that were read last are in force: 1 or 0.
    pub BLACKBOX_EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL: GaugeSpec =
        GaugeSpec::new("blackbox_exporter_config_last_reload_successful", Unit::State);

    /// When the modules in force were read.
    pub BLACKBOX_EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS: GaugeSpec =
        GaugeSpec::new("blackbox_exporter_config_last_reload_success_timestamp_seconds", Unit::Timestamp);
}
