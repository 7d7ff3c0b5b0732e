//! Hands envelopes to the sidecar: by a thread of its own, so that whoever reports an error does not wait.
//!
//! Where the sidecar does not take one, it goes as a file into the folder that the sidecar looks through when it is back.
//! Without such a folder it waits here. The queue is short; what comes faster is written to the folder at once.

use std::{
    collections::VecDeque,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sentry::{Envelope, Level, Transport, protocol::EnvelopeItem, types::Dsn};

use self::{
    folder::{Folder, FolderError},
    http::{Answer, Connection, Place},
};
use super::errors::Finish;
use crate::{
    Counter, Family, Metrics, RegisterError,
    specs::sentry::{LossReason, SENTRY_ENVELOPES_LOST_TOTAL},
};

mod folder;
mod http;

/// How many envelopes wait in memory; one with a stack trace takes some ten kilobytes.
const QUEUE: usize = 500;

/// How long it looks every [`LOOK`] whether more has come, after the last envelope: to wake a thread that sleeps takes longer
/// than all else that a caller does, and where there was one error there are more.
const LINGER: Duration = Duration::from_secs(1);

const LOOK: Duration = Duration::from_millis(20);

/// Of a burst, how many do not wait for the next look.
const HASTE: usize = QUEUE / 8;

/// How long one waits for room in the queue that no folder takes, while the sidecar takes others.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long a sidecar is not asked that did not take an envelope; each further time doubles it.
const PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Where envelopes go.
#[derive(Clone)]
pub(super) struct HandoverConfig {
    pub(super) dsn: Dsn,
    /// The sidecar's Unix socket, in the place of the DSN's host.
    pub(super) socket: Option<PathBuf>,
    /// The sidecar's spool, in whose folder `incoming` those go that it does not take.
    pub(super) spool: Option<PathBuf>,
    /// What is done to events on the way: not by whoever reports an error, who does not wait for it.
    pub(super) finish: Arc<Finish>,
}

/// The transport. Dropping it waits for nothing; whoever ends the program flushes.
pub(super) struct Handover(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    folder: Option<Folder>,
    finish: Arc<Finish>,
    lost: Family<Counter, (LossReason,)>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Envelope>,
    /// Whether one is being handed over.
    busy: bool,
    /// Whether the thread sleeps until it is woken.
    asleep: bool,
    /// Whether the sidecar did not take the last one: then it is no use to wait for room.
    down: bool,
    /// When at the latest there must be an end.
    ends: Option<Instant>,
}

/// Hands one envelope after the other over.
struct Worker {
    shared: Arc<Shared>,
    connection: Connection,
    pause: Duration,
    /// Until when the sidecar is not asked.
    asks_at: Option<Instant>,
}

// === impl HandoverConfig ===

impl HandoverConfig {
    /// Whether a sidecar takes what goes to this DSN: it is on this host, and speaks no TLS.
    pub(super) fn is_sidecar(dsn: &Dsn) -> bool {
        let host = dsn.host().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        is_here && dsn.scheme() == sentry::types::Scheme::Http
    }
}

// === impl Handover ===

impl Handover {
    pub(super) fn start(config: HandoverConfig, metrics: &Metrics) -> Result<Self, RegisterError> {
        let place = config.socket.map_or_else(|| Place::of(&config.dsn), Place::Unix);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            folder: config.spool.map(|spool| Folder::new(spool.join("incoming"))),
            finish: config.finish,
            lost: metrics.counters(SENTRY_ENVELOPES_LOST_TOTAL)?,
        });
        let worker = Worker {
            shared: Arc::clone(&shared),
            connection: Connection::new(place, &config.dsn),
            pause: PAUSE,
            asks_at: None,
        };
        // Without a thread nothing is handed over, and all that no folder takes is counted as lost.
        let _ = thread::Builder::new().name("sentry-handover".to_owned()).spawn(move || worker.run());
        Ok(Self(shared))
    }
}

impl Transport for Handover {
    fn send_envelope(&self, envelope: Envelope) {
        // What panics may end at once.
        let is_last = envelope.event().is_some_and(|event| event.level == Level::Fatal);
        let mut state = self.0.lock();
        if state.queue.len() >= QUEUE {
            if let Some(folder) = &self.0.folder {
                drop(state);
                // Not synced: it would hold the caller up, and outlives the process all the same.
                match self.0.bytes(&envelope).and_then(|bytes| folder.put(&bytes, false).map_err(io::Error::other)) {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "an event cannot be written to the sidecar's spool"),
                }
                state = self.0.lock();
            }
            let full = |state: &mut State| state.queue.len() >= QUEUE && !state.down;
            state = self.0.changed.wait_timeout_while(state, PATIENCE, full).unwrap_or_else(PoisonError::into_inner).0;
            if state.queue.len() >= QUEUE {
                return self.0.lose(LossReason::QueueFull);
            }
        }
        state.queue.push_back(envelope);
        let wakes = is_last || state.asleep || state.queue.len().is_multiple_of(HASTE);
        drop(state);
        if wakes {
            self.0.changed.notify_all();
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        self.0.changed.notify_all();
        let waits = |state: &mut State| state.busy || !state.queue.is_empty();
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), timeout, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !waits(&mut state)
    }

    fn shutdown(&self, timeout: Duration) -> bool {
        self.0.lock().ends = Some(Instant::now() + timeout);
        self.0.changed.notify_all();
        self.flush(timeout) || self.0.set_aside()
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.0.lock().ends.get_or_insert_with(Instant::now);
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handover").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An envelope as it is sent, its events finished.
    fn bytes(&self, envelope: &Envelope) -> io::Result<Vec<u8>> {
        let mut finished = Envelope::new().with_headers(envelope.headers().clone());
        for item in envelope.items().cloned() {
            match item {
                EnvelopeItem::Event(event) => {
                    self.finish.event(*event).into_iter().for_each(|event| finished.add_item(event));
                }
                other => finished.add_item(other),
            }
        }
        let mut bytes = Vec::new();
        finished.to_writer(&mut bytes)?;
        Ok(bytes)
    }

    fn lose(&self, reason: LossReason) {
        self.lost.with((reason,)).inc();
    }

    /// Puts what still waits into the folder, as there is no time to hand it over; tells whether that has all of it.
    fn set_aside(&self) -> bool {
        let left = std::mem::take(&mut self.lock().queue);
        let put = |envelope: &Envelope| {
            let folder = self.folder.as_ref()?;
            self.bytes(envelope).ok().and_then(|bytes| folder.put(&bytes, false).ok())
        };
        let lost = left.iter().filter(|envelope| put(envelope).is_none()).count();
        (0..lost).for_each(|_| self.lose(LossReason::Unsent));
        lost == 0
    }

    /// The next envelope; none at the end.
    fn next(&self) -> Option<Envelope> {
        let mut state = self.lock();
        state.busy = false;
        self.changed.notify_all();
        let waits = |state: &mut State| state.queue.is_empty() && state.ends.is_none();
        let mut looks = LINGER.as_millis() / LOOK.as_millis();
        while waits(&mut state) && looks > 0 {
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            looks -= 1;
        }
        state.asleep = true;
        let mut state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        state.asleep = false;
        let envelope = state.queue.pop_front();
        state.busy = envelope.is_some();
        envelope
    }

    /// Waits until then, or until the end; tells whether that has come.
    fn is_over_by(&self, until: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.ends.is_some_and(|ends| ends <= now) {
                return true;
            }
            let next = state.ends.map_or(until, |ends| ends.min(until));
            if next <= now {
                return false;
            }
            state = self.changed.wait_timeout(state, next - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self) {
        while let Some(envelope) = self.shared.next() {
            match self.shared.bytes(&envelope) {
                Ok(bytes) => self.hand_over(&bytes),
                Err(error) => {
                    tracing::warn!(%error, "an event cannot be written as an envelope");
                    self.shared.lose(LossReason::Refused);
                }
            }
        }
    }

    /// Asks the sidecar, and then the folder, until one of them has it.
    fn hand_over(&mut self, envelope: &[u8]) {
        loop {
            if self.asks_at.is_none_or(|at| at <= Instant::now()) && self.ask(envelope) {
                return;
            }
            if let Some(folder) = &self.shared.folder {
                match folder.put(envelope, true) {
                    Ok(()) => return,
                    Err(FolderError::Full) => return self.shared.lose(LossReason::FolderFull),
                    Err(FolderError::Io(error)) => {
                        tracing::warn!(%error, "an event cannot be written to the sidecar's spool");
                    }
                }
            }
            if self.shared.is_over_by(self.asks_at.unwrap_or_else(Instant::now)) {
                return self.shared.lose(LossReason::Unsent);
            }
        }
    }

    /// Whether the sidecar has settled it.
    fn ask(&mut self, envelope: &[u8]) -> bool {
        let pause = match self.connection.post(envelope) {
            Ok(Answer { status: 200..=299, .. }) => {
                (self.pause, self.asks_at) = (PAUSE, None);
                self.shared.lock().down = false;
                return true;
            }
            Ok(Answer { status: status @ (408 | 429 | 500..), retry_after }) => {
                tracing::debug!(status, "the sidecar does not take events now");
                retry_after
            }
            Ok(Answer { status, .. }) => {
                tracing::warn!(status, "the sidecar refused an event");
                self.shared.lose(LossReason::Refused);
                return true;
            }
            Err(error) => {
                tracing::debug!(%error, "the sidecar does not answer");
                None
            }
        };
        self.shared.lock().down = true;
        self.asks_at = Some(Instant::now() + pause.unwrap_or(self.pause).min(LONGEST_PAUSE));
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        false
    }
}

#[cfg(test)]
mod tests;
