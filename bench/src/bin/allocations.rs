//! `futura-bench-allocations GROUP`: the same operations under an allocator that counts, for `futura-bench` to read.

use std::{alloc::System, env, io::stdout};

use futura_bench::{Heap, count_allocations};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> anyhow::Result<()> {
    let group = env::args().nth(1).unwrap_or_default();
    count_allocations(&group, heap, &mut stdout().lock())
}

fn heap() -> Heap {
    let stats = ALLOCATOR.stats();
    Heap {
        allocations: stats.allocations + stats.reallocations,
        live_bytes: stats.bytes_allocated - stats.bytes_deallocated,
    }
}
