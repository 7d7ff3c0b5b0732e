//! The thread that appends envelopes to segments: all that came while it wrote the last ones share the next sync.

use std::{
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
    SEGMENT, SpoolError, Taken,
    draft::Reservation,
    failed, now_ms,
    segment::{self, RecordHead},
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

/// An envelope that has arrived whole.
pub(super) struct Arrival {
    pub(super) room: Reservation,
    pub(super) envelope: Vec<u8>,
}

struct Job {
    arrival: Arrival,
    done: oneshot::Sender<Result<Taken, SpoolError>>,
}

/// The thread's side.
struct Appender {
    shared: Arc<Shared>,
    errors: Option<Open>,
    others: Option<Open>,
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
        let appender = Appender { shared, errors: None, others: None };
        thread::Builder::new().name("spool".to_owned()).spawn(move || appender.run(&receiver))?;
        Ok(Self(sender))
    }

    /// Waits until the envelope is durable.
    pub(super) async fn append(&self, arrival: Arrival) -> Result<Taken, SpoolError> {
        let folder = arrival.room.folder().to_owned();
        let (done, answer) = oneshot::channel();
        let gone = || failed(&folder)(io::Error::other("the thread that writes has ended"));
        self.0.send(Job { arrival, done }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

// === impl Job ===

impl Job {
    /// Answers, when the room of what does not stay has been given back. Whoever asked may be gone.
    fn conclude(self, answer: Result<Taken, SpoolError>) {
        drop(self.arrival);
        let _ = self.done.send(answer);
    }
}

// === impl Appender ===

impl Appender {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut bytes = first.arrival.envelope.len();
            let mut batch = vec![first];
            while bytes < BATCH_BYTES
                && let Ok(next) = jobs.try_recv()
            {
                bytes += next.arrival.envelope.len();
                batch.push(next);
            }
            let (errors, others) = batch.into_iter().partition(|job| job.arrival.room.category == ERROR);
            self.append(errors, true);
            self.append(others, false);
        }
    }

    /// Appends what is new of a batch, and answers for all of it.
    fn append(&mut self, jobs: Vec<Job>, errors: bool) {
        let mut new = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            if job.arrival.room.remember() { new.push(job) } else { job.conclude(Ok(Taken::Known)) }
        }
        if new.is_empty() {
            return;
        }
        let open = if errors { &mut self.errors } else { &mut self.others };
        match write(&self.shared, open, &mut new, errors) {
            Ok(()) => new.into_iter().for_each(|job| job.conclude(Ok(Taken::New))),
            Err(error) => {
                // What is on the disk of a write that failed is not known: another segment is begun.
                *open = None;
                for job in new {
                    let error = io::Error::new(error.kind(), error.to_string());
                    job.conclude(Err(failed(&self.shared.folder)(error)));
                }
            }
        }
    }
}

/// Writes a batch to the open segment, or to a new one, syncs it, and makes it part of the spool.
fn write(shared: &Shared, open: &mut Option<Open>, jobs: &mut [Job], errors: bool) -> io::Result<()> {
    let segment = reserve(shared, open, jobs, errors)?;
    let start = segment.length;
    let written = segment.append(jobs);
    let mut state = shared.lock();
    match written {
        Ok(()) => {
            let mut offset = start;
            for job in jobs {
                let place = u32::try_from(offset).expect("segments are far shorter");
                offset += job.arrival.room.bytes;
                shared.arrive(&mut state, segment.number, place, &mut job.arrival.room);
            }
            Ok(())
        }
        Err(error) => {
            // As good as it goes: what is left of them must not be taken for received after a restart.
            let _ = segment.file.set_len(start);
            for job in jobs {
                shared.give_up(&mut state, segment.number, &job.arrival.room);
            }
            Err(error)
        }
    }
}

/// The segment for a batch, which stays as long as the batch is needed.
fn reserve<'a>(shared: &Shared, open: &'a mut Option<Open>, jobs: &[Job], errors: bool) -> io::Result<&'a mut Open> {
    let mut state = shared.lock();
    // It is gone when all that was in it has been delivered.
    let fits = |open: &Open| open.length < SEGMENT_BYTES && state.has_segment(open.number);
    if !open.as_ref().is_some_and(fits) {
        let number = state.new_segment();
        drop(state);
        let file = segment::create(&segment::path(&shared.folder, number, SEGMENT))?;
        sync_folder(&shared.folder)?;
        state = shared.lock();
        state.begin_segment(number, errors);
        *open = Some(Open { number, file, length: 0 });
    }
    let open = open.as_mut().expect("it is there now");
    for job in jobs {
        state.grow_segment(open.number, &job.arrival.room);
    }
    Ok(open)
}

// === impl Open ===

impl Open {
    fn append(&mut self, jobs: &[Job]) -> io::Result<()> {
        let now = now_ms();
        let heads: Vec<_> = jobs.iter().map(|job| RecordHead::of(&job.arrival.envelope, now).bytes()).collect();
        let records = heads.iter().zip(jobs).flat_map(|(head, job)| [&head[..], &job.arrival.envelope]);
        let mut bytes = Vec::with_capacity(jobs.iter().map(|job| job.arrival.room.bytes as usize).sum());
        records.for_each(|part| bytes.extend_from_slice(part));
        self.file.write_all_at(&bytes, self.length)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}
