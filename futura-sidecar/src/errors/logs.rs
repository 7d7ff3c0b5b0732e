//! Logs that are followed: their error lines become events, with the stack traces that follow them.
//!
//! A position moves on only when what is before it is durable, and an event's id is made of where it stands; so a crash loses
//! no line and reports none twice. What the sidecar writes itself must not be followed: each report would beget the next.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    future::Future,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_yaml::Value;
use tokio::{
    select,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use self::{
    positions::{Identity, Positions},
    record::{Joiner, Record},
};
use super::{metrics::ErrorsMetrics, receive::Receiver};
use crate::config::{Section, form};

mod event;
mod positions;
mod record;

/// How often is looked for what was written.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long nothing comes until a record counts as whole.
const QUIET: Duration = Duration::from_secs(1);

/// How many files are followed at once.
const FILES: usize = 256;

/// How much is read of one file at one look, in bytes.
const AT_ONCE: u64 = 1024 * 1024;

/// How many lists of logs there may be.
const LOGS_LIMIT: usize = 64;

/// Logs that are followed.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A path, or a pattern of paths such as `/var/log/app/*.log`.
    pub path: String,
    /// Whether a file that is there at the first start is read from its beginning. Default `false`: from its end.
    pub from_beginning: bool,
}

/// What follows logs.
pub(super) struct Follower {
    logs: Vec<LogConfig>,
    receiver: Arc<Receiver>,
    metrics: ErrorsMetrics,
    tails: BTreeMap<PathBuf, Tail>,
    positions: Positions,
    /// Files that were there before this one began to look are read from their end.
    is_first_look: bool,
}

/// A file that is open.
struct Tail {
    file: File,
    identity: Identity,
    /// How far it was read.
    read: u64,
    joiner: Joiner,
    grown: Instant,
    /// What was found and is not taken yet, oldest first.
    found: Vec<Record>,
}

// === impl LogConfig ===

impl LogConfig {
    pub(super) fn read_all(section: &mut Section<'_, '_>) -> Option<Vec<Self>> {
        section.each("logs", LOGS_LIMIT, |section| {
            let path = section.required("path", pattern, "/var/log/app/*.log");
            let from_beginning = section.or("from_beginning", form::flag, false);
            Some(Self { path: path?, from_beginning: from_beginning? })
        })
    }
}

fn pattern(value: &Value) -> Result<String, String> {
    let text = form::text(value)?;
    glob::Pattern::new(&text).map_err(|error| format!("`{text}` is no pattern of paths: {}", error.msg))?;
    Ok(text)
}

// === impl Follower ===

impl Follower {
    pub(super) fn new(logs: Vec<LogConfig>, spool: &Path, receiver: Arc<Receiver>, metrics: ErrorsMetrics) -> Self {
        let positions = Positions::open(&spool.join("positions"));
        let is_first_look = positions.is_new();
        Self { logs, receiver, metrics, tails: BTreeMap::new(), positions, is_first_look }
    }

    /// Follows until `closed`.
    pub(super) async fn run(mut self, closed: impl Future<Output = ()>) {
        let (mut closed, mut ticks) = (pin!(closed), interval(INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = select! {
                () = &mut closed => true,
                _ = ticks.tick() => false,
            };
            self = spawn_blocking(move || {
                self.look(ended);
                self
            })
            .await
            .expect("looking does not panic");
            self.report().await;
            if ended {
                return;
            }
        }
    }

    /// Reads what has come. This blocks.
    fn look(&mut self, at_end: bool) {
        let mut paths = HashSet::new();
        for log in self.logs.clone() {
            let found = glob::glob(&log.path).into_iter().flatten().flatten();
            for path in found.filter(|path| path.is_file() && !is_compressed(path)) {
                if paths.len() < FILES && paths.insert(path.clone()) {
                    self.follow(&path, log.from_beginning);
                }
            }
        }
        self.is_first_look = false;
        for (path, tail) in &mut self.tails {
            // What is gone is still open, and nothing comes to it any more.
            if let Err(error) = tail.read(at_end || !paths.contains(path)) {
                tracing::warn!(path = %path.display(), %error, "a log cannot be read");
            }
        }
        self.tails.retain(|path, tail| paths.contains(path) || !tail.is_told());
        self.metrics.log_files.set(self.tails.len() as f64);
    }

    /// Opens a file that is new, or another one of a name that is known.
    fn follow(&mut self, path: &Path, from_beginning: bool) {
        let opened = File::open(path).and_then(|file| Ok((Identity::of(&file)?, file)));
        let (identity, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return tracing::debug!(path = %path.display(), %error, "a log cannot be opened"),
        };
        if let Some(tail) = self.tails.get_mut(path) {
            if tail.identity.is_same_file(&identity) {
                return;
            }
            // It was renamed: all that it has to tell comes first.
            if !tail.is_told() {
                return;
            }
        }
        let known = self.positions.of(&identity, &file);
        let start = match known {
            Some(position) => position,
            None if self.is_first_look && !from_beginning => file.metadata().map_or(0, |metadata| metadata.len()),
            None => 0,
        };
        self.positions.keep(&identity, &file, start);
        self.tails.insert(path.to_owned(), Tail::new(file, identity, start));
    }

    /// Has what was found become durable; what finds no room is tried again at the next look.
    async fn report(&mut self) {
        for (path, tail) in &mut self.tails {
            let mut done = 0;
            for record in &tail.found {
                if let Some(event) = event::of(record, path, &tail.identity) {
                    match self.receiver.take_event(&event).await {
                        Ok(()) => self.metrics.log_events.inc(),
                        Err(error) if error.is_for_now() => break,
                        Err(error) => {
                            tracing::warn!(path = %path.display(), %error, "an error of a log cannot be reported");
                        }
                    }
                }
                done += 1;
            }
            tail.found.drain(..done);
            let position = tail.found.first().map_or(tail.joiner.begins_at(), |record| record.offset);
            self.positions.keep(&tail.identity, &tail.file, position);
        }
        if let Err(error) = self.positions.write() {
            tracing::warn!(%error, "the positions in logs cannot be written down: a restart reads lines again");
        }
    }
}

/// Rotated logs that are compressed were read before.
fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["gz", "xz", "zst", "bz2", "zip"].iter().any(|known| end == *known))
}

// === impl Tail ===

impl Tail {
    fn new(file: File, identity: Identity, start: u64) -> Self {
        Self { file, identity, read: start, joiner: Joiner::new(start), grown: Instant::now(), found: Vec::new() }
    }

    /// Whether it was read to its end, and all that was found is taken.
    fn is_told(&mut self) -> bool {
        // A file that cannot be looked at any more has nothing to tell.
        let is_at_end = self.file.metadata().map_or(true, |metadata| metadata.len() <= self.read);
        if is_at_end && self.found.is_empty() {
            self.joiner.finish(&mut self.found);
        }
        is_at_end && self.found.is_empty()
    }

    /// Reads on; `to_end` takes what is there as all that comes.
    fn read(&mut self, to_end: bool) -> io::Result<()> {
        // What was found and finds no room comes first: nothing is read ahead of it.
        if !self.found.is_empty() {
            return Ok(());
        }
        if self.file.metadata()?.len() < self.read {
            // Written anew in its place.
            (self.read, self.joiner) = (0, Joiner::new(0));
        }
        self.file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        (&self.file).take(AT_ONCE).read_to_end(&mut bytes)?;
        if !bytes.is_empty() {
            self.read += bytes.len() as u64;
            self.grown = Instant::now();
            self.joiner.feed(&bytes, &mut self.found);
        }
        let is_all = (bytes.len() as u64) < AT_ONCE;
        if is_all && (to_end || self.grown.elapsed() >= QUIET) {
            self.joiner.finish(&mut self.found);
        }
        Ok(())
    }
}

// === impl Identity ===

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata: fs::Metadata = file.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

#[cfg(test)]
mod tests;
