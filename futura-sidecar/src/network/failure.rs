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
    pub(crate) fn connect(error: &io::Error) -> Self {
        Self::new(Reason::Connect, error.to_string())
    }

    pub(crate) fn dns(host: &str, error: &(dyn Error + 'static)) -> Self {
        let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
        Self::new(Reason::Dns, format!("{host}: {cause}"))
    }

    /// A handshake that broke. What breaks before it is over, the connection or the protocol, keeps the target from TLS.
    pub(crate) fn tls(error: &io::Error) -> Self {
        Self::new(Reason::Tls, unwrapped(error).to_string())
    }

    /// A connection that broke in the middle of what was said.
    pub(crate) fn exchange(error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Reason::Connect
            }
            _ => Reason::Protocol,
        };
        Self::new(reason, unwrapped(error).to_string())
    }
}

/// The error that an `io::Error` wraps, however often: its source skips it.
fn unwrapped(error: &io::Error) -> &(dyn Error + 'static) {
    let Some(inner) = error.get_ref() else { return error };
    match inner.downcast_ref::<io::Error>() {
        Some(inner) => unwrapped(inner),
        None => inner,
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
