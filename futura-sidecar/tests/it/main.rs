//! The sidecar from outside: the binary's command line, and whole sidecars against real servers.

mod cli;
mod conformance;
mod exporter;
mod forward;
mod peers;
mod probe;
mod scrub;
mod sentry;
mod status;
