//! The checks that run now, and how those of another configuration take their place.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futura_metrics::shutdown::Shutdown;
use tokio::{select, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    checks::{Check, CheckConfig, ChecksMetrics, Window},
    config::{Config, Source},
    history::{History, State, Store},
    network::{Network, TlsError},
    scheduler::{self, Lanes},
};

/// The checks that run now, in the order of the configuration.
pub(crate) struct Board {
    metrics: ChecksMetrics,
    network: Network,
    lanes: Lanes,
    /// What keeps the histories, if anything does, until the end.
    store: Mutex<Option<Store>>,
    places: Mutex<Vec<Place>>,
    /// Set when checks begin to run.
    shutdown: OnceLock<Shutdown>,
}

/// What a new configuration changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Checks that were not there before.
    pub added: usize,
    /// Checks of the same name that now do something else; their history goes on.
    pub changed: usize,
    /// Checks that are gone, with their series.
    pub removed: usize,
    /// Checks that go on as they were.
    pub kept: usize,
}

/// A check and what it takes to know it again and to stop it.
#[derive(Clone)]
struct Place {
    check: Arc<Check>,
    source: Source,
    stop: CancellationToken,
}

// === impl Board ===

impl Board {
    /// The checks of a configuration, which go on with what `store` has of them.
    pub(crate) fn new(
        config: &Config,
        metrics: ChecksMetrics,
        network: Network,
        store: Option<(Store, HashMap<String, State>)>,
    ) -> Result<Arc<Self>, TlsError> {
        let lanes = Lanes::new(config.concurrency, metrics.lag().clone());
        let (store, mut kept) = store.map_or((None, HashMap::new()), |(store, kept)| (Some(store), kept));
        let (store, shutdown) = (Mutex::new(store), OnceLock::new());
        let board = Self { metrics, network, lanes, store, places: Mutex::default(), shutdown };
        let made = config.checks.iter().map(|check| {
            let history = Arc::<History>::default();
            if let Some(state) = kept.remove(&check.name) {
                history.restore(state);
            }
            board.place(check, &config.maintenance, history)
        });
        let made: Vec<_> = made.collect::<Result<_, _>>()?;
        *board.places() = made;
        Ok(Arc::new(board))
    }

    /// Has the checks run until `shutdown` is requested.
    pub(crate) fn start(self: &Arc<Self>, shutdown: &Shutdown) {
        let present = self.places();
        if self.shutdown.set(shutdown.clone()).is_ok() {
            present.iter().for_each(|place| self.spawn(place));
        }
    }

    /// Puts the checks of another configuration in the place of these. A check that is the same goes on with its schedule and
    /// history; where one cannot be made, everything stays as it is.
    pub(crate) fn replace(self: &Arc<Self>, config: &Config) -> Result<Changes, TlsError> {
        let mut present = self.places();
        let mut before: HashMap<String, Place> =
            present.iter().map(|place| (place.check.name.clone(), place.clone())).collect();
        let (mut places, mut new, mut changes) = (Vec::new(), Vec::new(), Changes::default());
        for check in &config.checks {
            let same = before.get(&check.name).filter(|place| place.source == check.source).cloned();
            let known = before.remove(&check.name);
            match same {
                Some(place) => {
                    changes.kept += 1;
                    place.check.keep_to(&check.schedule.maintenance, &config.maintenance);
                    places.push(place);
                }
                None => {
                    *(if known.is_some() { &mut changes.changed } else { &mut changes.added }) += 1;
                    let history = known.map(|place| Arc::clone(&place.check.history)).unwrap_or_default();
                    let place = self.place(check, &config.maintenance, history)?;
                    new.push(place.clone());
                    places.push(place);
                }
            }
        }
        changes.removed = before.len();
        let gone = std::mem::replace(&mut *present, places);
        let stays = |place: &Place| present.iter().any(|other| Arc::ptr_eq(&other.check, &place.check));
        gone.iter().filter(|place| !stays(place)).for_each(|place| place.stop.cancel());
        if let Some(store) = &*self.store() {
            before.keys().for_each(|name| store.forget(name));
        }
        new.iter().for_each(|place| self.spawn(place));
        Ok(changes)
    }

    /// Has the series tell of windows that have begun or ended since the last look at them.
    pub(crate) fn refresh(&self) {
        self.checks().iter().for_each(|check| check.refresh());
    }

    /// Suspends the checks of the own pod, which is ending, or has them go on.
    pub(crate) fn drain(&self, draining: bool) {
        self.checks().iter().for_each(|check| check.drain(draining));
    }

    pub(crate) fn check(&self, name: &str) -> Option<Arc<Check>> {
        self.places().iter().find(|place| place.check.name == name).map(|place| Arc::clone(&place.check))
    }

    pub(crate) fn checks(&self) -> Vec<Arc<Check>> {
        self.places().iter().map(|place| Arc::clone(&place.check)).collect()
    }

    fn spawn(self: &Arc<Self>, place: &Place) {
        let Some(shutdown) = self.shutdown.get() else { return };
        let (board, Place { check, stop, .. }) = (Arc::clone(self), place.clone());
        let requested = shutdown.requested();
        shutdown.tracker().spawn(async move {
            let stopped = async {
                select! {
                    () = requested => {}
                    () = stop.cancelled() => {}
                }
            };
            scheduler::run(Arc::clone(&check), board.lanes.clone(), stopped).await;
            if stop.is_cancelled() {
                board.forget(&check);
            }
        });
    }

    /// Ends the series of a check whose last run has ended, unless another has taken over its name.
    fn forget(&self, check: &Check) {
        let present = self.places();
        let same_series = |place: &Place| place.check.name == check.name && place.check.kind() == check.kind();
        if !present.iter().any(same_series) {
            check.forget(&self.metrics);
        }
    }

    /// A check that goes on with a history, which the store keeps from here on.
    fn place(&self, config: &CheckConfig, maintenance: &[Window], history: Arc<History>) -> Result<Place, TlsError> {
        let mut check = Check::new(config.clone(), &self.metrics, &self.network)?;
        if let Some(store) = &*self.store() {
            store.keep(&config.name, &history);
        }
        check.inherit(history);
        check.keep_to(&config.schedule.maintenance, maintenance);
        Ok(Place { check: Arc::new(check), source: config.source.clone(), stop: CancellationToken::new() })
    }

    /// Writes what is waiting to be kept; nothing is kept after that.
    pub(crate) async fn close(&self) {
        let store = self.store().take();
        if let Some(store) = store {
            // It waits for the disk.
            let _ = spawn_blocking(move || store.close()).await;
        }
    }

    /// Waits until all that was running has ended.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let drained = self.shutdown.get().map(Shutdown::drained);
        async {
            match drained {
                Some(drained) => drained.await,
                None => pending().await,
            }
        }
    }

    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Changes ===

impl fmt::Display for Changes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, changed, removed, kept } = self;
        write!(formatter, "checks: {added} added, {changed} changed, {removed} removed, {kept} as before")
    }
}
