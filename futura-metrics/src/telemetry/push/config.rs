//! The environment variables of the push, read and checked when it is switched on.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::super::{
    TelemetryError,
    config::{HIDDEN, check, is_web},
};

/// Where and how metrics are pushed over OTLP.
#[derive(Clone)]
pub struct PushConfig {
    /// The collector: a whole URL over HTTP, and one whose path is left out over gRPC.
    pub endpoint: String,
    /// What is spoken.
    pub protocol: PushProtocol,
    /// Headers that go with each request.
    pub headers: HeaderMap,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// How long one request may take. Default 10 s.
    pub timeout: Duration,
    /// The time between two pushes. Default one minute.
    pub interval: Duration,
    /// How long one push may take, all its requests together. Default 30 s.
    pub push_timeout: Duration,
    /// Whether a histogram that has native buckets is sent as an exponential histogram. Default not.
    pub exponential: bool,
}

/// A transport of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushProtocol {
    /// gRPC, with the feature `grpc`.
    #[cfg(feature = "grpc")]
    Grpc,
    /// Protobuf in requests of HTTP.
    Http,
}

/// The transports that this program has, by the names that variables have for them.
pub(in super::super) const PROTOCOLS: &[(&str, PushProtocol)] = &[
    #[cfg(feature = "grpc")]
    ("grpc", PushProtocol::Grpc),
    ("http/protobuf", PushProtocol::Http),
];

/// What is said to another name.
pub(in super::super) const EXPECTED_PROTOCOL: &str = if cfg!(feature = "grpc") {
    "expected `grpc` or `http/protobuf`"
} else {
    "expected `http/protobuf`, as this program is built without gRPC"
};

/// A variable of metrics alone, and the one of all signals that stands in for it.
type Pair = [&'static str; 2];

const ENDPOINT: Pair = ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOL: Pair = ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const HEADERS: Pair = ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const COMPRESSION: Pair = ["OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const TIMEOUT: Pair = ["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

// === impl PushConfig ===

impl PushConfig {
    /// Reads variables through `get`, which takes an empty one for none; nothing where no push is asked for.
    pub(in super::super) fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, TelemetryError> {
        if !is_asked_for(get("OTEL_METRICS_EXPORTER").as_deref())? {
            return Ok(None);
        }
        let of = |pair: Pair| pair.into_iter().find_map(|variable| Some((variable, get(variable)?)));
        let protocol = one_of(of(PROTOCOL), PushProtocol::Http, PROTOCOLS, Some(EXPECTED_PROTOCOL))?;
        let millis = |variable: Option<(&'static str, String)>, default: Duration| match variable {
            None => Ok(default),
            Some((variable, value)) => {
                let millis = value.parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis);
                check(variable, &value, millis.ok_or("expected milliseconds, 1 or more"))
            }
        };
        let alone = |variable: &'static str| Some((variable, get(variable)?));
        one_of(alone("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"), (), &[("cumulative", ())], None)?;
        let aggregation = alone("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION");
        Ok(Some(Self {
            endpoint: endpoint(of(ENDPOINT), protocol)?,
            protocol,
            headers: of(HEADERS).map_or_else(|| Ok(HeaderMap::new()), |(variable, value)| headers(variable, &value))?,
            gzip: one_of(of(COMPRESSION), false, &[("gzip", true), ("none", false)], None)?,
            timeout: millis(of(TIMEOUT), Duration::from_secs(10))?,
            interval: millis(alone("OTEL_METRIC_EXPORT_INTERVAL"), Duration::from_secs(60))?,
            push_timeout: millis(alone("OTEL_METRIC_EXPORT_TIMEOUT"), Duration::from_secs(30))?,
            exponential: one_of(aggregation, false, AGGREGATIONS, None)?,
        }))
    }
}

impl fmt::Debug for PushConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The endpoint and the headers may hold secrets.
        formatter
            .debug_struct("PushConfig")
            .field("protocol", &self.protocol)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

const AGGREGATIONS: &[(&str, bool)] =
    &[("explicit_bucket_histogram", false), ("base2_exponential_bucket_histogram", true)];

/// Whether OTLP is among the exporters that are named; scrapes are answered in any case.
fn is_asked_for(exporters: Option<&str>) -> Result<bool, TelemetryError> {
    let mut asked = false;
    for exporter in exporters.unwrap_or("none").split(',').map(str::trim) {
        match exporter {
            "otlp" => asked = true,
            "none" | "prometheus" => {}
            other => {
                check("OTEL_METRICS_EXPORTER", other, Err("expected `otlp`, `prometheus` or `none`"))?;
            }
        }
    }
    Ok(asked)
}

/// The value that a variable's text stands for; what is said to another text is what it may be, unless it is given.
fn one_of<T: Copy>(
    variable: Option<(&'static str, String)>,
    default: T,
    values: &[(&str, T)],
    expected: Option<&str>,
) -> Result<T, TelemetryError> {
    let Some((variable, text)) = variable else { return Ok(default) };
    let found = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)).map(|(_, value)| *value);
    let names = || values.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    let expected = || expected.map_or_else(|| format!("expected {}", names()), str::to_owned);
    check(variable, &text, found.ok_or_else(expected))
}

fn endpoint(variable: Option<(&'static str, String)>, protocol: PushProtocol) -> Result<String, TelemetryError> {
    let Some((variable, endpoint)) = variable else {
        return Ok(match protocol {
            #[cfg(feature = "grpc")]
            PushProtocol::Grpc => "http://localhost:4317".to_owned(),
            PushProtocol::Http => "http://localhost:4318/v1/metrics".to_owned(),
        });
    };
    let shown = if endpoint.contains('@') { HIDDEN } else { &endpoint };
    check(variable, shown, is_web(&endpoint).ok_or("expected a URL such as `http://localhost:4318`"))?;
    // That of all signals is where the path of each begins.
    let is_base = variable == ENDPOINT[1] && protocol == PushProtocol::Http;
    Ok(if is_base { format!("{}/v1/metrics", endpoint.trim_end_matches('/')) } else { endpoint })
}

/// Reads `name=value,name=value`, whose values are percent-encoded.
fn headers(variable: &'static str, text: &str) -> Result<HeaderMap, TelemetryError> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name.trim()).ok()?, value))
    };
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let headers: Option<HeaderMap> = pairs.map(header).collect();
    check(variable, HIDDEN, headers.ok_or("expected `name=value,name=value`"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{EXPECTED_PROTOCOL, PushConfig, PushProtocol};

    fn read(variables: &[(&str, &str)]) -> Result<Option<PushConfig>, String> {
        let get = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        PushConfig::from_lookup(get).map_err(|error| error.to_string())
    }

    fn on(variables: &[(&str, &str)]) -> PushConfig {
        read(&[&[("OTEL_METRICS_EXPORTER", "otlp")], variables].concat()).expect("good variables").expect("it is on")
    }

    #[test]
    fn it_is_off_until_it_is_asked_for() {
        // What is wrong where nothing is pushed harms nobody.
        let wrong = ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta");
        for exporter in ["none", "prometheus"] {
            assert!(read(&[("OTEL_METRICS_EXPORTER", exporter), wrong]).expect("good variables").is_none());
        }
        assert!(read(&[wrong, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]).expect("good").is_none());
        assert!(read(&[("OTEL_METRICS_EXPORTER", "prometheus, otlp")]).expect("good variables").is_some());
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let config = on(&[]);
        assert_eq!(
            (config.endpoint.as_str(), config.protocol),
            ("http://localhost:4318/v1/metrics", PushProtocol::Http)
        );
        assert_eq!([config.timeout, config.interval, config.push_timeout].map(|time| time.as_secs()), [10, 60, 30]);
        assert!(!config.gzip && !config.exponential && config.headers.is_empty());
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn grpc_has_a_port_of_its_own() {
        assert_eq!(on(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).endpoint, "http://localhost:4317");
    }

    #[test]
    fn only_a_protocol_that_the_program_has_is_taken() {
        let told = |protocol: &str| {
            read(&[("OTEL_METRICS_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", protocol)]).map(drop)
        };
        assert_eq!(told("HTTP/protobuf"), Ok(()));
        assert_eq!(told("grpc").is_ok(), cfg!(feature = "grpc"));
        let refused = format!("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=`http/json`: {EXPECTED_PROTOCOL}");
        assert_eq!(told("http/json"), Err(refused));
    }

    #[test]
    fn what_is_set_for_metrics_alone_goes_first() {
        let all = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://all.example.org/otlp/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20all"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ];
        let config = on(&all);
        assert_eq!(config.endpoint, "https://all.example.org/otlp/v1/metrics");
        assert_eq!(config.headers["authorization"], "Bearer all");
        assert!(config.gzip && config.timeout == Duration::from_secs(2));
        let metrics = [
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics.example.org"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-scope=a, x-tenant = b"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "3000"),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "BASE2_EXPONENTIAL_BUCKET_HISTOGRAM"),
        ];
        let config = on(&[&all[..], &metrics].concat());
        assert_eq!(config.endpoint, "http://metrics.example.org");
        assert!(!config.headers.contains_key("authorization"));
        assert_eq!(
            (&config.headers["x-scope"], &config.headers["x-tenant"]),
            (&"a".parse().unwrap(), &"b".parse().unwrap())
        );
        assert!(!config.gzip && config.exponential && config.timeout == Duration::from_secs(3));
        // Neither an address nor a header is shown.
        assert_eq!(format!("{config:?}"), "PushConfig { protocol: Http, interval: 60s, .. }");
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let wrong = |variable: &str, value: &str| {
            read(&[("OTEL_METRICS_EXPORTER", "otlp"), (variable, value)]).expect_err("a wrong variable")
        };
        let told = [
            read(&[("OTEL_METRICS_EXPORTER", "console")]).expect_err("a wrong variable"),
            wrong("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:4317"),
            wrong("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "secret"),
            wrong("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
            wrong("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            wrong("OTEL_METRIC_EXPORT_TIMEOUT", "30s"),
            wrong("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ];
        insta::assert_snapshot!(told.join("\n"), @"
        OTEL_METRICS_EXPORTER=`console`: expected `otlp`, `prometheus` or `none`
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=`collector:4317`: expected a URL such as `http://localhost:4318`
        OTEL_EXPORTER_OTLP_METRICS_HEADERS=`***`: expected `name=value,name=value`
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=`delta`: expected `cumulative`
        OTEL_METRIC_EXPORT_INTERVAL=`0`: expected milliseconds, 1 or more
        OTEL_METRIC_EXPORT_TIMEOUT=`30s`: expected milliseconds, 1 or more
        OTEL_EXPORTER_OTLP_COMPRESSION=`zstd`: expected `gzip` or `none`
        ");
    }
}
