//! The series that the recording rules of every objective write: the same names for all, told apart by their labels.
//!
//! So one dashboard shows whatever objectives there are. Rates are recorded over five minutes and nothing else is counted
//! anew: a longer window averages those, weighted by traffic as both sides of the ratio are, and so reads two series of a
//! service instead of each that its pods ever had.

use futura_metrics::label;

use crate::promql::{Quantity, RecordedSpec, Service, Window};

label! {
    /// The name of an objective, a label that recording rules attach.
    pub enum SloName: "slo";
}

/// The labels of every series of an objective.
pub type SloLabels = (Service, SloName);

/// The share of bad requests within a window.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRatio {
    /// How far back it reaches.
    pub window: Window,
    /// Where it is recorded.
    pub series: RecordedSpec<SloLabels>,
}

/// Over what the rates are that everything else comes from.
pub const BASE: Window = Window::minutes(5);

/// Requests per second that count for the objective.
pub const REQUESTS_RATE5M: RecordedSpec<SloLabels> =
    RecordedSpec::new("service_slo:slo_requests:rate5m", Quantity::PerSecond);

/// Requests per second that count and are bad.
pub const ERRORS_RATE5M: RecordedSpec<SloLabels> =
    RecordedSpec::new("service_slo:slo_errors:rate5m", Quantity::PerSecond);

/// The share that must be good.
pub const OBJECTIVE: RecordedSpec<SloLabels> = RecordedSpec::new("service_slo:slo_objective:ratio", Quantity::Ratio);

/// The share of the period's error budget that is left; negative once more than all of it is spent.
pub const ERROR_BUDGET_LEFT: RecordedSpec<SloLabels> =
    RecordedSpec::new("service_slo:slo_error_budget_left:ratio", Quantity::Ratio);

/// Bad requests of the last five minutes.
pub const LAST_5M: ErrorRatio = error_ratio(BASE, "service_slo:slo_errors_per_requests:ratio_rate5m");
/// Bad requests of the last thirty minutes.
pub const LAST_30M: ErrorRatio = error_ratio(Window::minutes(30), "service_slo:slo_errors_per_requests:ratio_rate30m");
/// Bad requests of the last hour.
pub const LAST_1H: ErrorRatio = error_ratio(Window::hours(1), "service_slo:slo_errors_per_requests:ratio_rate1h");
/// Bad requests of the last two hours.
pub const LAST_2H: ErrorRatio = error_ratio(Window::hours(2), "service_slo:slo_errors_per_requests:ratio_rate2h");
/// Bad requests of the last six hours.
pub const LAST_6H: ErrorRatio = error_ratio(Window::hours(6), "service_slo:slo_errors_per_requests:ratio_rate6h");
/// Bad requests of the last day.
pub const LAST_1D: ErrorRatio = error_ratio(Window::days(1), "service_slo:slo_errors_per_requests:ratio_rate1d");
/// Bad requests of the last three days.
pub const LAST_3D: ErrorRatio = error_ratio(Window::days(3), "service_slo:slo_errors_per_requests:ratio_rate3d");
/// Bad requests of a period of 28 days.
pub const LAST_28D: ErrorRatio = error_ratio(Window::days(28), "service_slo:slo_errors_per_requests:ratio_rate28d");
/// Bad requests of a period of 30 days.
pub const LAST_30D: ErrorRatio = error_ratio(Window::days(30), "service_slo:slo_errors_per_requests:ratio_rate30d");

/// The windows that every objective records besides its period.
pub const ERROR_RATIOS: [ErrorRatio; 7] = [LAST_5M, LAST_30M, LAST_1H, LAST_2H, LAST_6H, LAST_1D, LAST_3D];

const fn error_ratio(window: Window, name: &'static str) -> ErrorRatio {
    ErrorRatio { window, series: RecordedSpec::new(name, Quantity::Ratio) }
}
