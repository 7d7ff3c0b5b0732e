//! The generated files, as the tools that read them see them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "clippy knows tests by their attribute, not by their folder"
)]

mod amtool;
mod foreign;
mod mutations;
mod promtool;
mod scrapes;
mod slo;
