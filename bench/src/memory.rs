//! What a series costs that nothing has happened to: 10,000 are made under an allocator that counts.

use std::{any::Any, io::Write};

use anyhow::Result;

use crate::{
    allocations::Allocations,
    libraries::{client, facade, measured, own, tikv},
    table::{Table, number},
};

/// Bytes of a counter with three labels.
pub(crate) const COUNTER_GROUP: &str = "counter memory";
/// Bytes of a histogram with two labels and eleven bounds.
pub(crate) const HISTOGRAM_GROUP: &str = "histogram memory";

const SERIES: f64 = 10_000.0;

/// The case that others are compared with.
const CLIENT: &str = client::TYPED;

/// Makes 10,000 series, and what keeps them.
type Populate = fn() -> Result<Box<dyn Any>>;

/// Each library with what makes its counters and its histograms.
const LIBRARIES: [(&str, Populate, Populate); 7] = [
    ("futura", own::idle_counters, own::idle_histograms),
    ("futura, native buckets too", own::idle_counters, own::idle_native_histograms),
    (client::TYPED, client::idle_typed_counters, client::idle_typed_histograms),
    (client::TEXT, client::idle_text_counters, client::idle_text_histograms),
    ("prometheus", tikv::idle_counters, tikv::idle_histograms),
    ("measured", measured::idle_counters, measured::idle_histograms),
    ("metrics", facade::idle_counters, facade::idle_histograms),
];

/// Writes group, library and bytes a series, as `live_bytes` tells them for the whole process.
pub(crate) fn count(live_bytes: impl Fn() -> usize, out: &mut impl Write) -> Result<()> {
    for (name, counters, histograms) in LIBRARIES {
        for (group, populate) in [(COUNTER_GROUP, counters), (HISTOGRAM_GROUP, histograms)] {
            let before = live_bytes();
            let kept = populate()?;
            let bytes = live_bytes().saturating_sub(before) as f64 / SERIES;
            drop(kept);
            writeln!(out, "{group}\t{name}\t{bytes:.1}")?;
        }
    }
    Ok(())
}

pub(crate) fn report(allocations: &Allocations) -> Table {
    let mut table = Table::new(&[
        "case",
        "counter, 3 labels: bytes",
        "of prometheus-client",
        "histogram, 2 labels, 11 bounds: bytes",
        "of prometheus-client",
    ]);
    for (name, ..) in LIBRARIES {
        let [counter, histogram] = [COUNTER_GROUP, HISTOGRAM_GROUP].map(|group| {
            let bytes = allocations.of(group, name);
            [bytes, bytes / allocations.of(group, CLIENT)]
        });
        table.row(name, [counter, histogram].concat().into_iter().map(number));
    }
    table
}
