//! What is in a spool, for people: listed, exported, sent once more or deleted, while a sidecar runs or without one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::{
    SEGMENT, SpoolError,
    dead::{self, DeadLetter},
    entry_number, failed, now_ms, offset, segment, segment_of, segments,
};
use crate::errors::{
    ENVELOPE,
    destination::FURTHER,
    envelope::{DEFAULT_CATEGORY, HEAD_LIMIT, Head},
};

/// An envelope in a spool.
#[derive(Debug, Serialize)]
pub struct SpooledEnvelope {
    /// By what it is chosen: a number for those that wait, a number and the reason for dead letters.
    pub name: String,
    /// Why it is a dead letter; none for one that waits to be sent.
    pub reason: Option<String>,
    /// When it was taken, or became a dead letter, in RFC 3339.
    pub since: String,
    /// What upstreams limit it by, such as `error`.
    pub category: &'static str,
    /// The event's id, if it has one.
    pub event_id: Option<String>,
    /// How long it is.
    pub bytes: u64,
    #[serde(skip)]
    place: Place,
    #[serde(skip)]
    since_ms: u64,
}

#[derive(Debug)]
enum Place {
    Segment(u64),
    Dead(PathBuf),
}

/// Which envelopes are meant.
#[derive(Debug, Default)]
pub struct Selection {
    /// Names and event ids; all where there is none.
    pub names: Vec<String>,
    /// Only dead letters.
    pub dead: bool,
    /// Only those that are in the spool for longer than this.
    pub older_than: Option<Duration>,
}

/// A spool that is looked into from outside.
#[derive(Debug)]
pub struct SpoolFolder(PathBuf);

// === impl SpoolFolder ===

impl SpoolFolder {
    /// The spool in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The spools of further upstreams, which are in this one's folder, by the upstreams' names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn further(&self) -> Result<Vec<(String, Self)>, SpoolError> {
        let folder = self.0.join(FURTHER);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&folder))?,
        };
        let mut further = entries
            .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), Self(entry.path()))))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed(&folder))?;
        further.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(further)
    }

    /// What is selected, in the order in which it came, dead letters last.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self, selection: &Selection) -> Result<Vec<SpooledEnvelope>, SpoolError> {
        let mut envelopes = if selection.dead { Vec::new() } else { self.waiting()? };
        let folder = self.0.join("dead");
        for DeadLetter { path, reason, since_ms, bytes } in dead::list(&folder).map_err(failed(&folder))? {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let mut start = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(HEAD_LIMIT as u64).read_to_end(&mut start));
            read.map_err(failed(&path))?;
            envelopes.push(SpooledEnvelope::new(name, Some(reason), since_ms, bytes, &start, Place::Dead(path)));
        }
        let now_ms = now_ms();
        envelopes.retain(|envelope| selection.has(envelope, now_ms));
        Ok(envelopes)
    }

    /// What waits to be sent. What goes while this looks is passed over.
    fn waiting(&self) -> Result<Vec<SpooledEnvelope>, SpoolError> {
        let mut waiting = Vec::new();
        for (path, segment) in segments(&self.0)? {
            let scan = match segment::scan(&path, HEAD_LIMIT) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                scan => scan.map_err(failed(&path))?,
            };
            for found in scan.records.into_iter().filter(|found| found.live) {
                let number = entry_number(segment, found.offset);
                let (name, place, length) = (format!("{number:020}"), Place::Segment(number), found.length.into());
                waiting.push(SpooledEnvelope::new(name, None, found.taken_ms, length, &found.start, place));
            }
        }
        Ok(waiting)
    }

    /// Writes envelopes into files of a folder, which is made; returns their paths.
    ///
    /// # Errors
    /// When one cannot be read or written.
    pub fn export(&self, envelopes: &[SpooledEnvelope], folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
        // Envelopes hold personal data: they are for their owner alone, here too.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let export = |envelope: &SpooledEnvelope| {
            let (path, bytes) = (folder.join(format!("{}.{ENVELOPE}", envelope.name)), self.read(envelope)?);
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
            file.and_then(|mut file| file.write_all(&bytes)).map_err(failed(&path))?;
            Ok(path)
        };
        envelopes.iter().map(export).collect()
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// When it is gone or damaged.
    pub fn read(&self, envelope: &SpooledEnvelope) -> Result<Vec<u8>, SpoolError> {
        match &envelope.place {
            Place::Segment(number) => {
                let path = segment::path(&self.0, segment_of(*number), SEGMENT);
                segment::read(&path, offset(*number)).map(|(envelope, _)| envelope).map_err(failed(&path))
            }
            Place::Dead(path) => fs::read(path).map_err(failed(path)),
        }
    }

    /// Has dead letters sent once more; a sidecar that runs takes them within seconds, another at its start. Others wait to be
    /// sent anyway. Returns how many there were.
    ///
    /// # Errors
    /// When one cannot be moved.
    pub fn replay(&self, envelopes: &[SpooledEnvelope]) -> Result<usize, SpoolError> {
        self.each_dead(envelopes, |path| {
            let to = self.0.join("incoming").join(path.file_name().unwrap_or_default());
            // A link takes no other file's name, as a new name would.
            fs::hard_link(path, to)?;
            fs::remove_file(path)
        })
    }

    /// Deletes dead letters, for good. Returns how many there were.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn purge(&self, envelopes: &[SpooledEnvelope]) -> Result<usize, SpoolError> {
        self.each_dead(envelopes, |path| fs::remove_file(path))
    }

    fn each_dead(
        &self,
        envelopes: &[SpooledEnvelope],
        change: impl Fn(&Path) -> io::Result<()>,
    ) -> Result<usize, SpoolError> {
        let mut count = 0;
        for envelope in envelopes {
            if let Place::Dead(path) = &envelope.place {
                change(path).map_err(failed(path))?;
                count += 1;
            }
        }
        Ok(count)
    }
}

// === impl SpooledEnvelope ===

impl SpooledEnvelope {
    fn new(name: String, reason: Option<String>, since_ms: u64, bytes: u64, start: &[u8], place: Place) -> Self {
        let head = Head::parse(start).ok();
        let since = UtcDateTime::from_unix_timestamp(i64::try_from(since_ms / 1000).unwrap_or(i64::MAX));
        Self {
            name,
            reason,
            since: since.unwrap_or(UtcDateTime::MAX).format(&Rfc3339).unwrap_or_default(),
            category: head.as_ref().map_or(DEFAULT_CATEGORY, |head| head.category),
            event_id: head.and_then(|head| head.event_id()).map(|id| id.simple().to_string()),
            bytes,
            place,
            since_ms,
        }
    }
}

// === impl Selection ===

impl Selection {
    fn has(&self, envelope: &SpooledEnvelope, now_ms: u64) -> bool {
        let named = |name: &String| {
            *name == envelope.name || envelope.event_id.as_ref().is_some_and(|id| *id == name.replace('-', ""))
        };
        let age = Duration::from_millis(now_ms.saturating_sub(envelope.since_ms));
        (self.names.is_empty() || self.names.iter().any(named)) && self.older_than.is_none_or(|least| age > least)
    }
}
