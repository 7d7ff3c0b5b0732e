//! The text formats: Prometheus 0.0.4 and OpenMetrics 1.0, chosen by `Accept`.
//!
//! References: <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

pub use self::accept::Format;

mod accept;
mod client;
mod text;

pub(crate) use self::{
    client::{ClientKind, ClientMetric, encode_client},
    text::{Encode, Layout, escape_help, finish, render_series},
};
