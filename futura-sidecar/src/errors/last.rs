//! The last events that were accepted, in few words, for whoever looks at the page. In memory, and of a burst only some.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use uuid::Uuid;

use super::event::Outline;
use crate::history::milliseconds;

/// How many are kept.
const KEPT: usize = 50;

/// How long apart they are: to read each of a thousand events a second would cost more than it tells.
const APART: Duration = Duration::from_millis(100);

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct LastError {
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) level: String,
    pub(crate) title: String,
    pub(crate) event_id: Option<String>,
    /// The project that the application's DSN names.
    pub(crate) project: Option<String>,
}

#[derive(Default)]
pub(super) struct LastErrors(Mutex<State>);

#[derive(Default)]
struct State {
    errors: VecDeque<LastError>,
    noted: Option<Instant>,
}

// === impl LastErrors ===

impl LastErrors {
    /// Whether another is wanted by now.
    pub(super) fn is_due(&self) -> bool {
        self.lock().noted.is_none_or(|noted| noted.elapsed() >= APART)
    }

    pub(super) fn note(&self, Outline { level, title, .. }: Outline, project: Option<&str>, id: Option<Uuid>) {
        let (event_id, project) = (id.map(|id| id.simple().to_string()), project.map(str::to_owned));
        let at_ms = milliseconds(SystemTime::now());
        let mut state = self.lock();
        state.noted = Some(Instant::now());
        state.errors.truncate(KEPT - 1);
        state.errors.push_front(LastError { at_ms, level, title, event_id, project });
    }

    /// Newest first.
    pub(super) fn all(&self) -> Vec<LastError> {
        self.lock().errors.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
