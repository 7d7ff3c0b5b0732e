//! Storms: of events that are the same but for their numbers the first ones of a window go on, and the others are counted.
//!
//! What is counted is acknowledged, so the count is on disk by then, with the first event that was held back. When the window is
//! over that one goes on and says how many there were.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    mem,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex as AsyncMutex,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    ENVELOPE,
    event::Kind,
    framing::Envelope,
    json::Json,
    spool::{SpoolError, sync_folder},
};
use crate::{
    config::{Section, form},
    history::milliseconds,
};

/// How many kinds of events are told apart; those of further ones all go on.
const KINDS: usize = 1000;

/// How often is looked for windows that are over.
const INTERVAL: Duration = Duration::from_secs(1);

/// The file of the counts, in the folder of the samples.
const COUNTS: &str = "counts.json";

/// How many events of one kind go on in full in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StormConfig {
    /// How many. Default 100.
    pub first: u64,
    /// From the first of them on. Default one minute.
    pub window: Duration,
}

/// What is counted, and where that is written down.
pub(super) struct Storms {
    config: StormConfig,
    folder: PathBuf,
    state: Mutex<State>,
    /// Up to which change all is on disk. Held while that is done: who waits finds it done then.
    written: AsyncMutex<u64>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<Kind, Window>,
    /// Those that are over and have not been told yet.
    over: Vec<Window>,
    /// The first events that were held back and are not on disk yet, by the names of their files.
    samples: Vec<(String, Vec<u8>)>,
    changes: u64,
}

/// The time in which events of one kind are counted.
struct Window {
    ends: Instant,
    passed: u64,
    count: Count,
}

/// What is written down of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    /// The name of the file of the first event that was held back.
    sample: String,
    pub(super) project: Option<String>,
    suppressed: u64,
    since_ms: u64,
    until_ms: u64,
}

// === impl StormConfig ===

impl StormConfig {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Option<Self>> {
        let first = section.or("first", form::number, 100);
        let window = section.or("window", form::duration, Duration::from_secs(60));
        let config = Self { first: first?, window: window? };
        if config.first == 0 {
            section.report("first", "`0` is too few: at least one event tells what is wrong");
        }
        if config.window.is_zero() {
            section.report("window", "it must be longer than nothing, such as `1m`");
        }
        Some(Some(config))
    }
}

// === impl Storms ===

impl Storms {
    /// Opens the folder, made where it is not there; what was counted before is over.
    pub(super) fn open(spool: &Path, config: StormConfig) -> Result<Self, SpoolError> {
        let folder = spool.join("storms");
        let over = open(&folder).map_err(|source| SpoolError::Io { path: folder.clone(), source })?;
        let window = |count| Window { ends: Instant::now(), passed: config.first, count };
        let state = State { over: over.into_iter().map(window).collect(), ..State::default() };
        Ok(Self { config, folder, state: Mutex::new(state), written: AsyncMutex::new(0) })
    }

    /// Whether an event goes on; one that does not is counted on disk by then.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(super) async fn admit(&self, kind: Kind, project: Option<&str>, envelope: &[u8]) -> Result<bool, SpoolError> {
        let Some(change) = self.lock().count(self.config, kind, project, envelope) else { return Ok(true) };
        self.write(change).await.map_err(|source| SpoolError::Io { path: self.folder.clone(), source })?;
        Ok(false)
    }

    /// Waits until windows are over; all are when `at_end`. What they have counted is told by [`sample`](Self::sample).
    pub(super) async fn over(&self, at_end: bool) -> Vec<Count> {
        if !at_end {
            sleep(INTERVAL).await;
        }
        let mut state = self.lock();
        let now = Instant::now();
        let (over, running) =
            mem::take(&mut state.running).into_iter().partition(|(_, window)| at_end || window.ends <= now);
        let (over, running): (BTreeMap<_, _>, _) = (over, running);
        state.running = running;
        // What was held back by nobody has nothing to tell.
        state.over.extend(over.into_values().filter(|window| window.count.suppressed > 0));
        state.over.iter().map(|window| window.count.clone()).collect()
    }

    /// The first event that was held back, with the number of them.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn sample(&self, count: Count) -> io::Result<Vec<u8>> {
        // Whoever counted it last may still be writing it.
        let change = self.lock().changes;
        self.write(change).await?;
        let path = self.folder.join(&count.sample);
        let sample =
            spawn_blocking(move || fs::read(path)).await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(counted(&sample, &count))
    }

    /// A window's count is told: it is forgotten.
    pub(super) async fn told(&self, count: &Count) {
        let change = {
            let mut state = self.lock();
            state.over.retain(|window| window.count.sample != count.sample);
            state.changes += 1;
            state.changes
        };
        let path = self.folder.join(&count.sample);
        let forgotten = match self.write(change).await {
            Ok(()) => {
                spawn_blocking(move || fs::remove_file(path)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            tracing::warn!(folder = %self.folder.display(), %error, "a storm that was told cannot be forgotten");
        }
    }

    /// Has everything up to this change on disk; those who come together share one sync.
    async fn write(&self, change: u64) -> io::Result<()> {
        let mut written = self.written.lock().await;
        if *written >= change {
            return Ok(());
        }
        let (changes, samples, counts) = {
            let mut state = self.lock();
            let windows = state.running.values().chain(&state.over);
            let counts: Vec<_> =
                windows.filter(|window| window.count.suppressed > 0).map(|window| window.count.clone()).collect();
            (state.changes, mem::take(&mut state.samples), counts)
        };
        let folder = self.folder.clone();
        let write = move || {
            let done = write_down(&folder, &samples, &counts);
            (samples, done)
        };
        let (samples, done) = spawn_blocking(write).await.map_err(io::Error::other)?;
        match &done {
            Ok(()) => *written = changes,
            Err(_) => self.lock().samples.extend(samples),
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Counts an event that does not go on; returns the change that this is.
    fn count(&mut self, config: StormConfig, kind: Kind, project: Option<&str>, envelope: &[u8]) -> Option<u64> {
        let now_ms = milliseconds(SystemTime::now());
        if !self.running.contains_key(&kind) && self.running.len() >= KINDS {
            return None;
        }
        let window = self.running.entry(kind).or_insert_with(|| {
            let hex: String = kind.iter().map(|byte| format!("{byte:02x}")).collect();
            let (sample, project) = (format!("{hex}-{now_ms}.{ENVELOPE}"), project.map(str::to_owned));
            let count = Count { sample, project, suppressed: 0, since_ms: now_ms, until_ms: now_ms };
            Window { ends: Instant::now() + config.window, passed: 0, count }
        });
        if window.passed < config.first {
            window.passed += 1;
            return None;
        }
        let count = &mut window.count;
        count.suppressed += 1;
        count.until_ms = now_ms;
        if count.suppressed == 1 {
            count.since_ms = now_ms;
            self.samples.push((count.sample.clone(), envelope.to_vec()));
        }
        self.changes += 1;
        Some(self.changes)
    }
}

/// The counts that are in a folder; samples that belong to none were acknowledged to nobody.
fn open(folder: &Path) -> io::Result<Vec<Count>> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let counts: Vec<Count> = match fs::read(folder.join(COUNTS)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let known: HashSet<_> = counts.iter().map(|count| count.sample.as_str()).collect();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name != COUNTS && !known.contains(name) {
            fs::remove_file(&path)?;
        }
    }
    Ok(counts)
}

fn write_down(folder: &Path, samples: &[(String, Vec<u8>)], counts: &[Count]) -> io::Result<()> {
    for (name, sample) in samples {
        put(&folder.join(name), sample)?;
    }
    let new = folder.join("counts.new");
    put(&new, &serde_json::to_vec(counts)?)?;
    fs::rename(&new, folder.join(COUNTS))?;
    sync_folder(folder)
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// An envelope whose event says of how many it is the first.
fn counted(sample: &[u8], count: &Count) -> Vec<u8> {
    let mut envelope = Envelope::parse(sample);
    for item in envelope.items.iter_mut().filter(|item| item.kinds().any(|kind| kind == "event")) {
        let Ok(Json::Object(mut event)) = Json::parse(item.payload) else { continue };
        let number = |number: u64| Json::Number(number.to_string());
        let mut said = vec![
            ("suppressed_events".to_owned(), number(count.suppressed)),
            ("suppressed_seconds".to_owned(), number((count.until_ms - count.since_ms).div_ceil(1000))),
        ];
        match event.iter_mut().rev().find(|(key, _)| key == "extra") {
            Some((_, Json::Object(extra))) => extra.append(&mut said),
            Some((_, extra)) => *extra = Json::Object(said),
            None => event.push(("extra".to_owned(), Json::Object(said))),
        }
        item.replace(Json::Object(event).render().into_bytes());
    }
    envelope.write()
}

#[cfg(test)]
mod tests;
