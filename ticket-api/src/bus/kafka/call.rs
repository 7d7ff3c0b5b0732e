//! A call to the broker, its limit, and what its failure says.

use std::{error::Error, io, time::Duration};

use rskafka::{
    ConnectionError,
    client::error::{Error as ClientError, ProtocolError, RequestError},
};
use tokio::time::timeout;
use tracing::{Dispatch, Level, dispatcher, instrument::WithSubscriber};

use super::TOPIC;

/// How long any call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("{call} failed: {}", root(&**reason))]
    Call { call: &'static str, reason: Box<ClientError> },
    #[error("{call} took longer than {CALL_LIMIT:?}")]
    Late { call: &'static str },
    #[error("the topic {TOPIC} was made and does not show")]
    NoTopic,
    #[error("the topic {TOPIC} has other partitions than before")]
    TopicChanged,
    #[error("nothing consumes what is heard")]
    Unheard,
}

// === impl SessionError ===

impl SessionError {
    pub(super) fn server_says(&self, error: ProtocolError) -> bool {
        let Self::Call { reason, .. } = self else { return false };
        matches!(&**reason, ClientError::ServerError { protocol_error, .. } if *protocol_error == error)
    }

    /// Whether there was an answer and the records in it were the trouble, so that there will be no other next time.
    pub(super) fn is_of_the_records(&self) -> bool {
        let Self::Call { reason, .. } = self else { return false };
        let unreadable = [ProtocolError::CorruptMessage, ProtocolError::UnsupportedCompressionType];
        unreadable.into_iter().any(|error| self.server_says(error)) || is_unreadable(&**reason)
    }
}

/// Makes a call within its limit. The client has its own words for every attempt, some of them errors to it alone: they are
/// for those who ask for them.
pub(super) async fn call<T>(
    call: &'static str,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, SessionError> {
    let asked_for = tracing::enabled!(target: "rskafka", Level::DEBUG);
    let log = if asked_for { dispatcher::get_default(Dispatch::clone) } else { Dispatch::none() };
    match timeout(CALL_LIMIT, work.with_subscriber(log)).await {
        Ok(result) => result.map_err(|error| SessionError::Call { call, reason: Box::new(error) }),
        Err(_) => Err(SessionError::Late { call }),
    }
}

/// Whether an answer came that the client cannot read.
fn is_unreadable(error: &(dyn Error + 'static)) -> bool {
    match (error.downcast_ref::<ClientError>(), error.downcast_ref::<RequestError>()) {
        (Some(ClientError::InvalidResponse(_)), _) => true,
        // It does not name its source as such.
        (_, Some(RequestError::Poisoned(source))) => is_unreadable(&**source),
        (
            _,
            Some(RequestError::ReadError(_) | RequestError::ReadVersionedError(_) | RequestError::TooMuchData { .. }),
        ) => true,
        // A frame that is too large, and not one that broke off.
        (_, Some(RequestError::ReadFramedMessageError(error))) => {
            error.source().and_then(|source| source.downcast_ref::<io::Error>()).is_none()
        }
        _ => error.source().is_some_and(is_unreadable),
    }
}

/// What went wrong, without the client's words for giving up.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let source = match error.downcast_ref() {
        // It does not name its source as such.
        Some(ConnectionError::RetryFailed(source)) => Some(source as &dyn Error),
        _ => error.source(),
    };
    source.map_or(error, root)
}
