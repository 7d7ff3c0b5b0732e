//! The libraries, each used as its documentation shows, and each in a file of its own.

pub(crate) mod client;
pub(crate) mod facade;
pub(crate) mod measured;
pub(crate) mod opentelemetry;
pub(crate) mod own;
pub(crate) mod tikv;
