//! A registry with a record of what was done to it, and what an exposition must therefore hold.

use std::{
    collections::BTreeMap,
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use futura_metrics::{
    Counter, Family as Series, Gauge, Histogram, Metrics,
    spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit},
    storage::SpanRef,
};
use prometheus_client::metrics::{
    counter,
    exemplar::{CounterWithExemplar, HistogramWithExemplars},
    family::{self, MetricConstructor},
    gauge, histogram,
    info::Info,
};

use super::case::{Case, Guest, Host, Operation, Size};

pub(super) type Labels = BTreeMap<String, String>;

/// What a parser has read: families in order.
pub(super) type Exposed = Vec<Family>;

#[derive(Debug, PartialEq)]
pub(super) struct Family {
    /// The name that OpenMetrics gives to the family.
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) unit: String,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: String,
    pub(super) exemplar: Option<Exemplar>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exemplar {
    pub(super) labels: Labels,
    pub(super) value: String,
    pub(super) timed: bool,
}

/// The formats, by what they can tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire {
    Text,
    OpenMetrics,
    Protobuf,
}

/// What is known of a family in advance. What it counts are whole steps, so that no sum is off by a rounding.
pub(super) struct Declared {
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    steps_per_unit: u64,
    bounds: &'static [f64],
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Untyped,
    Histogram,
    ClientCounter,
    ClientGauge,
    ClientHistogram,
    ClientInfo,
}

const WAIT_BOUNDS: &[f64] = &[0.00001, 0.25, 1.0, 2.5, 100.0];
const SENT_BOUNDS: &[f64] = &[1.0, 512.0, 100_000.0, 1_000_000.0, 1_048_576.0, 123_456_789.0];
const CLIENT_BOUNDS: &[f64] = &[0.5, 2.0, 100.0];

/// Each bound as OpenMetrics calls it canonical.
const BOUND_TEXTS: [(f64, &str); 13] = [
    (0.00001, "1e-05"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1.0"),
    (2.0, "2.0"),
    (2.5, "2.5"),
    (100.0, "100.0"),
    (512.0, "512.0"),
    (100_000.0, "100000.0"),
    (1_000_000.0, "1e+06"),
    (1_048_576.0, "1.048576e+06"),
    (123_456_789.0, "1.23456789e+08"),
    (f64::INFINITY, "+Inf"),
];

/// In the order of an exposition: ours by name, then those of the other crate as they were registered.
pub(super) const FAMILIES: [Declared; 13] = [
    Declared::new("busy_seconds", Kind::Counter, "seconds", 1_000_000_000, &[]),
    Declared::new("calls", Kind::Counter, "", 1, &[]),
    Declared::new(FOLDED, Kind::Counter, "", 1, &[]),
    Declared::new("level_ratio", Kind::Gauge, "ratio", 1, &[]),
    Declared::new("sent_bytes", Kind::Histogram, "bytes", 1, SENT_BOUNDS),
    Declared::new("tickets_total", Kind::Untyped, "", 1, &[]),
    Declared::new("wait_seconds", Kind::Histogram, "seconds", 1_000_000_000, WAIT_BOUNDS),
    Declared::new("client_calls", Kind::ClientCounter, "", 4, &[]),
    Declared::new("client_level", Kind::ClientGauge, "", 1, &[]),
    Declared::new("client_wait", Kind::ClientHistogram, "", 4, CLIENT_BOUNDS),
    Declared::new("client_traced", Kind::ClientCounter, "", 4, &[]),
    Declared::new("client_traced_wait", Kind::ClientHistogram, "", 4, CLIENT_BOUNDS),
    Declared::new("client_build", Kind::ClientInfo, "", 1, &[]),
];

const FOLDED: &str = "futura_metrics_folded";
const FOLDED_HELP: &str = "Times that a value became `_other`, because its label had as many values as it may.";

type ClientLabels = Vec<(String, String)>;
type ClientCounter = counter::Counter<f64, AtomicU64>;
type ClientGauge = gauge::Gauge<f64, AtomicU64>;

#[derive(Clone)]
struct ClientBounds;

/// A registry, and a record of all that was done to it.
pub(super) struct Recorded {
    pub(super) metrics: Metrics,
    texts: Vec<String>,
    helps: Vec<String>,
    handles: Handles,
    /// By family and labels.
    counts: BTreeMap<(&'static str, Labels), u64>,
    values: BTreeMap<(&'static str, Labels), f64>,
    observations: BTreeMap<(&'static str, Labels), Vec<u64>>,
    exemplars: BTreeMap<(&'static str, Labels, String), (Labels, u64)>,
}

struct Handles {
    busy: Counter,
    calls: Series<Counter, (Guest, Size)>,
    level: Series<Gauge, (Guest, Host)>,
    sent: Histogram,
    tickets: Gauge,
    wait: Series<Histogram, (Guest,)>,
    client_calls: family::Family<ClientLabels, ClientCounter>,
    client_level: family::Family<ClientLabels, ClientGauge>,
    client_wait: family::Family<ClientLabels, histogram::Histogram, ClientBounds>,
    client_traced: CounterWithExemplar<ClientLabels, f64, AtomicU64>,
    client_traced_wait: HistogramWithExemplars<ClientLabels>,
}

/// A number as it is compared: every NaN is the same, and a zero has no sign.
pub(super) fn shown(number: f64) -> String {
    format!("{:?}", number + 0.0)
}

pub(super) fn bound_text(bound: f64) -> String {
    let text = BOUND_TEXTS.iter().find(|(known, _)| *known == bound).map(|(_, text)| *text);
    text.unwrap_or_else(|| panic!("no text for the bound {bound}")).to_owned()
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

// === impl Declared ===

impl Declared {
    const fn new(
        name: &'static str,
        kind: Kind,
        unit: &'static str,
        steps_per_unit: u64,
        bounds: &'static [f64],
    ) -> Self {
        Self { name, kind, unit, steps_per_unit, bounds }
    }

    /// Name and type, as that of a family that OpenMetrics, Python's parser of text 0.0.4, or protobuf has.
    fn on(&self, wire: Wire) -> (String, &'static str) {
        let name = self.name.to_owned();
        match self.kind {
            Kind::Counter | Kind::ClientCounter => (name, "counter"),
            Kind::Gauge | Kind::ClientGauge => (name, "gauge"),
            Kind::Untyped => (name, "unknown"),
            Kind::Histogram | Kind::ClientHistogram => (name, "histogram"),
            Kind::ClientInfo if wire == Wire::OpenMetrics => (name, "info"),
            Kind::ClientInfo => (format!("{name}_info"), "gauge"),
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.kind, Kind::ClientCounter | Kind::ClientGauge | Kind::ClientHistogram | Kind::ClientInfo)
    }

    fn units(&self, steps: u64) -> String {
        shown(steps as f64 / self.steps_per_unit as f64)
    }
}

// === impl ClientBounds ===

impl MetricConstructor<histogram::Histogram> for ClientBounds {
    fn new_metric(&self) -> histogram::Histogram {
        histogram::Histogram::new(CLIENT_BOUNDS.iter().copied())
    }
}

// === impl Handles ===

impl Handles {
    fn register(metrics: &Metrics, case: &Case) -> Self {
        let help = |name: &str| {
            leak(&case.helps[FAMILIES.iter().position(|family| family.name == name).expect("a family of the list")])
        };
        let wait = HistogramSpec::new("wait_seconds", Unit::Seconds, WAIT_BOUNDS).help(help("wait_seconds"));
        let handles = Self {
            busy: metrics
                .counter(CounterSpec::new("busy_seconds_total", Unit::Seconds).help(help("busy_seconds")))
                .unwrap(),
            calls: metrics.counters(CounterSpec::new("calls_total", Unit::Count).help(help("calls"))).unwrap(),
            level: metrics.gauges(GaugeSpec::new("level_ratio", Unit::Ratio).help(help("level_ratio"))).unwrap(),
            sent: metrics
                .histogram(HistogramSpec::new("sent_bytes", Unit::Bytes, SENT_BOUNDS).help(help("sent_bytes")))
                .unwrap(),
            tickets: metrics
                .gauge(GaugeSpec::named_like_a_counter("tickets_total", Unit::Count).help(help("tickets_total")))
                .unwrap(),
            wait: metrics.histograms(if case.native { wait.native() } else { wait }).unwrap(),
            client_calls: family::Family::default(),
            client_level: family::Family::default(),
            client_wait: family::Family::new_with_constructor(ClientBounds),
            client_traced: CounterWithExemplar::default(),
            client_traced_wait: HistogramWithExemplars::new(CLIENT_BOUNDS.iter().copied()),
        };
        let name = "client_calls";
        metrics.register_client(name, help(name), handles.client_calls.clone()).unwrap();
        let name = "client_level";
        metrics.register_client(name, help(name), handles.client_level.clone()).unwrap();
        let name = "client_wait";
        metrics.register_client(name, help(name), handles.client_wait.clone()).unwrap();
        let name = "client_traced";
        metrics.register_client(name, help(name), handles.client_traced.clone()).unwrap();
        let name = "client_traced_wait";
        metrics.register_client(name, help(name), handles.client_traced_wait.clone()).unwrap();
        let name = "client_build";
        let version = vec![("version".to_owned(), case.texts[0].clone())];
        metrics.register_client(name, help(name), Info::new(version)).unwrap();
        handles
    }
}

// === impl Recorded ===

impl Recorded {
    /// Does all that the case says.
    pub(super) fn play(case: &Case) -> Self {
        let metrics = Metrics::new();
        let handles = Handles::register(&metrics, case);
        let folded =
            [("calls_total", "guest"), ("level_ratio", "guest"), ("level_ratio", "host"), ("wait_seconds", "guest")];
        let zero = |name| ((name, Labels::new()), 0);
        let mut counts = BTreeMap::from([zero("busy_seconds"), zero("client_traced")]);
        counts.extend(folded.map(|(metric, label)| ((FOLDED, labels([("metric", metric), ("label", label)])), 0)));
        let observations = ["sent_bytes", "client_traced_wait"].map(|name| ((name, Labels::new()), Vec::new()));
        let version = labels([("version", &case.texts[0])]);
        let mut recorded = Self {
            metrics,
            texts: case.texts.clone(),
            helps: case.helps.clone(),
            handles,
            counts,
            values: BTreeMap::from([(("tickets_total", Labels::new()), 0.0), (("client_build", version), 1.0)]),
            observations: BTreeMap::from(observations),
            exemplars: BTreeMap::new(),
        };
        case.operations.iter().for_each(|operation| recorded.operate(operation));
        recorded
    }

    fn operate(&mut self, operation: &Operation) {
        match *operation {
            Operation::Call { guest, size, amount } => {
                let guest = self.text(guest);
                self.handles.calls.with((&guest, size)).add(amount.into());
                self.count("calls", labels([("guest", &guest), ("size", size.as_str())]), amount.into());
            }
            Operation::Busy { nanoseconds } => {
                self.handles.busy.add_duration(Duration::from_nanos(nanoseconds.into()));
                self.count("busy_seconds", Labels::new(), nanoseconds.into());
            }
            Operation::Level { guest, host, value } => {
                let (guest, host) = (self.text(guest), self.text(host));
                self.handles.level.with((&guest, &host)).set(value);
                self.values.insert(("level_ratio", labels([("guest", &guest), ("host", &host)])), value);
            }
            Operation::LevelBy { guest, host, delta } => {
                let (guest, host) = (self.text(guest), self.text(host));
                self.handles.level.with((&guest, &host)).add(delta);
                let key = ("level_ratio", labels([("guest", &guest), ("host", &host)]));
                *self.values.entry(key).or_default() += delta;
            }
            Operation::Tickets { value } => {
                self.handles.tickets.set(value);
                self.values.insert(("tickets_total", Labels::new()), value);
            }
            Operation::Send { bytes } => {
                self.handles.sent.observe(bytes.into());
                self.observe("sent_bytes", Labels::new(), bytes.into(), None);
            }
            Operation::Wait { .. } | Operation::WaitIn { .. } => self.wait(operation),
            _ => self.operate_client(operation),
        }
    }

    fn wait(&mut self, operation: &Operation) {
        match *operation {
            Operation::Wait { guest, seconds } => {
                let guest = self.text(guest);
                self.handles.wait.with((&guest,)).observe(seconds);
                let series = ("wait_seconds", labels([("guest", &guest)]));
                // What is no observation gives birth to the series all the same.
                let observations = self.observations.entry(series).or_default();
                if seconds >= 0.0 {
                    observations.push((seconds * 1e9).round() as u64);
                }
            }
            Operation::WaitIn { guest, microseconds, span } => {
                let guest = self.text(guest);
                let span_ref = SpanRef { trace_id: u128::from(span).to_be_bytes(), span_id: span.to_be_bytes() };
                let duration = Duration::from_micros(microseconds.into());
                self.handles.wait.with((&guest,)).observe_duration_in(duration, Some(span_ref));
                let ids = [("trace_id", &*format!("{span:032x}")), ("span_id", &format!("{span:016x}"))];
                let steps = u64::from(microseconds) * 1_000;
                self.observe("wait_seconds", labels([("guest", &guest)]), steps, Some(labels(ids)));
            }
            _ => unreachable!("the caller has told them apart"),
        }
    }

    fn operate_client(&mut self, operation: &Operation) {
        // An empty label set is one that the other crate allows.
        let guest_of = |guest: Option<usize>| guest.map(|guest| ("guest".to_owned(), self.text(guest)));
        match *operation {
            Operation::ClientCall { guest, quarters } => {
                let labels: ClientLabels = guest_of(guest).into_iter().collect();
                self.handles.client_calls.get_or_create(&labels).inc_by(f64::from(quarters) / 4.0);
                self.count("client_calls", labels.into_iter().collect(), quarters.into());
            }
            Operation::ClientLevel { guest, value } => {
                let labels: ClientLabels = guest_of(Some(guest)).into_iter().collect();
                self.handles.client_level.get_or_create(&labels).set(value);
                self.values.insert(("client_level", labels.into_iter().collect()), value);
            }
            Operation::ClientWait { guest, quarters } => {
                let labels: ClientLabels = guest_of(guest).into_iter().collect();
                self.handles.client_wait.get_or_create(&labels).observe(f64::from(quarters) / 4.0);
                self.observe("client_wait", labels.into_iter().collect(), quarters.into(), None);
            }
            Operation::ClientCallIn { quarters, trace } => {
                let ids = vec![("trace_id".to_owned(), format!("{trace:x}"))];
                let now = Some(SystemTime::now());
                self.handles.client_traced.inc_by(f64::from(quarters) / 4.0, Some(ids.clone()), now);
                self.count("client_traced", Labels::new(), quarters.into());
                let at = ("client_traced", Labels::new(), String::new());
                self.exemplars.insert(at, (ids.into_iter().collect(), quarters.into()));
            }
            Operation::ClientWaitIn { quarters, trace } => {
                let ids = vec![("trace_id".to_owned(), format!("{trace:x}"))];
                let now = Some(SystemTime::now());
                self.handles.client_traced_wait.observe(f64::from(quarters) / 4.0, Some(ids.clone()), now);
                let ids = ids.into_iter().collect();
                self.observe("client_traced_wait", Labels::new(), quarters.into(), Some(ids));
            }
            _ => unreachable!("the caller has told them apart"),
        }
    }

    fn text(&self, pick: usize) -> String {
        self.texts[pick % self.texts.len()].clone()
    }

    fn count(&mut self, family: &'static str, labels: Labels, steps: u64) {
        *self.counts.entry((family, labels)).or_default() += steps;
    }

    fn observe(&mut self, family: &'static str, labels: Labels, steps: u64, exemplar: Option<Labels>) {
        let declared = FAMILIES.iter().find(|declared| declared.name == family).expect("a family of the list");
        let bound = declared.bounds.iter().find(|bound| steps as f64 / declared.steps_per_unit as f64 <= **bound);
        if let Some(exemplar) = exemplar {
            let le = bound_text(bound.copied().unwrap_or(f64::INFINITY));
            let kept = self.exemplars.entry((family, labels.clone(), le));
            match declared.kind {
                // Ours keeps a bucket's first since a scrape, the other crate the last.
                Kind::Histogram => kept.or_insert((exemplar, steps)),
                _ => kept.insert_entry((exemplar, steps)).into_mut(),
            };
        }
        self.observations.entry((family, labels)).or_default().push(steps);
    }

    /// What an exposition in this format must hold. Samples are sorted.
    pub(super) fn expected(&self, wire: Wire) -> Exposed {
        let families = FAMILIES.iter().enumerate().map(|(position, declared)| {
            let (name, kind) = declared.on(wire);
            let help = match declared.name {
                FOLDED => FOLDED_HELP.to_owned(),
                _ if declared.is_client() => format!("{}.", self.helps[position]),
                _ => self.helps[position].clone(),
            };
            let unit = if wire == Wire::Text { "" } else { declared.unit };
            Family { name, kind: kind.to_owned(), help, unit: unit.to_owned(), samples: self.samples(declared, wire) }
        });
        // A family without series leaves no trace.
        families.filter(|family| !family.samples.is_empty()).collect()
    }

    fn samples(&self, declared: &Declared, wire: Wire) -> Vec<Sample> {
        let suffix = match declared.kind {
            Kind::Counter | Kind::ClientCounter => "_total",
            Kind::ClientInfo => "_info",
            _ => "",
        };
        let name = format!("{}{suffix}", declared.name);
        let counts = self.counts.iter().filter(|((family, _), _)| *family == declared.name);
        let counts = counts.map(|((_, labels), steps)| Sample {
            name: name.clone(),
            labels: labels.clone(),
            value: declared.units(*steps),
            exemplar: self.exemplar(declared, labels, "", wire),
        });
        let values = self.values.iter().filter(|((family, _), _)| *family == declared.name);
        let values = values.map(|((_, labels), value)| Sample {
            name: name.clone(),
            labels: labels.clone(),
            value: shown(*value),
            exemplar: None,
        });
        let observed = self.observations.iter().filter(|((family, _), _)| *family == declared.name);
        let observed = observed.flat_map(|((_, labels), steps)| self.histogram(declared, labels, steps, wire));
        let mut samples: Vec<Sample> = counts.chain(values).chain(observed).collect();
        samples.sort();
        samples
    }

    fn histogram(&self, declared: &Declared, labels: &Labels, steps: &[u64], wire: Wire) -> Vec<Sample> {
        let part = |suffix: &str, value: String| Sample {
            name: format!("{}{suffix}", declared.name),
            labels: labels.clone(),
            value,
            exemplar: None,
        };
        let mut samples =
            vec![part("_count", shown(steps.len() as f64)), part("_sum", declared.units(steps.iter().sum()))];
        for bound in declared.bounds.iter().copied().chain([f64::INFINITY]) {
            let below = steps.iter().filter(|steps| **steps as f64 / declared.steps_per_unit as f64 <= bound).count();
            let mut bucket = part("_bucket", shown(below as f64));
            let le = bound_text(bound);
            bucket.exemplar = self.exemplar(declared, labels, &le, wire);
            bucket.labels.insert("le".to_owned(), le);
            samples.push(bucket);
        }
        samples
    }

    fn exemplar(&self, declared: &Declared, labels: &Labels, le: &str, wire: Wire) -> Option<Exemplar> {
        // Those of the other crate do not go into protobuf.
        if wire == Wire::Text || (wire == Wire::Protobuf && declared.is_client()) {
            return None;
        }
        let (ids, steps) = self.exemplars.get(&(declared.name, labels.clone(), le.to_owned()))?;
        Some(Exemplar { labels: ids.clone(), value: declared.units(*steps), timed: true })
    }
}
