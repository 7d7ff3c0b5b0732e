//! A family behind one interface, whatever kind of metric it holds.

#[cfg(feature = "telemetry")]
use opentelemetry_proto::tonic::metrics::v1::Metric as OtlpMetric;

#[cfg(feature = "telemetry")]
use super::otlp;
use super::{Format, protobuf, text};
use crate::{
    spec::Descriptor,
    storage::{FamilyInner, Metric},
};

/// A family that can write itself.
pub(crate) trait Encode: Send + Sync {
    fn descriptor(&self) -> &Descriptor;

    /// How many series it has.
    fn len(&self) -> usize;

    fn encode_text(&self, format: Format, out: &mut String);

    fn encode_protobuf(&self, out: &mut Vec<u8>);

    /// What OTLP has of it; nothing where there are no series.
    #[cfg(feature = "telemetry")]
    fn to_otlp(&self, view: otlp::View) -> Option<OtlpMetric>;
}

impl<M: Metric> Encode for FamilyInner<M> {
    fn descriptor(&self) -> &Descriptor {
        self.descriptor()
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn encode_text(&self, format: Format, out: &mut String) {
        text::encode_family(self, format, out);
    }

    fn encode_protobuf(&self, out: &mut Vec<u8>) {
        protobuf::encode_family(self, out);
    }

    #[cfg(feature = "telemetry")]
    fn to_otlp(&self, view: otlp::View) -> Option<OtlpMetric> {
        otlp::family(self, view)
    }
}
