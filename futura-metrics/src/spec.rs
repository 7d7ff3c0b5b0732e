//! What a metric is: name, help, unit, label set and bucket bounds, as a typed constant that the compiler checks.
//!
//! A [`CounterSpec`], [`GaugeSpec`] or [`HistogramSpec`] is all that the registry, an alert rule and a dashboard need to
//! agree on. Its label set is a tuple of [`Label`] types, so that a query can only group by labels that the metric has.

use std::marker::PhantomData;

pub use self::label::{Label, LabelSet};
#[cfg(feature = "registry")]
pub(crate) use self::label::{pack, without_number};

mod label;

/// What a metric counts, as its name says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, restarts at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets, with their sum.
    Histogram,
}

/// The base unit of a metric's value, which is also the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things counted: requests, orders, connections.
    Count,
    /// Seconds of duration.
    Seconds,
    /// Seconds since the Unix epoch.
    Timestamp,
    /// Bytes.
    Bytes,
    /// A share from 0 to 1.
    Ratio,
    /// A number that stands for a state, or the 1 of an info metric.
    State,
}

/// Who exports a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A program that uses this library.
    Own,
    /// Another program's exporter: its name and the version whose names and labels were read.
    Exporter {
        /// The exporter's name.
        name: &'static str,
        /// The version whose metrics were read.
        version: &'static str,
    },
}

/// Everything about a metric that is not a type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descriptor {
    /// The name on the wire, suffix included.
    pub name: &'static str,
    /// The HELP text.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The base unit.
    pub unit: Unit,
    /// The label names, in order.
    pub label_names: &'static [&'static str],
    /// For each label its closed set of values, or an empty list where values are open.
    pub label_values: &'static [&'static [&'static str]],
    /// Upper bucket bounds in the base unit, ascending, without `+Inf`; empty unless a histogram.
    pub bounds: &'static [f64],
    /// Who exports it.
    pub source: Source,
    /// Whether a histogram is exposed with native buckets as well, in the protobuf format.
    pub native: bool,
    /// Whether the name ends like a counter's though the metric is none: it then leaves as `untyped`.
    pub untyped: bool,
}

/// Declares a counter over the label set `L`.
///
/// ```
/// use futura_metrics::spec::{CounterSpec, Unit};
/// const COFFEES_TOTAL: CounterSpec = CounterSpec::new("coffees_total", Unit::Count).help("Coffees served.");
/// assert_eq!(COFFEES_TOTAL.descriptor().name, "coffees_total");
/// ```
///
/// A name without the suffix `_total` does not compile:
///
/// ```compile_fail
/// use futura_metrics::spec::{CounterSpec, Unit};
/// const COFFEES: CounterSpec = CounterSpec::new("coffees", Unit::Count);
/// ```
#[derive(Debug)]
pub struct CounterSpec<L = ()>(Descriptor, PhantomData<fn() -> L>);

/// Declares a gauge over the label set `L`.
///
/// ```
/// use futura_metrics::spec::{GaugeSpec, Unit};
/// const CUP_FILL_RATIO: GaugeSpec = GaugeSpec::new("cup_fill_ratio", Unit::Ratio).help("How full the cup is, from 0 to 1.");
/// assert_eq!(CUP_FILL_RATIO.descriptor().unit, Unit::Ratio);
/// ```
#[derive(Debug)]
pub struct GaugeSpec<L = ()>(Descriptor, PhantomData<fn() -> L>);

/// Declares a histogram over the label set `L`.
///
/// ```
/// use futura_metrics::spec::{HistogramSpec, Unit};
/// const BREW_SECONDS: HistogramSpec =
///     HistogramSpec::new("brew_seconds", Unit::Seconds, &[15.0, 30.0, 60.0]).native().help("Time to brew a coffee.");
/// assert_eq!(BREW_SECONDS.descriptor().bounds.len(), 3);
/// ```
///
/// Bounds that do not ascend do not compile:
///
/// ```compile_fail
/// use futura_metrics::spec::{HistogramSpec, Unit};
/// const WAIT_SECONDS: HistogramSpec = HistogramSpec::new("wait_seconds", Unit::Seconds, &[1.0, 0.5]);
/// ```
#[derive(Debug)]
pub struct HistogramSpec<L = ()>(Descriptor, PhantomData<fn() -> L>);

/// A declaration of any kind, for code that treats all three alike.
pub trait Spec: Copy {
    /// The metric's label set.
    type Labels: LabelSet;

    /// The metric without its types.
    fn describe(self) -> Descriptor;
}

// === impl Unit ===

impl Unit {
    /// How many of the integer steps that storage counts make one unit: nanoseconds for seconds and ratios, else ones.
    pub const fn steps(self) -> u64 {
        match self {
            Self::Seconds | Self::Timestamp | Self::Ratio => 1_000_000_000,
            Self::Count | Self::Bytes | Self::State => 1,
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Seconds | Self::Timestamp => "_seconds",
            Self::Bytes => "_bytes",
            Self::Ratio => "_ratio",
            Self::Count | Self::State => "",
        }
    }
}

// === impl Descriptor ===

impl Descriptor {
    const fn new<L: LabelSet>(name: &'static str, kind: Kind, unit: Unit) -> Self {
        assert!(is_metric_name(name), "a metric name is [a-z_:][a-z0-9_:]*");
        let (label_names, label_values) = (L::NAMES, L::VALUES);
        Self {
            name,
            help: "",
            kind,
            unit,
            label_names,
            label_values,
            bounds: &[],
            source: Source::Own,
            native: false,
            untyped: false,
        }
    }

    /// The unit as OpenMetrics names it; none where the name does not end in it, as another's exporter may have it.
    #[cfg(feature = "registry")]
    pub(crate) fn unit_on_the_wire(&self) -> Option<&'static str> {
        let base = self.name.strip_suffix("_total").filter(|_| self.kind == Kind::Counter).unwrap_or(self.name);
        let suffix = self.unit.suffix();
        suffix.strip_prefix('_').filter(|_| base.ends_with(suffix))
    }

    const fn checked_own(self) -> Self {
        let base = if matches!(self.kind, Kind::Counter) { strip_total(self.name) } else { self.name };
        assert!(ends_with(base, self.unit.suffix()), "the name ends in the base unit (counters: before _total)");
        self
    }

    const fn with_help(mut self, help: &'static str) -> Self {
        let help = help.trim_ascii();
        assert!(!help.is_empty(), "a metric needs a help text");
        self.help = help;
        self
    }

    const fn exported_by(mut self, exporter: (&'static str, &'static str)) -> Self {
        self.source = Source::Exporter { name: exporter.0, version: exporter.1 };
        self
    }
}

// === impl CounterSpec ===

impl<L: LabelSet> CounterSpec<L> {
    /// A counter of a program of ours; its name is the unit and `_total`.
    pub const fn new(name: &'static str, unit: Unit) -> Self {
        assert!(ends_with(name, "_total"), "a counter's name ends in _total");
        Self(Descriptor::new::<L>(name, Kind::Counter, unit).checked_own(), PhantomData)
    }

    /// A counter that `exporter` (name and version) exports; any valid name is taken as it is.
    pub const fn external(exporter: (&'static str, &'static str), name: &'static str, unit: Unit) -> Self {
        Self(Descriptor::new::<L>(name, Kind::Counter, unit).exported_by(exporter), PhantomData)
    }
}

// === impl GaugeSpec ===

impl<L: LabelSet> GaugeSpec<L> {
    /// A gauge of a program of ours; its name ends in the unit.
    pub const fn new(name: &'static str, unit: Unit) -> Self {
        assert!(!ends_with(name, "_total"), "a gauge's name does not end in _total");
        Self(Descriptor::new::<L>(name, Kind::Gauge, unit).checked_own(), PhantomData)
    }

    /// A gauge whose name ends in `_total` and cannot change, because others depend on it.
    ///
    /// It leaves as `untyped`: OpenMetrics and `promtool check metrics` keep the suffix for counters.
    pub const fn named_like_a_counter(name: &'static str, unit: Unit) -> Self {
        assert!(ends_with(name, "_total"), "the name has no _total: use GaugeSpec::new");
        let mut descriptor = Descriptor::new::<L>(name, Kind::Gauge, unit);
        descriptor.untyped = true;
        Self(descriptor, PhantomData)
    }

    /// A gauge that `exporter` (name and version) exports; any valid name is taken as it is.
    pub const fn external(exporter: (&'static str, &'static str), name: &'static str, unit: Unit) -> Self {
        Self(Descriptor::new::<L>(name, Kind::Gauge, unit).exported_by(exporter), PhantomData)
    }
}

// === impl HistogramSpec ===

impl<L: LabelSet> HistogramSpec<L> {
    /// A histogram of a program of ours with these upper bounds, in the base unit and without `+Inf`.
    pub const fn new(name: &'static str, unit: Unit, bounds: &'static [f64]) -> Self {
        let mut index = 0;
        assert!(!bounds.is_empty() && bounds.len() < 64, "a histogram has 1 to 63 bounds");
        while index < bounds.len() {
            assert!(bounds[index] > 0.0 && bounds[index].is_finite(), "bounds are positive and finite");
            assert!(index == 0 || bounds[index - 1] < bounds[index], "bounds ascend");
            index += 1;
        }
        let mut descriptor = Descriptor::new::<L>(name, Kind::Histogram, unit).checked_own();
        descriptor.bounds = bounds;
        Self(descriptor, PhantomData)
    }

    /// Adds native buckets, which Prometheus takes from the protobuf format; the classic ones stay.
    ///
    /// A Prometheus that takes native histograms keeps the classic buckets only where its scrape configuration says
    /// `always_scrape_classic_histograms` (3.x) or `scrape_classic_histograms` (2.45 and later).
    ///
    /// A series then holds some 2 KiB instead of 100 bytes; an observation costs the same.
    pub const fn native(mut self) -> Self {
        self.0.native = true;
        self
    }
}

macro_rules! common {
    ($spec:ident) => {
        impl<L: LabelSet> $spec<L> {
            /// Sets the HELP text.
            pub const fn help(self, help: &'static str) -> Self {
                Self(self.0.with_help(help), PhantomData)
            }

            /// The metric without its types.
            pub const fn descriptor(self) -> Descriptor {
                self.0
            }
        }

        impl<L> Clone for $spec<L> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<L> Copy for $spec<L> {}

        impl<L: LabelSet> Spec for $spec<L> {
            type Labels = L;

            fn describe(self) -> Descriptor {
                self.0
            }
        }
    };
}

common!(CounterSpec);
common!(GaugeSpec);
common!(HistogramSpec);

/// Declares metrics as constants and lists them: the doc comment becomes the HELP text, and `CATALOGUE` holds every
/// [`Descriptor`](crate::spec::Descriptor) of the block.
///
/// ```
/// mod coffee {
///     use futura_metrics::spec::{CounterSpec, Unit};
///     futura_metrics::declare! {
///         /// Coffees served.
///         pub COFFEES_TOTAL: CounterSpec = CounterSpec::new("coffees_total", Unit::Count);
///     }
/// }
/// assert_eq!(coffee::COFFEES_TOTAL.descriptor().help, "Coffees served.");
/// assert_eq!(coffee::CATALOGUE.len(), 1);
/// ```
#[macro_export]
macro_rules! declare {
    ($($(#[doc = $help:literal])+ pub $name:ident: $spec:ty = $value:expr;)+) => {
        $($(#[doc = $help])+ pub const $name: $spec = $value.help(concat!($($help),+));)+

        /// Every metric declared here.
        pub const CATALOGUE: &[$crate::spec::Descriptor] = &[$($name.descriptor()),+];
    };
}

/// Whether `name` may name a metric: lower case, digits, `_` and `:`, not starting with a digit.
pub const fn is_metric_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let ok = matches!(bytes[index], b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':')
            || (index > 0 && bytes[index].is_ascii_digit());
        if !ok {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty()
}

/// Whether `name` may name a label: letters, digits and `_`, not starting with a digit or with the reserved `__`.
pub const fn is_label_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b':' {
            return false;
        }
        index += 1;
    }
    is_metric_name(name) && !(bytes.len() > 1 && bytes[0] == b'_' && bytes[1] == b'_')
}

/// A bucket bound as the label `le` has it: as short as it can be, with the exponent where Go's `%g` has one.
///
/// OpenMetrics calls this form canonical, and Prometheus itself gives it to bounds that come as numbers.
///
/// ```
/// use futura_metrics::spec::bound_text;
/// let texts = [0.00001, 0.25, 1.0, 1_000_000.0, f64::INFINITY].map(bound_text);
/// assert_eq!(texts, ["1e-05", "0.25", "1.0", "1e+06", "+Inf"]);
/// ```
pub fn bound_text(bound: f64) -> String {
    if bound == f64::INFINITY {
        return "+Inf".to_owned();
    }
    let scientific = format!("{bound:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("a number in this form has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    if (-4..=5).contains(&exponent) { format!("{bound:?}") } else { format!("{mantissa}e{exponent:+03}") }
}

const fn ends_with(name: &str, suffix: &str) -> bool {
    let (name, suffix) = (name.as_bytes(), suffix.as_bytes());
    if name.len() < suffix.len() {
        return false;
    }
    let (_, tail) = name.split_at(name.len() - suffix.len());
    let mut index = 0;
    while index < suffix.len() {
        if tail[index] != suffix[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn strip_total(name: &str) -> &str {
    name.split_at(name.len() - "_total".len()).0
}
