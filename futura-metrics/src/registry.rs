//! The registry: every metric of a program, registered once, rendered together.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

#[cfg(feature = "telemetry")]
use opentelemetry_proto::tonic::metrics::v1::Metric as OtlpMetric;
use parking_lot::Mutex;

#[cfg(feature = "admin")]
use crate::{
    admin::ScrapeMetrics,
    specs::metrics::{
        METRICS_SCRAPE_DURATION_SECONDS, METRICS_SCRAPE_SIZE_BYTES, METRICS_SCRAPES_REFUSED_TOTAL, METRICS_SERIES,
    },
};
use crate::{
    exposition::{self, ClientMetric, Format, Selection},
    spec::{CounterSpec, Descriptor, GaugeSpec, HistogramSpec, Kind, LabelSet, is_metric_name},
    specs::{
        self,
        metrics::{LabelName, METRICS_FOLDED_TOTAL, MetricName},
    },
    storage::{Counter, Family, Gauge, Histogram, Metric},
};

/// The metrics of one program: a handle that is passed around, never a global.
///
/// ```
/// use futura_metrics::{Metrics, exposition::Format, specs::business::ORDERS_CREATED_TOTAL};
///
/// let metrics = Metrics::new();
/// let orders = metrics.counter(ORDERS_CREATED_TOTAL)?;
/// orders.inc();
/// assert!(metrics.render(Format::Text).contains("\norders_created_total 1\n"));
/// # Ok::<(), futura_metrics::RegisterError>(())
/// ```
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

/// Why a metric was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name is in use, perhaps by a metric of another kind or by a suffix such as `_count`.
    #[error("metric `{name}`: the name is already registered as {taken}")]
    Duplicate {
        /// The name that was asked for.
        name: String,
        /// What holds it.
        taken: String,
    },
    /// A metric of the `prometheus_client` crate cannot be exposed.
    #[error("metric `{name}`: it cannot be written as text; a native histogram needs classic buckets as well")]
    Unwritable {
        /// The name that was asked for.
        name: String,
    },
    /// The name cannot be exposed.
    #[error("metric `{name}`: a name is letters, digits, `_` and `:`, and does not start with a digit")]
    BadName {
        /// The name that was asked for.
        name: String,
    },
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// How long the last exposition was, which is about what the next will be: growing it would copy it again and again.
    last_len: AtomicUsize,
}

struct State {
    /// Sorted by name, so that every exposition has one order.
    families: BTreeMap<&'static str, Arc<dyn exposition::Encode>>,
    /// Every sample name in use, with the family that it belongs to.
    names: BTreeMap<String, String>,
    /// In the order in which they were registered.
    client: Vec<Arc<ClientMetric>>,
    collectors: Vec<Arc<dyn Fn() + Send + Sync>>,
    folded: Family<Counter, (MetricName, LabelName)>,
    #[cfg(feature = "admin")]
    scrapes: Option<ScrapeMetrics>,
}

// === impl Metrics ===

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a counter without labels.
    ///
    /// # Errors
    /// When a name that it would expose is taken or malformed; so for all that registers.
    ///
    /// ```
    /// use std::time::Duration;
    /// use futura_metrics::{Metrics, spec::{CounterSpec, Unit}, testing::sample};
    ///
    /// const BUSY_SECONDS_TOTAL: CounterSpec = CounterSpec::new("busy_seconds_total", Unit::Seconds).help("Busy time.");
    /// let metrics = Metrics::new();
    /// let busy = metrics.counter(BUSY_SECONDS_TOTAL)?;
    /// busy.add_duration(Duration::from_millis(1_500));
    /// assert_eq!(sample(&metrics, "busy_seconds_total", []), 1.5);
    /// # Ok::<(), futura_metrics::RegisterError>(())
    /// ```
    pub fn counter(&self, spec: CounterSpec) -> Result<Counter, RegisterError> {
        self.family::<Counter, ()>(spec.descriptor()).map(|family| family.with(()).clone())
    }

    /// Registers a gauge without labels.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn gauge(&self, spec: GaugeSpec) -> Result<Gauge, RegisterError> {
        self.family::<Gauge, ()>(spec.descriptor()).map(|family| family.with(()).clone())
    }

    /// Registers a histogram without labels.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    ///
    /// ```
    /// use std::time::Duration;
    /// use futura_metrics::{Metrics, spec::{HistogramSpec, Unit}, testing::sample};
    ///
    /// const BREW_SECONDS: HistogramSpec =
    ///     HistogramSpec::new("brew_seconds", Unit::Seconds, &[30.0, 60.0]).help("Time to brew a coffee.");
    /// let metrics = Metrics::new();
    /// let brew = metrics.histogram(BREW_SECONDS)?;
    /// brew.observe_duration(Duration::from_secs(25));
    /// brew.observe(42.0); // the base unit, here seconds
    /// brew.observe(f64::NAN); // neither this nor what is negative is an observation
    /// assert_eq!(sample(&metrics, "brew_seconds_bucket", [("le", "30.0")]), 1.0);
    /// assert_eq!(sample(&metrics, "brew_seconds_count", []), 2.0);
    /// # Ok::<(), futura_metrics::RegisterError>(())
    /// ```
    pub fn histogram(&self, spec: HistogramSpec) -> Result<Histogram, RegisterError> {
        self.family::<Histogram, ()>(spec.descriptor()).map(|family| family.with(()).clone())
    }

    /// Registers a counter with labels. Where all labels are closed sets, every series starts at zero.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    ///
    /// ```
    /// use futura_metrics::{Metrics, label, spec::{CounterSpec, Unit}, testing::sample};
    ///
    /// label! {
    ///     /// Who ordered.
    ///     pub enum Guest: "guest";
    /// }
    /// label! {
    ///     /// The size of a cup.
    ///     pub enum Size: "size" { Small => "small", Large => "large" }
    /// }
    /// const COFFEES_TOTAL: CounterSpec<(Guest, Size)> =
    ///     CounterSpec::new("coffees_total", Unit::Count).help("Coffees served.");
    ///
    /// let metrics = Metrics::new();
    /// let coffees = metrics.counters(COFFEES_TOTAL)?;
    /// coffees.with(("Ada", Size::Large)).inc();
    /// // A series that is used often is looked up once:
    /// let house = coffees.declare(("house", Size::Small)).clone();
    /// house.add(2);
    /// assert_eq!(sample(&metrics, "coffees_total", [("guest", "house"), ("size", "small")]), 2.0);
    /// # Ok::<(), futura_metrics::RegisterError>(())
    /// ```
    pub fn counters<L: LabelSet>(&self, spec: CounterSpec<L>) -> Result<Family<Counter, L>, RegisterError> {
        self.family(spec.descriptor())
    }

    /// Registers a gauge with labels. Where all labels are closed sets, every series starts at zero.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn gauges<L: LabelSet>(&self, spec: GaugeSpec<L>) -> Result<Family<Gauge, L>, RegisterError> {
        self.family(spec.descriptor())
    }

    /// Registers a histogram with labels. Where all labels are closed sets, every series starts at zero.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter).
    pub fn histograms<L: LabelSet>(&self, spec: HistogramSpec<L>) -> Result<Family<Histogram, L>, RegisterError> {
        self.family(spec.descriptor())
    }

    /// Registers a metric of the `prometheus_client` crate; a counter's name comes without `_total`, as that crate wants it.
    ///
    /// # Errors
    /// As for [`counter`](Self::counter), and when the metric cannot be written as text.
    ///
    /// ```
    /// use futura_metrics::{Metrics, testing::sample};
    /// use prometheus_client::metrics::counter::Counter;
    ///
    /// let metrics = Metrics::new();
    /// let coffees = Counter::<u64>::default();
    /// metrics.register_client("coffees", "Coffees served.", coffees.clone())?;
    /// coffees.inc();
    /// assert_eq!(sample(&metrics, "coffees_total", []), 1.0);
    /// # Ok::<(), futura_metrics::RegisterError>(())
    /// ```
    pub fn register_client(
        &self,
        name: &str,
        help: &str,
        metric: impl prometheus_client::registry::Metric,
    ) -> Result<(), RegisterError> {
        let metric = ClientMetric::new(name, help, metric)
            .map_err(|fmt::Error| RegisterError::Unwritable { name: name.to_owned() })?;
        let mut state = self.inner.state.lock();
        state.claim(name, &metric.sample_names())?;
        state.client.push(Arc::new(metric));
        Ok(())
    }

    /// Has `collect` run before each scrape, to set metrics whose truth is elsewhere. It must not block.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use futura_metrics::{Metrics, spec::{GaugeSpec, Unit}, testing::sample};
    ///
    /// const WAITING: GaugeSpec = GaugeSpec::new("waiting", Unit::Count).help("Guests who wait.");
    /// let (metrics, queue) = (Metrics::new(), Arc::new(Mutex::new(vec!["Ada", "Grace"])));
    /// let waiting = metrics.gauge(WAITING)?;
    /// metrics.on_scrape({
    ///     let queue = Arc::clone(&queue);
    ///     move || waiting.set(queue.lock().map_or(0, |queue| queue.len()) as f64)
    /// });
    /// assert_eq!(sample(&metrics, "waiting", []), 2.0);
    /// # Ok::<(), futura_metrics::RegisterError>(())
    /// ```
    pub fn on_scrape(&self, collect: impl Fn() + Send + Sync + 'static) {
        self.inner.state.lock().collectors.push(Arc::new(collect));
    }

    /// Renders every metric in one exposition.
    pub fn render(&self, format: Format) -> String {
        self.render_selected(format, &Selection::all())
    }

    /// Renders the metrics of `selection` in one exposition.
    pub fn render_selected(&self, format: Format, selection: &Selection) -> String {
        let (families, client) = self.gather(selection);
        let mut out = String::with_capacity(self.inner.last_len.load(Relaxed));
        families.iter().for_each(|family| family.encode_text(format, &mut out));
        client.iter().for_each(|metric| metric.encode_text(format, &mut out));
        exposition::finish(format, &mut out);
        self.inner.last_len.store(out.len() + out.len() / 8, Relaxed);
        out
    }

    /// Renders the metrics of `selection` in Prometheus' protobuf format, native histograms included.
    pub fn render_protobuf(&self, selection: &Selection) -> Vec<u8> {
        let (families, client) = self.gather(selection);
        let mut out = Vec::new();
        families.iter().for_each(|family| family.encode_protobuf(&mut out));
        client.iter().for_each(|metric| exposition::encode_client_protobuf(metric, &mut out));
        out
    }

    /// Every metric in OTLP's messages, each made when it is asked for.
    #[cfg(feature = "telemetry")]
    pub(crate) fn to_otlp(&self, view: exposition::View) -> impl Iterator<Item = OtlpMetric> {
        let (families, client) = self.gather(&Selection::all());
        let client = client.into_iter().filter_map(move |metric| exposition::encode_client_otlp(&metric, view));
        families.into_iter().filter_map(move |family| family.to_otlp(view)).chain(client)
    }

    /// Lets the collectors run, and gives what to write. Nothing is locked while it is written.
    fn gather(&self, selection: &Selection) -> (Vec<Arc<dyn exposition::Encode>>, Vec<Arc<ClientMetric>>) {
        let collectors = self.inner.state.lock().collectors.clone();
        collectors.iter().for_each(|collect| collect());
        let state = self.inner.state.lock();
        let client = state.client.iter().filter(|metric| metric.is_in(selection)).cloned().collect();
        (state.selected(selection).collect(), client)
    }

    /// Series of our own storage, a histogram counting as one.
    pub fn series(&self) -> usize {
        self.inner.state.lock().families.values().map(|family| family.len()).sum()
    }

    /// The handles that every route for scrapes shares, registered with the first.
    #[cfg(feature = "admin")]
    pub(crate) fn scrape_metrics(&self) -> ScrapeMetrics {
        self.inner.state.lock().scrape_metrics()
    }

    fn family<M: Metric, L: LabelSet>(&self, descriptor: Descriptor) -> Result<Family<M, L>, RegisterError> {
        self.inner.state.lock().family(descriptor)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.inner.state.lock().families.keys()).finish()
    }
}

// === impl State ===

impl Default for State {
    fn default() -> Self {
        let descriptor = METRICS_FOLDED_TOTAL.descriptor();
        let folded = Family::new(descriptor, |_| Counter::detached());
        let mut state = Self {
            families: BTreeMap::from([(descriptor.name, folded.inner() as Arc<dyn exposition::Encode>)]),
            names: BTreeMap::new(),
            client: Vec::new(),
            collectors: Vec::new(),
            folded,
            #[cfg(feature = "admin")]
            scrapes: None,
        };
        // The names of the library's own metrics are taken from the start, whether or when they are used.
        for own in specs::metrics::CATALOGUE {
            state.claim(own.name, &sample_names(own)).expect("the own names are well-formed and differ");
        }
        state
    }
}

impl State {
    fn family<M: Metric, L: LabelSet>(&mut self, descriptor: Descriptor) -> Result<Family<M, L>, RegisterError> {
        self.claim(descriptor.name, &sample_names(&descriptor))?;
        Ok(self.add(descriptor))
    }

    fn add<M: Metric, L: LabelSet>(&mut self, descriptor: Descriptor) -> Family<M, L> {
        let folded = self.folded.clone();
        let family = Family::new(descriptor, |label| folded.declare((descriptor.name, label)).clone());
        self.families.insert(descriptor.name, family.inner());
        family
    }

    fn selected(&self, selection: &Selection) -> impl Iterator<Item = Arc<dyn exposition::Encode>> {
        let asked = |family: &&Arc<dyn exposition::Encode>| {
            selection.takes(sample_names(family.descriptor()).iter().map(String::as_str))
        };
        self.families.values().filter(asked).cloned()
    }

    #[cfg(feature = "admin")]
    fn scrape_metrics(&mut self) -> ScrapeMetrics {
        if let Some(scrapes) = &self.scrapes {
            return scrapes.clone();
        }
        let scrapes = ScrapeMetrics {
            duration: self.add::<Histogram, ()>(METRICS_SCRAPE_DURATION_SECONDS.descriptor()).with(()).clone(),
            size: self.add::<Gauge, ()>(METRICS_SCRAPE_SIZE_BYTES.descriptor()).with(()).clone(),
            refused: self.add::<Counter, ()>(METRICS_SCRAPES_REFUSED_TOTAL.descriptor()).with(()).clone(),
            series: self.add::<Gauge, ()>(METRICS_SERIES.descriptor()).with(()).clone(),
        };
        self.scrapes.insert(scrapes).clone()
    }

    /// Takes all of a metric's sample names, or none.
    fn claim(&mut self, name: &str, samples: &[String]) -> Result<(), RegisterError> {
        if !is_metric_name(name) {
            return Err(RegisterError::BadName { name: name.to_owned() });
        }
        if let Some(taken) = samples.iter().find_map(|sample| self.names.get(sample)) {
            return Err(RegisterError::Duplicate { name: name.to_owned(), taken: format!("`{taken}`") });
        }
        self.names.extend(samples.iter().map(|sample| (sample.clone(), name.to_owned())));
        Ok(())
    }
}

/// Every name that a metric's exposition uses, the family name of OpenMetrics included.
fn sample_names(descriptor: &Descriptor) -> Vec<String> {
    let name = descriptor.name;
    match descriptor.kind {
        Kind::Counter => {
            let base = name.strip_suffix("_total").unwrap_or(name);
            vec![base.to_owned(), format!("{base}_total"), format!("{base}_created")]
        }
        Kind::Gauge => vec![name.to_owned()],
        Kind::Histogram => histogram_names(name),
    }
}

pub(crate) fn histogram_names(name: &str) -> Vec<String> {
    ["", "_bucket", "_sum", "_count", "_created"].iter().map(|suffix| format!("{name}{suffix}")).collect()
}
