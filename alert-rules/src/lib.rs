//! Alert rules, their tests and their runbooks, written in Rust over the declared metrics.
