//! `futura-bench-allocations`: the same operations under an allocator that counts, for `futura-bench` to read.

use std::{alloc::System, io::stdout};

use futura_bench::count_allocations;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> anyhow::Result<()> {
    count_allocations(
        || {
            let stats = ALLOCATOR.stats();
            stats.allocations + stats.reallocations
        },
        &mut stdout().lock(),
    )
}
