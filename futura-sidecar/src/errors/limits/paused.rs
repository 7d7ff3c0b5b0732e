//! Until when the upstream limits what, which a restart does not end: it is written down.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::LONGEST;
use crate::{errors::envelope, history::milliseconds};

/// Stands for all categories.
pub(super) const ALL: &str = "all";

/// Until when the upstream limits which categories. Clones are one.
#[derive(Clone, Debug, Default)]
pub(in crate::errors) struct Paused(Arc<Mutex<Pauses>>);

#[derive(Debug, Default)]
struct Pauses {
    until: BTreeMap<&'static str, Instant>,
    /// Where they are written down, and whom they are of; in memory alone where there is no file.
    file: Option<(PathBuf, String)>,
    /// Whether the file says something else.
    changed: bool,
}

/// What the file says.
#[derive(Serialize, Deserialize)]
struct Written {
    /// Tells the upstream from another one, whose limits these are not.
    upstream: String,
    /// By category, in milliseconds since 1970.
    until_ms: BTreeMap<String, u64>,
}

// === impl Paused ===

impl Paused {
    /// Those of an upstream, as they were written down; a file that cannot be read, or is of another upstream, says nothing.
    pub(in crate::errors) fn open(path: &Path, upstream: String) -> Self {
        let written = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok());
        let (now_ms, now) = (milliseconds(SystemTime::now()), Instant::now());
        let until_ms = written.filter(|written| written.upstream == upstream).map(|written| written.until_ms);
        let until = until_ms.unwrap_or_default().into_iter().filter_map(|(category, until_ms)| {
            let left = Duration::from_millis(until_ms.checked_sub(now_ms)?).min(LONGEST);
            Some((if category == ALL { ALL } else { envelope::known_category(&category)? }, now + left))
        });
        let pauses = Pauses { until: until.collect(), file: Some((path.to_owned(), upstream)), changed: false };
        Self(Arc::new(Mutex::new(pauses)))
    }

    /// How long a category is still limited.
    pub(in crate::errors) fn left(&self, category: &str, now: Instant) -> Option<Duration> {
        let pauses = self.lock();
        let until = pauses.until.get(category).max(pauses.until.get(ALL))?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// What is limited, and for how long still.
    pub(in crate::errors) fn all_left(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        let left = |(category, until): (&&'static str, &Instant)| (*category, until.saturating_duration_since(now));
        self.lock().until.iter().map(left).filter(|(_, left)| !left.is_zero()).collect()
    }

    pub(in crate::errors) fn pause(&self, category: &'static str, pause: Duration) {
        let end = Instant::now() + pause.min(LONGEST);
        let mut pauses = self.lock();
        let until = pauses.until.entry(category).or_insert(end);
        *until = end.max(*until);
        pauses.changed = true;
    }

    pub(super) fn all_until(&self) -> Option<Instant> {
        self.lock().until.get(ALL).copied()
    }

    pub(super) fn ends(&self) -> Vec<Instant> {
        self.lock().until.values().copied().collect()
    }

    pub(super) fn is_changed(&self) -> bool {
        self.lock().changed
    }

    /// Writes down what was announced since the last time. This blocks.
    pub(in crate::errors) fn keep(&self) -> io::Result<()> {
        let now = Instant::now();
        let mut pauses = self.lock();
        if !std::mem::take(&mut pauses.changed) {
            return Ok(());
        }
        pauses.until.retain(|_, until| *until > now);
        let Some((path, upstream)) = pauses.file.clone() else { return Ok(()) };
        let end_ms = |until: &Instant| milliseconds(SystemTime::now() + until.saturating_duration_since(now));
        let until_ms = pauses.until.iter().map(|(category, until)| ((*category).to_owned(), end_ms(until))).collect();
        drop(pauses);
        replace(&path, &serde_json::to_vec(&Written { upstream, until_ms })?)
    }

    fn lock(&self) -> MutexGuard<'_, Pauses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a whole file in the place of another. It need not outlive the machine: whom it has forgotten the upstream tells again.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::tempdir;
    use tokio::time::{Duration, Instant};

    use super::{ALL, Paused};

    fn left(paused: &Paused, category: &str) -> u64 {
        paused.left(category, Instant::now()).map_or(0, |left| left.as_secs())
    }

    #[tokio::test]
    async fn limits_outlive_the_process_but_not_the_upstream() {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("limits");
        let open = |upstream: &str| Paused::open(&path, upstream.to_owned());
        let paused = open("one");
        paused.pause("error", Duration::from_secs(600));
        paused.pause("session", Duration::ZERO);
        paused.keep().expect("a file");
        let again = open("one");
        assert!((598..=600).contains(&left(&again, "error")));
        assert_eq!((left(&again, "session"), left(&again, "transaction")), (0, 0));
        assert_eq!(left(&open("another"), "error"), 0);
        again.pause(ALL, Duration::from_secs(1000));
        again.keep().expect("a file");
        assert!((998..=1000).contains(&left(&open("one"), "transaction")));
    }

    #[tokio::test]
    async fn a_file_that_says_nothing_sensible_limits_nothing_for_long() {
        let folder = tempdir().expect("a folder");
        let path = folder.path().join("limits");
        for text in ["", "{}", "[1]", "{\"upstream\":\"one\",\"until_ms\":{\"error\":-1}}"] {
            fs::write(&path, text).expect("a file");
            assert!(Paused::open(&path, "one".to_owned()).ends().is_empty(), "{text}");
        }
        let far = format!("{{\"upstream\":\"one\",\"until_ms\":{{\"error\":{},\"unknown\":9}}}}", u64::MAX);
        fs::write(&path, far).expect("a file");
        assert!(left(&Paused::open(&path, "one".to_owned()), "error") <= 24 * 3600);
    }
}
