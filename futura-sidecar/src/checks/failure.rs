//! Why a run failed: a reason of the closed set, and a sentence for people.

use std::{error::Error, io};

use futura_metrics::specs::checks::Reason;

use crate::causes;

/// How much of a message is kept: parts of it may come from the target.
const MESSAGE_LIMIT: usize = 200;

/// A failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        let printable = |character: char| if character.is_control() { ' ' } else { character };
        let message = message.as_ref().chars().take(MESSAGE_LIMIT).map(printable).collect();
        Self { reason, message }
    }

    /// A connection that did not come about or broke.
    pub(super) fn connect(error: &io::Error) -> Self {
        Self::new(Reason::Connect, error.to_string())
    }

    pub(super) fn dns(host: &str, error: &(dyn Error + 'static)) -> Self {
        let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
        Self::new(Reason::Dns, format!("{host}: {cause}"))
    }

    /// Judges what the HTTP client reports by the causes in its chain.
    pub(super) fn http(error: &reqwest::Error, host: &str) -> Self {
        let causes: Vec<_> = causes(error).map(unwrapped).collect();
        let message = causes.last().map(ToString::to_string).unwrap_or_default();
        let kind = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        let reason = match kind {
            _ if error.is_dns() => return Self::dns(host, error),
            _ if causes.iter().any(|cause| cause.is::<rustls::Error>()) => Reason::Tls,
            // The one thing that reads before the request is the handshake.
            Some(io::ErrorKind::UnexpectedEof) if error.is_connect() => Reason::Tls,
            _ if error.is_connect() => Reason::Connect,
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => {
                Reason::Connect
            }
            _ => Reason::Protocol,
        };
        Self::new(reason, message)
    }
}

/// The error that an `io::Error` wraps, however often: its source skips it.
fn unwrapped<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        // What wraps a plain text says its kind itself.
        Some(inner) if inner.is::<io::Error>() || inner.is::<rustls::Error>() => unwrapped(inner),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, MESSAGE_LIMIT, Reason};

    #[test]
    fn a_message_of_a_hostile_target_is_short_and_printable() {
        let failure = Failure::new(Reason::Protocol, "a\r\n\u{1b}[31m".to_owned() + &"é".repeat(1000));
        assert_eq!(failure.message.chars().count(), MESSAGE_LIMIT);
        assert!(failure.message.starts_with("a   [31mé"));
    }
}
