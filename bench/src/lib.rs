//! Measures Futura beside its peers: `cargo xtask bench`.
//!
//! - `report`: what the program prints, group by group, each measured in a process of its own.
//! - `targets`: what is promised, beside what was measured.
//! - `harness`: all cases of a group take turns, round by round.
//! - `allocations`: counted by a second program, as a counting allocator would slow down what is timed.
//! - `siblings`: the other programs that are run, built first; `process`: one that runs.
//! - `http`, `storage`, `encode`, `memory`, `programs`, `sidecar`: the groups.
//! - `libraries`: how each library does the `work` that they are all given.

mod allocations;
mod encode;
mod environment;
mod errors;
mod harness;
mod http;
mod libraries;
mod memory;
mod process;
mod programs;
mod report;
mod siblings;
mod sidecar;
mod storage;
mod table;
mod targets;
mod work;

pub use self::{
    allocations::{Heap, count as count_allocations},
    report::{Options, run},
};
