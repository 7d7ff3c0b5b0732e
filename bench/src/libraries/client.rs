//! `prometheus-client`, with labels as its documentation has them, and typed as one types them who cares for speed.

use std::{any::Any, collections::HashSet, fmt, hint::black_box, sync::Arc};

use anyhow::Result;
use futura_metrics::{
    specs::http::{DURATION_BOUNDS, Method},
    storage::SpanRef,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{
    harness::Case,
    work::{
        IDLE_HISTOGRAM_PATHS, METHOD, ROUTE, SPAN, STATUS, for_each_counter, for_each_histogram, for_each_observation,
        with_durations,
    },
};

pub(crate) const HANDLE: &str = "prometheus-client, handle";
pub(crate) const TYPED: &str = "prometheus-client, typed labels";
pub(crate) const TEXT: &str = "prometheus-client, owned text";
pub(crate) const NO_SPAN: &str = "prometheus-client, no span";
pub(crate) const SAMPLED: &str = "prometheus-client, sampled span";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypedLabels {
    method: TypedMethod,
    path: Arc<str>,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypedRouteLabels {
    method: TypedMethod,
    path: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TypedMethod(Method);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TextLabels {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TextRouteLabels {
    method: String,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanLabels {
    trace_id: String,
    span_id: String,
}

/// One text for each path, which all of its series share.
#[derive(Default)]
struct SharedPath(HashSet<Arc<str>>);

// === impl TypedMethod ===

impl EncodeLabelValue for TypedMethod {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

// === impl SpanLabels ===

impl From<SpanRef> for SpanLabels {
    /// Hexadecimal digits, as a span's ids print.
    fn from(span: SpanRef) -> Self {
        let (trace, id) = (u128::from_be_bytes(span.trace_id), u64::from_be_bytes(span.span_id));
        Self { trace_id: format!("{trace:032x}"), span_id: format!("{id:016x}") }
    }
}

// === impl SharedPath ===

impl SharedPath {
    fn get(&mut self, path: &str) -> Arc<str> {
        if let Some(known) = self.0.get(path) {
            return Arc::clone(known);
        }
        let path: Arc<str> = path.into();
        self.0.insert(Arc::clone(&path));
        path
    }
}

pub(crate) fn counter_cases() -> Vec<Case> {
    let typed = Family::<TypedLabels, Counter>::default();
    let text = Family::<TextLabels, Counter>::default();
    let path: Arc<str> = ROUTE.into();
    let method = TypedMethod(Method::Get);
    let handle = typed.get_or_create_owned(&TypedLabels { method, path: Arc::clone(&path), status: STATUS });
    vec![
        Case::new(HANDLE, move |_| {
            handle.inc();
        }),
        Case::new(TYPED, move |_| {
            let (method, status) = black_box((method, STATUS));
            typed.get_or_create(&TypedLabels { method, path: Arc::clone(&path), status }).inc();
        }),
        Case::new(TEXT, move |_| {
            let (method, path, status) = black_box((METHOD, ROUTE, STATUS));
            text.get_or_create(&TextLabels { method: method.to_owned(), path: path.to_owned(), status }).inc();
        })
        .beside(TYPED),
    ]
}

pub(crate) fn histogram_cases() -> Vec<Case> {
    let typed = Family::<TypedRouteLabels, Histogram>::new_with_constructor(histogram);
    let text = Family::<TextRouteLabels, Histogram>::new_with_constructor(histogram);
    let path: Arc<str> = ROUTE.into();
    let method = TypedMethod(Method::Get);
    let handle = typed.get_or_create_owned(&TypedRouteLabels { method, path: Arc::clone(&path) });
    vec![
        with_durations(HANDLE, move |duration| handle.observe(duration.as_secs_f64())),
        with_durations(TYPED, move |duration| {
            let labels = TypedRouteLabels { method: black_box(method), path: Arc::clone(&path) };
            typed.get_or_create(&labels).observe(duration.as_secs_f64());
        }),
        with_durations(TEXT, move |duration| {
            let (method, path) = black_box((METHOD, ROUTE));
            let labels = TextRouteLabels { method: method.to_owned(), path: path.to_owned() };
            text.get_or_create(&labels).observe(duration.as_secs_f64());
        })
        .beside(TYPED),
    ]
}

pub(crate) fn exemplar_cases() -> Vec<Case> {
    let new = || HistogramWithExemplars::<SpanLabels>::new(DURATION_BOUNDS.iter().copied());
    let (plain, sampled) = (new(), new());
    vec![
        with_durations(NO_SPAN, move |duration| plain.observe(duration.as_secs_f64(), black_box(None), None)),
        with_durations(SAMPLED, move |duration| {
            sampled.observe(duration.as_secs_f64(), Some(SpanLabels::from(black_box(SPAN))), None);
        }),
    ]
}

/// What writes the series of a scrape.
pub(crate) fn filled() -> impl Fn() -> String + Send + Sync {
    let requests = Family::<TextLabels, Counter>::default();
    let duration = Family::<TextRouteLabels, Histogram>::new_with_constructor(histogram);
    for_each_counter(|method, path, status, count| {
        let labels = TextLabels { method: method.as_str().to_owned(), path: path.to_owned(), status };
        requests.get_or_create(&labels).inc_by(count);
    });
    for_each_observation(|method, path, value| {
        let labels = TextRouteLabels { method: method.as_str().to_owned(), path: path.to_owned() };
        duration.get_or_create(&labels).observe(value.as_secs_f64());
    });
    let mut registry = Registry::default();
    #[expect(clippy::disallowed_methods, reason = "this registry is the peer's")]
    {
        registry.register("http_requests", "HTTP requests answered", requests);
        registry.register("http_request_duration_seconds", "Time to the end of the response", duration);
    }
    move || {
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to a String does not fail");
        text
    }
}

pub(crate) fn idle_typed_counters() -> Result<Box<dyn Any>> {
    let requests = Family::<TypedLabels, Counter>::default();
    let mut shared = SharedPath::default();
    for_each_counter(|method, path, status, _| {
        drop(requests.get_or_create(&TypedLabels { method: TypedMethod(method), path: shared.get(path), status }));
    });
    Ok(Box::new(requests))
}

pub(crate) fn idle_typed_histograms() -> Result<Box<dyn Any>> {
    let duration = Family::<TypedRouteLabels, Histogram>::new_with_constructor(histogram);
    let mut shared = SharedPath::default();
    for_each_histogram(IDLE_HISTOGRAM_PATHS, |method, path| {
        drop(duration.get_or_create(&TypedRouteLabels { method: TypedMethod(method), path: shared.get(path) }));
    });
    Ok(Box::new(duration))
}

pub(crate) fn idle_text_counters() -> Result<Box<dyn Any>> {
    let requests = Family::<TextLabels, Counter>::default();
    for_each_counter(|method, path, status, _| {
        let labels = TextLabels { method: method.as_str().to_owned(), path: path.to_owned(), status };
        drop(requests.get_or_create(&labels));
    });
    Ok(Box::new(requests))
}

pub(crate) fn idle_text_histograms() -> Result<Box<dyn Any>> {
    let duration = Family::<TextRouteLabels, Histogram>::new_with_constructor(histogram);
    for_each_histogram(IDLE_HISTOGRAM_PATHS, |method, path| {
        let labels = TextRouteLabels { method: method.as_str().to_owned(), path: path.to_owned() };
        drop(duration.get_or_create(&labels));
    });
    Ok(Box::new(duration))
}

pub(crate) fn histogram() -> Histogram {
    Histogram::new(DURATION_BOUNDS.iter().copied())
}
