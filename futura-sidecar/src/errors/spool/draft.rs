//! An envelope on its way into the spool: in memory as long as it is small, and else in a segment of its own.

use std::{
    fs,
    io::{self, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use crc32fast::Hasher;
use tokio::{
    io::{AsyncSeekExt, AsyncWriteExt},
    task::spawn_blocking,
};

use super::{
    SEGMENT, SpoolError, TEMPORARY, Taken, failed, now_ms,
    segment::{self, HEAD, RecordHead},
    state::Shared,
    sync_folder,
    writer::{Arrival, Writer},
};
use crate::errors::envelope::ERROR;

/// Up to how many bytes an envelope is held in memory.
const IN_MEMORY: usize = 256 * 1024;

/// An envelope that is being taken. Dropped without [`commit`](Draft::commit) it leaves nothing behind.
pub(in crate::errors) struct Draft {
    room: Reservation,
    writer: Writer,
    buffer: Vec<u8>,
    own: Option<OwnSegment>,
}

/// Room that is taken for an envelope, and its id; given back unless the envelope stays.
pub(super) struct Reservation {
    shared: Arc<Shared>,
    pub(super) category: &'static str,
    pub(super) id: Option<u128>,
    pub(super) bytes: u64,
    /// Whether the id was remembered for this envelope.
    pub(super) remembered: bool,
    pub(super) stays: bool,
}

/// The segment of an envelope that is too large to be held in memory.
struct OwnSegment {
    number: u32,
    file: tokio::fs::File,
    checksum: Hasher,
    temporary: Temporary,
}

/// A file that goes unless it has got its name.
struct Temporary(PathBuf);

// === impl Draft ===

impl Draft {
    pub(super) fn new(shared: Arc<Shared>, writer: Writer, category: &'static str, id: Option<u128>) -> Self {
        let room = Reservation { shared, category, id, bytes: HEAD, remembered: false, stays: false };
        Self { room, writer, buffer: Vec::new(), own: None }
    }

    /// Adds to the envelope, within the spool's limit.
    pub(in crate::errors) async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.room.extend(bytes.len() as u64)?;
        if self.own.is_none() && self.buffer.len() + bytes.len() > IN_MEMORY {
            self.own = Some(OwnSegment::create(&self.room.shared).await?);
            let buffer = std::mem::take(&mut self.buffer);
            self.append(&buffer).await?;
        }
        self.append(bytes).await
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let Some(own) = &mut self.own else {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        };
        own.checksum.update(bytes);
        own.file.write_all(bytes).await.map_err(failed(&self.room.shared.folder))
    }

    /// How long the envelope is so far, in bytes.
    pub(in crate::errors) fn bytes(&self) -> u64 {
        self.room.bytes - HEAD
    }

    pub(in crate::errors) fn category(&self) -> &'static str {
        self.room.category
    }

    /// Makes the envelope durable and part of the spool, unless it is known.
    ///
    /// It is done whole or not at all, even if nobody waits for it any more.
    pub(in crate::errors) async fn commit(self) -> Result<Taken, SpoolError> {
        let Self { room, writer, buffer, own } = self;
        match own {
            None => writer.append(Arrival { room, envelope: buffer }).await,
            Some(own) => own.commit(room).await,
        }
    }
}

// === impl OwnSegment ===

impl OwnSegment {
    async fn create(shared: &Arc<Shared>) -> Result<Self, SpoolError> {
        let number = shared.lock().new_segment();
        let temporary = Temporary(segment::path(&shared.folder, number, TEMPORARY));
        let created = spawn_blocking(move || segment::create(&temporary.0).map(|file| (file, temporary)));
        let created = created.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (file, temporary) = created.map_err(failed(&shared.folder))?;
        let mut file = tokio::fs::File::from_std(file);
        // Its head is written when all else is known.
        file.write_all(&[0; HEAD as usize]).await.map_err(failed(&shared.folder))?;
        Ok(Self { number, file, checksum: Hasher::new(), temporary })
    }

    async fn commit(mut self, room: Reservation) -> Result<Taken, SpoolError> {
        let folder = room.shared.folder.clone();
        let finished = async {
            let length = u32::try_from(room.bytes - HEAD).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
            self.file.seek(SeekFrom::Start(0)).await?;
            self.file.write_all(&RecordHead::new(length, now_ms(), &self.checksum).bytes()).await?;
            self.file.flush().await
        };
        finished.await.map_err(failed(&folder))?;
        let (number, file) = (self.number, self.file.into_std().await);
        let durable = spawn_blocking(move || store(number, &file, &self.temporary, room));
        durable.await.unwrap_or_else(|error| Err(failed(&folder)(io::Error::other(error))))
    }
}

/// Gives a file that is whole its name as a segment.
fn store(number: u32, file: &fs::File, temporary: &Temporary, mut room: Reservation) -> Result<Taken, SpoolError> {
    if !room.remember() {
        return Ok(Taken::Known);
    }
    let shared = Arc::clone(&room.shared);
    let path = segment::path(&shared.folder, number, SEGMENT);
    file.sync_all().and_then(|()| fs::rename(&temporary.0, &path)).map_err(failed(&shared.folder))?;
    if let Err(error) = sync_folder(&shared.folder) {
        // It may not be there after a crash, so it must not be taken for received.
        let _ = fs::remove_file(path);
        return Err(failed(&shared.folder)(error));
    }
    let mut state = shared.lock();
    state.begin_segment(number, room.category == ERROR);
    state.grow_segment(number, &room);
    shared.arrive(&mut state, number, 0, &mut room);
    Ok(Taken::New)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is gone when it was renamed; else the next start removes it.
        let _ = fs::remove_file(&self.0);
    }
}

// === impl Reservation ===

impl Reservation {
    pub(super) fn folder(&self) -> &Path {
        &self.shared.folder
    }

    fn extend(&mut self, bytes: u64) -> Result<(), SpoolError> {
        if !self.shared.lock().room.take_within(self.category == ERROR, 0, bytes) {
            return Err(SpoolError::Full);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Remembers the id; tells whether the envelope is new.
    pub(super) fn remember(&mut self) -> bool {
        let new = self.id.is_none_or(|id| self.shared.lock().recent.insert(id));
        self.remembered = new && self.id.is_some();
        new
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let mut state = self.shared.lock();
        state.room.release(self.category == ERROR, 1, self.bytes);
        if let Some(id) = self.id.filter(|_| self.remembered) {
            state.recent.remove(id);
        }
    }
}
