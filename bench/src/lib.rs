//! Measures Futura beside its peers: `cargo xtask bench`.
//!
//! - `report`: what the program prints, group by group.
//! - `harness`: all cases of a group take turns, round by round.
//! - `allocations`: counted by a second program, as a counting allocator would slow down what is timed.
//! - `siblings`: the other programs that are run, built first.
//! - `http`, `storage`, `encode`, `programs`: the groups.

mod allocations;
mod encode;
mod environment;
mod harness;
mod http;
mod programs;
mod report;
mod siblings;
mod storage;
mod table;

pub use self::{
    allocations::count as count_allocations,
    report::{Options, run},
};
