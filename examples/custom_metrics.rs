//! Metrics of your own: typed constants with closed and open labels, and one metric of the `prometheus_client` crate.
//!
//! It makes coffee, prints the exposition and ends: `cargo run -p futura-examples --bin custom_metrics`.

#![expect(clippy::print_stdout, reason = "the exposition is what this example shows")]

use std::time::Duration;

use anyhow::Result;
use futura_metrics::{Metrics, exposition::Format};
use prometheus_client::metrics::gauge::Gauge;

use crate::coffee::{BREW_DURATION_SECONDS, CUPS_SERVED_TOTAL, Size, WATER_LITERS};

/// The declarations, which alert rules and dashboards use as well: so none can name a label that does not exist.
mod coffee {
    use futura_metrics::spec::{CounterSpec, GaugeSpec, HistogramSpec, Unit};

    futura_metrics::label! {
        /// The size of a cup: a closed set. Where a metric has only such labels, all its series exist from the start.
        pub enum Size: "size" { Small => "small", Large => "large" }
    }

    futura_metrics::label! {
        /// The name of a blend: an open set. Keep such sets small; never label with an id or a path.
        pub enum Blend: "blend";
    }

    futura_metrics::declare! {
        /// Cups served.
        pub CUPS_SERVED_TOTAL: CounterSpec<(Size, Blend)> = CounterSpec::new("cups_served_total", Unit::Count);

        /// Water in the tank, in liters.
        pub WATER_LITERS: GaugeSpec = GaugeSpec::new("water_liters", Unit::Count);

        /// Time to brew a cup.
        pub BREW_DURATION_SECONDS: HistogramSpec<(Size,)> =
            HistogramSpec::new("brew_duration_seconds", Unit::Seconds, &[5.0, 10.0, 30.0, 60.0]);
    }
}

fn main() -> Result<()> {
    let metrics = Metrics::new();
    let cups = metrics.counters(CUPS_SERVED_TOTAL)?;
    let water = metrics.gauge(WATER_LITERS)?;
    let brewing = metrics.histograms(BREW_DURATION_SECONDS)?;

    // A metric of another kind, or of a library that brings its own: it leaves in the same exposition.
    let guests = Gauge::<i64>::default();
    metrics.register_client("guests", "Guests in the room", guests.clone())?;

    // A label set is looked up once; after that, counting is one atomic addition.
    let large_house = cups.with((Size::Large, "house"));
    large_house.inc();
    large_house.inc();
    cups.with((Size::Small, "decaf")).inc();
    brewing.with((Size::Large,)).observe_duration(Duration::from_secs(8));
    water.set(1.5);
    guests.set(3);

    print!("{}", metrics.render(Format::Text));
    Ok(())
}
