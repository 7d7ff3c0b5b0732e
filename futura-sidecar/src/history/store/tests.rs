use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futura_metrics::specs::checks::Reason;
use tempfile::tempdir;

use super::{History, State, Store};
use crate::network::{Failure, Trace};

fn record(history: &History, second: u64, failed: bool) {
    let failure = failed.then(|| Failure::new(Reason::Dns, format!("failure {second}")));
    let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    history.record(ended, Duration::from_millis(7), failure.as_ref(), &Trace::default());
}

fn same(one: &State, other: &State) {
    assert_eq!((&one.samples, &one.hours, one.since_ms), (&other.samples, &other.hours, other.since_ms));
    let failure = |state: &State| state.last_failure.as_ref().map(|last| (last.ended_ms, last.failure.clone()));
    assert_eq!(failure(one), failure(other));
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_the_next() {
    let folder = tempdir().expect("a folder");
    let (store, states) = Store::open(folder.path()).expect("a store");
    assert!(states.is_empty());
    let histories: Vec<_> = ["a", "b"].map(|name| (name, Arc::<History>::default())).into();
    histories.iter().for_each(|(name, history)| store.keep(name, history));
    for second in 0..90 {
        record(&histories[0].1, second * 1000, second % 3 == 0);
        record(&histories[1].1, second, false);
    }
    store.close();
    for _ in 0..2 {
        let (store, states) = Store::open(folder.path()).expect("a store");
        histories.iter().for_each(|(name, history)| same(&states[*name], &history.state()));
        store.close();
    }
}

#[test]
fn since_when_a_check_is_up_outlasts_the_results_that_are_kept() {
    let folder = tempdir().expect("a folder");
    for restart in 0..3 {
        let (store, mut states) = Store::open(folder.path()).expect("a store");
        let history = Arc::<History>::default();
        if let Some(state) = states.remove("a") {
            assert_eq!(state.since_ms, 1000, "after restart {restart}");
            history.restore(state);
        }
        store.keep("a", &history);
        (0..250).for_each(|second| record(&history, 250 * restart + second, restart + second == 0));
        store.close();
    }
}

#[test]
fn a_store_is_one_processs() {
    let folder = tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a store");
    let error = Store::open(folder.path()).err().expect("a failure");
    assert!(crate::chain(&error).contains("another process has it open"), "{error:?}");
    store.close();
    Store::open(folder.path()).expect("a store").0.close();
}

#[test]
fn nobody_else_reads_a_store() {
    let outer = tempdir().expect("a folder");
    let folder = outer.path().join("history");
    for _ in 0..2 {
        Store::open(&folder).expect("a store").0.close();
        let mode = |name| fs::metadata(folder.join(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(["", "history.log", "history.lock"].map(mode), [0o700, 0o600, 0o600]);
    }
}

#[test]
fn a_file_that_ends_anywhere_is_read_up_to_there() {
    let folder = tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a store");
    let history = Arc::<History>::default();
    store.keep("a", &history);
    (0..5).for_each(|second| record(&history, second, second == 2));
    store.close();
    let whole = fs::read(folder.path().join("history.log")).expect("a file");
    let mut most = 0;
    for length in 0..=whole.len() {
        fs::write(folder.path().join("history.log"), &whole[..length]).expect("a file");
        let (store, states) = Store::open(folder.path()).expect("a store");
        let samples = states.get("a").map_or(0, |state| state.samples.len());
        assert!(samples >= most, "{length}");
        most = samples;
        store.close();
    }
    assert_eq!(most, 5);
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.path().join("history.log"), &damaged).expect("a file");
    let (store, states) = Store::open(folder.path()).expect("a store");
    assert!(states["a"].samples.len() < 5);
    store.close();
    fs::write(folder.path().join("history.log"), "something else").expect("a file");
    let error = Store::open(folder.path()).err().expect("a failure");
    assert!(crate::chain(&error).contains("no history of this version"), "{error:?}");
}

#[test]
fn a_file_stays_bounded_and_forgets_who_is_gone() {
    let folder = tempdir().expect("a folder");
    let (store, _) = Store::open(folder.path()).expect("a store");
    let (stays, goes) = (Arc::<History>::default(), Arc::<History>::default());
    store.keep("stays", &stays);
    store.keep("goes", &goes);
    record(&goes, 1, false);
    store.forget("goes");
    // What waits at most is more than the file may grow, so it is written anew however slowly that goes.
    let message = "🦀".repeat(200);
    for number in 0..20_000_u64 {
        let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
        let failure = Failure::new(Reason::Dns, &message);
        stays.record(ended, Duration::from_millis(1), Some(&failure), &Trace::default());
    }
    store.close();
    let length = fs::metadata(folder.path().join("history.log")).expect("a file").len();
    assert!(length < 8 * 1024 * 1024, "{length}");
    let (store, states) = Store::open(folder.path()).expect("a store");
    assert_eq!(states["stays"].last_failure.as_ref().map(|last| &last.failure.message), Some(&message));
    assert!(!states.contains_key("goes"));
    store.close();
}
