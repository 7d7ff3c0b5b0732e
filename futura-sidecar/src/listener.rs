//! Binding to what the configuration says, and the key of it in the error.

use std::io;

pub use futura_metrics::serve::Address;
pub(crate) use futura_metrics::serve::Listener;

/// Why a listener was not bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}` (key `{key}`)")]
pub struct BindError {
    key: &'static str,
    address: Address,
    #[source]
    source: io::Error,
}

/// Binds; `key` is where the configuration names the address.
pub(crate) async fn bind(address: &Address, key: &'static str) -> Result<Listener, BindError> {
    Listener::bind(address).await.map_err(|source| BindError { key, address: address.clone(), source })
}
