//! The environment variables of telemetry, read and checked together.

use std::{
    env, fmt,
    io::{IsTerminal, stderr},
    path::PathBuf,
};

use http::Uri;
use sentry::types::Dsn;
use tracing_subscriber::EnvFilter;

use super::{
    PushConfig, Scrubber, TelemetryError,
    push::{EXPECTED_PROTOCOL, PROTOCOLS},
};

/// Every variable that telemetry reads: its name, its default and its meaning.
pub const VARIABLES: &[(&str, &str, &str)] = &[
    ("LOG_FORMAT", "pretty on a terminal, else json", "how log records are written to standard error: pretty or json"),
    ("RUST_LOG", "info", "which log records are written, such as `info,sqlx=warn`"),
    ("SENTRY_DSN", "", "where errors are reported; none are without it"),
    ("FUTURA_SENTRY_SOCKET", "", "the sidecar's Unix socket, in the place of the host in SENTRY_DSN"),
    (
        "FUTURA_SENTRY_SPOOL",
        "",
        "the sidecar's spool folder, where errors go while it does not run; they wait in memory without it",
    ),
    ("SENTRY_ENVIRONMENT", "production", "the environment that errors are reported for"),
    ("SENTRY_RELEASE", "SERVICE@VERSION", "the release that errors are reported for"),
    ("SENTRY_SAMPLE_RATE", "1.0", "the share of errors that are reported, from 0.0 to 1.0"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "", "where traces are sent, such as http://localhost:4318; none are without it"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "the same for traces alone, as a whole URL"),
    ("OTEL_TRACES_EXPORTER", "otlp", "none sends no traces though there is an endpoint, as for metrics alone"),
    ("OTEL_METRICS_EXPORTER", "none", "otlp pushes the metrics that are scraped as well; prometheus and none do not"),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "", "where metrics are pushed, as a whole URL; so for all variables below"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "60000", "the time between two pushes in milliseconds"),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "30000", "how long a push may take in milliseconds"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram pushes native buckets where a histogram has them",
    ),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative", "nothing else is pushed"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "how long a request may take in milliseconds"),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        if cfg!(feature = "grpc") {
            "http/protobuf or grpc; for traces alone OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
        } else {
            "nothing else: this program is built without gRPC"
        },
    ),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "gzip or none"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "", "headers to send with them, as key=value,key=value"),
    ("OTEL_SERVICE_NAME", "SERVICE", "the service that traces are sent for"),
    ("OTEL_RESOURCE_ATTRIBUTES", "", "more attributes of the service, as key=value,key=value"),
    (
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "which traces are sampled; its argument is OTEL_TRACES_SAMPLER_ARG",
    ),
    (
        "K8S_POD_NAME",
        "",
        "the pod, as the downward API tells it; so are K8S_POD_UID, K8S_NAMESPACE_NAME, K8S_NODE_NAME and K8S_CONTAINER_NAME",
    ),
    ("OTEL_SDK_DISABLED", "false", "true sends neither traces nor metrics whatever else is set"),
];

/// Attributes of the resource, and the variables that a pod's manifest sets from the downward API.
/// <https://opentelemetry.io/docs/specs/semconv/resource/k8s/>
const KUBERNETES: [(&str, &str); 5] = [
    ("k8s.pod.name", "K8S_POD_NAME"),
    ("k8s.pod.uid", "K8S_POD_UID"),
    ("k8s.namespace.name", "K8S_NAMESPACE_NAME"),
    ("k8s.node.name", "K8S_NODE_NAME"),
    ("k8s.container.name", "K8S_CONTAINER_NAME"),
];

/// What telemetry does, as the environment says.
#[derive(Clone)]
pub struct TelemetryConfig {
    /// The service's name.
    pub service: String,
    /// The service's version.
    pub version: String,
    /// How log records are written.
    pub log_format: LogFormat,
    /// Which log records are written, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Where errors are reported.
    pub sentry_dsn: Option<Dsn>,
    /// The Unix socket of the sidecar that takes them, in the place of the DSN's host.
    pub sentry_socket: Option<PathBuf>,
    /// The spool folder of the sidecar, where they go while it does not run.
    pub sentry_spool: Option<PathBuf>,
    /// What is removed from errors before they are sent. Default what [`Scrubber::default`] removes.
    pub scrubber: Scrubber,
    /// The environment that errors are reported for.
    pub environment: String,
    /// The release that errors are reported for.
    pub release: String,
    /// The share of errors that are reported, from 0 to 1.
    pub sample_rate: f32,
    /// What Kubernetes' downward API tells of the pod, by the names that OpenTelemetry has for it.
    pub kubernetes: Vec<(&'static str, String)>,
    /// Whether traces are sent; the exporter reads where and how from the environment by itself.
    pub export_traces: bool,
    /// Where and how metrics are pushed, where they are.
    pub push: Option<PushConfig>,
}

/// How log records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

// === impl TelemetryConfig ===

impl TelemetryConfig {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// When a variable has a value that means nothing; a variable that is set but empty counts as not set.
    pub fn from_env(service: &str, version: &str) -> Result<Self, TelemetryError> {
        Self::from_lookup(service, version, |name| env::var(name).ok())
    }

    /// Reads variables through `lookup`.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    ///
    /// ```
    /// use futura_metrics::telemetry::TelemetryConfig;
    ///
    /// let bad = |name: &str| (name == "LOG_FORMAT").then(|| "xml".to_owned());
    /// let error = TelemetryConfig::from_lookup("shop", "1.2.3", bad).unwrap_err();
    /// assert_eq!(error.to_string(), "LOG_FORMAT=`xml`: expected `pretty` or `json`");
    /// ```
    pub fn from_lookup(
        service: &str,
        version: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, TelemetryError> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let log_filter = get("RUST_LOG").unwrap_or_else(|| "info".to_owned());
        check("RUST_LOG", &log_filter, EnvFilter::try_new(&log_filter).map(drop))?;
        let sentry_dsn = get("SENTRY_DSN").map(|dsn| sentry_dsn(&dsn)).transpose()?;
        let disabled = get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let traces = exports_traces(get("OTEL_TRACES_EXPORTER").as_deref())?;
        let mut endpoints = 0;
        for variable in ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            if let Some(endpoint) = get(variable) {
                let shown = if endpoint.contains('@') { HIDDEN } else { &endpoint };
                check(variable, shown, is_web(&endpoint).ok_or("expected a URL such as `http://localhost:4318`"))?;
                endpoints += 1;
            }
        }
        let export_traces = endpoints > 0 && !disabled && traces;
        let mut protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"].into_iter();
        let protocol = protocols.find_map(|variable| Some((variable, get(variable)?)));
        // What nothing is sent by may be another program's in the same pod.
        if let Some((variable, protocol)) = protocol.filter(|_| export_traces) {
            // The exporter would take one that it does not know for its default.
            let known = PROTOCOLS.iter().any(|(name, _)| *name == protocol);
            check(variable, &protocol, known.then_some(()).ok_or(EXPECTED_PROTOCOL))?;
        }
        Ok(Self {
            service: get("OTEL_SERVICE_NAME").unwrap_or_else(|| service.to_owned()),
            version: version.to_owned(),
            log_format: log_format(get("LOG_FORMAT").as_deref())?,
            log_filter,
            sentry_dsn,
            sentry_socket: get("FUTURA_SENTRY_SOCKET").map(PathBuf::from),
            sentry_spool: get("FUTURA_SENTRY_SPOOL").map(PathBuf::from),
            scrubber: Scrubber::default(),
            environment: get("SENTRY_ENVIRONMENT").unwrap_or_else(|| "production".to_owned()),
            release: get("SENTRY_RELEASE").unwrap_or_else(|| format!("{service}@{version}")),
            sample_rate: sample_rate(get("SENTRY_SAMPLE_RATE").as_deref())?,
            kubernetes: KUBERNETES.iter().filter_map(|(key, variable)| Some((*key, get(variable)?))).collect(),
            export_traces,
            push: if disabled { None } else { PushConfig::from_lookup(get)? },
        })
    }
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TelemetryConfig")
            .field("service", &self.service)
            .field("version", &self.version)
            .field("sentry", &self.sentry_dsn.is_some())
            .field("traces", &self.export_traces)
            .field("push", &self.push)
            .finish_non_exhaustive()
    }
}

/// Stands in an error for a value that may hold a secret.
pub(super) const HIDDEN: &str = "***";

pub(super) fn check<T, E: fmt::Display>(
    variable: &'static str,
    value: &str,
    result: Result<T, E>,
) -> Result<T, TelemetryError> {
    result.map_err(|error| TelemetryError::BadVariable {
        variable,
        value: value.to_owned(),
        expected: error.to_string(),
    })
}

fn sentry_dsn(dsn: &str) -> Result<Dsn, TelemetryError> {
    let expected = "expected `https://KEY@HOST/PROJECT`, such as `https://0123456789abcdef@sentry.example.org/42`";
    check("SENTRY_DSN", HIDDEN, dsn.parse().map_err(|_| expected))
}

/// Something where the text is a URL that names a host, as the exporters need one.
pub(super) fn is_web(text: &str) -> Option<()> {
    let uri: Uri = text.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    (known && uri.host().is_some_and(|host| !host.is_empty())).then_some(())
}

fn exports_traces(exporter: Option<&str>) -> Result<bool, TelemetryError> {
    match exporter {
        None | Some("otlp") => Ok(true),
        Some("none") => Ok(false),
        Some(other) => check("OTEL_TRACES_EXPORTER", other, Err("expected `otlp` or `none`")),
    }
}

fn log_format(value: Option<&str>) -> Result<LogFormat, TelemetryError> {
    match value {
        Some("pretty") => Ok(LogFormat::Pretty),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => check("LOG_FORMAT", other, Err("expected `pretty` or `json`")),
        None if stderr().is_terminal() => Ok(LogFormat::Pretty),
        None => Ok(LogFormat::Json),
    }
}

fn sample_rate(value: Option<&str>) -> Result<f32, TelemetryError> {
    let Some(value) = value else { return Ok(1.0) };
    let rate = value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
    check("SENTRY_SAMPLE_RATE", value, rate.ok_or("expected a number from 0.0 to 1.0"))
}
