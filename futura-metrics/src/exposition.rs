//! The formats: Prometheus text 0.0.4, OpenMetrics 1.0 and Prometheus' protobuf, chosen by `Accept`.
//!
//! The route of [`crate::admin`] compresses with zstd or gzip by `Accept-Encoding`, leaves out all but the families of
//! `?name[]=`, works off the runtime's threads, lets scrapes that ask for the same at the same time share one gathering, and
//! answers `503` when eight different ones are in flight or one takes ten seconds.
//!
//! References: <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

pub use self::{accept::Format, select::Selection};

mod accept;
mod client;
mod family;
#[cfg(feature = "telemetry")]
mod otlp;
mod protobuf;
mod select;
mod text;

#[cfg(feature = "admin")]
pub(crate) use self::accept::{Wire, qualities};
#[cfg(feature = "telemetry")]
pub(crate) use self::otlp::{View, client as encode_client_otlp};
pub(crate) use self::{
    client::ClientMetric,
    family::Encode,
    protobuf::encode_client as encode_client_protobuf,
    text::{Layout, finish, render_series},
};
