//! Reading the configuration anew while the sidecar runs. What is wrong leaves everything as it is.

use std::{
    fmt,
    fs::Metadata,
    future::Future,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futura_metrics::{
    Gauge, Metrics, RegisterError,
    specs::config::{SIDECAR_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS, SIDECAR_CONFIG_LAST_RELOAD_SUCCESSFUL},
};
use tokio::{
    fs, select,
    sync::Mutex,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    board::{Board, Changes},
    config::{Config, ConfigError},
    network::TlsError,
    probe::Probes,
};

/// How often the file is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Takes the configuration anew. Clones are of the same sidecar.
#[derive(Clone)]
pub struct Reloader {
    inner: Arc<Inner>,
}

/// What came of a configuration that was read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// What it changed.
    pub changes: Changes,
    /// Its keys that say something else than what is in force, which only a restart changes.
    pub after_restart: Vec<String>,
}

/// Why the configuration was not taken; the one before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It was never read from a file.
    #[error("the configuration is from no file, so there is nothing to read again")]
    NoFile,
    /// The file says nothing, as one does that is being written.
    #[error("`{}` says nothing to do: a sidecar that does something is stopped rather than emptied", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The file cannot be read, or says what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A check cannot be made ready.
    #[error(transparent)]
    Check(#[from] TlsError),
}

/// What tells a file from the one that had its name before: the file system's number for it, its length and its last change.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: SystemTime,
}

struct Inner {
    file: Option<PathBuf>,
    board: Arc<Board>,
    probes: Probes,
    /// What is in force. Held while another is read: reloads come one after the other.
    config: Mutex<Config>,
    successful: Gauge,
    succeeded_at: Gauge,
}

// === impl Reloader ===

impl Reloader {
    pub(crate) fn new(
        config: Config,
        board: Arc<Board>,
        probes: Probes,
        metrics: &Metrics,
    ) -> Result<Self, RegisterError> {
        let inner = Inner {
            file: config.file.clone(),
            board,
            probes,
            config: Mutex::new(config),
            successful: metrics.gauge(SIDECAR_CONFIG_LAST_RELOAD_SUCCESSFUL)?,
            succeeded_at: metrics.gauge(SIDECAR_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS)?,
        };
        inner.succeed();
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads the file and puts its checks and modules in the place of those that run; what else changed waits for a restart, which is
    /// told. Metrics and log tell how it went.
    ///
    /// # Errors
    /// When the configuration is not taken, with everything that is wrong in it.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let result = self.try_reload().await;
        match &result {
            Ok(reloaded) => {
                self.inner.succeed();
                tracing::info!("the configuration was read anew; {reloaded}");
            }
            Err(error) => {
                self.inner.successful.set(0.0);
                for line in error.to_string().lines() {
                    tracing::warn!("{line}");
                }
                tracing::error!("the configuration was not taken, the one before stays in force");
            }
        }
        result
    }

    /// Reloads whenever a file is another than it was, until `stop`.
    pub(crate) async fn watch(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut ticks = interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.stamps().await;
        loop {
            select! {
                () = &mut stop => return,
                _ = ticks.tick() => {}
            }
            // A file that is being replaced is looked at again, and one that was wrong when it changes.
            let now = self.stamps().await;
            if now.iter().all(|(_, stamp)| stamp.is_some()) && now != seen {
                // The log tells how it went.
                let _ = self.reload().await;
                seen = self.stamps().await;
            }
        }
    }

    /// All files of the configuration, by which a change of one of them, a new one and one that is gone are seen.
    async fn stamps(&self) -> Vec<(PathBuf, Option<Stamp>)> {
        let files = self.inner.config.lock().await.files();
        let mut stamps = Vec::with_capacity(files.len());
        for file in files {
            let stamp = Stamp::of(&file).await;
            stamps.push((file, stamp));
        }
        stamps
    }

    async fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let mut current = self.inner.config.lock().await;
        let file = self.inner.file.clone().ok_or(ReloadError::NoFile)?;
        let loaded = file.clone();
        let loading = spawn_blocking(move || Config::load(loaded));
        let config = loading.await.expect("reading a configuration does not panic")?;
        if config.does_nothing() && !current.does_nothing() {
            return Err(ReloadError::Empty { file });
        }
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        self.inner.probes.replace(&config.modules)?;
        let changes = self.inner.board.replace(&config)?;
        let after_restart = current.differences(&config);
        match after_restart.is_empty() {
            true => *current = config,
            false => current.include = config.include,
        }
        Ok(Reloaded { changes, after_restart })
    }
}

// === impl Reloaded ===

impl fmt::Display for Reloaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.changes)?;
        match &self.after_restart[..] {
            [] => Ok(()),
            keys => write!(formatter, "; restart the sidecar to apply what changed in `{}`", keys.join("`, `")),
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reloader").field("file", &self.inner.file).finish_non_exhaustive()
    }
}

// === impl Stamp ===

impl Stamp {
    /// None of what is no regular file: a pipe can be read only once.
    async fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).await.ok().filter(Metadata::is_file)?;
        Some(Self { inode: metadata.ino(), length: metadata.len(), modified: metadata.modified().ok()? })
    }
}

// === impl Inner ===

impl Inner {
    fn succeed(&self) {
        self.successful.set(1.0);
        self.succeeded_at.set_duration(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    }
}
