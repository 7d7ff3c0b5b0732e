//! Synthetic checks that the sidecar runs.

use crate::{
    label,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit},
};

label! {
    /// The check's name in the configuration.
    pub enum Check: "check";
}

label! {
    /// The name of a step within a journey.
    pub enum Step: "step";
}

label! {
    /// What a check speaks.
    pub enum CheckKind: "kind" {
        Dns => "dns",
        Grpc => "grpc",
        Http => "http",
        Icmp => "icmp",
        Journey => "journey",
        Mongodb => "mongodb",
        Postgres => "postgres",
        Redis => "redis",
        Tcp => "tcp",
        Tls => "tls",
    }
}

label! {
    /// Why a check failed.
    pub enum Reason: "reason" {
        /// The name did not resolve.
        Dns => "dns",
        /// An address that may not be checked.
        RefusedByPolicy => "refused_by_policy",
        /// No connection: refused, unreachable or reset.
        Connect => "connect",
        /// The TLS handshake or the certificate.
        Tls => "tls",
        /// A certificate that has expired, or will within the time that the check asks for.
        Expired => "expired",
        /// The check's time ran out.
        Timeout => "timeout",
        /// Credentials that the target does not take.
        Auth => "auth",
        /// An answer that does not follow the protocol.
        Protocol => "protocol",
        /// An answer with another status than expected.
        Status => "status",
        /// An answer whose headers were not as expected.
        Header => "header",
        /// An answer whose body or value was not as expected.
        Body => "body",
        /// A right answer that took longer than the check allows.
        Latency => "latency",
    }
}

label! {
    /// A part of a run, in the order in which they come.
    pub enum Phase: "phase" {
        /// The name is looked up.
        Resolve => "resolve",
        /// The connection is opened.
        Connect => "connect",
        /// The TLS handshake.
        Tls => "tls",
        /// The target is told who asks.
        Auth => "auth",
        /// From the request to the first byte of the answer.
        FirstByte => "first_byte",
        /// From the first byte of the answer to its last.
        Transfer => "transfer",
    }
}

label! {
    /// Of what kind the connections are that a server counts.
    pub enum ConnectionState: "state" {
        /// Those that it would still take.
        Available => "available",
        /// Those that are open.
        Current => "current",
    }
}

label! {
    /// Why a check is not run although it is due.
    pub enum Suspension: "cause" {
        /// The pod is ending, and the target with it.
        Draining => "draining",
        /// A maintenance window.
        Maintenance => "maintenance",
        /// Somebody paused it.
        Paused => "paused",
    }
}

/// Bounds of a check's duration in seconds.
pub const CHECK_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

crate::declare! {
    /// Runs of a check that ended.
    pub CHECK_RUNS_TOTAL: CounterSpec<(Check, CheckKind)> = CounterSpec::new("check_runs_total", Unit::Count);

    /// Runs of a check that succeeded.
    pub CHECK_SUCCESSES_TOTAL: CounterSpec<(Check, CheckKind)> = CounterSpec::new("check_successes_total", Unit::Count);

    /// Runs of a check that failed, by reason.
    pub CHECK_FAILURES_TOTAL: CounterSpec<(Check, CheckKind, Reason)> = CounterSpec::new("check_failures_total", Unit::Count);

    /// Runs of a check that were due while the one before had not ended, and were left out.
    pub CHECK_RUNS_SKIPPED_TOTAL: CounterSpec<(Check, CheckKind)> = CounterSpec::new("check_runs_skipped_total", Unit::Count);

    /// Runs of a check that failed and were repeated at once, before anything was made of it.
    pub CHECK_RETRIES_TOTAL: CounterSpec<(Check, CheckKind)> = CounterSpec::new("check_retries_total", Unit::Count);

    /// Duration of a check's runs.
    pub CHECK_DURATION_SECONDS: HistogramSpec<(Check, CheckKind)> =
        HistogramSpec::new("check_duration_seconds", Unit::Seconds, CHECK_BOUNDS);

    /// Whether a check counts as up: 0 after as many failed runs in a row as its `failure_threshold`, otherwise 1. A check that is
    /// suspended has none.
    pub CHECK_UP: GaugeSpec<(Check, CheckKind)> = GaugeSpec::new("check_up", Unit::State);

    /// Whether a check is not run although it is due, by cause: 1. A check that runs has none.
    pub CHECK_SUSPENDED: GaugeSpec<(Check, CheckKind, Suspension)> = GaugeSpec::new("check_suspended", Unit::State);

    /// How long after their time runs of checks started, be it for lack of a free place or of a processor.
    pub CHECK_SCHEDULING_LAG_SECONDS: HistogramSpec<()> =
        HistogramSpec::new("check_scheduling_lag_seconds", Unit::Seconds, CHECK_BOUNDS);

    /// Whether a check's last run succeeded: 1 or 0. A check that is suspended has none.
    pub CHECK_SUCCESS: GaugeSpec<(Check, CheckKind)> = GaugeSpec::new("check_success", Unit::State);

    /// Duration of a check's last run.
    pub CHECK_LAST_DURATION_SECONDS: GaugeSpec<(Check, CheckKind)> = GaugeSpec::new("check_last_duration_seconds", Unit::Seconds);

    /// When a check's last run ended.
    pub CHECK_LAST_RUN_TIMESTAMP_SECONDS: GaugeSpec<(Check, CheckKind)> =
        GaugeSpec::new("check_last_run_timestamp_seconds", Unit::Timestamp);

    /// Duration of each phase that a check's last run reached.
    pub CHECK_LAST_PHASE_DURATION_SECONDS: GaugeSpec<(Check, CheckKind, Phase)> =
        GaugeSpec::new("check_last_phase_duration_seconds", Unit::Seconds);

    /// When the first certificate of the chain that the target showed last expires, verified or not.
    pub CHECK_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS: GaugeSpec<(Check, CheckKind)> =
        GaugeSpec::new("check_certificate_expiry_timestamp_seconds", Unit::Timestamp);

    /// Connections that the target counted in a check's last run, of its own clients.
    pub CHECK_TARGET_CONNECTIONS: GaugeSpec<(Check, CheckKind, ConnectionState)> =
        GaugeSpec::new("check_target_connections", Unit::Count);

    /// Whether a step of a journey's last run succeeded: 1 or 0. Steps that it did not reach have none.
    pub CHECK_STEP_SUCCESS: GaugeSpec<(Check, Step)> = GaugeSpec::new("check_step_success", Unit::State);

    /// Duration of a step of a journey's last run. Steps that it did not reach have none.
    pub CHECK_STEP_LAST_DURATION_SECONDS: GaugeSpec<(Check, Step)> =
        GaugeSpec::new("check_step_last_duration_seconds", Unit::Seconds);
}
