//! The folder `incoming` of the spool: whole envelopes that others put there, a file each.
//!
//! What an application could not hand over while no sidecar ran waits there, and dead letters that are to be sent once more
//! go the same way.

use std::{
    fs,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    select,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{ENVELOPE, destination::Destination, receive::Receiver};

/// How often is looked for what has come.
const INTERVAL: Duration = Duration::from_secs(2);

/// How many envelopes are taken at one look: the rest waits for the next.
const AT_ONCE: usize = 1000;

/// How many envelopes may find no room until the others are left for the next look.
const PATIENCE: usize = 20;

/// Takes what is put into the folder.
pub(super) struct Incoming {
    destination: Arc<Destination>,
    receiver: Arc<Receiver>,
}

// === impl Incoming ===

impl Incoming {
    /// Takes what is put into the folder of a destination's spool.
    pub(super) fn new(destination: Arc<Destination>, receiver: Arc<Receiver>) -> Self {
        Self { destination, receiver }
    }

    /// Takes what comes until `closed`.
    pub(super) async fn run(self, closed: impl Future<Output = ()>) {
        let (mut closed, mut ticks) = (pin!(closed), interval(INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                () = &mut closed => return,
                _ = ticks.tick() => {}
            }
            self.count_dead();
            let mut turned_away = 0;
            for file in self.look().await {
                if closed.as_mut().now_or_never().is_some() {
                    return;
                }
                // One category may be out of room, and another not.
                turned_away += usize::from(!self.take(&file).await);
                if turned_away == PATIENCE {
                    break;
                }
            }
        }
    }

    /// Counts the dead letters anew, of which some may have been replayed or deleted from outside.
    fn count_dead(&self) {
        let spool = Arc::clone(&self.destination.spool);
        drop(spawn_blocking(move || spool.count_dead()));
    }

    /// What is there.
    async fn look(&self) -> Vec<PathBuf> {
        let folder = self.destination.spool.incoming();
        let looked_into = folder.clone();
        let files =
            spawn_blocking(move || whole(&looked_into)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        files.unwrap_or_else(|error| {
            tracing::warn!(folder = %folder.display(), %error, "it cannot be looked into");
            Vec::new()
        })
    }

    /// Takes a file; tells whether there was room for it.
    async fn take(&self, file: &Path) -> bool {
        let (path, limit) = (file.to_owned(), self.receiver.limit());
        let read = spawn_blocking(move || {
            let length = fs::metadata(&path)?.len();
            let fits = length <= limit;
            if fits { fs::read(&path) } else { Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large")) }
        });
        let envelope = match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "an envelope cannot be read and is put aside as `.refused`");
                set_aside(file);
                return true;
            }
        };
        match self.receiver.take_from(&self.destination, envelope).await {
            Ok(()) => {
                if let Err(error) = fs::remove_file(file) {
                    tracing::warn!(file = %file.display(), %error, "an envelope that was taken cannot be removed");
                }
                true
            }
            Err(error) if error.is_for_now() => false,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a file cannot be taken and is put aside as `.refused`");
                set_aside(file);
                true
            }
        }
    }
}

/// The files that are whole, oldest names first: whoever writes one gives it its name at the end.
fn whole(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == ENVELOPE) {
            files.push(path);
        }
    }
    files.sort_unstable();
    files.truncate(AT_ONCE);
    Ok(files)
}

/// Has a file not be tried again and again.
fn set_aside(file: &Path) {
    let _ = fs::rename(file, file.with_extension("refused"));
}
