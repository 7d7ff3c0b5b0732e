//! The thread that appends envelopes to segments: all that came while it wrote the last ones share the next sync.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use tokio::sync::oneshot;

use super::{
    SEGMENT, SpoolError, Taken, failed, now_ms,
    recent::Standing,
    reservation::Reservation,
    segment::{self, HEAD, RecordHead},
    state::Shared,
    sync_folder,
};
use crate::errors::envelope::ERROR;

/// At which size another segment is begun, in bytes: so much can stay on the disk for the sake of one envelope.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

/// How many bytes share one sync at most.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Hands envelopes to the thread. It ends with the last of these.
#[derive(Clone)]
pub(super) struct Writer(Sender<Job>);

/// An envelope that is to be made durable, and who waits for it.
struct Job {
    room: Reservation,
    envelope: Vec<u8>,
    done: oneshot::Sender<Result<Taken, SpoolError>>,
}

/// The thread's side.
struct Appender {
    shared: Arc<Shared>,
    /// By category, as what is limited stays longer than the rest.
    open: BTreeMap<&'static str, Open>,
}

/// The segment that is appended to.
struct Open {
    number: u32,
    file: File,
    length: u64,
}

// === impl Writer ===

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        // What waits is bounded by how many envelopes are received at once.
        let (sender, receiver) = channel();
        let appender = Appender { shared, open: BTreeMap::new() };
        thread::Builder::new().name("spool".to_owned()).spawn(move || appender.run(&receiver))?;
        Ok(Self(sender))
    }

    /// Waits until the envelope is durable. It is done whole or not at all, even if nobody waits for it any more.
    pub(super) async fn append(&self, room: Reservation, envelope: Vec<u8>) -> Result<Taken, SpoolError> {
        let folder = room.folder().to_owned();
        let (done, answer) = oneshot::channel();
        let gone = || failed(&folder)(io::Error::other("the thread that writes has ended"));
        self.0.send(Job { room, envelope, done }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

// === impl Job ===

impl Job {
    /// Answers, when the room of what does not stay has been given back. Whoever asked may be gone.
    fn conclude(self, answer: Result<Taken, SpoolError>) {
        drop(self.room);
        let _ = self.done.send(answer);
    }
}

// === impl Appender ===

impl Appender {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut bytes = first.envelope.len();
            let mut batch = vec![first];
            while bytes < BATCH_BYTES
                && let Ok(next) = jobs.try_recv()
            {
                bytes += next.envelope.len();
                batch.push(next);
            }
            let mut categories: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for job in batch {
                categories.entry(job.room.category).or_default().push(job);
            }
            for (category, mut jobs) in categories {
                // What is the same as another one of the batch waits for what becomes of that one.
                while !jobs.is_empty() {
                    jobs = self.append(category, jobs);
                }
            }
        }
    }

    /// Appends what is new of a batch and answers for it; returns what has to wait for that.
    fn append(&mut self, category: &'static str, jobs: Vec<Job>) -> Vec<Job> {
        let (mut new, mut twins) = (Vec::with_capacity(jobs.len()), Vec::new());
        for mut job in jobs {
            match job.room.begin() {
                Standing::New => new.push(job),
                Standing::Pending => twins.push(job),
                Standing::Known => job.conclude(Ok(Taken::Known)),
            }
        }
        match self.write(category, &mut new) {
            Ok(()) => new.into_iter().for_each(|job| job.conclude(Ok(Taken::New))),
            Err(error) => {
                // What is on the disk of a write that failed is not known: another segment is begun.
                self.open.remove(category);
                for job in new {
                    let error = io::Error::new(error.kind(), error.to_string());
                    job.conclude(Err(failed(&self.shared.folder)(error)));
                }
            }
        }
        twins
    }

    /// Writes a batch to the open segment, or to a new one, syncs it, and makes it part of the spool.
    fn write(&mut self, category: &'static str, jobs: &mut [Job]) -> io::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.reserve(category, jobs)?;
        let open = self.open.get_mut(category).expect("it was opened");
        let (start, written) = (open.length, open.append(jobs));
        let mut left = None;
        let mut state = self.shared.lock();
        if written.is_ok() {
            let mut offset = start;
            for Job { room, .. } in &mut *jobs {
                let place = u32::try_from(offset).expect("segments are far shorter");
                offset += room.bytes;
                state.arrive(open.number, place, room);
            }
        } else {
            for Job { room, .. } in &mut *jobs {
                left = left.or(state.give_up(open.number, room));
            }
        }
        drop(state);
        match &written {
            Ok(()) => self.shared.arrived(jobs.len()),
            // As good as it goes: what is left of them must not be taken for received after a restart.
            Err(_) => drop(open.file.set_len(start)),
        }
        if let Some(number) = left {
            self.shared.remove_segment(number);
        }
        written
    }

    /// Has an open segment for a batch, which stays as long as the batch is needed.
    fn reserve(&mut self, category: &'static str, jobs: &[Job]) -> io::Result<()> {
        let mut state = self.shared.lock();
        // It is gone when all that was in it has been delivered.
        let fits = |open: &Open| open.length < SEGMENT_BYTES && state.has_segment(open.number);
        let mut number = self.open.get(category).filter(|open| fits(open)).map(|open| open.number);
        if number.is_none() {
            let new = state.new_segment();
            drop(state);
            let file = segment::create(&segment::path(&self.shared.folder, new, SEGMENT))?;
            sync_folder(&self.shared.folder)?;
            self.open.insert(category, Open { number: new, file, length: 0 });
            state = self.shared.lock();
            state.begin_segment(new, category == ERROR);
            number = Some(new);
        }
        let number = number.expect("it is there now");
        jobs.iter().for_each(|job| state.grow_segment(number, &job.room));
        Ok(())
    }
}

// === impl Open ===

impl Open {
    fn append(&mut self, jobs: &[Job]) -> io::Result<()> {
        let (now, mut end) = (now_ms(), self.length);
        for Job { envelope, .. } in jobs {
            self.file.write_all_at(&RecordHead::of(envelope, now).bytes(), end)?;
            self.file.write_all_at(envelope, end + HEAD)?;
            end += HEAD + envelope.len() as u64;
        }
        self.file.sync_data()?;
        self.length = end;
        Ok(())
    }
}
