//! The sidecar from outside: the binary's command line, and whole sidecars against real servers.

mod cli;
mod conformance;
mod drain;
mod drill;
mod exporter;
mod faults;
mod forward;
mod lint;
mod manifests;
mod peers;
mod probe;
mod scrub;
mod sentry;
mod sources;
mod status;
mod upstreams;
mod verify;
