//! Traces over OTLP. Endpoint, protocol, headers, compression and sampling are read from the environment by the SDK.

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::{TelemetryConfig, TelemetryError};

/// What the exporter itself runs on: a span for sending spans would never end.
const EXPORTER_TARGETS: [&str; 6] = ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "tonic"];

pub(super) fn provider(config: &TelemetryConfig) -> Result<SdkTracerProvider, TelemetryError> {
    let builder = SdkTracerProvider::builder().with_resource(resource(config));
    Ok(if config.export_traces {
        builder.with_batch_exporter(SpanExporter::builder().build()?).build()
    } else {
        builder.build()
    })
}

/// Whom traces and metrics are of.
pub(super) fn resource(config: &TelemetryConfig) -> Resource {
    Resource::builder()
        .with_service_name(config.service.clone())
        .with_attribute(KeyValue::new("service.version", config.version.clone()))
        .with_attribute(KeyValue::new("deployment.environment.name", config.environment.clone()))
        .with_attributes(config.kubernetes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())))
        .build()
}

pub(super) fn layer<S>(provider: &SdkTracerProvider, config: &TelemetryConfig) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let targets = EXPORTER_TARGETS.map(|target| (target, LevelFilter::OFF));
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(config.service.clone()))
        .with_filter(Targets::new().with_default(LevelFilter::INFO).with_targets(targets))
}
