//! The sidecar from outside: the binary's command line, and whole sidecars against real servers.

mod cli;
mod forward;
mod sentry;
mod status;
