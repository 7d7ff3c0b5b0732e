//! Room that is taken for an envelope until it is durable.

use std::{path::Path, sync::Arc};

use super::{recent::Standing, segment::HEAD, state::Shared};
use crate::errors::envelope::ERROR;

/// Room for an envelope, and its id; given back unless the envelope stays.
pub(super) struct Reservation {
    shared: Arc<Shared>,
    pub(super) category: &'static str,
    pub(super) id: Option<u128>,
    pub(super) bytes: u64,
    /// Whether the id is taken for this envelope.
    holds_id: bool,
    stays: bool,
}

// === impl Reservation ===

impl Reservation {
    /// Takes room for an envelope of this length, if there is any.
    pub(super) fn take(shared: &Arc<Shared>, category: &'static str, id: Option<u128>, length: usize) -> Option<Self> {
        let bytes = HEAD + length as u64;
        let room = shared.lock().room.take_within(category == ERROR, 1, bytes);
        room.then(|| Self { shared: Arc::clone(shared), category, id, bytes, holds_id: false, stays: false })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Takes the id for this envelope, if it is new.
    pub(super) fn begin(&mut self) -> Standing {
        let standing = self.id.map_or(Standing::New, |id| self.shared.recent().begin(id));
        self.holds_id = standing == Standing::New && self.id.is_some();
        standing
    }

    /// The envelope is durable, and its room is its own.
    pub(super) fn keep(&mut self) {
        self.stays = true;
        if let Some(id) = self.id {
            self.shared.recent().confirm(id);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let mut state = self.shared.lock();
        state.room.release(self.category == ERROR, 1, self.bytes);
        state.measure(&self.shared.metrics);
        drop(state);
        if let Some(id) = self.id.filter(|_| self.holds_id) {
            self.shared.recent().remove(id);
        }
    }
}
