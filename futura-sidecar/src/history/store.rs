//! Histories in a file: one record a result, appended; now and then written anew without what is past.
//!
//! A thread of its own writes, once a second: a result that was taken down a second ago survives the death of the process.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    History, Sample, State,
    record::{self, Record},
};
use crate::network::Failure;

/// How many results wait for the thread at most; more are kept in memory alone.
const QUEUE: usize = 16 * 1024;

/// How often is written.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the file may grow before it is written anew, in bytes; or four times what it was after the last time.
const GROWTH: u64 = 4 * 1024 * 1024;

/// A store that is open. The histories that are told of it write to it until it is closed.
pub(crate) struct Store {
    sender: SyncSender<Entry>,
    overflow: Arc<AtomicBool>,
    histories: Arc<Mutex<HashMap<String, Arc<History>>>>,
    thread: JoinHandle<()>,
}

/// Hands the results of one check to the store.
pub(crate) struct Recorder {
    name: Arc<str>,
    sender: SyncSender<Entry>,
    overflow: Arc<AtomicBool>,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the history in `{}` cannot be used", folder.display())]
pub struct StoreError {
    folder: PathBuf,
    #[source]
    source: io::Error,
}

enum Entry {
    Result { name: Arc<str>, sample: Sample, message: Option<String> },
    End,
}

/// The thread's side.
struct Writer {
    file: File,
    path: PathBuf,
    _lock: File,
    length: u64,
    /// How long it was when it was written anew.
    base: u64,
    /// The numbers that stand for names in this file.
    numbers: HashMap<Arc<str>, u32>,
    histories: Arc<Mutex<HashMap<String, Arc<History>>>>,
    overflow: Arc<AtomicBool>,
}

// === impl Store ===

impl Store {
    /// Opens the store of a folder, and reads what is there of every check by its name.
    pub(crate) fn open(folder: &Path) -> Result<(Self, HashMap<String, State>), StoreError> {
        Self::try_open(folder).map_err(|source| StoreError { folder: folder.to_owned(), source })
    }

    fn try_open(folder: &Path) -> io::Result<(Self, HashMap<String, State>)> {
        // Messages of failures may quote what a target said, which is nobody else's to read.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = lock(folder)?;
        let path = folder.join("history.log");
        let states = record::read(&path)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let (overflow, histories) = (Arc::<AtomicBool>::default(), Arc::<Mutex<HashMap<_, _>>>::default());
        let mut writer = Writer {
            // Written anew at once, which drops a torn end.
            file: OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?,
            path,
            _lock: lock,
            length: 0,
            base: 0,
            numbers: HashMap::new(),
            histories: Arc::clone(&histories),
            overflow: Arc::clone(&overflow),
        };
        writer.rewrite(states.iter().map(|(name, state)| (name.as_str(), state)))?;
        let thread = thread::Builder::new().name("history".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok((Self { sender, overflow, histories, thread }, states))
    }

    /// Has the results of a check kept.
    pub(crate) fn keep(&self, name: &str, history: &Arc<History>) {
        let recorder =
            Recorder { name: name.into(), sender: self.sender.clone(), overflow: Arc::clone(&self.overflow) };
        history.keep_by(recorder);
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(history));
    }

    /// Forgets a check, which is gone.
    pub(crate) fn forget(&self, name: &str) {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Writes what is waiting and closes the file. This blocks.
    pub(crate) fn close(self) {
        // If the thread has ended there is nobody to wait for.
        let _ = self.sender.send(Entry::End);
        let _ = self.thread.join();
    }
}

// === impl Recorder ===

impl Recorder {
    /// Hands a result on; never waits.
    pub(super) fn record(&self, sample: Sample, failure: Option<&Failure>) {
        let message = failure.map(|failure| failure.message.clone());
        let entry = Entry::Result { name: Arc::clone(&self.name), sample, message };
        if self.sender.try_send(entry).is_err() {
            self.overflow.store(true, Relaxed);
        }
    }
}

// === impl Writer ===

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        let (mut buffer, mut broken, mut ended) = (Vec::new(), false, false);
        while !ended {
            let next = Instant::now() + INTERVAL;
            loop {
                match entries.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(Entry::Result { name, sample, message }) => self.write(&mut buffer, &name, sample, message),
                    Err(RecvTimeoutError::Timeout) => break,
                    Ok(Entry::End) | Err(RecvTimeoutError::Disconnected) => {
                        ended = true;
                        break;
                    }
                }
            }
            if self.overflow.swap(false, Relaxed) {
                tracing::warn!("results came faster than they could be written, and some were kept in memory alone");
            }
            let written = self.flush(&mut buffer, broken);
            if let Err(error) = &written
                && !broken
            {
                tracing::error!(file = %self.path.display(), %error, "the history cannot be written; it is tried again");
            } else if broken && written.is_ok() {
                tracing::info!(file = %self.path.display(), "the history is written again");
            }
            broken = written.is_err();
        }
        let _ = self.file.sync_data();
    }

    fn write(&mut self, buffer: &mut Vec<u8>, name: &Arc<str>, sample: Sample, message: Option<String>) {
        let number = self.number(buffer, name);
        record::frame(buffer, &Record::Result { number, sample });
        if let Some((message, reason)) = message.zip(sample.failure) {
            record::frame(buffer, &Record::Failure { number, ended_ms: sample.ended_ms, reason, message: &message });
        }
    }

    fn number(&mut self, buffer: &mut Vec<u8>, name: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(Arc::clone(name), number);
        record::frame(buffer, &Record::Name { number, name });
        number
    }

    /// Writes what is buffered; anew where the file has grown, or a write before has failed in the middle.
    fn flush(&mut self, buffer: &mut Vec<u8>, broken: bool) -> io::Result<()> {
        let grown = self.length + buffer.len() as u64 > GROWTH.max(4 * self.base);
        if broken || grown {
            buffer.clear();
            let histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let states: Vec<_> = histories.iter().map(|(name, history)| (name.as_str(), history.state())).collect();
            return self.rewrite(states.iter().map(|(name, state)| (*name, state)));
        }
        self.file.write_all(buffer)?;
        self.length += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    /// Writes all of it into a new file, which takes the place of the old one when it is on the disk.
    fn rewrite<'a>(&mut self, states: impl Iterator<Item = (&'a str, &'a State)>) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut file = io::BufWriter::new(file);
        let (mut length, mut buffer) = (0, record::MAGIC.to_vec());
        self.numbers.clear();
        for (name, state) in states {
            let number = self.number(&mut buffer, &name.into());
            record::frame_state(&mut buffer, number, state);
            length += buffer.len() as u64;
            file.write_all(&buffer)?;
            buffer.clear();
        }
        length += buffer.len() as u64;
        file.write_all(&buffer)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        (self.length, self.base) = (length, length);
        Ok(())
    }
}

/// Two processes that write one file would lose what the other wrote.
fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("history.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process has it open: give each a folder of its own",
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
